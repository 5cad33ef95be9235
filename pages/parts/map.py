"""A map of a dataset: like pictures lie near each other; a click shows one large, a box around several all of them."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from PIL import Image

from core.config import DataConfig
from core.data.dataset import Dataset
from core.data.map import LOOKS, MOST, SEED, Map, read_map
from core.data.preprocess import Preprocess
from core.data.splits import PARTS
from core.data.store import open_images
from core.experiments.trained import answers_on, runs_on
from core.runs.run import Run
from pages.parts.cached import accuracy_of_run, parts_of, runs, stamp_of, thumbnail, whole_picture
from pages.parts.charts import PLOTLY_CONFIG
from pages.parts.deciding import draw_decide_one, draw_decided
from pages.parts.errand_bar import Words, draw_errand
from pages.parts.errands import Errand
from pages.parts.escape import escape, plotted, shown
from pages.parts.frame import boundary
from pages.parts.palette import ACCENT, CALM, PART_COLOURS, PART_NAMES, class_colour
from pages.parts.words import percent_of

COLUMNS, LINES = 22, 15  # cells of the map that show a picture, at most one each
EDGE = 3  # pixels of colour around a picture
HEIGHT = 540
IN_A_BOX = 24  # pictures that a box around many shows
LEGEND = 12  # more groups than that have no legend; the pointer tells
RIGHT, WRONG = "#009E73", "#D55E00"
DRAWING = Words(
    "Draw the map",
    ":material/scatter_plot:",
    {"reading": "Reading the pictures", "placing": "Laying them out, step"},
)


@dataclass(frozen=True)
class Groups:
    """What the colours tell: of each picture of the map the number of its group."""

    of: np.ndarray  # int64 (n,)
    names: tuple[str, ...]
    colours: tuple[str, ...]


def draw_map(dataset: Dataset, data: DataConfig) -> None:
    """The map by looks or by what a run's network sees; data: the split that is being planned."""
    known = sorted(runs_on(dataset, runs()), key=accuracy_of_run, reverse=True)
    by_id = {run.id: run for run in known}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        of = st.selectbox(
            "Near each other are pictures that",
            [LOOKS, *by_id],
            format_func=lambda of: (
                "have like colours and shapes" if of == LOOKS else f"are alike to {shown(by_id[of].title, 50)}"
            ),
            key=f"map_of_{dataset.id}",
            width=360,
        )
        stamp = stamp_of(dataset.folder / f"map-{of}.npz")
        found = _read(str(dataset.folder), dataset.content_hash, stamp, of, dataset)
        if found is not None:
            colour = _ask_colour(dataset, bool(known))
            show = st.segmented_control(
                "Show", ["Pictures", "Points"], default="Pictures", required=True, key=f"map_show_{dataset.id}"
            )
            # Streamlit takes clicks away from a chart in which boxes are drawn
            mouse = st.segmented_control(
                "Mouse", ["Click one", "Draw a box"], default="Click one", required=True, key=f"map_mouse_{dataset.id}"
            )
    if found is None:
        _offer(dataset, of)
        return
    run = by_id.get(of) or next(iter(known), None)
    answers = None if run is None else _answers(run.id, run.state.updated, dataset.content_hash, run, dataset)
    groups = _groups(dataset, data, found, colour, answers)
    given = None if answers is None else answers[found.rows]
    _draw(dataset, found, of, groups, show == "Pictures", mouse == "Draw a box", given)


def _ask_colour(dataset: Dataset, trained: bool) -> str:
    offered = ["Class", "Part", *(["Right or wrong"] if trained else [])]
    return st.segmented_control(
        "Colour",
        offered,
        default="Class",
        required=True,
        key=f"map_colour_{dataset.id}",
        help="Right or wrong: what the network that was picked on the left answers, or else your best one."
        if trained
        else None,
    )


def _offer(dataset: Dataset, of: str) -> None:
    st.markdown("**Which pictures are alike?** The map lays them out so that like ones lie near each other.")
    draw_errand(Errand("map", dataset, "" if of == LOOKS else of), DRAWING)
    told = "It takes some seconds, once, and shows strays, mixed-up classes and kinds within a class."
    if dataset.used > MOST:
        told += f" {MOST:,} of {dataset.used:,} pictures are laid out, drawn with seed {SEED}."
    st.caption(told)


@st.fragment  # a click draws the map and what is beside it, and nothing else of the page
@boundary()
def _draw(
    dataset: Dataset, found: Map, of: str, groups: Groups, pictures: bool, box: bool, answers: np.ndarray | None
) -> None:
    draw_decided(dataset, "map")
    left, right = st.columns([7, 3], gap="medium")
    with left:
        shown_at = _thinned(found.places) if pictures else None
        figure = _figure(dataset, found, groups, shown_at).update_layout(dragmode="select" if box else False)
        clicked = st.plotly_chart(
            figure,
            config=PLOTLY_CONFIG,
            key=f"map_{dataset.id}_{of}_{pictures}_{box}",
            on_select="rerun",
            selection_mode="box" if box else "points",
            alt=f"Map of {len(found.rows):,} pictures",
        )
        st.caption(_told(dataset, found, of, shown_at))
    chosen = sorted({int(point["customdata"][0]) for point in clicked.selection.points if "customdata" in point})
    if shown_at is not None and len(chosen) > 1:
        chosen = _beneath(found.places, chosen)
    with right:
        if not chosen:
            told = "Drag a box around pictures to see them all." if box else "Click a picture to see it large."
            st.info(told, icon=":material/ads_click:")
        elif len(chosen) == 1:
            _draw_one(dataset, found, chosen[0], answers)
        else:
            _draw_several(dataset, found, groups, chosen)


def _draw_one(dataset: Dataset, found: Map, place: int, answers: np.ndarray | None) -> None:
    row = int(found.rows[place])
    name = shown(dataset.names[row], 200)
    st.image(whole_picture(dataset, row, 480), width="stretch", alt=name)
    told = f"**{escape(dataset.classes[dataset.labels[row]])}**"
    if answers is not None and answers[place] >= 0:
        right = answers[place] == dataset.labels[row]
        mark = ":green[:material/check:]" if right else ":red[:material/close:]"
        told += f" · {mark} the network answers {escape(dataset.classes[answers[place]], 40)}"
    st.markdown(f"{told} · {escape(dataset.names[row], 200)}")
    draw_decide_one(dataset, row)
    st.caption("Most alike")
    with st.grid(4, min_column_width=64, gap="xsmall"):
        for near in found.near[place].tolist():
            _small(dataset, int(found.rows[near]))


def _draw_several(dataset: Dataset, found: Map, groups: Groups, chosen: list[int]) -> None:
    counts = np.bincount(groups.of[chosen], minlength=len(groups.names))
    order = [group for group in np.argsort(-counts, kind="stable").tolist() if counts[group]]
    told = ", ".join(f"{counts[group]:,} {escape(groups.names[group], 30)}" for group in order[:6])
    st.markdown(f"**{len(chosen):,} pictures:** {told}" + (" and others" if len(order) > 6 else ""))
    with st.grid(4, min_column_width=64, gap="xsmall"):
        spread = np.unique(np.linspace(0, len(chosen) - 1, IN_A_BOX).astype(int))  # not the first class alone
        for place in np.array(chosen)[spread].tolist():
            _small(dataset, int(found.rows[place]))
    if len(chosen) > IN_A_BOX:
        st.caption(f"And {len(chosen) - IN_A_BOX:,} more.")


def _small(dataset: Dataset, row: int) -> None:
    with st.container(gap=None):
        st.image(thumbnail(dataset, row), width="stretch", alt=shown(dataset.names[row], 200))
        label = dataset.classes[dataset.labels[row]]
        st.caption(escape(label, 12))


def _told(dataset: Dataset, found: Map, of: str, shown_at: np.ndarray | None) -> str:
    same, n = found.alike(dataset.labels[found.rows])
    counts = np.bincount(dataset.labels[found.rows])
    chance = float((counts * (counts - 1)).sum() / (len(found.rows) * (len(found.rows) - 1)))
    told = f"Of the {found.near.shape[1]} pictures most alike to one, {percent_of(same, n)} are of its class"
    told += f"; by chance {100 * chance:.0f} %. "
    if of != LOOKS:
        told += "Training pictures count too, and the network has learnt those. "
    if len(found.rows) < dataset.used:
        told += f"{len(found.rows):,} of {dataset.used:,} pictures, drawn with seed {SEED}. "
    if shown_at is not None and len(shown_at) < len(found.rows):
        told += f"{len(shown_at):,} are shown, one in each place; Points shows all. "
    return told + "Only nearness has a meaning: neither the axes nor wide gaps do."


def _figure(dataset: Dataset, found: Map, groups: Groups, shown_at: np.ndarray | None) -> go.Figure:
    """Points in the groups' colours, or at most one picture a cell with an edge of that colour."""
    figure = go.Figure()
    names = dataset.names
    for group, name in enumerate(groups.names):
        members = np.flatnonzero(groups.of == group)
        if not len(members):
            continue
        # the legend has points of its own: where pictures are drawn, theirs cannot be seen
        mark = {"symbol": "square", "size": 12, "color": groups.colours[group]}
        figure.add_scatter(x=[None], y=[None], mode="markers", name=plotted(name), marker=mark)
        if shown_at is not None:
            members = members[np.isin(members, shown_at)]
        x, y = (_cells(found.places[members]) if shown_at is not None else found.places[members]).T
        figure.add_scatter(
            x=x,
            y=y,
            mode="markers",
            showlegend=False,
            marker=_marker(groups.colours[group], shown_at is not None),
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 0 if shown_at is not None else 0.2}},
            customdata=[
                [int(place), plotted(names[int(row)].rsplit("/", 1)[-1], 60), plotted(dataset.classes[label])]
                for place, row in zip(members, found.rows[members], strict=True)
                for label in [dataset.labels[row]]
            ],
            hovertemplate="%{customdata[2]}<br>%{customdata[1]}<extra></extra>",
        )
    if shown_at is not None:
        figure.update_layout(images=_images(dataset, found, groups, shown_at))
    for axis in (figure.update_xaxes, figure.update_yaxes):
        axis(visible=False, fixedrange=True)
    figure.update_xaxes(range=[-0.5 / COLUMNS, 1 + 0.5 / COLUMNS])
    figure.update_yaxes(range=[-0.5 / LINES, 1 + 0.5 / LINES])
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        hovermode="closest",
        showlegend=1 < len(groups.names) <= LEGEND,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "itemclick": False},
    )
    return figure


def _marker(colour: str, pictures: bool) -> dict[str, Any]:
    """A point; where the picture itself is drawn, only the frame of one that is chosen."""
    if pictures:
        return {"symbol": "square-open", "size": 32, "color": ACCENT, "line": {"width": 4}, "opacity": 0}
    return {"size": 7, "color": colour, "opacity": 0.8}


def _cells(places: np.ndarray) -> np.ndarray:
    """float (n, 2): the middles of the cells that the places lie in, 0..1 as they are."""
    last = np.array([COLUMNS - 1, LINES - 1])
    return np.round(places * last) / last


def _thinned(places: np.ndarray) -> np.ndarray:
    """int64, sorted: of each cell with places in it the one nearest its middle."""
    cells = _cells(places)
    away = ((places - cells) ** 2).sum(axis=1)
    order = np.lexsort((away, cells[:, 1], cells[:, 0]))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(cells[order], axis=0) != 0).any(axis=1)
    return np.sort(order[new])


def _beneath(places: np.ndarray, chosen: list[int]) -> list[int]:
    """The pictures in the cells of those that are chosen: a box is meant for all of them, shown or not."""
    cells = _cells(places) @ np.array([1.0, 2.0 * COLUMNS * LINES])
    return np.flatnonzero(np.isin(cells, cells[chosen])).tolist()


def _images(dataset: Dataset, found: Map, groups: Groups, shown_at: np.ndarray) -> list[dict[str, Any]]:
    """Plotly's layout images: each picture of `shown_at` in the middle of its cell."""
    pixels = _pixels(dataset.content_hash, found.rows[shown_at].tobytes(), found.rows[shown_at], dataset)
    return [
        {
            "source": _framed(picture, groups.colours[groups.of[place]]),
            "x": float(x),
            "y": float(y),
            "sizex": 0.96 / (COLUMNS - 1),
            "sizey": 0.96 / (LINES - 1),
            "xref": "x",
            "yref": "y",
            "xanchor": "center",
            "yanchor": "middle",
            "layer": "below",
        }
        for picture, place, (x, y) in zip(pixels, shown_at, _cells(found.places[shown_at]), strict=True)
    ]


def _framed(pixels: np.ndarray, colour: str) -> str:
    """uint8 (3, S, S) with an edge of the colour, as an address that holds the picture itself."""
    inner = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    picture = Image.new("RGB", (inner.width + 2 * EDGE, inner.height + 2 * EDGE), colour)
    picture.paste(inner, (EDGE, EDGE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _groups(dataset: Dataset, data: DataConfig, found: Map, colour: str, answers: np.ndarray | None) -> Groups:
    labels = dataset.labels[found.rows]
    if colour == "Right or wrong" and answers is not None:
        given = answers[found.rows]
        of = np.where(given < 0, 2, np.where(given == labels, 0, 1))
        return Groups(of, ("Right", "Wrong", "Not asked"), (RIGHT, WRONG, CALM))
    if colour == "Part":
        part_of = np.full(dataset.used, len(PARTS))
        for number, rows in enumerate(parts_of(dataset, data).values()):
            part_of[rows] = number
        names = (*(PART_NAMES[part] for part in PARTS), "Left out")
        return Groups(part_of[found.rows], names, (*(PART_COLOURS[part] for part in PARTS), CALM))
    return Groups(labels, dataset.classes, tuple(class_colour(index) for index in range(len(dataset.classes))))


@st.cache_data(max_entries=20, show_spinner=False)
def _read(folder: str, content_hash: str, stamp: int, of: str, _dataset: Dataset) -> Map | None:
    return read_map(_dataset, of)


@st.cache_data(max_entries=20, show_spinner=False)
def _answers(run_id: str, updated: str, content_hash: str, _run: Run, _dataset: Dataset) -> np.ndarray | None:
    return answers_on(_dataset, _run)


@st.cache_data(max_entries=8, show_spinner=False)
def _pixels(content_hash: str, key: bytes, _rows: np.ndarray, _dataset: Dataset) -> np.ndarray:
    """uint8 (n, 3, 32, 32) of rows of the dataset; grey where the store lacks one."""
    images, kept = open_images(_dataset, Preprocess())
    at = np.searchsorted(kept, _rows).clip(0, len(kept) - 1)
    pixels = images[at]
    pixels[kept[at] != _rows] = 127
    return pixels
