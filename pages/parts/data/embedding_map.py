"""Embedding map, in the Pictures tab: like pictures lie near each other; a click shows one, a box all within."""

import numpy as np
import streamlit as st

from core.data.datasets.dataset import Dataset
from core.data.quality.embedding_map import APPEARANCE, MOST, SEED, EmbeddingMap, read_map
from core.data.splits import PARTS
from core.experiments.dataset_runs import answers_on, runs_on
from core.jobs.dataset_job import DatasetJob
from core.runs.run import Run
from pages.parts.data.data_settings import data_config
from pages.parts.data.map_figure import MapColours, in_cells_of, map_figure, thinned
from pages.parts.data.stamps import map_stamp
from pages.parts.shell.cache import accuracy_of_run, parts_of, runs, thumbnail, whole_picture
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.formatting import percent_of
from pages.parts.shell.frame import boundary
from pages.parts.shell.theme import CALM, PART_COLOURS, PART_NAMES, class_colour
from pages.parts.widgets.charts import PLOTLY_CONFIG
from pages.parts.widgets.edits import draw_edit_one, draw_pending_edits
from pages.parts.widgets.job_progress import JobLabels, draw_job
from pages.parts.widgets.run_picker import run_labels

IN_A_BOX = 24  # pictures that a box around many shows
RIGHT, WRONG = "#009E73", "#D55E00"
DRAWING = JobLabels(
    "Draw the map",
    ":material/scatter_plot:",
    {"reading": "Reading the pictures", "placing": "Laying them out, step"},
)


def draw_map(dataset: Dataset) -> None:
    """The map of the embedding that was chosen, or a button that makes it."""
    known = {run.id: run for run in sorted(runs_on(dataset, runs()), key=accuracy_of_run, reverse=True)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        of = _ask_embedding(dataset, known)
        found = _read(str(dataset.folder), dataset.content_hash, map_stamp(dataset, of), of, dataset)
        if found is not None:
            colour = _ask_colour(dataset, bool(known))
            show = _ask(dataset, "Show", ["Pictures", "Points"])
            mouse = _ask(dataset, "Mouse", ["Click one", "Draw a box"])  # Plotly does one of the two
    if found is None:
        _offer(dataset, of)
        return
    run = known.get(of) or next(iter(known.values()), None)
    predicted = None if run is None else _predicted(run.id, run.state.updated, dataset.content_hash, run, dataset)
    colours = _colours(dataset, found, colour, predicted)
    of_points = None if predicted is None else predicted[found.rows]
    _draw(dataset, found, of, colours, show == "Pictures", mouse == "Draw a box", of_points)


def _ask_embedding(dataset: Dataset, known: dict[str, Run]) -> str:
    """APPEARANCE, or the id of a run, whose network's features lay the pictures out."""
    labels = run_labels(list(known.values()))
    return st.selectbox(
        "Embedding",
        [APPEARANCE, *known],
        format_func=lambda of: "Colours and shapes" if of == APPEARANCE else f"Features of {shown(labels[of], 60)}",
        key=f"map_of_{dataset.id}",
        width=360,
        help="By what pictures are alike: their colours and shapes, or the features that a trained network computes.",
    )


def _ask_colour(dataset: Dataset, trained: bool) -> str:
    offered = ["Class", "Part", *(["Right or wrong"] if trained else [])]
    text = "Right or wrong: the predictions of the network that was chosen on the left, or else of your best one."
    return _ask(dataset, "Colour", offered, help=text if trained else None)


def _ask(dataset: Dataset, label: str, options: list[str], help: str | None = None) -> str:
    key = f"map_{label.lower()}_{dataset.id}"
    return st.segmented_control(label, options, default=options[0], required=True, key=key, help=help)


def _offer(dataset: Dataset, of: str) -> None:
    st.markdown("**Which pictures are alike?** The map lays them out so that like ones lie near each other.")
    draw_job(DatasetJob("map", dataset, "" if of == APPEARANCE else of), DRAWING)
    text = "It takes some seconds, once, and shows outliers, mixed-up classes and kinds within a class."
    if dataset.used > MOST:
        text += f" {MOST:,} of {dataset.used:,} pictures are laid out, drawn with seed {SEED}."
    st.caption(text)


@st.fragment  # a click draws the map and the pictures next to it, and nothing else of the page
@boundary()
def _draw(
    dataset: Dataset,
    found: EmbeddingMap,
    of: str,
    colours: MapColours,
    pictures: bool,
    box: bool,
    predicted: np.ndarray | None,
) -> None:
    draw_pending_edits(dataset, "map")
    left, right = st.columns([7, 3], gap="medium")
    shown_at = thinned(found.places) if pictures else None
    with left:
        figure = map_figure(dataset, found, colours, shown_at).update_layout(dragmode="select" if box else False)
        clicked = st.plotly_chart(
            figure,
            config=PLOTLY_CONFIG,
            key=f"map_{dataset.id}_{of}_{pictures}_{box}",
            on_select="rerun",
            selection_mode="box" if box else "points",
            alt=f"Map of {len(found.rows):,} pictures",
        )
        st.caption(_describe(dataset, found, of, shown_at))
    chosen = sorted({int(point["customdata"][0]) for point in clicked.selection.points if "customdata" in point})
    if shown_at is not None and len(chosen) > 1:
        chosen = in_cells_of(found.places, chosen)
    with right:
        if not chosen:
            text = "Drag a box around pictures to see them all." if box else "Click a picture to see it large."
            st.info(text, icon=":material/ads_click:")
        elif len(chosen) == 1:
            _draw_one(dataset, found, chosen[0], predicted)
        else:
            _draw_several(dataset, found, colours, chosen)


def _draw_one(dataset: Dataset, found: EmbeddingMap, place: int, predicted: np.ndarray | None) -> None:
    row = int(found.rows[place])
    name = shown(dataset.names[row], 200)
    st.image(whole_picture(dataset, row, 480), width="stretch", alt=name)
    text = f"**{escape(dataset.classes[dataset.labels[row]])}**"
    if predicted is not None and predicted[place] >= 0:
        right = predicted[place] == dataset.labels[row]
        mark = ":green[:material/check:]" if right else ":red[:material/close:]"
        text += f" · {mark} predicted {escape(dataset.classes[predicted[place]], 40)}"
    st.markdown(f"{text} · {escape(dataset.names[row], 200)}")
    draw_edit_one(dataset, row)
    st.caption("Most alike")
    with st.grid(4, min_column_width=64, gap="xsmall"):
        for near in found.near[place].tolist():
            _draw_small(dataset, int(found.rows[near]))


def _draw_several(dataset: Dataset, found: EmbeddingMap, colours: MapColours, chosen: list[int]) -> None:
    counts = np.bincount(colours.of[chosen], minlength=len(colours.names))
    order = [number for number in np.argsort(-counts, kind="stable").tolist() if counts[number]]
    text = ", ".join(f"{counts[number]:,} {escape(colours.names[number], 30)}" for number in order[:6])
    st.markdown(f"**{len(chosen):,} pictures:** {text}" + (" and others" if len(order) > 6 else ""))
    with st.grid(4, min_column_width=64, gap="xsmall"):
        spread = np.unique(np.linspace(0, len(chosen) - 1, IN_A_BOX).astype(int))  # not the first class alone
        for place in np.array(chosen)[spread].tolist():
            _draw_small(dataset, int(found.rows[place]))
    if len(chosen) > IN_A_BOX:
        st.caption(f"And {len(chosen) - IN_A_BOX:,} more.")


def _draw_small(dataset: Dataset, row: int) -> None:
    with st.container(gap=None):
        st.image(thumbnail(dataset, row), width="stretch", alt=shown(dataset.names[row], 200))
        label = dataset.classes[dataset.labels[row]]
        st.caption(escape(label, 12))


def _describe(dataset: Dataset, found: EmbeddingMap, of: str, shown_at: np.ndarray | None) -> str:
    """How often neighbours share a class, against chance; how many pictures there are and are shown."""
    same, n = found.count_same_class(dataset.labels[found.rows])
    counts = np.bincount(dataset.labels[found.rows])
    chance = float((counts * (counts - 1)).sum() / (len(found.rows) * (len(found.rows) - 1)))
    text = f"Of the {found.near.shape[1]} pictures most alike to one, {percent_of(same, n)} are of its class"
    text += f"; by chance {100 * chance:.0f} %. "
    if of != APPEARANCE:
        text += "Training pictures count too, and the network was trained on those. "
    if len(found.rows) < dataset.used:
        text += f"{len(found.rows):,} of {dataset.used:,} pictures, drawn with seed {SEED}. "
    if shown_at is not None and len(shown_at) < len(found.rows):
        text += f"{len(shown_at):,} are shown, one in each place; Points shows all. "
    return text + "Only nearness has a meaning: neither the axes nor wide gaps do."


def _colours(dataset: Dataset, found: EmbeddingMap, colour: str, predicted: np.ndarray | None) -> MapColours:
    """predicted: int64 (used,), as answers_on gives it."""
    labels = dataset.labels[found.rows]
    if colour == "Right or wrong" and predicted is not None:
        given = predicted[found.rows]
        of = np.where(given < 0, 2, np.where(given == labels, 0, 1))
        return MapColours(of, ("Right", "Wrong", "Not predicted"), (RIGHT, WRONG, CALM))
    if colour == "Part":
        part_of = np.full(dataset.used, len(PARTS))
        for number, rows in enumerate(parts_of(dataset, data_config(dataset)).values()):
            part_of[rows] = number
        names = (*(PART_NAMES[part] for part in PARTS), "Left out")
        return MapColours(part_of[found.rows], names, (*(PART_COLOURS[part] for part in PARTS), CALM))
    return MapColours(labels, dataset.classes, tuple(class_colour(index) for index in range(len(dataset.classes))))


@st.cache_data(max_entries=20, show_spinner=False)
def _read(folder: str, content_hash: str, stamp: int, of: str, _dataset: Dataset) -> EmbeddingMap | None:
    return read_map(_dataset, of)


@st.cache_data(max_entries=20, show_spinner=False)
def _predicted(run_id: str, updated: str, content_hash: str, _run: Run, _dataset: Dataset) -> np.ndarray | None:
    return answers_on(_dataset, _run)
