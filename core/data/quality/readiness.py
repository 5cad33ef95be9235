"""Readiness: what stands in the way of training on a dataset and a split, in sentences, before anything is trained."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.datasets.sizes import picture_sizes
from core.data.duplicates.duplicates import read_duplicates
from core.data.store.store import split_dataset
from core.intervals import wilson

Level = Literal["blocks", "warns", "fine"]
LEVELS: tuple[Level, ...] = ("blocks", "warns", "fine")
FEW = 20  # training pictures of a class; a network overfits fewer
UNEVEN = 5  # times as many pictures in the largest class as in the smallest
VAGUE = 0.1  # half the width of an interval above which a test can hardly separate two networks
MEASURED = 5000  # originals whose sizes are read; of more, as many evenly spaced ones
MANY_REFUSED = 0.02  # of the files that were given
LONGEST_NAME = 40
FRACTIONS = ("data.test_fraction", "data.val_fraction")
# What the preset `quick` reached of the way from chance to 100 %, mean of three seeds (docs/results.md): 67.47 % of
# CIFAR-10's ten kinds of small photos with 4,750 a class, 92.27 % of three ways of drawing with 1,368 a class
HARDER, EASIER = (0.639, 4750), (0.884, 1368)  # (fraction of the way, training pictures a class)


@dataclass(frozen=True)
class Finding:
    """One thing to know before training. Text and advice may hold names that people gave: escape them."""

    level: Level
    text: str
    advice: str = ""  # what to do
    fields: tuple[str, ...] = ()  # the settings at which a form shows it

    @property
    def message(self) -> str:
        """Text and advice."""
        return f"{self.text} {self.advice}".rstrip()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check_readiness(dataset: Dataset, data: DataConfig, reached: Sequence[tuple[int, int, str]] = ()) -> list[Finding]:
    """Every finding about a dataset and a split, those that block first. Reads no pixel.

    reached: (correct, n, run id) on the test part of each network that was trained on these pictures.
    """
    parts = split_dataset(dataset, data)
    counts = {part: np.bincount(dataset.labels[rows], minlength=len(dataset.classes)) for part, rows in parts.items()}
    findings = check_classes(dataset, {part: own.tolist() for part, own in counts.items()})
    if not any(finding.level == "blocks" for finding in findings):
        findings += [*_check_duplicates(dataset, data, parts), *_check_sizes(dataset, data), *_check_refused(dataset)]
        findings += [_check_test_part(counts["test"]), _expect(counts["train"], reached)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def check_classes(dataset: Dataset, counts: dict[str, list[int]], weighted: bool = False) -> list[Finding]:
    """Findings about each class; one that blocks is returned alone. counts: part -> pictures of each class.

    weighted: whether training weighs classes, so that an uneven dataset does not matter.
    """
    blocked = _find_block(dataset, counts)
    if blocked is not None:
        return [blocked]
    few, untested = _check_few(dataset, counts), _check_untested(dataset, counts)
    return [*few, *untested, *_check_balance(dataset, counts, weighted)]


def _find_block(dataset: Dataset, counts: dict[str, list[int]]) -> Finding | None:
    if len(dataset.classes) < 2:
        return Finding("blocks", f"A classifier needs at least 2 classes; found {len(dataset.classes)}.")
    for part, purpose in (("train", "to learn from"), ("test", "to test on")):
        if not sum(counts[part]):
            text = f"The split leaves no picture {purpose}."
            return Finding("blocks", text, "Change the shares, or add pictures.", FRACTIONS)
    for name, total, training in zip(dataset.classes, dataset.class_counts.values(), counts["train"], strict=True):
        if not training:
            text = f"Class {_named(name)} has {_pictures(total)}, none of them to learn from."
            advice = f"Change the shares, or add pictures; 2 are needed, {FEW} or more are good."
            return Finding("blocks", text, advice, FRACTIONS)
    return None


def _check_few(dataset: Dataset, counts: dict[str, list[int]]) -> list[Finding]:
    few = [(name, count) for name, count in zip(dataset.classes, counts["train"], strict=True) if count < FEW]
    if not few:
        fewest = min(counts["train"])
        return [Finding("fine", f"Every class has {FEW} or more pictures to learn from; the smallest has {fewest:,}.")]
    others = {1: "", 2: ", and one other class has few"}.get(len(few), f", and {len(few) - 1} others have few")
    text = f"Class {_named(few[0][0])} has {_pictures(few[0][1])} to learn from{others}; {FEW} or more are good."
    return [Finding("warns", text, "", ("data.test_fraction",))]


def _check_untested(dataset: Dataset, counts: dict[str, list[int]]) -> list[Finding]:
    untested = [name for name, count in zip(dataset.classes, counts["test"], strict=True) if not count]
    if not untested:
        return []
    text = f"Class {_named(untested[0])} has no picture to test on: what is learnt of it is not measured."
    return [Finding("warns", text, "", ("data.test_fraction",))]


def _check_balance(dataset: Dataset, counts: dict[str, list[int]], weighted: bool) -> list[Finding]:
    training, tested = np.array(counts["train"]), np.array(counts["test"])
    most, fewest = int(training.argmax()), int(training.argmin())
    times, fraction = training[most] / training[fewest], tested[most] / tested.sum()
    if times < UNEVEN:
        even = "All classes have equally many pictures to learn from."
        text = f"The largest class has {times:.1f} times as many pictures to learn from as the smallest: even enough."
        return [Finding("fine", even if training[most] == training[fewest] else text)]
    if weighted:
        return []
    largest, smallest = _named(dataset.classes[most]), _named(dataset.classes[fewest])
    text = f"Class {largest} has {times:.0f} times as many training pictures as {smallest}: the accuracy of all "
    text += "pictures will mislead, for always answering the first is right about "
    text += f"{100 * fraction:.0f} % of the {tested.sum():,} test pictures."
    return [Finding("warns", text, "Class weights or balancing help.", ("train.class_weights", "data.balance"))]


def _check_duplicates(dataset: Dataset, data: DataConfig, parts: dict[str, np.ndarray]) -> list[Finding]:
    found = read_duplicates(dataset)
    if found is None:
        return []
    findings = []
    if conflicts := len(found.across(dataset.labels)):
        pairs = f"{conflicts:,} pair{'s' * (conflicts > 1)}"
        text = f"{pairs} of duplicates in two classes: no network can be right on both."
        findings.append(Finding("warns", text, "Remove one of each, or correct its label."))
    if leaked := len(found.test_leakage(parts)):
        text = (
            f"{leaked:,} of {len(parts['test']):,} test pictures are duplicates of training pictures: too easy a test."
        )
        advice = (
            "The paper's split, or a test part that came with the pictures, stays as it is."
            if data.duplicates == "together"
            else "Set duplicates to together in the settings of a run."
        )
        findings.append(Finding("warns", text, advice, ("data.duplicates",)))
    if not findings:
        text = "No test picture is a copy of what is learnt from, and no copies lie in two classes."
        findings.append(Finding("fine", text))
    return findings


def _check_sizes(dataset: Dataset, data: DataConfig) -> list[Finding]:
    rows = np.arange(dataset.used)
    if dataset.used > MEASURED:
        rows = np.linspace(0, dataset.used - 1, MEASURED).astype(np.int64)
    shorter, side = picture_sizes(dataset, rows).min(axis=1), data.image_size
    small = int((shorter < side).sum())
    if not small:
        return [Finding("fine", f"No picture is smaller than the {side} × {side} pixels that the network receives.")]
    of_all = f"{small:,} of {len(rows):,} pictures" + (" that were measured" if len(rows) < dataset.used else "")
    are = "is" if small == 1 else "are"
    text = f"{of_all} {are} smaller than the {side} × {side} pixels that the network receives: they are enlarged, "
    return [Finding("warns", f"{text}which adds nothing.", "A smaller image size trains faster.")]


def _check_refused(dataset: Dataset) -> list[Finding]:
    count, fraction = len(dataset.refused), len(dataset.refused) / max(1, dataset.given)
    if not count:
        return [Finding("fine", f"All {dataset.given:,} files that were given could be read.")]
    text = f"{count:,} of {dataset.given:,} files that were given {'was' if count == 1 else 'were'} refused, such as "
    text += f"{_named(dataset.refused[0].name)}, which {dataset.refused[0].reason}."
    level: Level = "warns" if fraction > MANY_REFUSED else "fine"
    return [Finding(level, text, "The import log gives the reason for each.")]


def _check_test_part(tested: np.ndarray) -> Finding:
    """How wide the interval of an accuracy of 80 % will be; tested: int64 (classes,), test pictures of each."""
    total, smallest = int(tested.sum()), int(tested[tested > 0].min())
    text = f"With {_pictures(total)} to test on, an accuracy will be known to about ± {_half(total)} points"
    text += f", that of a single class to about ± {_half(smallest)} (95 % intervals, at 80 %)."
    if _half_width(total) > VAGUE:
        return Finding("warns", text, "Two networks can hardly be told apart. Add pictures.", ("data.test_fraction",))
    return Finding("fine", text)


def _expect(training: np.ndarray, reached: Sequence[tuple[int, int, str]]) -> Finding:
    """The accuracy to expect: the best that was reached on this dataset, else what two other tasks reached.

    training: int64 (classes,), training pictures of each class; reached: as for check_readiness.
    """
    scores = [score for score in reached if score[1]]
    if scores:
        right, n, run = max(scores, key=lambda score: score[0] / score[1])
        low, high = wilson(right, n)
        text = f"The best of {len(scores)} networks" if len(scores) > 1 else "The network"
        text += f" trained on these pictures reached {100 * right / n:.1f} % of {n:,} test pictures "
        text += f"of its own split (run {run[-4:]}, 95 % interval {100 * low:.1f} to {100 * high:.1f} %)."
        return Finding("fine", text)
    chance, each = 1 / len(training), int(np.median(training))
    low, high = (chance + (1 - chance) * way for way, _ in (HARDER, EASIER))
    text = "The accuracy cannot be known beforehand. As hard a task as ten kinds of small photos would give about "
    text += f"{100 * low:.0f} % with the preset quick, as easy a one as three ways of drawing {100 * high:.0f} %; "
    text += f"chance is {100 * chance:.0f} %."
    fewer = min(HARDER[1], EASIER[1])
    if each < fewer:
        text += f" That took {fewer:,} and more training pictures a class, and yours have {each:,}: expect less."
    return Finding("fine", text, "A quick run shows it.")


def _half_width(n: int) -> float:
    """Half the width of the 95 % interval of 80 % of n pictures, 0..1."""
    low, high = wilson(round(0.8 * n), n)
    return (high - low) / 2


def _half(n: int) -> str:
    return f"{100 * _half_width(n):.{0 if n < 400 else 1}f}"


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"


def _named(name: str) -> str:
    """A name in quotes, shortened, because a sentence may hold two of them."""
    return repr(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")
