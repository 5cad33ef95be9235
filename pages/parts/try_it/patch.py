"""A picture with a square over it that is dragged with the pointer, or moved with the arrow keys."""

import base64

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

HTML = '<div class="box" tabindex="0" role="application"><img alt=""><div class="patch"></div></div>'
CSS = """
.box { position: relative; touch-action: none; cursor: crosshair; line-height: 0;
  border-radius: 8px; overflow: hidden; }
.box img { width: 100%; pointer-events: none; user-select: none; }
.patch { position: absolute; transform: translate(-50%, -50%); box-sizing: border-box; border: 2px solid white;
  outline: 2px solid rgba(0, 0, 0, .6); pointer-events: none; }
"""
JS = """
const LEAST = 60;  // milliseconds between two places that are told
export default function ({ data, parentElement, setStateValue }) {
  const box = parentElement.querySelector('.box'), patch = box.querySelector('.patch');
  const image = box.querySelector('img');
  if (image.src !== data.picture) image.src = data.picture;
  box.setAttribute('aria-label', data.label);
  patch.style.background = data.colour;
  patch.style.display = data.size ? 'block' : 'none';
  patch.style.width = patch.style.height = `${100 * data.size}%`;
  const held = box.held ??= { at: data.at, down: false, told: 0, later: 0 };
  if (!held.down && Date.now() - held.told > 1000) held.at = data.at;
  const show = () => { patch.style.left = `${100 * held.at[0]}%`; patch.style.top = `${100 * held.at[1]}%`; };
  show();
  const tell = () => {
    clearTimeout(held.later);
    const wait = held.told + LEAST - Date.now();
    if (wait > 0) { held.later = setTimeout(tell, wait); return; }
    held.told = Date.now();
    setStateValue('at', held.at);
  };
  const move = (x, y) => {
    held.at = [x, y].map(value => Math.round(1000 * Math.min(1, Math.max(0, value))) / 1000);
    show();
    tell();
  };
  const follow = event => {
    const edges = box.getBoundingClientRect();
    move((event.clientX - edges.left) / edges.width, (event.clientY - edges.top) / edges.height);
  };
  box.onpointerdown = event => { held.down = true; box.setPointerCapture(event.pointerId); follow(event); };
  box.onpointermove = event => { if (held.down) follow(event); };
  box.onpointerup = box.onpointercancel = () => { held.down = false; };
  box.onkeydown = event => {
    const step = { ArrowLeft: [-.04, 0], ArrowRight: [.04, 0], ArrowUp: [0, -.04], ArrowDown: [0, .04] }[event.key];
    if (!step) return;
    event.preventDefault();
    move(held.at[0] + step[0], held.at[1] + step[1]);
  };
}
"""


def draw_patch(picture: bytes, size: float, colour: tuple[int, int, int], label: str, key: str) -> tuple[float, float]:
    """A JPEG, square, under a square of `size` (a share of its side, 0 for none); the middle of that square, 0..1 from
    the left and from the top."""
    place = st.session_state.get(key)
    before = _valid(place.get("at") if place else None)
    found = _component()(
        key=key,
        data={
            "picture": f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}",
            "size": size,
            "at": before,
            "colour": f"rgb{colour}",
            "label": label,
        },
        default={"at": list(before)},
        on_at_change=lambda: None,
    )
    return _valid(found.at)


@st.cache_resource(show_spinner=False)
def _component() -> ComponentRenderer:
    return st.components.v2.component("atelier_patch", html=HTML, css=CSS, js=JS)


def _valid(at: object) -> tuple[float, float]:
    """What the browser says, where it is two numbers 0..1; else the middle."""
    if isinstance(at, list | tuple) and len(at) == 2 and all(isinstance(one, int | float) for one in at):
        x, y = (min(1.0, max(0.0, float(one))) for one in at)
        return x, y
    return 0.5, 0.5
