"""Cue meter: what a network goes by, by its accuracy on copies of the test part from which one cue was taken.

python -m core cues RUN

The shortcut baselines say what the pictures allow; this says what the network uses. Nothing is trained.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.disk import finite, read_json, write_json
from core.errors import UserMistake
from core.experiments.audits.cue_edits import EDITS, Cue, draw_others
from core.intervals import wilson
from core.progress import Clock, Progress
from core.runs.run import MODEL_FILES, Run, read_manifest
from core.settings import cues_root
from core.significance import PairedAnswers, compare_paired

VERSION = 1  # of how it is measured: a file of another one is measured anew
MOST_PIXELS = 2000 * 64 * 64  # test pictures that are asked, at 64 pixels 2,000; at most MOST
MOST = 2000
AT_ONCE = 250
LARGE = 0.5  # of what the network has over guessing: losing as much, it goes by that
SURE = 0.02  # a drop counts where its interval lies above this
HUE = 0.2  # of what swapped colours take: where grey takes less, brightness and contrast matter more than hue
# what a network goes by -> the edits that take it: the largest of their drops speaks for it
KINDS: dict[str, tuple[Cue, ...]] = {
    "the frame": ("border removed",),
    "colour": ("colours of another class", "grey"),
    "shape": ("patches shuffled",),
    "texture": ("blurred",),
}


@dataclass(frozen=True)
class CueDrop:
    """What taking one cue did to the accuracy on the same pictures."""

    cue: str  # a Cue
    accuracy: float  # on the edited copies
    drop: float  # accuracy on the pictures themselves minus that
    interval: tuple[float, float]  # 95 % of the drop, paired bootstrap

    @property
    def is_sure(self) -> bool:
        return self.interval[0] > SURE


@dataclass(frozen=True)
class CueReport:
    """The accuracy on the test pictures, and on eight kinds of copies."""

    run: str
    weights: str  # SHA-256 of the weights that were asked
    n: int
    right: int
    floor: float  # guessing, or always answering the largest class where that is more
    beats_floor: bool  # whether the 95 % interval of the accuracy lies above it
    cues: tuple[CueDrop, ...]  # largest drop first

    @property
    def accuracy(self) -> float:
        return self.right / self.n

    def of(self, cue: str) -> CueDrop:
        return next(one for one in self.cues if one.cue == cue)

    def lost(self, one: CueDrop) -> float:
        """The drop as a share of what the network has over guessing; more than 1 where it falls below that."""
        over = self.accuracy - self.floor
        return one.drop / over if over > 0 else 0.0

    @property
    def kinds(self) -> list[tuple[str, float]]:
        """(what it goes by, share that it loses without that), the largest first; only where the drop is sure.

        Shuffled patches lose their outlines, and blurred ones too, so texture is what blurring takes beyond that.
        Covering a border takes the frame's colours and shapes as well, so where that takes LARGE of what the network
        has, and covering the centre takes less, the frame stands first.
        """
        if not self.beats_floor:
            return []
        found = []
        for kind, cues in KINDS.items():
            sure = [self.lost(one) for one in map(self.of, cues) if one.is_sure]
            if sure:
                found.append((kind, max(sure)))
        shares = dict(found)
        if "texture" in shares:
            shares["texture"] -= max(0.0, shares.get("shape", 0.0))
        by_frame = self.lost(self.of("border removed")) >= max(LARGE, self.lost(self.of("centre covered")))
        ranked = sorted(shares.items(), key=lambda pair: (not (by_frame and pair[0] == "the frame"), -pair[1]))
        return [(kind, share) for kind, share in ranked if share > 0]

    @property
    def verdict(self) -> str:
        """What it goes by, in a sentence."""
        if not self.beats_floor:
            return f"none: on {self.n:,} pictures it is not surely better than guessing, so it uses nothing that helps."
        if not self.kinds:
            return f"none of these alone: it loses little without any of them, on {self.n:,} pictures."
        name, share = self.kinds[0]
        goes = "It goes by" if share >= LARGE else "It goes by several things, most of all by"
        rest = [f"{other} ({100 * part:.0f} %)" for other, part in self.kinds[1:] if part >= 0.1]
        also = f" Next: {', '.join(rest)}." if rest else ""
        also = self._about_grey + also if name == "colour" else also
        return (
            f"{goes} {name}: without it, it loses {100 * share:.0f} % of what it has over guessing, on {self.n:,} "
            f"pictures.{also}"
        )

    @property
    def _about_grey(self) -> str:
        """Where grey copies lose little: that colour means brightness and contrast, which those copies still have."""
        grey, swapped = (self.lost(self.of(cue)) for cue in KINDS["colour"][::-1])
        if grey >= HUE * swapped:
            return ""
        return f" By brightness and contrast more than by hue: in grey it loses {max(0.0, 100 * grey):.0f} %."

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "accuracy": self.accuracy,
            "n": self.n,
            "cues": [asdict(one) for one in self.cues],
            "verdict": self.verdict,
        }


Predict = Callable[[np.ndarray], np.ndarray]  # uint8 (B, 3, S, S) -> int64 (B,)


def measure_cues(
    predict: Predict,
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    run: str = "",
    weights: str = "",
    rows: np.ndarray | None = None,
) -> Iterator[Progress | CueReport]:
    """Ask a network about pictures and their copies; how far it is, in pictures, and the report at last.

    images uint8 (N, 3, S, S), may be mapped; rows: which of them, all where None; labels: int64, of those.
    """
    rows = np.arange(len(images)) if rows is None else rows
    random, clock = np.random.default_rng(len(rows)), Clock()
    others = draw_others(labels, random)
    predicted: dict[str, list[np.ndarray]] = {"": [], **{cue: [] for cue in EDITS}}
    done, total = 0, len(rows) * len(predicted)
    for first in range(0, len(rows), AT_ONCE):
        block = np.asarray(images[rows[first : first + AT_ONCE]])
        beside = np.asarray(images[rows[others[first : first + AT_ONCE]]])
        for cue in predicted:
            edited = EDITS[cue](block, beside, random) if cue else block  # type: ignore[index]  # its own keys
            predicted[cue].append(predict(edited))
            done += len(block)
            yield Progress("asking", done, total, clock.seconds_left(done, total))
    right = {cue: np.concatenate(found) == labels for cue, found in predicted.items()}
    drops = [_drop(cue, compare_paired(right[""], right[cue]), right[cue]) for cue in EDITS]
    floor = max(1 / classes, float(np.bincount(labels).max() / len(labels)))
    yield CueReport(
        run=run,
        weights=weights,
        n=len(rows),
        right=int(right[""].sum()),
        floor=floor,
        beats_floor=_low(right[""]) > floor,
        cues=tuple(sorted(drops, key=lambda one: -one.drop)),
    )


def measure_cues_of(run: Run, most: int | None = None) -> Iterator[Progress | CueReport]:
    """measure_cues for the test part of a finished run, of a large one for at most `most` pictures, drawn evenly. The
    report is kept, for read_cues. UserMistake where the run has no model or its pictures are gone."""
    from core.data.store.store import load_store
    from core.inference.predictor import load_predictor  # torch: only where a network is asked

    store, predictor = load_store(run.config.data), load_predictor(run)
    if store.fingerprint != run.fingerprint:
        raise UserMistake(f"The dataset {run.config.data.dataset!r} changed since run {run.id}; pick a newer run")
    rows = store.parts["test"]
    side = store.images.shape[-1]
    most = most or max(50, min(MOST, MOST_PIXELS // side**2))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(run.config.data.seed).choice(rows, most, replace=False))
    steps = measure_cues(
        lambda received: predictor.probabilities(received).argmax(axis=1),
        store.images,
        store.labels[rows],
        len(store.classes),
        run.id,
        _weights_of(run),
        rows,
    )
    for step in steps:
        if isinstance(step, CueReport):
            write_json(cues_root() / f"{run.id}.json", finite({"version": VERSION, **asdict(step)}))
        yield step


def read_cues(run: Run) -> CueReport | None:
    """What was measured for the weights that answer for the run now; None where nothing was, or the file is damaged."""
    try:
        document = read_json(cues_root() / f"{run.id}.json")
        if document.pop("version") != VERSION or document["weights"] != _weights_of(run):
            return None
        cues = tuple(CueDrop(**one | {"interval": tuple(one["interval"])}) for one in document.pop("cues"))
        report = CueReport(**document, cues=cues)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return report if {one.cue for one in report.cues} == set(EDITS) and report.n else None


def _drop(cue: str, found: PairedAnswers, right: np.ndarray) -> CueDrop:
    low, high = found.interval  # of the copies minus the pictures themselves
    return CueDrop(cue, float(right.mean()), -found.difference, (-high, -low))


def _low(right: np.ndarray) -> float:
    return wilson(int(right.sum()), len(right))[0]


def _weights_of(run: Run) -> str:
    """SHA-256 of the model that answers for the run; "" where there is none."""
    return (read_manifest(run.folder).get(f"{MODEL_FILES[run.used_model]}.safetensors") or [""])[-1]
