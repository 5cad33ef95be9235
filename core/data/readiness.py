"""Readiness: whether pictures can be learnt from, in plain words, before anything is trained."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from core.config import DataConfig
from core.data.copies import read_copies
from core.data.dataset import Dataset
from core.data.sizes import picture_sizes
from core.data.store import split_dataset
from core.evaluation import wilson

Level = Literal["blocks", "warns", "fine"]
LEVELS: tuple[Level, ...] = ("blocks", "warns", "fine")
FEW = 20  # training pictures of a class; fewer are learnt by heart
UNEVEN = 5  # times as many pictures in the largest class as in the smallest
VAGUE = 0.1  # half of an interval: a test that leaves more open can hardly tell two networks apart
LOOKED_AT = 5000  # originals whose sizes are read for this; of more, as many spread evenly
MANY_REFUSED = 0.02  # share of what was given
LONGEST_NAME = 40
SHARES = ("data.test_fraction", "data.val_fraction")
# What the preset `quick` reached of the way from chance to 100 %, mean of three seeds (docs/results.md): 67.47 % of
# CIFAR-10's ten kinds of small photos with 4,750 a class, 92.27 % of three ways of drawing with 1,368 a class
HARDER, EASIER = (0.639, 4750), (0.884, 1368)  # (share of the way, training pictures a class)


@dataclass(frozen=True)
class Finding:
    """One thing to know. Both sentences may hold names that people gave: escape them."""

    level: Level
    text: str
    advice: str = ""  # what to do
    fields: tuple[str, ...] = ()  # the settings beside which it is said

    @property
    def told(self) -> str:
        return f"{self.text} {self.advice}".rstrip()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check_readiness(dataset: Dataset, data: DataConfig, reached: Sequence[tuple[int, int, str]] = ()) -> list[Finding]:
    """Everything there is to say of pictures and a split; what blocks comes first. Reads no pixel.

    reached: (right, n) on the test part and the run's id, of each network that was trained on these pictures.
    """
    parts = split_dataset(dataset, data)
    counts = {part: np.bincount(dataset.labels[rows], minlength=len(dataset.classes)) for part, rows in parts.items()}
    told = check_classes(dataset, {part: of_each.tolist() for part, of_each in counts.items()})
    if not any(finding.level == "blocks" for finding in told):
        told += [*_of_copies(dataset, data, parts), *_of_sizes(dataset, data), *_of_refused(dataset)]
        told += [_of_test(counts["test"]), _of_outlook(counts["train"], counts["test"], reached)]
    return sorted(told, key=lambda finding: LEVELS.index(finding.level))


def check_classes(dataset: Dataset, counts: dict[str, list[int]], weighted: bool = False) -> list[Finding]:
    """Whether each class can be learnt and tested; counts: part -> pictures of each class.

    weighted: whether training weighs classes, so that an uneven set does not matter. What blocks stands alone.
    """
    blocked = _what_blocks(dataset, counts)
    if blocked is not None:
        return [blocked]
    return [*_of_few(dataset, counts), *_of_untested(dataset, counts), *_of_balance(dataset, counts, weighted)]


def _what_blocks(dataset: Dataset, counts: dict[str, list[int]]) -> Finding | None:
    if len(dataset.classes) < 2:
        return Finding("blocks", f"A classifier needs at least 2 classes; found {len(dataset.classes)}.")
    for part, purpose in (("train", "to learn from"), ("test", "to test on")):
        if not sum(counts[part]):
            told = f"The split leaves no picture {purpose}."
            return Finding("blocks", told, "Change the shares, or add pictures.", SHARES)
    for name, total, learnt in zip(dataset.classes, dataset.class_counts.values(), counts["train"], strict=True):
        if not learnt:
            told = f"Class {_named(name)} has {_pictures(total)}, none of them to learn from."
            advice = f"Change the shares, or add pictures; 2 are needed, {FEW} or more are good."
            return Finding("blocks", told, advice, SHARES)
    return None


def _of_few(dataset: Dataset, counts: dict[str, list[int]]) -> list[Finding]:
    few = [(name, count) for name, count in zip(dataset.classes, counts["train"], strict=True) if count < FEW]
    if not few:
        fewest = min(counts["train"])
        return [Finding("fine", f"Every class has {FEW} or more pictures to learn from; the smallest has {fewest:,}.")]
    others = {1: "", 2: ", and one other class has few"}.get(len(few), f", and {len(few) - 1} others have few")
    told = f"Class {_named(few[0][0])} has {_pictures(few[0][1])} to learn from{others}; {FEW} or more are good."
    return [Finding("warns", told, "", ("data.test_fraction",))]


def _of_untested(dataset: Dataset, counts: dict[str, list[int]]) -> list[Finding]:
    untested = [name for name, count in zip(dataset.classes, counts["test"], strict=True) if not count]
    told = (
        f"Class {_named(untested[0])} has no picture to test on: what is learnt of it is not measured."
        if untested
        else ""
    )
    return [Finding("warns", told, "", ("data.test_fraction",))] if told else []


def _of_balance(dataset: Dataset, counts: dict[str, list[int]], weighted: bool) -> list[Finding]:
    learnt, tested = np.array(counts["train"]), np.array(counts["test"])
    most, fewest = int(learnt.argmax()), int(learnt.argmin())
    times, share = learnt[most] / learnt[fewest], tested[most] / tested.sum()
    if times < UNEVEN:
        even = "All classes have equally many pictures to learn from."
        told = f"The largest class has {times:.1f} times as many pictures to learn from as the smallest: even enough."
        return [Finding("fine", even if learnt[most] == learnt[fewest] else told)]
    if weighted:
        return []
    told = f"Class {_named(dataset.classes[most])} has {times:.0f} times as many training pictures as "
    told += (
        f"{_named(dataset.classes[fewest])}: the accuracy of all pictures will mislead, for always answering the first "
    )
    told += f"is right about {100 * share:.0f} % of the {tested.sum():,} test pictures."
    return [Finding("warns", told, "Class weights or balancing help.", ("train.class_weights", "data.balance"))]


def _of_copies(dataset: Dataset, data: DataConfig, parts: dict[str, np.ndarray]) -> list[Finding]:
    found = read_copies(dataset)
    if found is None:
        return []
    told = []
    if conflicts := len(found.across(dataset.labels)):
        text = f"{conflicts:,} pair{'s' * (conflicts > 1)} of copies in two classes: no network can be right on both."
        told.append(Finding("warns", text, "Remove one of each, or correct its label."))
    if leaked := len(found.leaked(parts)):
        text = f"{leaked:,} of {len(parts['test']):,} test pictures are copies of what is learnt from: too easy a test."
        advice = (
            "The paper's split, or a test part that came with the pictures, stays as it is."
            if data.copies == "together"
            else ("Set copies to together in the settings of a run.")
        )
        told.append(Finding("warns", text, advice, ("data.copies",)))
    if not told:
        told.append(
            Finding("fine", "No test picture is a copy of what is learnt from, and no copies lie in two classes.")
        )
    return told


def _of_sizes(dataset: Dataset, data: DataConfig) -> list[Finding]:
    rows = np.arange(dataset.used)
    if dataset.used > LOOKED_AT:
        rows = np.linspace(0, dataset.used - 1, LOOKED_AT).astype(np.int64)
    shorter, side = picture_sizes(dataset, rows).min(axis=1), data.image_size
    small = int((shorter < side).sum())
    if not small:
        return [Finding("fine", f"No picture is smaller than the {side} × {side} pixels that the network receives.")]
    looked = f"{small:,} of {len(rows):,} pictures" + (" that were looked at" if len(rows) < dataset.used else "")
    told = (
        f"{looked} {'is' if small == 1 else 'are'} smaller than the {side} × {side} pixels that the network receives: "
    )
    return [Finding("warns", f"{told}they are enlarged, which adds nothing.", "A smaller image size trains faster.")]


def _of_refused(dataset: Dataset) -> list[Finding]:
    count, share = len(dataset.refused), len(dataset.refused) / max(1, dataset.given)
    if not count:
        return [Finding("fine", f"All {dataset.given:,} files that were given could be read.")]
    told = f"{count:,} of {dataset.given:,} files that were given {'was' if count == 1 else 'were'} refused, such as "
    told += f"{_named(dataset.refused[0].name)}, which {dataset.refused[0].reason}."
    level: Level = "warns" if share > MANY_REFUSED else "fine"
    return [Finding(level, told, "The ledger gives the reason for each.")]


def _of_test(tested: np.ndarray) -> Finding:
    """How wide the interval of the test accuracy will be, at an accuracy of 80 %; wider ones are hardly at 50 %."""
    total, smallest = int(tested.sum()), int(tested[tested > 0].min())
    told = f"With {_pictures(total)} to test on, an accuracy will be known to about ± {_half(total)} points"
    told += f", that of a single class to about ± {_half(smallest)} (95 % intervals, at 80 %)."
    if _half_width(total) > VAGUE:
        return Finding("warns", told, "Two networks can hardly be told apart. Add pictures.", ("data.test_fraction",))
    return Finding("fine", told)


def _of_outlook(learnt: np.ndarray, tested: np.ndarray, reached: Sequence[tuple[int, int, str]]) -> Finding:
    """What can be expected: what was reached here before, else what was reached on two other tasks."""
    scores = [score for score in reached if score[1]]
    if scores:
        right, n, run = max(scores, key=lambda score: score[0] / score[1])
        low, high = wilson(right, n)
        told = f"The best of {len(scores)} networks" if len(scores) > 1 else "The network"
        told += f" trained on these pictures reached {100 * right / n:.1f} % of {n:,} test pictures "
        told += f"of its own split (run {run[-4:]}, 95 % interval {100 * low:.1f} to {100 * high:.1f} %)."
        return Finding("fine", told)
    chance, each = 1 / len(learnt), int(np.median(learnt))
    low, high = (chance + (1 - chance) * way for way, _ in (HARDER, EASIER))
    told = "Nobody can tell the accuracy beforehand. As hard a task as ten kinds of small photos would give about "
    told += f"{100 * low:.0f} % with the preset quick, as easy a one as three ways of drawing {100 * high:.0f} %; "
    told += f"chance is {100 * chance:.0f} %."
    fewer = min(HARDER[1], EASIER[1])
    if each < fewer:
        told += f" That took {fewer:,} and more pictures a class to learn from, and yours have {each:,}: expect less."
    return Finding("fine", told, "A quick run tells.")


def _half_width(n: int) -> float:
    low, high = wilson(round(0.8 * n), n)
    return (high - low) / 2


def _half(n: int) -> str:
    return f"{100 * _half_width(n):.{0 if n < 400 else 1}f}"


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"


def _named(name: str) -> str:
    """A name in quotes, shortened: sentences hold two of them."""
    return repr(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")
