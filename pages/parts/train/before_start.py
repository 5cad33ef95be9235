"""What a training will do, before it is started: the split, the learning rate, and a batch as the network gets it."""

import numpy as np
import pandas as pd
import streamlit as st

from core.config import RunConfig
from core.data.datasets.dataset import Dataset
from core.data.store.store import preprocess_of
from core.display_names import display_name
from pages.parts.form.augmentation_preview import augmented, received
from pages.parts.form.run_form import Form
from pages.parts.form.schedule_curve import draw_schedule
from pages.parts.form.split_counts import part_counts
from pages.parts.shell.cache import parts_of, pixels_to_png, runs
from pages.parts.shell.escape import shown
from pages.parts.shell.frame import boundary
from pages.parts.shell.theme import PART_NAMES
from pages.parts.shell.torch_import import is_imported, wait_for_torch

SHOWN = 12  # pictures of the batch
FEW_CLASSES = 12  # whose counts are all in the table
SIDE = 128  # pixels of a picture on the screen, at least


def draw_before_start(dataset: Dataset, form: Form) -> None:
    """In the place where the curves appear once it trains; drawn anew with each setting that is changed."""
    st.header("What will happen", anchor=False)
    if not runs(hidden=True):
        st.caption("Nothing has been trained yet. This is what the settings on the left do.")
    split, config = form.split, form.config
    if any(remark.stops for remark in form.remarks):
        st.caption("These settings cannot be trained; what is wrong stands on the left.")
        return
    st.caption(
        f"{display_name('model.name', config.model.name)} sees **{split.pictures['train']:,}** pictures in each of "
        f"{config.train.epochs:,} epochs, {split.batch_size:,} at a time: {split.iterations:,} steps an epoch, "
        f"{split.iterations * config.train.epochs:,} in all. Then it is asked about the test pictures, once."
    )
    with st.grid(2, min_column_width=260, gap="small", key="before"):
        with st.container(border=True, gap="xsmall"):
            _draw_split(dataset, config)
        with st.container(border=True, gap="xsmall"):
            draw_schedule(config.train, key="before.schedule")
    with st.container(border=True, gap="xsmall"):
        _draw_batch(dataset, config, split.batch_size)


def _draw_split(dataset: Dataset, config: RunConfig) -> None:
    counts = part_counts(dataset.content_hash, config.data.model_dump_json(), dataset)
    parts = {PART_NAMES[part]: numbers for part, numbers in counts.items() if sum(numbers)}
    st.caption("The split: pictures of each class")
    table = pd.DataFrame(parts, index=pd.Index([shown(name, 40) for name in dataset.classes], name="Class"))
    if len(table) > FEW_CLASSES:
        table = table.describe().loc[["min", "50%", "max"]].astype(int)
        table.index = pd.Index(["Smallest class", "Median", "Largest class"], name="Class")
    table.loc["Together"] = [sum(numbers) for numbers in parts.values()]
    alt = ", ".join(f"{sum(numbers):,} {name.lower()} pictures" for name, numbers in parts.items())
    st.dataframe(table, height="content", width="stretch", key="before.split", alt=alt)


@st.fragment
@boundary()
def _draw_batch(dataset: Dataset, config: RunConfig, batch_size: int) -> None:
    """Pictures of the first batch; with the augmentation once it was asked for, because that brings torch."""
    names = config.train.augment
    drawn = bool(names) and (is_imported() or st.session_state.get("before.augment", False))
    rows = first_batch(dataset, config, min(SHOWN, batch_size))
    pictures = received(dataset.content_hash, tuple(rows), preprocess_of(config.data), dataset)
    if drawn:
        with st.spinner("Drawing", show_time=True):
            wait_for_torch()
            pictures = augmented(pictures, names, st.session_state.get("before.draw", 0))
    how = f"with {display_name('train.augment', names)}" if drawn else "as the network receives them"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(f"{len(rows)} pictures of a batch of {batch_size:,}, {how}", width="stretch")
        if names:
            label, icon = ("Draw again", "casino") if drawn else ("Augment them", "auto_fix_high")
            st.button(label, key="before.again", icon=f":material/{icon}:", type="tertiary", on_click=_draw_again)
    with st.grid(6, min_column_width=56, gap="xsmall", key="before.batch"):
        for row, pixels in zip(rows, pictures, strict=True):
            picture = pixels_to_png(pixels.transpose(2, 0, 1), SIDE)
            st.image(picture, width="stretch", alt=shown(dataset.classes[dataset.labels[row]], 60))


def _draw_again() -> None:
    st.session_state["before.augment"] = True
    st.session_state["before.draw"] = st.session_state.get("before.draw", 0) + 1


def first_batch(dataset: Dataset, config: RunConfig, count: int) -> list[int]:
    """Rows of training pictures in a mixed order, always the same for a seed."""
    rows = parts_of(dataset, config.data)["train"]
    order = np.random.default_rng(config.train.seed).permutation(len(rows))[:count]
    return [int(rows[place]) for place in order]
