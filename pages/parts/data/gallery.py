"""The pictures of a dataset as a grid to search, select from and click; one picture large in a dialog."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from core.data.datasets.dataset import Dataset
from core.data.datasets.sizes import picture_sizes
from pages.parts.data.data_settings import data_config
from pages.parts.data.received import ask_preprocess, draw_original_and_received
from pages.parts.shell.cache import parts_of, thumbnail
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.theme import PART_NAMES
from pages.parts.widgets.activations_button import draw_activations_button
from pages.parts.widgets.edits import describe_edit, draw_edit_one, draw_pending_edits, draw_select_one, draw_selection

ON_A_PAGE = 24
OPENED = "gallery.opened"  # place of the picture in the dialog, among those that are shown
# the button below a picture is pressed on the picture as well, and is the only tab stop of its card
STYLE = (
    "<style>[class*='st-key-card_'] { overflow: clip; overflow-clip-margin: 4px; }"
    "[class*='st-key-card_'] [data-testid='stElementToolbar'] { display: none; }"
    "[class*='st-key-card_'] img { border: 1px solid rgba(128, 128, 128, 0.3); }"  # where a white picture ends
    "[class*='st-key-card_'] [data-testid='stButton'] button { position: relative; }"
    "[class*='st-key-card_'] [data-testid='stButton'] button::before "
    "{ content: ''; position: absolute; left: -20px; right: -20px; bottom: 100%; height: 600px; }</style>"
)


def draw_gallery(dataset: Dataset) -> None:
    """The tab: the pictures of a class and part whose names hold what was typed, page by page."""
    parts = parts_of(dataset, data_config(dataset))
    label, part, wanted = _ask_filter(dataset, parts)
    chosen = _filtered(dataset, parts, label, part, wanted)
    if not len(chosen):
        draw_selection(dataset, ())  # what was selected stays selected, also while a search finds nothing
        why = f" has “{escape(wanted)}” in its name" if wanted else " is in this class and part"
        st.info(f"No picture{why}.", icon=":material/info:")
        return
    draw_pending_edits(dataset, "pictures")
    _draw_grid(dataset, chosen, key=f"page_{dataset.id}_{label}_{part}_{wanted}")


def _ask_filter(dataset: Dataset, parts: dict[str, np.ndarray]) -> tuple[int | None, str, str]:
    """(class, None for all; part or "all"; what the name is to contain)."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = st.selectbox(
            "Class",
            [None, *range(len(dataset.classes))],
            format_func=lambda index: "All classes" if index is None else shown(dataset.classes[index]),
            key=f"class_{dataset.id}",
            width=260,
        )
        part = st.segmented_control(
            "Part",
            ["all", *(part for part, chosen in parts.items() if len(chosen))],
            format_func=lambda part: "All" if part == "all" else PART_NAMES[part],
            default="all",
            required=True,
            key=f"part_{dataset.id}",
        )
        wanted = st.text_input(
            "Name contains", key=f"search_{dataset.id}", width=240, icon=":material/search:", max_chars=200
        ).strip()
    return label, part, wanted


def _filtered(dataset: Dataset, parts: dict[str, np.ndarray], label: int | None, part: str, wanted: str) -> np.ndarray:
    """int64: rows in the order in which they are shown."""
    chosen = np.arange(dataset.used) if part == "all" else parts[part]
    if label is not None:
        chosen = chosen[dataset.labels[chosen] == label]
    elif part == "all":
        chosen = _interleaved(dataset.content_hash, dataset)
    if wanted:
        chosen = chosen[np.isin(chosen, _named(dataset.content_hash, wanted.casefold(), dataset))]
    return chosen


def _draw_grid(dataset: Dataset, chosen: np.ndarray, key: str) -> None:
    selection, grid = st.container(), st.container()
    pages, page = -(-len(chosen) // ON_A_PAGE), 1
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            page = st.pagination(pages, key=key)
            st.caption(f"{len(chosen):,} pictures")
    places = range(len(chosen))[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]
    with selection:
        selecting = draw_selection(dataset, chosen[list(places)].tolist())
    st.html(STYLE)
    with grid, st.grid(8, min_column_width=120, gap="small"):
        for place in places:
            _draw_card(dataset, chosen, place, selecting)


def _draw_card(dataset: Dataset, chosen: np.ndarray, place: int, selecting: bool) -> None:
    index = int(chosen[place])
    name = dataset.names[index].rsplit("/", 1)[-1]
    with st.container(gap="xxsmall", key=f"card_{index}"):
        st.image(thumbnail(dataset, index), width="stretch", alt=shown(name))
        label = escape(dataset.classes[dataset.labels[index]], 22)
        if st.button(label, key=f"picture_{index}", type="tertiary", help=escape(dataset.names[index], 200)):
            st.session_state[OPENED] = place
            _draw_one(dataset, chosen)
        if edit := describe_edit(dataset, index):
            st.caption(edit)
        if selecting:
            draw_select_one(dataset, index)


@st.dialog("One picture", width="large", on_dismiss="rerun")
def _draw_one(dataset: Dataset, chosen: np.ndarray) -> None:
    """The original beside what the network receives, with a way to the next one of those chosen."""
    place = min(st.session_state.get(OPENED, 0), len(chosen) - 1)
    index = int(chosen[place])
    with st.container(horizontal=True, vertical_alignment="center"):
        _draw_steps(place, chosen)
        st.space("stretch")
        draw_activations_button(dataset, index)
    wide, high = picture_sizes(dataset, np.array([index]))[0]
    label = escape(dataset.classes[dataset.labels[index]])
    st.markdown(f"**{label}** · {escape(dataset.names[index], 200)} · {wide:,} × {high:,} pixels")
    controls, left, right = st.columns([2, 3, 3], gap="medium")
    with controls:
        size, fit = ask_preprocess("dialog")
        draw_edit_one(dataset, index)
    draw_original_and_received(dataset, index, size, fit, left, right)


def _draw_steps(place: int, chosen: Sequence[int] | np.ndarray) -> None:
    """The buttons to the picture before and the one after."""
    first, last = place == 0, place == len(chosen) - 1
    back, on = ":material/chevron_left:", ":material/chevron_right:"
    st.button("Back", icon=back, key="previous_picture", disabled=first, on_click=_step, args=(-1,))
    st.button("Next", icon=on, key="next_picture", disabled=last, on_click=_step, args=(1,))
    st.caption(f"{place + 1:,} of {len(chosen):,}", width="content")


def _step(by: int) -> None:
    st.session_state[OPENED] = max(0, st.session_state.get(OPENED, 0) + by)


@st.cache_data(max_entries=20, show_spinner=False)
def _named(content_hash: str, wanted: str, _dataset: Dataset) -> np.ndarray:
    """Rows whose names hold `wanted`, which is in small letters."""
    return _dataset.names.containing(wanted)


@st.cache_data(max_entries=8, show_spinner=False)
def _interleaved(content_hash: str, _dataset: Dataset) -> np.ndarray:
    """All pictures, class after class in turn, so that the first page shows every class."""
    labels = _dataset.labels
    by_class = np.argsort(labels.astype(np.int16), kind="stable")  # of so short numbers in one go; 500 classes at most
    counts = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return by_class[np.argsort(rank, kind="stable")]
