"""The frame that every page stands in: its title, the row of links, what is running, and the error boundary."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st
from streamlit.errors import FragmentHandledException

from core.disk import disk_trouble
from core.documents import damage_warning
from core.errors import UserMistake
from core.incidents import report_incident
from core.runs.queue import heartbeat, seconds_since_heartbeat
from core.runs.state import RunState
from core.settings import atelier_home
from pages.parts.shell.cache import damage, live_imports, live_runs, prepare_server, storage_warning
from pages.parts.shell.escape import escape
from pages.parts.shell.session import form_token, note_page
from pages.parts.shell.sign_in import admit, draw_person
from pages.parts.shell.theme import BLOCK, CALM

# a local file: a Material icon as page icon makes the browser ask fonts.gstatic.com for it
ICON = Path(__file__).resolve().parents[3] / "assets" / "icon.png"
CONTENT = "page-content"  # the id of the place behind the links
HEARTBEAT_SECONDS = 5.0  # the supervisor waits for minutes; one heartbeat in a few seconds is plenty
STYLE = (
    "<style>"
    # Streamlit darkens the label of a menu that is open, and on dark ground it can then not be read
    "button[kind='tertiary'][aria-expanded='true'] { color: inherit; }"
    # the box to type a number in stays beside its slider, however narrow the form is
    "[class*='st-key-number-'] { flex-wrap: nowrap; } [class*='st-key-number-'] > div { min-width: 0 !important; }"
    # the row of links stands in Streamlit's own header, which is empty but for a menu at its right
    "[data-testid='stMainBlockContainer'] { padding-top: 1rem; }"
    "[data-testid='stHeader'], [data-testid='stHeader'] * { pointer-events: none; background: none; }"
    "[data-testid='stHeader'] :is(button, a), [data-testid='stHeader'] :is(button, a) * { pointer-events: auto; }"
    ".st-key-links { padding-right: 2.5rem; }"
    ".skip { position: absolute; left: -9999px; } .skip:focus { left: 0; z-index: 9; background: white; "
    "color: #1d4ed8; }"
    "h1 { padding: 0.5rem 0 0.25rem 0 !important; }"
    # at least 4.5 to 1 on the page's ground: Streamlit writes captions with six tenths, and white on a light blue
    "[data-testid='stCaptionContainer'] { opacity: 0.78; }"
    "button[kind='primary'], button[kind='primaryFormSubmit'] { background-color: #1d4ed8; border-color: #1d4ed8; }"
    # an accuracy as the largest thing on a page, and its interval on a line from 0 to 100 %
    ".hero { font-size: 3.4rem; font-weight: 700; line-height: 1; white-space: nowrap; }"
    f".interval {{ position: relative; height: 14px; border-radius: 7px; background: {CALM}40; margin: 4px 0; }}"
    ".interval i { position: absolute; top: 0; height: 14px; }"
    f".interval .band {{ background: {BLOCK}; opacity: 0.55; border-radius: 7px; }}"
    f".interval .value {{ width: 4px; margin-left: -2px; background: {BLOCK}; border-radius: 2px; }}"
    f".interval .chance {{ width: 2px; margin-left: -1px; top: -4px; height: 22px; background: {CALM}; }}"
    "</style>"
)
PAGES = (
    ("streamlit_app.py", "Home", ":material/home:"),
    ("pages/data.py", "Data", ":material/photo_library:"),
    ("pages/architecture.py", "Architecture", ":material/account_tree:"),
    ("pages/train.py", "Train", ":material/model_training:"),
    ("pages/results.py", "Results", ":material/insights:"),
    ("pages/try_it.py", "Try-It", ":material/image_search:"),
)


@contextmanager
def frame(title: str, intro: str = "", heading: bool = True) -> Iterator[None]:
    """Set the page up and draw what all pages share; the body of the `with` is the page.

    `intro` is one line of plain text under the heading. A UserMistake in the body becomes a box with its
    sentence; any other exception becomes an incident number, with the traceback in the log.
    """
    st.set_page_config(page_title=f"{title} · Atelier", page_icon=str(ICON), layout="wide")
    with boundary():
        prepare_server()
    admit()
    with boundary():
        if seconds_since_heartbeat() > HEARTBEAT_SECONDS:
            heartbeat()  # while a page is open the supervisor stays ready, with torch in memory
        note_page(title)
        st.html(STYLE)
        st.html(f'<a class="skip" href="#{CONTENT}">Skip the links</a>')  # Streamlit's own link leads to before them
        _draw_links(title)
        st.html(f'<div id="{CONTENT}" tabindex="-1"></div>')
        if warning := storage_warning():
            st.warning(warning, icon=":material/hard_drive:")
        if warning := damage_warning(damage()):
            st.warning(escape(warning, 900), icon=":material/broken_image:")
    if heading:
        st.title(title, anchor=False)
        if intro:
            st.caption(intro)
    with boundary():
        yield


@contextmanager
def boundary() -> Iterator[None]:
    """Show a UserMistake as its sentence and anything else as an incident number.

    Also a decorator, for fragments, whose later reruns happen outside of the page's frame:

        @st.fragment(run_every=1)
        @boundary()
        def panel(): ...
    """
    try:
        yield
    except UserMistake as mistake:
        st.warning(escape(mistake, 600), icon=":material/info:")
    except FragmentHandledException:
        raise  # Streamlit has dealt with it already
    except Exception as error:
        if refusal := _disk_mistake(error):
            st.warning(escape(refusal, 600), icon=":material/hard_drive:")
            return
        number = report_incident(error)
        st.error(
            f"Something went wrong. Your data is unchanged. The details are in the log under incident **{number}**.",
            icon=":material/error:",
        )


def _disk_mistake(error: Exception) -> UserMistake | None:
    """The sentence for a full or read-only disk under our own folder; None for whatever else it is."""
    home = atelier_home()
    if not isinstance(error, OSError) or not Path(str(error.filename or home)).is_relative_to(home):
        return None
    return disk_trouble(error, home, "What was saved before is kept. Free some space and try again.")


def _draw_links(title: str) -> None:
    busy = bool(live_runs() or live_imports())
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="links"):
        for path, label, icon in PAGES:
            # its form's token is in the link: written by the page, it would be one more step for the browser's Back
            query = {"form": form_token()} if label == "Train" else None
            st.page_link(path, label=label, icon=icon, width="content", query_params=query)
        draw_person()
        # while nothing runs the fragment has no interval, so an idle page sends nothing
        st.fragment(_running_on(title), run_every=2 if busy else None)()


def _running_on(title: str) -> Callable[[], None]:
    """What runs, to be drawn on one page.

    Streamlit knows a fragment by the name of its function and its place: of a fragment that pages have in
    common, a late tick would bring back the page that was left (see navigation.py).
    """

    def draw() -> None:
        _draw_running()

    draw.__qualname__ = f"running on {title}"
    return draw


@boundary()
def _draw_running() -> None:
    runs, imports = live_runs(seconds=1.0), live_imports()
    with st.container(horizontal=True, horizontal_alignment="right", gap="xsmall"):
        for job in imports[:1]:
            label = f"Adding{_percent(job.share)} · {escape(job.name, 24)}"  # where there is no room, the name is cut
            st.page_link("pages/data.py", label=label, icon="spinner")
        for run in runs[:1]:
            label = f"Training{_percent(_share(run.state))} · {escape(run.config.data.dataset, 24)}"
            others = f" (+{len(runs) - 1})" if len(runs) > 1 else ""
            st.page_link("pages/train.py", label=label + others, icon="spinner")


def _share(state: RunState) -> float | None:
    return state.step / state.steps if state.steps else None


def _percent(share: float | None) -> str:
    return "" if share is None else f" {min(share, 1.0):.0%}"
