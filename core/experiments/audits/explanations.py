"""ExplanationAudit: which attribution method can be trusted for a run, measured by deletion and insertion. No torch.

python -m core bench explanations RUN

Deletion covers the places of a picture in the order in which a method says that they matter: the better the method, the
sooner the probability of the predicted class falls. Insertion uncovers them in the same order on an empty picture
(Petsiuk et al. 2018, RISE). A random order of the same places is what a method has to beat.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.disk import read_json, write_json
from core.display_names import display_name
from core.errors import UserMistake
from core.runs.run import Run, read_manifest
from core.settings import explanations_root

VERSION = 1  # of how it is measured: a file of another one is measured anew
RANDOM = "random"
# best, or as good as the best, on three networks of 32 pixels; Grad-CAM was hardly better than random on two of them
UNMEASURED = "occlusion"
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean over pictures with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodCurves:
    """What one order of the places did to the probability of the predicted class."""

    method: str  # or RANDOM
    deletion: tuple[float, ...]  # of each picture: area under the curve, 0..1; low is good
    insertion: tuple[float, ...]  # of each picture: area under the curve, 0..1; high is good
    deletion_curve: tuple[float, ...]  # mean over pictures, from the whole picture to nothing in equal steps
    insertion_curve: tuple[float, ...]  # mean over pictures, from nothing to the whole picture

    @property
    def gain(self) -> np.ndarray:
        """float64 (n,): insertion less deletion, -1..1; high is good."""
        return np.array(self.insertion) - np.array(self.deletion)


@dataclass(frozen=True)
class ExplanationAudit:
    """Deletion and insertion of every method that applies to a run's network, on the same pictures."""

    run: str
    weights: str  # SHA-256 of the weights that were asked
    part: str  # "val", or "test" where there is no validation part
    indices: tuple[int, ...]  # of the pictures, into the store
    curves: tuple[MethodCurves, ...]  # a random order last

    def of(self, method: str) -> MethodCurves:
        """KeyError where the method was not measured."""
        found = next((curves for curves in self.curves if curves.method == method), None)
        if found is None:
            raise KeyError(method)
        return found

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(curves.method for curves in self.curves if curves.method != RANDOM)

    @property
    def best(self) -> str:
        """The method with the highest gain, whether or not that is better than a random order."""
        return max(self.methods, key=lambda method: float(self.of(method).gain.mean()))

    def difference(self, method: str, value: str = "gain") -> Interval:
        """A method less a random order, paired by picture; value: "gain", "deletion" or "insertion"."""
        ours, random = (np.asarray(getattr(self.of(name), value)) for name in (method, RANDOM))
        return bootstrap_mean(ours - random)

    def beats_random(self, method: str) -> bool:
        """Whether the whole interval of its gain over a random order is above zero."""
        return self.difference(method).low > 0

    @property
    def verdict(self) -> str:
        """In words: which method measures best, and which are no better than a random order."""
        lost = [display_name("attribution", method) for method in self.methods if not self.beats_random(method)]
        if len(lost) == len(self.methods):
            return f"No method is better than a random order on {len(self.indices)} pictures: believe none of the maps."
        found = self.difference(self.best)
        first = (
            f"{display_name('attribution', self.best)} measures best on {len(self.indices)} pictures: "
            f"{found.mean:+.3f} over a random order (95 % interval {found.low:+.3f} to {found.high:+.3f})."
        )
        is_or_are = "is" if len(lost) == 1 else "are"
        return f"{first} {' and '.join(lost)} {is_or_are} no better than a random order." if lost else first


def bootstrap_mean(values: np.ndarray) -> Interval:
    """The mean of values, float (n,), n at least 1, with the percentiles 2.5 and 97.5 of resampled means (seed 0)."""
    random = np.random.default_rng(0)
    means = values[random.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))


def read_explanations(run: Run) -> ExplanationAudit | None:
    """What was measured for the weights that the run has now; None where nothing was, or the file is damaged."""
    try:
        document = read_json(explanations_root() / f"{run.id}.json")
        audit = _of_document(document)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return audit if document["version"] == VERSION and audit.weights == weights_of(run) else None


def write_explanations(audit: ExplanationAudit) -> None:
    write_json(explanations_root() / f"{audit.run}.json", {"version": VERSION, **asdict(audit)})


def default_method(run: Run) -> str:
    """The method that measures best for the run; where nothing was measured, the one that applies to every network."""
    audit = read_explanations(run)
    return audit.best if audit else UNMEASURED


def weights_of(run: Run) -> str:
    """SHA-256 of the run's model file. UserMistake where there is none."""
    digests = read_manifest(run.folder).get("model.safetensors")
    if not digests or not run.has_model:
        raise UserMistake(f"Run {run.id} has no model yet, so it explains nothing. Pick another run.")
    return digests[-1]


def audit_document(audit: ExplanationAudit) -> dict[str, Any]:
    """The measured table as a JSON document."""

    def row(curves: MethodCurves) -> dict[str, Any]:
        found: dict[str, Any] = {"method": curves.method}
        read: dict[str, Callable[[str], Interval]] = {
            "": lambda value: bootstrap_mean(np.array(getattr(curves, value)))
        }
        if curves.method != RANDOM:
            read["_over_random"] = lambda value: audit.difference(curves.method, value)
            found["better_than_random"] = audit.beats_random(curves.method)
        for ending, interval in read.items():
            found |= {value + ending: asdict(interval(value)) for value in ("deletion", "insertion", "gain")}
        return found | {"deletion_curve": curves.deletion_curve, "insertion_curve": curves.insertion_curve}

    return {
        "run": audit.run,
        "weights": audit.weights,
        "part": audit.part,
        "n": len(audit.indices),
        "best": audit.best,
        "verdict": audit.verdict,
        "methods": [row(curves) for curves in audit.curves],
    }


def _of_document(document: dict[str, Any]) -> ExplanationAudit:
    columns = ("deletion", "insertion", "deletion_curve", "insertion_curve")
    rows = [MethodCurves(str(row["method"]), *(tuple(row[name]) for name in columns)) for row in document["curves"]]
    return ExplanationAudit(
        document["run"], document["weights"], document["part"], tuple(document["indices"]), tuple(rows)
    )
