"""What Atelier is, in one sentence, and a strip of pictures: of the datasets, or those that the program would draw."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import streamlit as st

from core.data.datasets.dataset import Dataset
from core.errors import UserMistake
from pages.parts.shell.cache import drawn_pictures, thumbnail
from pages.parts.shell.escape import shown
from pages.parts.widgets.next_step import SAMPLES

STRIP = 12  # pictures


def draw_title() -> None:
    st.title("Atelier", anchor=False)
    st.caption("Show a small neural network your pictures, watch it learn to tell them apart, and try it on new ones.")


def draw_strip(found: Sequence[Dataset], quiet: bool = False) -> None:
    """A row of pictures; `quiet`: a low band of them, below what matters more."""
    if found:
        strip = _strip(found)
    else:
        strip = [(picture, "A sample drawn by the program") for picture in drawn_pictures(SAMPLES, STRIP)]
    with st.grid(STRIP, min_column_width=44 if quiet else 72, wrap=not quiet, gap="xsmall"):
        for picture, label in strip:
            st.image(picture, width="stretch", alt=shown(label))


def _strip(found: Sequence[Dataset]) -> list[tuple[bytes, str]]:
    """(picture, class) of a few; the pictures of a dataset that is damaged are left out, and its card says why."""
    strip: list[tuple[bytes, str]] = []
    for one, index in pick_pictures(_whole(found), STRIP):
        with suppress(UserMistake):
            strip.append((thumbnail(one, index), one.classes[one.labels[index]]))
    return strip


def _whole(found: Sequence[Dataset]) -> list[Dataset]:
    whole = []
    for one in found:
        with suppress(UserMistake):
            whole += [one] if len(one.labels) else []
    return whole


def pick_pictures(found: Sequence[Dataset], count: int) -> list[tuple[Dataset, int]]:
    """`count` pictures as (dataset, index): the datasets in turn, and of each its classes in turn."""
    picked = []
    for place in range(count if found else 0):
        dataset = found[place % len(found)]
        turn = place // len(found)
        members = np.flatnonzero(dataset.labels == turn % len(dataset.classes))
        if not len(members):  # only where index.npy was overwritten
            continue
        picked.append((dataset, int(members[(turn // len(dataset.classes)) * 7 % len(members)])))
    return picked
