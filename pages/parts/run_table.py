"""The runs so far: the picker that follows ?run=ID, and the table under it."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.runs.run import Run
from pages.parts.cached import LIVE_STATUSES, runs, score_of
from pages.parts.escape import shown
from pages.parts.live import STATUS
from pages.parts.words import span


def pick_run() -> str | None:
    """The run that the panel shows: the one in ?run=, else the one at work, else the newest; None without runs."""
    listed = runs()
    if not listed:
        return None
    picked = run_picker("Run", "run", listed, newest(listed))
    return picked.id if picked else None


def newest(listed: Sequence[Run]) -> Run:
    at_work = [run for run in listed if run.state.status in LIVE_STATUSES]
    return at_work[-1] if at_work else listed[0]


def run_picker(label: str, key: str, listed: Sequence[Run], usual: Run | None) -> Run | None:
    """A select box whose choice stands in the address as ?key=ID; a run that is gone falls back to `usual`.

    Streamlit's own binding would put the label into the address, with the dataset's name in it. So the address is
    read here: it wins when it is new (a link, the back button), else the choice is written into it.
    """
    known, labels = {run.id: run for run in listed}, run_labels(listed)
    asked = st.query_params.get(key)
    if asked in known and asked != st.session_state.get(f"{key}.address"):
        st.session_state[key] = asked
    if st.session_state.get(key) not in known:
        st.session_state[key] = usual.id if usual else None
    picked = st.selectbox(
        label,
        list(known),
        key=key,
        persist_state="session",
        format_func=lambda run_id: labels.get(run_id, run_id),
        placeholder="Pick a run",
        index=None if usual is None else 0,
    )
    if picked is not None and asked != picked:
        st.query_params[key] = picked
    st.session_state[f"{key}.address"] = picked
    return known.get(picked) if picked else None


def run_labels(listed: Sequence[Run]) -> dict[str, str]:
    """One label a run that never changes: a select box holds on to it, not to the id, and it reads no Markdown."""
    titles = Counter(run.title for run in listed)
    return {run.id: shown(run.title if titles[run.title] == 1 else f"{run.title} · {run.id}") for run in listed}


def draw_runs() -> None:
    """Every run in a table; a click on a row opens it above."""
    listed = runs()
    table = pd.DataFrame([describe(run) for run in listed])

    def open_clicked() -> None:
        rows = st.session_state["runs"].selection.rows
        if rows:
            st.session_state["run"] = listed[rows[0]].id

    st.dataframe(
        table,
        hide_index=True,
        key="runs",
        on_select=open_clicked,
        selection_mode="single-row",
        height="content" if len(listed) <= 8 else 320,
        placeholder="–",
        alt="Every run with its preset, pictures, state, test accuracy and seconds",
        column_config={
            "test accuracy": st.column_config.NumberColumn("Test accuracy", format="%.1f %%"),
            "of": st.column_config.NumberColumn("of test pictures", format="localized"),
            "seconds": st.column_config.NumberColumn("Seconds", format="%.0f"),
            "began": st.column_config.DatetimeColumn("Began", format="distance"),
        },
    )


def describe(run: Run) -> dict[str, object]:
    right, n = score_of(run)
    return {
        "Run": run.id[-4:],
        "Pictures": shown(run.config.data.dataset, 40),
        "Preset": shown(run.config.preset, 20),
        "State": STATUS[run.state.status][0],
        "Epochs": f"{run.state.epoch} of {run.config.train.epochs}",
        "test accuracy": 100 * right / n if n else None,
        "of": n or None,
        "seconds": run.state.seconds or None,
        "began": pd.Timestamp(run.created),
    }


def summary(run: Run) -> str:
    """One line for a picked run: test accuracy with n, and the time that it took."""
    right, n = score_of(run)
    told = f"{100 * right / n:.1f} % of {n:,} test pictures" if n else STATUS[run.state.status][0]
    return f"{told} · trained in {span(run.state.seconds)}"
