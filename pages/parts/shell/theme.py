"""Colours: one accent, and class colours that colour-blind people can tell apart; one class, one colour everywhere."""

from collections.abc import Sequence

# Okabe and Ito's set and four more, the same as theme.chartCategoricalColors in .streamlit/config.toml
CLASS_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#6A51A3",
    "#8C8C00",
    "#882255",
    "#44AA99",
)
ACCENT = "#1d4ed8"
BLOCK = "#4a7bec"  # the accent, lighter: areas that are seen on light and on dark
CALM = "#94a3b8"  # bars and lines that only stand beside the important one; readable on light and on dark
PART_COLOURS = {"train": "#0072B2", "val": "#E69F00", "test": "#009E73"}
PART_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}


def class_colour(index: int) -> str:
    """Colour of the class at that place in the dataset's order; after ten, the same ten in other tones."""
    colour, turn = CLASS_COLOURS[index % len(CLASS_COLOURS)], index // len(CLASS_COLOURS)
    if turn == 0:
        return colour
    target = 0 if turn % 2 else 255
    share = min(0.75, 0.3 * ((turn + 1) // 2))
    mixed = [round(int(colour[at : at + 2], 16) * (1 - share) + target * share) for at in (1, 3, 5)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Every class of a dataset with its colour."""
    return {name: class_colour(index) for index, name in enumerate(classes)}
