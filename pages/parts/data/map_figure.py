"""The figure of the embedding map: a point a picture, or of each cell one picture in a coloured frame."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from PIL import Image

from core.data.datasets.dataset import Dataset
from core.data.pictures.preprocess import Preprocess
from core.data.quality.embedding_map import EmbeddingMap
from core.data.store.store import open_images
from pages.parts.shell.escape import plotted
from pages.parts.shell.theme import ACCENT

COLUMNS, LINES = 22, 15  # cells of the map that show a picture, at most one each
EDGE = 3  # pixels of colour around a picture
HEIGHT = 540
LEGEND = 12  # with more colours there is no legend; the pointer shows the name


@dataclass(frozen=True)
class MapColours:
    """What the colours of the map stand for, e.g. the classes."""

    of: np.ndarray  # int64 (n,): of each picture of the map its place in names
    names: tuple[str, ...]
    colours: tuple[str, ...]


def map_figure(dataset: Dataset, found: EmbeddingMap, colours: MapColours, shown_at: np.ndarray | None) -> go.Figure:
    """Points in their colours or, where `shown_at` has places of the map, the pictures there with frames."""
    figure = go.Figure()
    for number in range(len(colours.names)):
        members = np.flatnonzero(colours.of == number)
        if len(members):
            _add_colour(figure, dataset, found, colours, number, members, shown_at)
    if shown_at is not None:
        figure.update_layout(images=_images(dataset, found, colours, shown_at))
    figure.update_xaxes(visible=False, fixedrange=True, range=[-0.5 / COLUMNS, 1 + 0.5 / COLUMNS])
    figure.update_yaxes(visible=False, fixedrange=True, range=[-0.5 / LINES, 1 + 0.5 / LINES])
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        hovermode="closest",
        showlegend=1 < len(colours.names) <= LEGEND,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "itemclick": False},
    )
    return figure


def _add_colour(
    figure: go.Figure,
    dataset: Dataset,
    found: EmbeddingMap,
    colours: MapColours,
    number: int,
    members: np.ndarray,
    shown_at: np.ndarray | None,
) -> None:
    """The points of one colour. The legend has points of its own: under pictures these cannot be seen."""
    colour, pictures = colours.colours[number], shown_at is not None
    mark = {"symbol": "square", "size": 12, "color": colour}
    figure.add_scatter(x=[None], y=[None], mode="markers", name=plotted(colours.names[number]), marker=mark)
    if shown_at is not None:
        members = members[np.isin(members, shown_at)]
    x, y = (cells(found.places[members]) if pictures else found.places[members]).T
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        showlegend=False,
        marker=_marker(colour, pictures),
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0 if pictures else 0.2}},
        customdata=[_point(dataset, found, int(place)) for place in members],
        hovertemplate="%{customdata[2]}<br>%{customdata[1]}<extra></extra>",
    )


def _point(dataset: Dataset, found: EmbeddingMap, place: int) -> list[Any]:
    """What a point carries: its place in the map, the file's name, the class."""
    row = int(found.rows[place])
    name, label = dataset.names[row].rsplit("/", 1)[-1], dataset.classes[dataset.labels[row]]
    return [place, plotted(name, 60), plotted(label)]


def _marker(colour: str, pictures: bool) -> dict[str, Any]:
    """A point; where the picture itself is drawn, only the frame of one that is chosen."""
    if pictures:
        return {"symbol": "square-open", "size": 32, "color": ACCENT, "line": {"width": 4}, "opacity": 0}
    return {"size": 7, "color": colour, "opacity": 0.8}


def cells(places: np.ndarray) -> np.ndarray:
    """float (n, 2): the middles of the cells that the places lie in, 0..1 as they are."""
    last = np.array([COLUMNS - 1, LINES - 1])
    return np.round(places * last) / last


def thinned(places: np.ndarray) -> np.ndarray:
    """int64, sorted: of each cell with places in it the one nearest its middle."""
    middles = cells(places)
    away = ((places - middles) ** 2).sum(axis=1)
    order = np.lexsort((away, middles[:, 1], middles[:, 0]))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(middles[order], axis=0) != 0).any(axis=1)
    return np.sort(order[new])


def in_cells_of(places: np.ndarray, chosen: list[int]) -> list[int]:
    """The pictures in the cells of those that are chosen: a box is meant for all of them, shown or not."""
    keys = cells(places) @ np.array([1.0, 2.0 * COLUMNS * LINES])  # one number a cell
    return [int(place) for place in np.flatnonzero(np.isin(keys, keys[chosen]))]


def _images(dataset: Dataset, found: EmbeddingMap, colours: MapColours, shown_at: np.ndarray) -> list[dict[str, Any]]:
    """Plotly's layout images: each picture of `shown_at` in the middle of its cell."""
    pixels = _pixels(dataset.content_hash, found.rows[shown_at].tobytes(), found.rows[shown_at], dataset)
    return [
        {
            "source": _framed(picture, colours.colours[colours.of[place]]),
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
        for picture, place, (x, y) in zip(pixels, shown_at, cells(found.places[shown_at]), strict=True)
    ]


def _framed(pixels: np.ndarray, colour: str) -> str:
    """uint8 (3, S, S) with an edge of the colour, as an address that holds the picture itself."""
    inner = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    picture = Image.new("RGB", (inner.width + 2 * EDGE, inner.height + 2 * EDGE), colour)
    picture.paste(inner, (EDGE, EDGE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@st.cache_data(max_entries=8, show_spinner=False)
def _pixels(content_hash: str, key: bytes, _rows: np.ndarray, _dataset: Dataset) -> np.ndarray:
    """uint8 (n, 3, 32, 32) of rows of the dataset; grey where the store lacks one."""
    images, kept = open_images(_dataset, Preprocess())
    at = np.searchsorted(kept, _rows).clip(0, len(kept) - 1)
    pixels: np.ndarray = images[at]
    pixels[kept[at] != _rows] = 127
    return pixels
