"""Sizes and colours: statistics of a dataset and, next to it, of another one."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.datasets.sizes import picture_sizes
from core.data.quality.statistics import DatasetStatistics, measure_statistics
from pages.parts.shell.cache import datasets, pixels_to_png, store
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.theme import BLOCK
from pages.parts.widgets.charts import PLOTLY_CONFIG

MOST_SIZES = 20_000  # headers that are read while somebody waits: two seconds of JPEG
ON_A_PAGE = 24  # classes
# width : height; the bounds between them lie halfway on a scale of ratios
SHAPES = {"1:2": 0.5, "2:3": 2 / 3, "3:4": 0.75, "1:1": 1.0, "4:3": 4 / 3, "3:2": 1.5, "2:1": 2.0}
_GRID = "rgba(128, 128, 128, 0.22)"  # seen on light and on dark


def draw_statistics(dataset: Dataset) -> None:
    """Sizes, mean pictures and channels of a dataset, and of the one to compare it with if one is chosen."""
    others = {other.name: other for other in datasets() if other.id != dataset.id}
    picked = None
    if others:
        picked = st.selectbox(
            "Compare with",
            [None, *others],
            format_func=lambda name: "No other dataset" if name is None else shown(name),
            key=f"compare_{dataset.id}",
            width=260,
        )
    compared = [dataset, *([others[picked]] if picked is not None else [])]
    with st.grid(len(compared), min_column_width=420, gap="medium"):
        for one in compared:
            with st.container():
                if len(compared) > 1:
                    st.markdown(f"**{escape(one.name)}**")
                _draw_sizes(one)
                _draw_means(one)


def _draw_sizes(dataset: Dataset) -> None:
    sizes = _sizes(dataset.content_hash, dataset)
    with st.container(border=True):
        st.markdown("**Sizes and shapes of the originals**")
        st.caption(_describe_sizes(sizes, dataset.used))
        if len(np.unique(sizes, axis=0)) == 1:
            return
        with st.grid(2, min_column_width=260, gap="small"):
            for kind, figure in (("sides", _sides_figure(sizes)), ("shapes", _shapes_figure(sizes))):
                alt = {"sides": "Pictures by their shorter side", "shapes": "Pictures by width to height"}[kind]
                st.plotly_chart(figure, config=PLOTLY_CONFIG, key=f"{kind}_{dataset.id}", alt=alt)


def _describe_sizes(sizes: np.ndarray, used: int) -> str:
    of = f" Measured on {len(sizes):,} evenly spaced ones of {used:,}." if len(sizes) < used else ""
    if len(np.unique(sizes, axis=0)) == 1:
        every = f"All of {len(sizes):,} evenly spaced originals" if of else "All originals"
        return f"{every} have {sizes[0, 0]:,} × {sizes[0, 1]:,} pixels."
    short, long = sizes.min(axis=1), sizes.max(axis=1)
    lost = 100 * (1 - np.mean(short / long))
    smallest, largest = sizes[np.argmin(short)], sizes[np.argmax(sizes.prod(axis=1, dtype=np.int64))]
    text = f"From {smallest[0]:,} × {smallest[1]:,} to {largest[0]:,} × {largest[1]:,} pixels. "
    text += f"Half have a shorter side of at most {int(np.median(short)):,}. "
    square = np.mean(short == long)
    text += f"{square:.0%} are square; cropping to the middle square cuts away {lost:.0f} % of a picture on average."
    return text + of


def _sides_figure(sizes: np.ndarray) -> go.Figure:
    counts, edges = np.histogram(sizes.min(axis=1), bins=24)
    figure = go.Figure()
    figure.add_bar(
        x=(edges[1:] + edges[:-1]) / 2,
        y=counts,
        width=np.diff(edges),
        marker_color=BLOCK,
        customdata=np.stack([np.ceil(edges[:-1]), np.floor(edges[1:])], axis=1).astype(int),
        hovertemplate="%{customdata[0]:,} to %{customdata[1]:,} pixels: %{y:,} pictures<extra></extra>",
    )
    return _laid_out(figure, "shorter side, pixels")


def _shapes_figure(sizes: np.ndarray) -> go.Figure:
    ratios = np.log(sizes[:, 0] / sizes[:, 1])
    centres = np.log(list(SHAPES.values()))
    which = np.searchsorted((centres[1:] + centres[:-1]) / 2, ratios)
    counts = np.bincount(which, minlength=len(SHAPES))
    names = [
        f"{name} or narrower" if name == "1:2" else f"{name} or wider" if name == "2:1" else name for name in SHAPES
    ]
    figure = go.Figure()
    figure.add_bar(
        x=list(range(len(SHAPES))),
        y=counts,
        marker_color=BLOCK,
        customdata=names,
        hovertemplate="about %{customdata}: %{y:,} pictures<extra></extra>",
    )
    figure.update_xaxes(tickvals=list(range(len(SHAPES))), ticktext=list(SHAPES))
    return _laid_out(figure, "width : height, about")


def _laid_out(figure: go.Figure, unit: str) -> go.Figure:
    figure.update_layout(height=220, margin={"l": 8, "r": 8, "t": 8, "b": 8}, showlegend=False, bargap=0.1)
    figure.update_xaxes(title=unit, fixedrange=True, automargin=True)
    figure.update_yaxes(title="pictures", fixedrange=True, gridcolor=_GRID, automargin=True)
    return figure


def _draw_means(dataset: Dataset) -> None:
    found = _statistics(dataset.content_hash, dataset.name)
    of = f" of {found.n:,} evenly spaced pictures" if found.n < dataset.used else ""
    with st.container(border=True):
        st.markdown("**Mean picture and mean colour of each class**")
        st.caption(
            f"All pictures of a class laid over each other at 32 pixels{of}. A shape that stands out is "
            "one that most have; classes with different colours may be told apart by colour alone."
        )
        pages, page = -(-len(dataset.classes) // ON_A_PAGE), 1
        grid = st.container()
        if pages > 1:
            page = st.pagination(pages, key=f"means_page_{dataset.id}")
        with grid, st.grid(10, min_column_width=88, gap="small"):
            for label in range(len(dataset.classes))[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]:
                _draw_mean(dataset, found, label)
    _draw_channels(found)


def _draw_channels(found: DatasetStatistics) -> None:
    with st.container(border=True):
        st.markdown("**Channels**")
        st.caption("From 0, dark, to 1. The network receives each number less 0.5, divided by 0.5.")
        table = pd.DataFrame(
            {
                "Channel": ["Red", "Green", "Blue"],
                "Mean": [f"{value:.3f}" for value in found.mean],
                "Standard deviation": [f"{value:.3f}" for value in found.std],
            }
        )
        st.dataframe(table, hide_index=True, width="content", alt="Mean and standard deviation of each channel")


def _draw_mean(dataset: Dataset, found: DatasetStatistics, label: int) -> None:
    name = dataset.classes[label]
    colour = np.round(255 * found.mean_colours[label]).astype(np.uint8)
    with st.container(gap="xxsmall"):
        st.image(
            pixels_to_png(np.round(255 * found.mean_pictures[label]).astype(np.uint8)),
            width="stretch",
            alt=f"Mean picture of {shown(name)}",
        )
        strip = np.repeat(colour, 16).reshape(3, 2, 8)
        st.image(pixels_to_png(strip), width="stretch", alt=f"Mean colour of {shown(name)}")
        st.caption(escape(name, 22), help=f"Mean colour: red {colour[0]}, green {colour[1]}, blue {colour[2]} of 255")


@st.cache_data(max_entries=20, show_spinner="Reading the sizes of the pictures …")
def _sizes(content_hash: str, _dataset: Dataset) -> np.ndarray:
    rows = None
    if _dataset.used > MOST_SIZES:
        rows = np.linspace(0, _dataset.used - 1, MOST_SIZES).astype(np.int64)
    return picture_sizes(_dataset, rows)


@st.cache_data(max_entries=20, show_spinner="Laying the pictures of each class over each other …")
def _statistics(content_hash: str, name: str) -> DatasetStatistics:
    opened = store(DataConfig(dataset=name))
    return measure_statistics(opened.images, opened.labels, len(opened.classes))
