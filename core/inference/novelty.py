"""Novelty: is a picture none of a run's classes? Measured by how unlike the training pictures the network finds it.

    for step in measure_novelty(run): ...        # core/inference/measure_novelty.py; once a model, the last step is it
    novelty = read_novelty(run)                  # None where that was not done for these weights
    verdict = novelty.verdict(prediction.features, [share for _, share in prediction.classes])
    verdict.none_of_these, verdict.unlike, verdict.measure

Four measures of a picture, each the higher the more unlike:

knn            distance to the K-th nearest training picture, between features of length 1 (Sun et al. 2022, Out-of-
               distribution Detection with Deep Nearest Neighbors)
mahalanobis    distance to the nearest class's mean in the covariance within classes (Lee et al. 2018, A Simple Unified
               Framework for Detecting Out-of-Distribution Samples), of features of length 1; shrunk by Ledoit and Wolf
first_layer    distance to the K-th nearest training picture, between mean and deviation of each map of the first
               convolution, each in units of its spread over the training pictures: colours and strokes. Lee et al. 2018
               average the maps of every layer; a small network that has learnt few classes forgets in the later ones
max_softmax    1 less the highest probability, as anybody can read it off (Hendrycks and Gimpel 2017): what the others
               have to beat on the same pictures; where they do not, it is used, and that is said

A distance beats max_softmax where the whole 95 % interval of the difference of their AUROCs is above zero. The pictures
that decide are intruders: another dataset (bench intruders), else planted ones, made of validation pictures.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.disk import write_json
from core.display_names import display_name
from core.documents import Unreadable, read_document
from core.evaluation import Which
from core.inference.run_features import RunFeatures, measured_folder, open_run_features
from core.intervals import wilson
from core.runs.run import Run

Measure = Literal["knn", "mahalanobis", "first_layer", "max_softmax"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
LAST_LAYER: tuple[Measure, ...] = ("knn", "mahalanobis")
DISTANCES: tuple[Measure, ...] = (*LAST_LAYER, "first_layer")
VERSION = 2
PASS = 0.95  # share of the held-out pictures that the threshold lets pass
NEIGHBOUR = 10  # of 1, 10 and 50 as good as the best on two networks and two datasets
REFERENCE = 10_000  # training pictures that are compared with, spread evenly: 51 MB of 1,280 features
PLANTED = "planted"
RESAMPLES = 1000
AT_ONCE = 256  # pictures that are compared in one go


class Found(BaseModel):
    """What one measure says of pictures of the run's own kind and of intruders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auroc: tuple[float, float, float]  # area under the ROC curve 0..1 with its 95 % bootstrap interval
    over_softmax: tuple[float, float, float]  # that less the one of max_softmax, paired, with its interval
    false_alarms: int  # own pictures that are called none of these
    caught: int  # intruders that are


class Contest(BaseModel):
    """The measures on the same pictures: of a part that the threshold has not seen, and intruders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intruders: str  # name of a dataset: data; or PLANTED
    part: Literal["val", "test"]  # of the own pictures
    n: int = Field(ge=1)
    n_intruders: int = Field(ge=1)
    found: dict[Measure, Found]

    @property
    def best_distance(self) -> Measure:
        """The one with the highest AUROC; of planted intruders one of the last layer, if that beats max_softmax: the
        first layer sees the seams of mixed tiles, which no other intruder has."""
        last = max(LAST_LAYER, key=lambda measure: self.found[measure].auroc[0])
        if self.intruders == PLANTED and self.found[last].over_softmax[1] > 0:
            return last
        return max(DISTANCES, key=lambda measure: self.found[measure].auroc[0])

    @property
    def winner(self) -> Measure:
        """The better distance, or max_softmax where that is not better than it."""
        best = self.best_distance
        return best if self.found[best].over_softmax[1] > 0 else "max_softmax"

    def shares(self, measure: Measure) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """(share, low, high) of own pictures that are false alarms, and of intruders that are caught; 95 % interval."""
        found = self.found[measure]
        alarms, caught = wilson(found.false_alarms, self.n), wilson(found.caught, self.n_intruders)
        return (found.false_alarms / self.n, *alarms), (found.caught / self.n_intruders, *caught)

    @property
    def sentence(self) -> str:
        """Who wins and by how much. It holds the name of a dataset: escape it on a page."""
        best, softmax = self.found[self.best_distance], self.found["max_softmax"]
        name = display_name("novelty", self.best_distance)
        who = "planted pictures" if self.intruders == PLANTED else f"pictures of {self.intruders}"
        beside = f"AUROC {_interval(best.auroc)} against {_interval(softmax.auroc)} of max-softmax"
        of = f"on {self.n:,} own pictures ({self.part}) and {self.n_intruders:,} {who}"
        coin = " It is no better than a coin: do not believe it." if self.found[self.winner].auroc[1] <= 0.5 else ""
        (alarms, *_), (caught, *_) = self.shares(self.winner)
        at = f"The threshold catches {caught:.1%} of them, with {alarms:.1%} false alarms.{coin}"
        if self.winner == "max_softmax":
            return f"{name} is not better than plain max-softmax, which is used: {beside}, {of}. {at}"
        return f"{name} tells intruders best: {beside}, {of}. {at}"


class _Document(BaseModel):
    """novelty.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    n: int = Field(ge=1)  # validation pictures, held out from training
    held_out: dict[Measure, list[float]]  # their scores by each measure, ascending
    planted: Contest
    schema_version: int = VERSION


class _Contests(BaseModel):
    """intruders.json: what was measured with other datasets, the newest last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contests: list[Contest]
    schema_version: int = VERSION


@dataclass(frozen=True)
class Verdict:
    """Whether a picture is none of the classes."""

    none_of_these: bool
    unlike: float  # 0..1: share of the held-out pictures that are less unlike the training pictures than this one
    measure: Measure  # by which


@dataclass(frozen=True)
class Novelty:
    """What tells pictures that are none of a run's classes."""

    reference: RunFeatures
    held_out: dict[Measure, np.ndarray]  # scores of the validation pictures, float64 (n,), ascending
    contests: tuple[Contest, ...]  # planted intruders first, then other datasets, the newest last

    @property
    def measure(self) -> Measure:
        """The one that the newest contest was won by."""
        return self.contests[-1].winner

    @property
    def n(self) -> int:
        """Held-out pictures that set the threshold."""
        return len(self.held_out["knn"])

    @property
    def sentence(self) -> str:
        """Which measure is used, and why."""
        return self.contests[-1].sentence

    def threshold(self, measure: Measure | None = None) -> float:
        """The score above which a picture is none of the classes; at least PASS of the held-out ones are not above."""
        scores = self.held_out[measure or self.measure]
        return float(scores[math.ceil(PASS * len(scores)) - 1])

    def verdict(self, features: np.ndarray, probabilities: Sequence[float] | np.ndarray) -> Verdict:
        """Of one picture: features float32 (F,) and probabilities (classes,) of a Prediction, in any order."""
        return self.verdicts(features[None], np.asarray(probabilities)[None])[0]

    def verdicts(self, features: np.ndarray, probabilities: np.ndarray) -> list[Verdict]:
        """Of pictures: features float32 (B, F), probabilities (B, classes)."""
        measure = self.measure
        scores = self.scores(measure, features, probabilities)
        held_out, above = self.held_out[measure], scores > self.threshold(measure)
        less = (np.searchsorted(held_out, scores, "left") + np.searchsorted(held_out, scores, "right")) / 2
        return [
            Verdict(bool(none), float(share), measure)
            for none, share in zip(above, less / len(held_out), strict=True)  # ties count half
        ]

    def scores(self, measure: Measure, features: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """float64 (B,): how unlike the training pictures each is, by that measure."""
        if measure == "max_softmax":
            return 1 - probabilities.max(1).astype(np.float64)
        width = self.reference.width
        asked, reference = of_length_one(features[:, :width]), self._chosen[0]
        if measure == "first_layer":
            centre, spread, reference = self._first_layer
            asked = (features[:, width:] - centre) / spread
        blocks = [asked[first : first + AT_ONCE] for first in range(0, len(asked), AT_ONCE)]
        scores = [
            self._to_mean(block) if measure == "mahalanobis" else to_neighbour(block, reference) for block in blocks
        ]
        return np.concatenate(scores) if scores else np.zeros(0)

    def _to_mean(self, unit: np.ndarray) -> np.ndarray:
        means, whitening = self._classes
        white = unit @ whitening
        squares = np.stack([((white - mean) ** 2).sum(1) for mean in means])
        return np.asarray(np.sqrt(squares.min(0)), np.float64)

    @cached_property
    def _chosen(self) -> tuple[np.ndarray, np.ndarray]:
        """float32 (m, F) of length 1 and int64 (m,): features and labels of at most REFERENCE training pictures."""
        places = self._places
        return of_length_one(self.reference.features[places, : self.reference.width]), self.reference.labels[places]

    @property
    def _places(self) -> np.ndarray:
        n = len(self.reference.features)
        return np.unique(np.linspace(0, n - 1, min(n, REFERENCE)).round().astype(int))

    @cached_property
    def _first_layer(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """float32 (2 C,), (2 C,) and (m, 2 C): mean, spread, and the reference pictures in units of them."""
        values = np.array(self.reference.features[self._places, self.reference.width :])
        centre, spread = values.mean(0), np.maximum(values.std(0), 1e-6)
        return centre, spread, (values - centre) / spread

    @cached_property
    def _classes(self) -> tuple[np.ndarray, np.ndarray]:
        """float32 (classes, F) whitened means, and float32 (F, F): features times it have a unit covariance."""
        from sklearn.covariance import ledoit_wolf

        unit, labels = self._chosen
        present = np.unique(labels)
        means = np.stack([unit[labels == label].mean(0) for label in present])
        within = unit - means[np.searchsorted(present, labels)]
        covariance = ledoit_wolf(within.astype(np.float64), assume_centered=True)[0]
        values, vectors = np.linalg.eigh(covariance)
        whitening = vectors / np.sqrt(np.maximum(values, 1e-12 * max(float(values.max()), 1e-30)))
        return (means @ whitening).astype(np.float32), whitening.astype(np.float32)


def read_novelty(run: Run, which: Which | None = None) -> Novelty | None:
    """What was measured for the weights of that model (None: of the used one); None where that is missing or damaged.
    UserMistake where there is no model."""
    which = which or run.used_model
    folder, reference = measured_folder(run, which), open_run_features(run, which)
    try:
        document = read_document(folder / "novelty.json", _Document, VERSION)
    except (FileNotFoundError, Unreadable):
        return None
    whole = set(document.held_out) == set(MEASURES) and {*map(len, document.held_out.values())} == {document.n}
    current = document.schema_version == VERSION and document.weights == run.weights_sha256(which)
    if reference is None or not current or not whole:
        return None
    held_out = {measure: np.array(scores) for measure, scores in document.held_out.items()}
    return Novelty(reference, held_out, (document.planted, *_read_contests(run, which)))


def write_novelty(run: Run, which: Which, novelty: Novelty) -> None:
    """Keep it beside the features. OSError where the disk is full or read-only."""
    document = _Document(
        weights=run.weights_sha256(which),
        n=novelty.n,
        held_out={measure: scores.tolist() for measure, scores in novelty.held_out.items()},
        planted=novelty.contests[0],
    )
    write_json(measured_folder(run, which) / "novelty.json", document.model_dump(mode="json"))


def add_contest(run: Run, which: Which, contest: Contest) -> None:
    """Keep what was measured with a dataset, in place of an older measurement with it; it decides from now on."""
    kept = [one for one in _read_contests(run, which) if one.intruders != contest.intruders]
    document = _Contests(contests=[*kept, contest])
    write_json(measured_folder(run, which) / "intruders.json", document.model_dump(mode="json"))


def hold_contest(
    intruders: str,
    part: Literal["val", "test"],
    novelty: Novelty,
    own: dict[Measure, np.ndarray],
    others: dict[Measure, np.ndarray],
) -> Contest:
    """The measures on the same pictures: scores float64 (n,) of own ones and (m,) of intruders, by measure."""
    areas = bootstrap_aurocs([(own[measure], others[measure]) for measure in MEASURES])
    softmax = areas[MEASURES.index("max_softmax")]
    return Contest(
        intruders=intruders,
        part=part,
        n=len(own["knn"]),
        n_intruders=len(others["knn"]),
        found={
            measure: Found(
                auroc=_with_interval(area),
                over_softmax=_with_interval(area - softmax),
                false_alarms=int((own[measure] > novelty.threshold(measure)).sum()),
                caught=int((others[measure] > novelty.threshold(measure)).sum()),
            )
            for measure, area in zip(MEASURES, areas, strict=True)
        },
    )


def bootstrap_aurocs(scores: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """For each measure float64 (1 + RESAMPLES,): the AUROC, then that of resampled pictures, the same ones for all.

    scores: of own pictures float (n,) and of intruders (m,). The AUROC is the share of pairs in which the intruder has
    the higher score, ties counting half (Mann-Whitney).
    """
    random, areas, weights = np.random.default_rng(0), [], None
    for own, others in scores:
        if weights is None:
            drawn = [
                random.multinomial(len(side), np.full(len(side), 1 / len(side)), RESAMPLES) for side in (own, others)
            ]
            weights = [np.concatenate([np.ones((1, side.shape[1])), side]) / side.shape[1] for side in drawn]
        higher = (others[None] > own[:, None]) + 0.5 * (others[None] == own[:, None])
        areas.append(((weights[0] @ higher) * weights[1]).sum(1))
    return areas


def to_neighbour(asked: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """float64 (B,): Euclidean distance of each row, float32 (B, F), to its NEIGHBOUR-th nearest row of (m, F)."""
    squares = (asked**2).sum(1)[:, None] + (reference**2).sum(1)[None] - 2 * asked @ reference.T
    place = min(NEIGHBOUR, len(reference)) - 1
    nearest = np.partition(squares, place, axis=1)[:, place]
    return np.asarray(np.sqrt(np.maximum(0, nearest.astype(np.float64))))


def of_length_one(features: np.ndarray) -> np.ndarray:
    """float32 (B, F), each row divided by its length; zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), np.float32)


def _with_interval(area: np.ndarray) -> tuple[float, float, float]:
    low, high = np.percentile(area[1:], [2.5, 97.5])
    return float(area[0]), float(low), float(high)


def _interval(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.3f} (95 % interval {found[1]:.3f} to {found[2]:.3f})"


def _read_contests(run: Run, which: Which) -> list[Contest]:
    try:
        kept = read_document(measured_folder(run, which) / "intruders.json", _Contests, VERSION)
        return kept.contests if kept.schema_version == VERSION else []
    except (FileNotFoundError, Unreadable):
        return []
