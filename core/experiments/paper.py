"""The paper's own numbers (Huey Ning Lok, "Deep Learning Assignment 2", 2019), to compare ours with."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SAME_CLASS = {
    "plane": "airplane",
    "car": "automobile",
}  # what the paper calls a class: what CIFAR-10's archive calls it


SLIPS = (
    "The paper's numbers hold two slips: its loop counts only the first two pictures of each batch (626 of the 10,000 "
    "test pictures of CIFAR-10, 134 of its 2,142 artworks), and it never switches the network to evaluation mode, so "
    "batch norm goes by the batch at hand and keeps moving while it tests. “Every picture” is without them; “As the "
    "paper did” repeats both, to compare like with like."
)


@dataclass(frozen=True)
class PaperPart:
    """What the paper reached on one part; fractions 0..1. `counted` of the `given` pictures were evaluated."""

    mean: float  # mean of the per-class accuracies, as printed there
    per_class: Mapping[str, float]
    given: int
    counted: int | None  # None: not known


@dataclass(frozen=True)
class PaperNumbers:
    """One of the paper's two experiments: 50 epochs of SGD 0.001 with momentum 0.9 and batch 32."""

    title: str
    train: PaperPart
    test: PaperPart

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.test.per_class)

    @property
    def gap(self) -> float:
        """Train mean minus test mean, fraction."""
        return self.train.mean - self.test.mean


def _part(mean: float, given: int, counted: int | None, **percent: float) -> PaperPart:
    fractions = {name: round(value / 100, 6) for name, value in percent.items()}
    return PaperPart(round(mean / 100, 6), MappingProxyType(fractions), given, counted)


CIFAR10 = PaperNumbers(
    title="CIFAR-10",
    train=_part(
        88.09,
        50_000,
        None,
        airplane=88.81,
        automobile=95.12,
        bird=85.44,
        cat=80.59,
        deer=82.08,
        dog=82.65,
        frog=87.15,
        horse=94.08,
        ship=93.23,
        truck=91.75,
    ),
    test=_part(
        64.57,
        10_000,
        626,
        airplane=74.0,
        automobile=76.12,
        bird=54.55,
        cat=45.16,
        deer=48.53,
        dog=65.52,
        frog=67.86,
        horse=62.71,
        ship=74.6,
        truck=76.62,
    ),
)
ARTWORK = PaperNumbers(
    title="artwork",
    train=_part(92.8, 8_559, None, cartoon=92.59, cyberpunk=90.0, noir=95.81),
    test=_part(54.83, 2_142, 134, cartoon=56.14, cyberpunk=60.61, noir=47.73),
)


def paper_numbers(classes: tuple[str, ...]) -> PaperNumbers | None:
    """The paper's experiment with these classes (any order, plane = airplane, car = automobile), or None."""
    asked = {SAME_CLASS.get(name, name) for name in classes}
    for numbers in (CIFAR10, ARTWORK):
        if asked == set(numbers.classes):
            return numbers
    return None


def comparable_numbers(classes: tuple[str, ...]) -> PaperNumbers | None:
    """The paper's numbers that may stand beside ours: those of CIFAR-10, which are about the same pictures.

    None for artworks: the paper's are not public, so classes of the same names hold other pictures.
    """
    numbers = paper_numbers(classes)
    return numbers if numbers is CIFAR10 else None


def paper_accuracy(part: PaperPart, name: str) -> float:
    """The paper's accuracy on a class under either of its names; fraction 0..1. KeyError for an unknown class."""
    return part.per_class[SAME_CLASS.get(name, name)]
