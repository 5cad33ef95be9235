"""LossShape: whether a training loss falls like an exponential with an elbow or in a straight line, as the paper reads
it: "CIFAR's loss falls like an exponential with an elbow, the artwork's in a straight line". No torch."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["elbow", "line", "neither"]
LEAST_EPOCHS = 6  # fewer points fit anything
BETTER = 4.0  # of Akaike's criterion: below it neither form is clearly the better one
EARLY = 0.4  # of the epochs: an elbow lies before
EXPLAINED = 0.9  # share of the variance that the better form explains, or it is neither


@dataclass(frozen=True)
class LossShape:
    """The form that fits the loss of each epoch better, and what it says there."""

    kind: Kind
    epochs: np.ndarray  # float64 (n,), of the finite losses
    fitted: np.ndarray  # float64 (n,): the better form
    elbow: float | None  # epoch after which two thirds of the fall are over; None of a line
    explained: float  # share of the variance, 0..1

    @property
    def sentence(self) -> str:
        share = f"{100 * self.explained:.0f} % of its variance over {len(self.epochs)} epochs"
        if self.kind == "elbow":
            return f"It falls like an exponential, with its elbow at epoch {self.elbow:.0f} (the fit explains {share})."
        if self.kind == "line":
            return f"It falls in a straight line (the fit explains {share})."
        return f"It falls neither like an exponential with an elbow nor in a straight line (the better fit: {share})."


def loss_shape(epochs: np.ndarray, losses: np.ndarray) -> LossShape | None:
    """Fit a + b t and c + a exp(-t / tau) to the losses and compare them by Akaike's criterion, corrected for few
    points (Burnham and Anderson 2002). float64 (n,) each, nan where a loss was not finite; None for fewer than
    LEAST_EPOCHS."""
    there = np.isfinite(losses)
    t, y = epochs[there].astype(np.float64), losses[there].astype(np.float64)
    if len(t) < LEAST_EPOCHS or float(np.ptp(y)) <= 0:
        return None
    line = _fit(np.stack([np.ones_like(t), t], 1), y)
    taus = np.geomspace(0.3, 3 * len(t), 120)
    curves = [_fit(np.stack([np.ones_like(t), np.exp(-(t - t[0]) / tau)], 1), y) for tau in taus]
    best = int(np.argmin([_squares(y, curve) for curve in curves]))
    curve, elbow = curves[best], float(t[0] + taus[best])
    gained = _akaike(y, line, 2) - _akaike(y, curve, 3)  # above 0: the exponential is better
    kind: Kind = "neither"
    if gained > BETTER and elbow - t[0] <= EARLY * len(t):
        kind, fitted = "elbow", curve
    else:
        kind, fitted = "line", line
    explained = 1 - _squares(y, fitted) / float(((y - y.mean()) ** 2).sum())
    if explained < EXPLAINED or fitted[-1] >= fitted[0]:
        kind = "neither"
    return LossShape(kind, t, fitted, elbow if kind == "elbow" else None, max(0.0, explained))


def _fit(columns: np.ndarray, y: np.ndarray) -> np.ndarray:
    weights = np.linalg.lstsq(columns, y, rcond=None)[0]
    return np.asarray(columns @ weights)


def _squares(y: np.ndarray, fitted: np.ndarray) -> float:
    return float(((y - fitted) ** 2).sum())


def _akaike(y: np.ndarray, fitted: np.ndarray, parameters: int) -> float:
    n, k = len(y), parameters + 1  # and the variance
    squares = max(_squares(y, fitted), 1e-12 * float((y**2).sum()))
    return n * math.log(squares / n) + 2 * k + 2 * k * (k + 1) / max(1, n - k - 1)
