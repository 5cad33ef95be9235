"""What a network predicts for a few pictures while it trains, and its first layer's filters as they change."""

import base64
import html
import io

import numpy as np
import streamlit as st
from PIL import Image

from core.data.datasets.dataset import Dataset
from core.fields import RESIDUAL_NETWORKS
from core.runs.run import Run
from core.snapshot import Snapshot
from pages.parts.shell.cache import thumbnail
from pages.parts.shell.escape import plotted, shown
from pages.parts.shell.theme import CALM, class_colour
from pages.parts.widgets.prediction_grid import pictures_of

WHITENING = (
    "They are the main directions of small patches of the training pictures, scaled to the same variance (whitening): "
    "set before the first step, and not trained."
)
PRETRAINED = "They come from the pretrained backbone and have not changed."
BARS = 3  # classes under a picture
TILE = 120  # pixels: side of a picture in the sheet of all of them
RIGHT, WRONG = "#00704f", "#b03a00"  # green and vermilion, dark enough for white letters
PARTS = {"val": "validation pictures", "test": "test pictures"}
_CUT = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
SMALL = "font-size:0.875rem;opacity:0.75"


def draw_sheet(run: Run) -> None:
    """The pictures of the snapshot side by side, sent once: the cards, drawn every second, only refer to them."""
    snapshot, dataset = run.snapshot(), pictures_of(run)
    if snapshot is None or dataset is None or not len(snapshot.indices):
        return
    sheet = base64.b64encode(_sheet(dataset.content_hash, tuple(snapshot.indices.tolist()), dataset)).decode()
    st.html(f"<style>.{_sheet_name(run)} {{ background-image: url(data:image/jpeg;base64,{sheet}); }}</style>")


def draw_snapshots(run: Run, snapshot: Snapshot) -> None:
    """A card a picture: its true class, and the most likely classes with their probabilities."""
    if not len(snapshot.indices) or snapshot.probabilities.shape[1] != len(run.classes):
        return
    right = int((snapshot.predictions == snapshot.labels).sum())
    sheet = _sheet_name(run) if pictures_of(run) else ""
    cards = [card(snapshot, place, run.classes, sheet) for place in range(len(snapshot.labels))]
    text = f"The same {PARTS[snapshot.part]} all the time, spread over the classes. It is not trained on them."
    if snapshot.part == "test":
        text += " There is no validation part; do not choose settings by these."
    with st.container(border=True, key="snapshot"):
        st.html(
            f"<b>Predictions</b> · {right} of {len(snapshot.labels)} right · epoch {snapshot.epoch}"
            '<div style="display:grid;grid-template-columns:repeat(auto-fill,minmax(92px,1fr));gap:14px;'
            f'margin:0.8rem 0">{"".join(cards)}</div><div style="{SMALL}">{text}</div>'
        )


def card(snapshot: Snapshot, place: int, classes: tuple[str, ...], sheet: str = "") -> str:
    """HTML: the picture, what it is, right or wrong as a sign and a word, then the most likely classes with bars, the
    true one in bold."""
    probabilities, label = snapshot.probabilities[place], int(snapshot.labels[place])
    last = max(len(snapshot.labels) - 1, 1)
    verdict, colour = ("✓ right", RIGHT) if int(snapshot.predictions[place]) == label else ("✗ wrong", WRONG)
    name = classes[label]
    chip = (
        f'<span style="background:{colour};color:#fff;border-radius:0.35rem;padding:0 0.4em;white-space:nowrap;'
        f'font-size:0.72rem">{verdict}</span>'
    )
    picture = (
        f'<div class="{sheet}" role="img" aria-label="A picture of {_title(name)}" style="aspect-ratio:1;'
        "border-radius:0.4rem;display:flex;align-items:flex-end;justify-content:flex-end;padding:0.25rem;"
        f"box-sizing:border-box;background-size:{100 * (last + 1)}% 100%;background-position:"
        f'{100 * place / last:.3f}% 0;margin-bottom:0.2rem">{chip}</div>'
    )
    lines = [
        '<div style="font-size:0.78rem;line-height:1.35;min-width:0">',
        picture if sheet else chip,
        f'<div style="font-weight:600;margin-bottom:0.15em;{_CUT}" title="{_title(name)}">{plotted(name, 40)}</div>',
    ]
    for i in most_likely(probabilities):
        lines.append(_bar(classes[i], float(probabilities[i]), class_colour(i), i == label))
    return "".join([*lines, "</div>"])


def _sheet_name(run: Run) -> str:
    return f"sheet-{run.id}"


@st.cache_data(max_entries=50, show_spinner=False)
def _sheet(content_hash: str, indices: tuple[int, ...], _dataset: Dataset) -> bytes:
    """The pictures side by side in one row: JPEG."""
    sheet = Image.new("RGB", (TILE * len(indices), TILE))
    for place, index in enumerate(indices):
        tile = Image.open(io.BytesIO(thumbnail(_dataset, index, TILE))).convert("RGB").resize((TILE, TILE))
        sheet.paste(tile, (place * TILE, 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def most_likely(probabilities: np.ndarray, most: int = BARS) -> list[int]:
    """Classes to show: all in their order where there are few, so that bars grow in their place; else the best."""
    if len(probabilities) <= most:
        return list(range(len(probabilities)))
    return [int(i) for i in np.argsort(-probabilities, kind="stable")[:most]]


def _bar(name: str, share: float, colour: str, is_true: bool) -> str:
    """A name and its percentage, written over the bar: a card is narrow."""
    value = "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
    filled = f"linear-gradient(to right,{colour}73 {100 * share:.1f}%,rgba(128,128,128,0.13) {100 * share:.1f}%)"
    return (
        f'<div title="{_title(name)}: {value}" style="display:flex;gap:0.3em;margin-bottom:2px;padding:0 0.35em;'
        f'border-radius:0.3em;background:{filled}">'
        f'<span style="flex:1;min-width:0;{_CUT};font-weight:{600 if is_true else 400}">{plotted(name, 24)}</span>'
        f'<span style="white-space:nowrap;font-variant-numeric:tabular-nums">{value.replace("<", "&lt;")}</span></div>'
    )


def _title(name: str) -> str:
    return html.escape(shown(name, 200))


def draw_filters(snapshot: Snapshot, network: str) -> None:
    """The weights of the first convolution as small pictures, each below its first values, if it learns; network: its
    name in ModelConfig."""
    if not len(snapshot.filters):
        return
    with st.container(border=True, key="first-layer"):
        head, legend = filters_in_words(snapshot.filters, snapshot.all_filters)
        if network in RESIDUAL_NETWORKS:
            drawn, change = filters_html(snapshot.filters), WHITENING
        else:
            head += ": above at the start, below now"
            drawn = filters_html(snapshot.filters, snapshot.first_filters)
            change = describe_change(snapshot, network in ("pretrained", "transfer"))
        st.html(f'{head}{drawn}<div style="{SMALL}">{legend} {change}</div>')


def filters_in_words(filters: np.ndarray, of: int = 0) -> tuple[str, str]:
    """HTML: how many they are (`of` so many in the layer), how large, what greys mean; filters: float (n, C, h, w)."""
    count, channels, height, width = filters.shape
    many = f"{count} filters" if count > 1 else "One filter"
    many = f"{count} of {of} filters" if of > count else many
    colours = "red, green and blue" if channels == 3 else f"{channels} channel{'s' * (channels > 1)}, as grey"
    return (
        f"<b>First layer</b> · {many} of {height} × {width} pixels",
        f"The weights for {colours}: grey is zero, brighter adds, darker takes away.",
    )


def filters_html(filters: np.ndarray, first: np.ndarray | None = None) -> str:
    """Tiny pictures, below their first values where those are given; enlarged by the browser without smoothing; one
    scale for all, so that they compare. filters, first: float (n, C, h, w)."""
    both = filters if first is None else np.concatenate([filters, first])
    top, side = max(float(np.abs(both).max()), 1e-12), 40 if len(filters) <= 16 else 22
    pairs = []
    for number, now in enumerate(filters, 1):
        before = "" if first is None else tile(first[number - 1], top, side // 2, f"Filter {number} at the start")
        pairs.append(
            '<span style="display:inline-flex;flex-direction:column;gap:4px">'
            f"{before}{tile(now, top, side, f'Filter {number} now')}</span>"
        )
    return f'<div style="display:flex;flex-wrap:wrap;gap:10px;margin:0.6rem 0">{"".join(pairs)}</div>'


def describe_change(snapshot: Snapshot, is_pretrained: bool = False) -> str:
    """How much the filters have changed since the first step, in per cent of their norm."""
    moved = np.sqrt(((snapshot.filters - snapshot.first_filters) ** 2).sum(axis=(1, 2, 3)))
    began = np.sqrt((snapshot.first_filters**2).sum(axis=(1, 2, 3)))
    change = float(np.sqrt((moved**2).sum()) / max(float(np.sqrt((began**2).sum())), 1e-12))
    if is_pretrained:
        return f"Pretrained, they have changed by {100 * change:.0f} %." if change >= 0.005 else PRETRAINED
    if change < 0.02:
        return "They are still nearly the random numbers of their initialisation."
    most = int((moved / np.maximum(began, 1e-12)).argmax()) + 1
    of = f"; number {most} most of all" if len(moved) > 1 else ""
    return f"Random at first, they have changed by {100 * change:.0f} %{of}."


def tile(weights: np.ndarray, top: float, side: int, alt: str) -> str:
    content = base64.b64encode(png_of(weights, top)).decode()
    return (
        f'<img src="data:image/png;base64,{content}" alt="{alt}" title="{alt}" width="{side}" height="{side}" '
        f'decoding="sync" style="image-rendering:pixelated;border-radius:3px;outline:1px solid {CALM}55">'
    )


def png_of(weights: np.ndarray, top: float) -> bytes:
    """float (channels, height, width) as a PNG of width x height pixels: 0 is middle grey, +-top are the ends."""
    levels = np.clip(127.5 + 127.5 * weights / top, 0, 255).round().astype(np.uint8)
    if len(levels) != 3:  # not colours: their mean as grey
        levels = np.repeat(levels.mean(axis=0, keepdims=True).round().astype(np.uint8), 3, axis=0)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0))).save(buffer, "PNG")
    return buffer.getvalue()
