"""The augmentation on pictures of the dataset: what the network would receive in training."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import streamlit as st

from core.config import Augmentation, RunConfig
from core.data.datasets.dataset import Dataset
from core.data.pictures.preprocess import Preprocess
from core.data.store.store import preprocess_of
from core.display_names import display_name
from pages.parts.shell.cache import pixels_to_png, received_pixels
from pages.parts.shell.escape import shown
from pages.parts.shell.frame import boundary

FIELD = "train.augment"
PICTURES = 3  # of different classes in turn
DRAWS = 3  # of each picture under the chosen augmentation
TRIES = 8  # draws among which one is sought that changes the picture; in vain for a flip once in 256
SIDE = 160  # pixels of a picture on the screen, at least


def draw_preview(dataset: Dataset, config: RunConfig) -> None:
    """A switch, and behind it pictures of the dataset, augmented by the function that training calls."""
    if "flip" in config.train.augment:
        st.caption(
            "Horizontal flip teaches that left and right do not matter. Leave it out where they do: for writing, or "
            "for classes that differ only in their direction."
        )
    if st.toggle("Show it on my pictures", key="preview", persist_state="session"):
        _preview(dataset, config)


@st.fragment
@boundary()
def _preview(dataset: Dataset, config: RunConfig) -> None:
    state = st.session_state
    with st.container(horizontal=True, gap="small"):
        if st.button("Draw again", key="preview.draw", icon=":material/casino:"):
            state["preview.seed"] = state.get("preview.seed", 0) + 1
        if st.button("Other pictures", key="preview.others", icon=":material/shuffle:"):
            state["preview.turn"] = state.get("preview.turn", 0) + 1
    indices = some_pictures(dataset, state.get("preview.turn", 0))
    pictures = received(dataset.content_hash, tuple(indices), preprocess_of(config.data), dataset)
    seed, chosen = state.get("preview.seed", 0), config.train.augment
    draws = DRAWS if chosen else 0  # with none chosen training receives them as they are
    with st.spinner("Drawing", show_time=True):  # the first time it loads what trains, which takes seconds
        drawn = augmented(np.concatenate([pictures] * DRAWS), chosen, seed).reshape(DRAWS, *pictures.shape)
    caption = "As the network receives it"
    st.caption(f"{caption}, and three times with augmentation" if chosen else caption)
    with st.grid(1 + DRAWS if chosen else PICTURES, min_column_width=40, wrap=False, gap="xsmall"):
        for row, index in enumerate(indices):
            _show(pictures[row], shown(dataset.names[index], 60))
            for draw in range(draws):
                alt = f"{shown(dataset.names[index], 60)} with {display_name(FIELD, chosen)}, drawn {draw + 1}"
                _show(drawn[draw, row], alt)
    st.caption("Each on its own")
    with st.grid(3, min_column_width=60, gap="xsmall"):
        for name in get_args(Augmentation):
            with st.container(gap=None):
                label = display_name(FIELD, name)
                _show(_alone(pictures, name, seed), f"The first picture with {label} alone")
                st.caption(f"**{label}**" if name in chosen else label)


def _alone(pictures: np.ndarray, name: str, seed: int) -> np.ndarray:
    """uint8 (H, W, 3): the first picture with one augmentation; of several draws the first that changes it."""
    draws = augmented(np.concatenate([pictures] * TRIES), [name], seed)[:: len(pictures)]
    changed = [draw for draw in draws if not np.array_equal(draw, pictures[0])]
    return (changed or list(draws))[0]


def augmented(pictures: np.ndarray, names: Sequence[str], seed: int) -> np.ndarray:
    """uint8 (B, H, W, 3) -> the same as training draws it, by the function that training calls."""
    from core.data.store.augment import augment_pictures  # brings torch, which takes seconds: only when somebody asks

    return augment_pictures(pictures, tuple(names), seed)


def some_pictures(dataset: Dataset, turn: int) -> list[int]:
    """Indices of PICTURES pictures, of different classes where there are as many; another turn, other pictures."""
    chosen: list[int] = []
    for place in range(turn * PICTURES, (turn + 1) * PICTURES):
        members = np.flatnonzero(dataset.labels == place % len(dataset.classes))
        members = members if len(members) else np.arange(dataset.used)
        order = np.random.default_rng(place % len(dataset.classes)).permutation(members)
        chosen.append(int(order[place // len(dataset.classes) % len(order)]))
    return chosen


@st.cache_data(max_entries=50, show_spinner=False)
def received(content_hash: str, indices: tuple[int, ...], preprocess: Preprocess, _dataset: Dataset) -> np.ndarray:
    """uint8 (B, S, S, 3): the pictures as a network receives them."""
    return received_pixels(_dataset, indices, preprocess).transpose(0, 2, 3, 1)


def _show(pixels: np.ndarray, alt: str) -> None:
    st.image(pixels_to_png(pixels.transpose(2, 0, 1), SIDE), width="stretch", alt=alt)
