"""What the network receives of a picture: the original beside it at a size and fit, and what is lost on the way."""

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.datasets.dataset import Dataset
from core.data.datasets.sizes import picture_sizes
from pages.parts.data.data_settings import train_with
from pages.parts.shell.cache import received_picture, whole_picture
from pages.parts.shell.escape import shown

FITS = {
    "crop": "the middle square; edges are lost",
    "squash": "the whole picture; its shape is lost",
    "pad": "the whole picture, with white bars",
}
SIZES = [16, 24, 32, 48, 64, 96, 128]


def draw_received(dataset: Dataset) -> None:
    """The tab: a picture of a class, at the size and fit that are set."""
    controls, left, right = st.columns([2, 3, 3], gap="medium")
    with controls:
        label = st.selectbox(
            "Class",
            range(len(dataset.classes)),
            format_func=lambda index: shown(dataset.classes[index]),
            key=f"received_class_{dataset.id}",
        )
        members = np.flatnonzero(dataset.labels == label)
        place = st.number_input("Picture", 1, len(members), key=f"received_{dataset.id}_{label}")
        size, fit = ask_preprocess("tab")
        if st.button("Train with these settings", icon=":material/model_training:", key="train_received"):
            train_with(dataset, {"image_size": size, "fit": fit})
    draw_original_and_received(dataset, int(members[place - 1]), size, fit, left, right)


def ask_preprocess(where: str) -> tuple[int, str]:
    """The side of the square in pixels and the fit; where: what the keys of the widgets begin with."""
    size = st.select_slider("Image size, pixels", SIZES, value=32, key=f"{where}_size", persist_state="session")
    fit = st.radio(
        "Fit",
        list(FITS),
        format_func=str.capitalize,
        captions=list(FITS.values()),
        key=f"{where}_fit",
        persist_state="session",
    )
    return size, fit


def draw_original_and_received(
    dataset: Dataset, index: int, size: int, fit: str, left: DeltaGenerator, right: DeltaGenerator
) -> None:
    """The original in `left`, and in `right` what is left of it at a size and fit."""
    left.image(whole_picture(dataset, index), width="stretch", caption="The original", alt="The original picture")
    caption = f"What the network receives: {size} × {size} pixels, {3 * size * size:,} numbers"
    received = received_picture(dataset, index, size, fit)
    right.image(received, width="stretch", caption=caption, alt="The picture as the network receives it")
    wide, high = picture_sizes(dataset, np.array([index]))[0].tolist()
    right.caption(f"{_describe_pixels(wide, high, size, fit)}{_describe_fit(wide, high, fit)}")


def _describe_pixels(wide: int, high: int, size: int, fit: str) -> str:
    """How many pixels of the original, wide × high, come to one of the square of `size`."""
    short, long = min(wide, high), max(wide, high)
    kept = short * short if fit == "crop" else wide * high
    filled = size * size * short / long if fit == "pad" else size * size
    if kept > 1.05 * filled:
        return f"Each pixel stands for about {kept / filled:,.0f} of the original's."
    if kept < 0.95 * filled:
        return "The original is smaller: enlarging it adds pixels, not detail."
    return "About as many pixels as the original has."


def _describe_fit(wide: int, high: int, fit: str) -> str:
    """What making a square of wide × high pixels takes away; "" where it is one."""
    short, long = min(wide, high), max(wide, high)
    if short == long:
        return ""
    lost = 100 * (1 - short / long)
    return {
        "crop": f" Cropping cuts away {lost:.0f} % of the picture.",
        "squash": f" Squashing makes things {long / short:.1f} times too {'narrow' if wide > high else 'low'}.",
        "pad": f" Bars take up {lost:.0f} % of the square.",
    }[fit]
