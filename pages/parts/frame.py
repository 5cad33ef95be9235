"""The frame that every page stands in: its title, the row of links, what is running, and the error boundary."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st
from streamlit.errors import FragmentHandledException

from core.disk import disk_trouble
from core.errors import UserMistake
from core.incidents import report_incident
from core.runs.queue import heartbeat, seconds_since_heartbeat
from core.settings import atelier_home
from pages.parts.cached import live_imports, live_runs, prepare_server, trouble_at_home
from pages.parts.escape import escape

# a local file: a Material icon as page icon makes the browser ask fonts.gstatic.com for it
ICON = Path(__file__).resolve().parent.parent.parent / "assets" / "icon.png"
HEARTBEAT_SECONDS = 5.0  # the supervisor waits for minutes; one sign of life in a few seconds is plenty
STYLE = (
    "<style>"
    # Streamlit darkens the label of a menu that is open, and on dark ground it can then not be read
    "button[kind='tertiary'][aria-expanded='true'] { color: inherit; }"
    # the box to type a number in stays beside its slider, however narrow the form is
    "[class*='st-key-number-'] { flex-wrap: nowrap; } [class*='st-key-number-'] > div { min-width: 0 !important; }"
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
        if seconds_since_heartbeat() > HEARTBEAT_SECONDS:
            heartbeat()  # somebody looks: whoever trains stays ready, with torch in memory
        st.html(STYLE)
        _draw_links()
        if told := trouble_at_home():
            st.warning(told, icon=":material/hard_drive:")
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
        if trouble := _trouble_of_the_disk(error):
            st.warning(escape(trouble, 600), icon=":material/hard_drive:")
            return
        number = report_incident(error)
        st.error(
            f"Something went wrong. Your data is unchanged. The details are in the log under incident **{number}**.",
            icon=":material/error:",
        )


def _trouble_of_the_disk(error: Exception) -> UserMistake | None:
    """The sentence for a full or read-only disk under our own folder; None for whatever else it is."""
    home = atelier_home()
    if not isinstance(error, OSError) or not Path(str(error.filename or home)).is_relative_to(home):
        return None
    return disk_trouble(error, home, "What was saved before is kept. Free some space and try again.")


def _draw_links() -> None:
    busy = bool(live_runs() or live_imports())
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="links"):
        for path, label, icon in PAGES:
            st.page_link(path, label=label, icon=icon, width="content")
        # the clock stands still while nothing runs, so an idle page sends nothing
        st.fragment(_draw_running, run_every=2 if busy else None)()


@boundary()
def _draw_running() -> None:
    runs, imports = live_runs(seconds=1.0), live_imports()
    with st.container(horizontal=True, horizontal_alignment="right", gap="xsmall"):
        for job in imports[:1]:
            label = f"Adding{_percent(job.share)} · {escape(job.name, 24)}"  # where there is no room, the name is cut
            st.page_link("pages/data.py", label=label, icon="spinner")
        for run in runs[:1]:
            told = f"Training{_percent(_share(run.state))} · {escape(run.config.data.dataset, 24)}"
            others = f" (+{len(runs) - 1})" if len(runs) > 1 else ""
            st.page_link("pages/train.py", label=told + others, icon="spinner")


def _share(state: object) -> float | None:
    steps, step = getattr(state, "steps", 0), getattr(state, "step", 0)
    return step / steps if steps else None


def _percent(share: float | None) -> str:
    return "" if share is None else f" {min(share, 1.0):.0%}"
