"""Data: which pictures there are, how they are balanced and split, and what the network receives of them."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import DataConfig
from core.data.dataset import Dataset
from core.data.readiness import UNEVEN
from core.data.sizes import picture_sizes
from core.presets import PRESETS
from pages.parts.adding import draw_adding, draw_job
from pages.parts.cached import datasets, parts_of, received_picture, runs, thumbnail, whole_picture
from pages.parts.charts import PLOTLY_CONFIG, balance_figure, parts_figure
from pages.parts.check import draw_check
from pages.parts.copies import draw_copies
from pages.parts.deciding import draw_decide_one, draw_decided, draw_pick, draw_picking, mark_of
from pages.parts.escape import escape, shown
from pages.parts.frame import frame
from pages.parts.ledger import draw_ledger
from pages.parts.looking import draw_looking
from pages.parts.map import draw_map
from pages.parts.palette import PART_NAMES
from pages.parts.run_form import USUAL, set_field
from pages.parts.versions import NEWEST, draw_made, in_families, standing_of, train_on
from pages.parts.walk import walk_through

ON_A_PAGE = 24
SPLITS = {"stratified": "At random", "paper": "In name order, as the paper"}
FITS = {
    "crop": "the middle square; edges are lost",
    "squash": "the whole picture; its shape is lost",
    "pad": "the whole picture, with white bars",
}
VALIDATION = round(100 * PRESETS[USUAL].data.val_fraction)  # per cent; what Train proposes
SIZES = [16, 24, 32, 48, 64, 96, 128]
# what the tabs begin with: only what somebody changed goes along to Train, so that its preset keeps the rest
PROPOSED = DataConfig(val_fraction=VALIDATION / 100, copies="together")
SPLIT_FIELDS = ("balance", "split", "test_fraction", "val_fraction")
RECEIVED_FIELDS = ("image_size", "fit")


def main() -> None:
    with frame("Data", "The pictures that a network learns from."):
        draw_job()
        found = datasets()
        dataset = None
        if found:
            with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
                dataset = _pick(found)
                _summarise(dataset, found)
                st.space("stretch")
                _offer_training(dataset)
        with st.expander("Add pictures", icon=":material/add_photo_alternate:", expanded=not found, key="add_pictures"):
            draw_adding()
        if dataset is None:
            return
        draw_made(dataset)
        tabs = st.tabs(
            [name for name, _ in TABS],
            on_change="rerun",
            key="tab",
            bind="query-params",
        )
        for tab, (_, draw) in zip(tabs, TABS, strict=True):
            if tab.open:
                with tab:
                    draw(dataset)


def _pick(found: Sequence[Dataset]) -> Dataset:
    """The chosen dataset; its name is in the address, so that a link leads to it."""
    by_name = {dataset.name: dataset for dataset in in_families(found)}
    added = st.session_state.pop("dataset_added", None)
    if added in by_name:
        st.session_state["dataset"] = added
    name = st.selectbox(
        "Dataset",
        list(by_name),
        format_func=shown,  # it is what stands in the address
        key="dataset",
        bind="query-params",
        width=340,
    )
    return by_name[name]


def _summarise(dataset: Dataset, found: Sequence[Dataset]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", height=40, border=False, width="content"):
        st.markdown(f"**{dataset.used:,}** pictures in **{len(dataset.classes)}** classes", width="content")
        if dataset.drawn:
            st.badge("drawn by the program", icon=":material/draw:", color="violet")
        if dataset.refused:
            st.badge(f"{len(dataset.refused):,} refused", icon=":material/block:", color="orange")
        if standing := standing_of(dataset, found):
            st.badge(standing, icon=":material/history:", color="blue" if standing == NEWEST else "gray")
        if (dataset.given_parts >= 0).any():
            st.badge("brings its own parts", icon=":material/call_split:", color="gray")


def _offer_training(dataset: Dataset) -> None:
    """The way on; in colour while nothing has been trained on these pictures."""
    trained = any(run.config.data.dataset == dataset.name for run in runs())
    kind: Literal["primary", "secondary"] = "secondary" if trained else "primary"
    if st.button("Train on these", type=kind, icon=":material/model_training:", key="train_on_these"):
        choices = _choices(dataset)
        fields = (*SPLIT_FIELDS, *RECEIVED_FIELDS)
        _train_with(
            dataset, {field: _of(choices, field) for field in fields if _of(choices, field) != _of(PROPOSED, field)}
        )


def _train_with(dataset: Dataset, choices: dict[str, Any]) -> None:
    """Go to the Train page with these pictures and choices of DataConfig."""
    for field, value in choices.items():
        set_field(f"data.{field}", value)
    train_on(dataset)


def _of(choices: DataConfig, field: str) -> Any:
    return getattr(choices, field)


def _pictures(dataset: Dataset) -> None:
    parts = parts_of(dataset, _choices(dataset))
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
    chosen = np.arange(dataset.used) if part == "all" else parts[part]
    if label is not None:
        chosen = chosen[dataset.labels[chosen] == label]
    elif part == "all":
        chosen = _mixed(dataset.content_hash, dataset)
    if wanted:
        chosen = chosen[np.isin(chosen, _named(dataset.content_hash, wanted.casefold(), dataset))]
    if not len(chosen):
        draw_picking(dataset, ())  # what was picked stays picked, also while a search finds nothing
        told = f" has “{escape(wanted)}” in its name" if wanted else " is in this class and part"
        st.info(f"No picture{told}.", icon=":material/info:")
        return
    draw_decided(dataset, "pictures")
    picking, bottom = st.container(), st.container()
    pages = -(-len(chosen) // ON_A_PAGE)
    page = 1
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            page = st.pagination(pages, key=f"page_{dataset.id}_{label}_{part}_{wanted}")
            st.caption(f"{len(chosen):,} pictures")
    places = range(len(chosen))[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]
    with picking:
        picks = draw_picking(dataset, chosen[list(places)].tolist())
    with bottom, st.grid(8, min_column_width=120, gap="small"):
        for place in places:
            _card(dataset, chosen, place, picks)


@st.cache_data(max_entries=20, show_spinner=False)
def _named(content_hash: str, wanted: str, _dataset: Dataset) -> np.ndarray:
    """Rows whose names hold `wanted`, which is in small letters."""
    return _dataset.names.containing(wanted)


def _card(dataset: Dataset, chosen: np.ndarray, place: int, picks: bool) -> None:
    index = int(chosen[place])
    name = dataset.names[index].rsplit("/", 1)[-1]
    with st.container(gap="xxsmall", key=f"card_{index}"):
        st.image(thumbnail(dataset, index), width="stretch", alt=shown(name))
        told = escape(dataset.classes[dataset.labels[index]], 22)
        if st.button(told, key=f"look_{index}", type="tertiary", help=escape(dataset.names[index], 200)):
            st.session_state["looked_at"] = place
            _look(dataset, chosen)
        if mark := mark_of(dataset, index):
            st.caption(mark)
        if picks:
            draw_pick(dataset, index)


@st.dialog("One picture", width="large", on_dismiss="rerun")
def _look(dataset: Dataset, chosen: np.ndarray) -> None:
    """The original beside what the network receives, with a way to the next one of those chosen."""
    place = min(st.session_state.get("looked_at", 0), len(chosen) - 1)
    index = int(chosen[place])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Back", icon=":material/chevron_left:", key="look_back", disabled=not place, on_click=_step, args=(-1,)
        )
        last = place == len(chosen) - 1
        st.button("Next", icon=":material/chevron_right:", key="look_next", disabled=last, on_click=_step, args=(1,))
        st.caption(f"{place + 1:,} of {len(chosen):,}", width="content")
        st.space("stretch")
        if st.button("Walk it through a network", icon=":material/route:", key="look_walk", type="tertiary"):
            walk_through(dataset, index)
    wide, high = picture_sizes(dataset, np.array([index]))[0]
    label = escape(dataset.classes[dataset.labels[index]])
    st.markdown(f"**{label}** · {escape(dataset.names[index], 200)} · {wide:,} × {high:,} pixels")
    controls, left, right = st.columns([2, 3, 3], gap="medium")
    with controls:
        size, fit = _ask_preprocess("dialog")
        draw_decide_one(dataset, index)
    _beside(dataset, index, size, fit, left, right)


def _step(by: int) -> None:
    st.session_state["looked_at"] = max(0, st.session_state.get("looked_at", 0) + by)


def _received(dataset: Dataset) -> None:
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
        size, fit = _ask_preprocess("tab")
        if st.button("Train with these", icon=":material/model_training:", key="train_received"):
            _train_with(dataset, {"image_size": size, "fit": fit})
    _beside(dataset, int(members[place - 1]), size, fit, left, right)


def _ask_preprocess(where: str) -> tuple[int, str]:
    """The side of the square in pixels and the way to it."""
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


def _beside(dataset: Dataset, index: int, size: int, fit: str, left: DeltaGenerator, right: DeltaGenerator) -> None:
    """The original beside what is left of it at a size and fit."""
    original = whole_picture(dataset, index)
    left.image(original, width="stretch", caption="The original", alt="The original picture")
    told = f"What the network receives: {size} × {size} pixels, {3 * size * size:,} numbers"
    received = received_picture(dataset, index, size, fit)
    right.image(received, width="stretch", caption=told, alt="The picture as the network receives it")
    wide, high = picture_sizes(dataset, np.array([index]))[0].tolist()
    right.caption(_told_of_loss(wide, high, size, fit))


def _told_of_loss(wide: int, high: int, size: int, fit: str) -> str:
    """What shrinking a picture of wide × high pixels to a square of `size` takes away from it."""
    short, long = min(wide, high), max(wide, high)
    kept = short * short if fit == "crop" else wide * high
    filled = size * size * short / long if fit == "pad" else size * size
    told = []
    if kept > 1.05 * filled:
        told.append(f"Each pixel stands for about {kept / filled:,.0f} of the original's.")
    elif kept < 0.95 * filled:
        told.append("The original is smaller: enlarging it adds pixels, not detail.")
    else:
        told.append("About as many pixels as the original has.")
    if short != long:
        lost = 100 * (1 - short / long)
        told.append(
            {
                "crop": f"Cropping cuts away {lost:.0f} % of the picture.",
                "squash": f"Squashing makes things {long / short:.1f} times too {'narrow' if wide > high else 'low'}.",
                "pad": f"Bars take up {lost:.0f} % of the square.",
            }[fit]
        )
    return " ".join(told)


def _split(dataset: Dataset) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.toggle("Balance the classes", key="data_balance", persist_state="session")
        st.segmented_control(
            "Split",
            ["stratified", "paper"],
            format_func=lambda split: SPLITS[split],
            default="stratified",
            required=True,
            key="data_split",
            persist_state="session",
        )
        st.slider(
            "Test share, %",
            5,
            50,
            20,
            5,
            key="data_test",
            persist_state="session",
            width=180,
            disabled=bool((dataset.given_parts > 0).any()),
            help="Not used where the pictures bring a test part along.",
        )
        st.slider("Validation share, %", 0, 40, VALIDATION, 5, key="data_val", persist_state="session", width=180)
    choices = _choices(dataset)
    parts = parts_of(dataset, choices)
    k = len(dataset.classes)
    before = np.bincount(dataset.labels, minlength=k)
    by_part = {part: np.bincount(dataset.labels[chosen], minlength=k) for part, chosen in parts.items()}
    after = np.sum(list(by_part.values()), axis=0)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.markdown("**Pictures per class**")
        st.caption(_told_of_balance(before, after, choices))
        figure = balance_figure(dataset.classes, before.tolist(), after.tolist())
        st.plotly_chart(figure, config=PLOTLY_CONFIG, key="balance_chart", alt="Pictures per class")
    with right, st.container(border=True, height="stretch"):
        st.markdown("**How they are split**")
        st.caption(_told_of_split(dataset, {part: len(chosen) for part, chosen in parts.items()}))
        figure = parts_figure(dataset.classes, {part: counts.tolist() for part, counts in by_part.items()})
        st.plotly_chart(figure, config=PLOTLY_CONFIG, key="parts_chart", alt="Pictures per part and class")
    if st.button("Train with these choices", icon=":material/model_training:", key="train_with"):
        _train_with(dataset, {field: _of(choices, field) for field in SPLIT_FIELDS})


def _told_of_balance(before: np.ndarray, after: np.ndarray, choices: DataConfig) -> str:
    if choices.balance == "smallest":
        out = int(before.sum() - after.sum())
        if not out:
            return "The classes are equal already: nothing is left out."
        return f"Every class is cut to the size of the smallest: {out:,} pictures are left out."
    if before.min() == before.max():
        return "All classes have the same number of pictures."
    times = before.max() / max(1, before.min())
    told = f"The largest class has {times:.1f} times as many pictures as the smallest"
    told += ": even enough. Balancing" if times < UNEVEN else ". A network then favours it; balancing"
    return f"{told} cuts every class to the smallest."


def _told_of_split(dataset: Dataset, counts: dict[str, int]) -> str:
    told = " · ".join(f"{PART_NAMES[part]} {count:,}" for part, count in counts.items() if count)
    if (dataset.given_parts == 2).any():
        return f"{told}. The test part came with the pictures and stays as it is."
    return f"{told}. No picture is in two parts, so the test asks about pictures the network has never seen."


def _choices(dataset: Dataset) -> DataConfig:
    """What the tabs say, also while another one is open."""
    state = st.session_state
    return DataConfig(
        dataset=dataset.name,
        image_size=state.get("tab_size") or PROPOSED.image_size,
        fit=state.get("tab_fit") or PROPOSED.fit,
        balance="smallest" if state.get("data_balance") else "none",
        split=state.get("data_split") or "stratified",
        test_fraction=state.get("data_test", 20) / 100,
        val_fraction=state.get("data_val", VALIDATION) / 100,
        copies=PROPOSED.copies,
    )


def _check(dataset: Dataset) -> None:
    copies = PRESETS[USUAL].data.copies  # as the run would split that Train proposes
    draw_check(dataset, _choices(dataset).model_copy(update={"copies": copies}))


def _looking(dataset: Dataset) -> None:
    draw_looking(dataset, datasets())


def _map(dataset: Dataset) -> None:
    draw_map(dataset, _choices(dataset))


def _copies(dataset: Dataset) -> None:
    draw_copies(dataset, _choices(dataset))


@st.cache_data(max_entries=8, show_spinner=False)
def _mixed(content_hash: str, _dataset: Dataset) -> np.ndarray:
    """All pictures, class after class in turn, so that the first page shows every class."""
    labels = _dataset.labels
    by_class = np.argsort(labels.astype(np.int16), kind="stable")  # of so short numbers in one go; 500 classes at most
    counts = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return by_class[np.argsort(rank, kind="stable")]


TABS = (
    ("Pictures", _pictures),
    ("Balance and split", _split),
    ("What the network receives", _received),
    ("Sizes and colours", _looking),
    ("Map", _map),
    ("Copies", _copies),
    ("Check", _check),
    ("Ledger", draw_ledger),
)

main()
