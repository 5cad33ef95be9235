"""Calibration: how far the probabilities of a run can be believed, fitted on its validation part. No torch.

A network that has been trained to the end is usually too sure. Temperature scaling (Guo et al. 2017, On Calibration of
Modern Neural Networks, section 4.2) divides all logits by one number T, chosen so that the negative log-likelihood of
the validation pictures is least. It changes no answer and no order of classes, only how sure they are. Because
softmax(logits / T) is p ** (1 / T), normalised, stored probabilities are all that it takes.

    calibration = load_calibration(run)             # UserMistake in a sentence where there is none
    calibration.apply(probabilities)                # float (..., classes), the same shape
    calibration.rank(prediction.classes)            # of one Prediction: the same order, other probabilities
    calibration.describe(0.998, 0.943)              # "" where both are the same to a per cent
"""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.disk import write_json
from core.documents import Unreadable, read_document
from core.errors import UserMistake
from core.evaluation import Evaluation, Which
from core.reliability import measure_reliability
from core.runs.run import Run
from core.settings import calibrations_root

VERSION = 1
LOWEST, HIGHEST = 0.05, 20.0  # of T; what lies beyond is a likelihood without a minimum
LEAST = float(np.finfo(np.float32).tiny)  # probabilities below it were stored as zero, which has no logarithm
TOLD = 0.01  # probabilities that differ by a per cent are told apart


class PartFit(BaseModel):
    """How well probabilities fit the answers on one part, as the network gives them and after temperature scaling."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(ge=1)
    nll: tuple[float, float]  # mean negative log-likelihood, before and after
    ece: tuple[float, float]  # expected calibration error 0..1, as Results measures it, before and after


class Calibration(BaseModel):
    """The temperature of one model of a run, and what it does to the probabilities; a file in calibrations/."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    model: Literal["last", "best"]
    weights: str  # SHA-256 of the model file
    temperature: float = Field(ge=LOWEST, le=HIGHEST)  # above 1: the network was too sure
    val: PartFit  # on which it was fitted
    test: PartFit | None = None  # which it has not seen
    all_right: bool = False  # every validation picture is answered right, so nothing says how unsure to be; T is 1
    schema_version: int = VERSION

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """float (..., classes), rows sum to 1 -> float64 of the same shape: softmax(logits / T)."""
        return scale(probabilities, self.temperature)

    def rank(self, classes: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
        """The (class, probability) of a Prediction after temperature scaling, in the same order."""
        names, probabilities = zip(*classes, strict=True) if (classes := tuple(classes)) else ((), ())
        return tuple(zip(names, self.apply(np.array(probabilities)).tolist(), strict=True))

    def describe(self, raw: float, scaled: float) -> str:
        """What a page says beside a probability: both numbers and where the second comes from; "" where they differ by
        less than a per cent."""
        if abs(raw - scaled) < TOLD:
            return ""
        was = "too sure" if self.temperature > 1 else "not sure enough"
        return (
            f"The network says {raw:.1%}; {scaled:.1%} can be believed: it is {was} on {self.val.n:,} validation "
            f"pictures (temperature {self.temperature:.2f})."
        )

    @property
    def helps(self) -> bool:
        """Whether the probabilities fit better after it, on the test part where its answers are stored."""
        before, after = (self.test or self.val).nll
        return after < before

    @property
    def summary(self) -> str:
        """One sentence about all probabilities of this model."""
        if self.all_right:
            return (
                f"All {self.val.n:,} validation pictures are answered right, so nothing tells how unsure the network "
                "should be; its probabilities stay as they are."
            )
        before, after = (self.test or self.val).ece
        where = f"{self.test.n:,} test pictures" if self.test else f"the {self.val.n:,} validation pictures themselves"
        better = "" if self.helps else " That is no better fit."
        return (
            f"Temperature {self.temperature:.2f}, fitted on {self.val.n:,} validation pictures: how sure the network "
            f"is and how often it is right differ by {before:.1%} before and {after:.1%} after it, on {where}.{better}"
        )


def load_calibration(run: Run, which: Which | None = None) -> Calibration:
    """The temperature of that model of the run (None: of the used one), fitted once and kept.

    UserMistake where there is none: the run still trains, it has no validation part, or its answers are not stored.
    """
    which = which or run.used_model
    if kept := _read(run, which):
        return kept
    if run.state.is_live:
        raise UserMistake(f"Run {run.id} still trains, so its probabilities are not calibrated yet.")
    weights, val = run.weights_sha256(which), run.evaluation("val")
    if val is None or not val.n:
        raise UserMistake(
            f"Run {run.id} has no validation pictures, so nothing tells how far its probabilities can be believed. "
            "Train with a validation part to know."
        )
    if val.model != which:
        raise UserMistake(
            f"The answers of the {which} model of run {run.id} on its validation part are not stored; its "
            f"{val.model} model is the one that is calibrated."
        )
    test = run.evaluation("test")
    calibration = _fitted(run.id, which, weights, val, test if test and test.n and test.model == which else None)
    with suppress(OSError):  # a full or read-only disk: it is fitted again the next time
        write_json(_path(run, which), calibration.model_dump(mode="json"))
    return calibration


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """T in LOWEST..HIGHEST with the least negative log-likelihood. float (n, classes), int (n,), n at least 1.

    The minimum is one of a function that is convex in 1 / T, so a search within bounds finds it. Where every picture is
    answered right it lies at T = 0, which would call everything certain; then T is 1.
    """
    from scipy import optimize  # half a second to import: only where it is used

    if (probabilities.argmax(1) == labels).all():
        return 1.0
    logs = np.log(np.maximum(probabilities.astype(np.float64), LEAST))
    found = optimize.minimize_scalar(
        lambda inverse: _nll(logs * inverse, labels), bounds=(1 / HIGHEST, 1 / LOWEST), method="bounded"
    )
    return float(np.clip(1 / found.x, LOWEST, HIGHEST))


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(log p / T): float (..., classes) -> float64 of the same shape, rows sum to 1."""
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST)) / temperature
    powers = np.exp(logs - logs.max(-1, keepdims=True, initial=-math.inf))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _fitted(run: str, which: Which, weights: str, val: Evaluation, test: Evaluation | None) -> Calibration:
    temperature = fit_temperature(val.probabilities, val.labels)
    return Calibration(
        run=run,
        model=which,
        weights=weights,
        temperature=temperature,
        val=_part_fit(val, temperature),
        test=_part_fit(test, temperature) if test else None,
        all_right=bool(val.correct.all()),
    )


def _part_fit(answers: Evaluation, temperature: float) -> PartFit:
    both = [replace(answers, probabilities=scale(answers.probabilities, t)) for t in (1.0, temperature)]
    before, after = (_nll(np.log(one.probabilities), answers.labels) for one in both)
    first, last = (measure_reliability(one, draws=1).error for one in both)
    return PartFit(n=answers.n, nll=(before, after), ece=(first, last))


def _nll(logs: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log softmax(logs) of the labels: float64 (n, classes), int (n,)."""
    top = logs.max(1, keepdims=True)
    total = np.log(np.exp(logs - top).sum(1)) + top[:, 0]
    return float((total - logs[np.arange(len(labels)), labels]).mean())


def _read(run: Run, which: Which) -> Calibration | None:
    try:
        kept = read_document(_path(run, which), Calibration, VERSION)
    except (FileNotFoundError, Unreadable):
        return None
    fits = kept.weights == run.weights_sha256(which) and kept.schema_version == VERSION
    return kept if fits and kept.run == run.id and kept.model == which else None


def _path(run: Run, which: Which) -> Path:
    return calibrations_root() / f"{run.id}-{which}.json"
