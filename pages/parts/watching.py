"""What a network answers for a few pictures while it learns, and its first layer's filters as they form."""

import base64
import html
import io

import numpy as np
import streamlit as st
from PIL import Image

from core.data.dataset import Dataset
from core.runs.run import Run
from core.watch import Watch
from pages.parts.answers import pictures_of
from pages.parts.cached import thumbnail
from pages.parts.escape import plotted, shown
from pages.parts.palette import CALM, class_colour

BARS = 3  # classes under a picture
TILE = 120  # pixels: side of a picture in the sheet of all of them
RIGHT, WRONG = "#00704f", "#b03a00"  # green and vermilion, dark enough for white letters
PARTS = {"val": "validation pictures", "test": "test pictures"}
_CUT = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
SMALL = "font-size:0.875rem;opacity:0.65"


def draw_sheet(run: Run) -> None:
    """The watched pictures, once: what is drawn every second then only says which of them, and sends no picture."""
    watch, dataset = run.watch(), pictures_of(run)
    if watch is None or dataset is None or not len(watch.indices):
        return
    sheet = base64.b64encode(_sheet(dataset.content_hash, tuple(watch.indices.tolist()), dataset)).decode()
    st.html(f"<style>.{_sheet_name(run)} {{ background-image: url(data:image/jpeg;base64,{sheet}); }}</style>")


def draw_watched(run: Run, watch: Watch) -> None:
    """A card a picture: what it is, what the network says of it now, and how sure it is."""
    if not len(watch.indices) or watch.probabilities.shape[1] != len(run.classes):
        return
    right = int((watch.predictions == watch.labels).sum())
    sheet = _sheet_name(run) if pictures_of(run) else ""
    cards = [card(watch, place, run.classes, sheet) for place in range(len(watch.labels))]
    told = f"The same {PARTS[watch.part]} all the time, spread over the classes. It never learns from them."
    if watch.part == "test":
        told += " There is no validation part; do not choose settings by these."
    with st.container(border=True, key="watched"):
        st.html(
            f"<b>What it answers now</b> · {right} of {len(watch.labels)} right · epoch {watch.epoch}"
            '<div style="display:grid;grid-template-columns:repeat(auto-fill,minmax(92px,1fr));gap:14px;'
            f'margin:0.8rem 0">{"".join(cards)}</div><div style="{SMALL}">{told}</div>'
        )


def card(watch: Watch, place: int, classes: tuple[str, ...], sheet: str = "") -> str:
    """HTML: the picture, what it is, right or wrong as a sign and a word, then the most likely classes with bars, the
    true one in bold."""
    shares, label, last = watch.probabilities[place], int(watch.labels[place]), max(len(watch.labels) - 1, 1)
    verdict, colour = ("✓ right", RIGHT) if int(watch.predictions[place]) == label else ("✗ wrong", WRONG)
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
    lines += [_bar(classes[i], float(shares[i]), class_colour(i), i == label) for i in most_likely(shares)]
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


def most_likely(shares: np.ndarray, most: int = BARS) -> list[int]:
    """Classes to show: all in their order where there are few, so that bars grow in their place; else the best."""
    if len(shares) <= most:
        return list(range(len(shares)))
    return [int(i) for i in np.argsort(-shares, kind="stable")[:most]]


def _bar(name: str, share: float, colour: str, is_true: bool) -> str:
    """A name and its percentage, written over the bar: a card is narrow."""
    told = "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
    filled = f"linear-gradient(to right,{colour}73 {100 * share:.1f}%,rgba(128,128,128,0.13) {100 * share:.1f}%)"
    return (
        f'<div title="{_title(name)}: {told}" style="display:flex;gap:0.3em;margin-bottom:2px;padding:0 0.35em;'
        f'border-radius:0.3em;background:{filled}">'
        f'<span style="flex:1;min-width:0;{_CUT};font-weight:{600 if is_true else 400}">{plotted(name, 24)}</span>'
        f'<span style="white-space:nowrap;font-variant-numeric:tabular-nums">{told.replace("<", "&lt;")}</span></div>'
    )


def _title(name: str) -> str:
    return html.escape(shown(name, 200))


def draw_filters(watch: Watch) -> None:
    """The weights of the first convolution as small pictures, each beside what it began as."""
    if not len(watch.filters):
        return
    with st.container(border=True, key="first-layer"):
        head, told = filters_in_words(watch.filters)
        st.html(
            f"{head}: above at the start, below now{filters_html(watch)}"
            f'<div style="{SMALL}">{told} {formed_in_words(watch)}</div>'
        )


def filters_in_words(filters: np.ndarray) -> tuple[str, str]:
    """HTML: how many they are and how large, and what their greys and colours mean; float (filters, C, h, w)."""
    count, channels, height, width = filters.shape
    many = f"{count} filters" if count > 1 else "One filter"
    colours = "red, green and blue" if channels == 3 else f"{channels} channel{'s' * (channels > 1)}, as grey"
    return (
        f"<b>First layer</b> · {many} of {height} × {width} pixels",
        f"The weights for {colours}: grey is zero, brighter adds, darker takes away.",
    )


def filters_html(watch: Watch) -> str:
    """Pairs of tiny pictures, enlarged by the browser without smoothing; one scale for all, so that they compare."""
    top = max(float(np.abs(watch.filters).max()), float(np.abs(watch.first_filters).max()), 1e-12)
    side = 40 if len(watch.filters) <= 16 else 22
    pairs = []
    for number, (first, now) in enumerate(zip(watch.first_filters, watch.filters, strict=True), 1):
        pairs.append(
            '<span style="display:inline-flex;flex-direction:column;gap:4px">'
            f"{tile(first, top, side // 2, f'Filter {number} at the start')}"
            f"{tile(now, top, side, f'Filter {number} now')}</span>"
        )
    return f'<div style="display:flex;flex-wrap:wrap;gap:10px;margin:0.6rem 0">{"".join(pairs)}</div>'


def formed_in_words(watch: Watch) -> str:
    """How far the filters have come from where they began."""
    moved = np.sqrt(((watch.filters - watch.first_filters) ** 2).sum(axis=(1, 2, 3)))
    began = np.sqrt((watch.first_filters**2).sum(axis=(1, 2, 3)))
    whole = float(np.sqrt((moved**2).sum()) / max(float(np.sqrt((began**2).sum())), 1e-12))
    if whole < 0.02:
        return "They are still the random numbers that it began with."
    most = int((moved / np.maximum(began, 1e-12)).argmax()) + 1
    of = f"; number {most} most of all" if len(moved) > 1 else ""
    return f"Random at first, they have changed by {100 * whole:.0f} %{of}."


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
