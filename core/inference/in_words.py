"""What a network answered, what it looked at and what to doubt, in sentences made of the numbers. No torch."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

HALF = 0.5  # of the energy of a map
SPREAD = 0.35  # of the picture: half of a map's energy on more than that is everywhere
CLOSE = 0.2  # points of probability between the first class and the second that are told as a close call
ROWS, COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


def describe_answer(ranked: Sequence[tuple[str, float]]) -> str:
    """What it answered, how sure, and what came next. ranked: (class, probability), best first, at least one."""
    best, sure = ranked[0]
    if len(ranked) == 1:
        return f"It answered {best}, the only class that it knows."
    following, share = ranked[1]
    close = "a close call: " if sure - share < CLOSE else ""
    return f"It answered {best} with {in_percent(sure)}, {close}{following} follows with {in_percent(share)}."


def describe_map(heat: np.ndarray, name: str) -> str:
    """Where what speaks for the class `name` lies; heat: float (S, S), 0 and above."""
    area, where = concentration(heat)
    if not area:
        return f"No place of the picture speaks for {name}."
    if area > SPREAD:
        return f"What speaks for {name} lies all over the picture: half of it on {in_percent(area)} of the area."
    return f"Half of what speaks for {name} lies on {in_percent(area)} of the picture, {where}."


def concentration(heat: np.ndarray) -> tuple[float, str]:
    """The smallest share of the area that holds half of the energy of a map, 0..1, and where its middle lies, such as
    "in the upper left"; (0, "") for a map of zeros. heat: float (S, S), 0 and above."""
    total = float(heat.sum())
    if total <= 0:
        return 0.0, ""
    order = np.argsort(-heat, axis=None, kind="stable")
    energy = np.cumsum(heat.ravel()[order], dtype=np.float64)
    most = order[: int(np.searchsorted(energy, HALF * total)) + 1]
    rows, columns = np.unravel_index(most, heat.shape)
    weights = heat[rows, columns]
    side = heat.shape[0]
    row, column = (min(2, int(3 * np.average(at + 0.5, weights=weights) / side)) for at in (rows, columns))
    return len(most) / heat.size, _place(ROWS[row], COLUMNS[column])


def _place(row: str, column: str) -> str:
    if row == "middle":
        return "in the centre" if column == "centre" else f"on the {column}"
    return f"at the {row} edge" if column == "centre" else f"in the {row} {column}"


def describe_neighbours(classes: Sequence[str], answered: str) -> str:
    """What the nearest training pictures are; classes: of each, the nearest first; "" for none."""
    if not classes:
        return ""
    same = sum(name == answered for name in classes)
    if same == len(classes):
        return f"All {len(classes)} training pictures most like it are {answered}."
    other, count = Counter(name for name in classes if name != answered).most_common(1)[0]
    (first, second) = ("is" if number == 1 else "are" for number in (same, count))
    return f"Of the {len(classes)} training pictures most like it {same} {first} {answered}, {count} {second} {other}."


def in_percent(share: float) -> str:
    """A probability in per cent: never "0 %" for what is possible, nor "100 %" for what is not certain."""
    if 0 < share < 0.01:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"
