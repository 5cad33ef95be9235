"""A select box of runs, and what a run is called in lists."""

from collections.abc import Mapping, Sequence

import streamlit as st

from core.runs.naming import name_runs
from core.runs.run import Run
from pages.parts.shell.cache import score_of
from pages.parts.shell.escape import shown
from pages.parts.shell.formatting import STATUS, percent_of, span
from pages.parts.shell.session import has_arrived


def visible(listed: Sequence[Run], *keys: str) -> list[Run]:
    """Runs without the hidden ones, except those that the address or this session has under one of `keys`."""
    requested = {st.query_params.get(key) for key in keys}
    requested |= {st.session_state.get(name) for key in keys for name in (key, f"{key}.wanted")}
    return [run for run in listed if not run.marks.hidden or run.id in requested]


def newest(listed: Sequence[Run]) -> Run:
    at_work = [run for run in listed if run.state.is_live]
    return at_work[-1] if at_work else listed[0]


def run_picker(
    label: str, key: str, listed: Sequence[Run], usual: Run | None, names: Mapping[str, str] | None = None
) -> Run | None:
    """A select box whose choice stands in the address as ?key=ID; a run that is gone falls back to `usual`.

    names: what name_runs calls them; without, they are called by what differs in the list.

    Streamlit's own binding would put the label into the address, with the dataset's name in it. So the address is
    read here: it wins when it is new (a link, the back button). A choice is written into it, but not what is shown
    where nobody has chosen: every writing is a step of the browser's history, and one press of Back leaves the page.
    """
    known, labels = {run.id: run for run in listed}, run_labels(listed, names)
    requested, before = st.query_params.get(key), st.session_state.get(f"{key}.address")
    if requested in known and requested != before:
        st.session_state[key] = requested
    went_back = requested is None and bool(st.session_state.get(f"{key}.written")) and not has_arrived()
    if went_back:
        st.session_state[key] = usual.id if usual else None  # back, to where nobody had chosen
    wanted = st.session_state.pop(f"{key}.wanted", None)
    if wanted in known:
        st.session_state[key] = wanted
    if st.session_state.get(key) not in known:
        # a renamed run comes back from the browser under its old label: the address still knows which one it was
        st.session_state[key] = before if before in known else usual.id if usual else None
    if labels.get(str(st.session_state[key])) != st.session_state.get(f"{key}.label"):
        st.session_state[key] = st.session_state[key]  # set by us, so that the browser shows the new label at once
    picked = st.selectbox(
        label,
        list(known),
        key=key,
        persist_state="session",
        format_func=lambda run_id: labels.get(run_id, run_id),
        placeholder="Pick a run",
        index=None if usual is None else 0,
    )
    changed = requested or wanted in known or (before is not None and picked != before)
    if picked is not None and requested != picked and changed and not went_back:
        st.query_params[key] = picked
    st.session_state[f"{key}.written"] = st.query_params.get(key)
    st.session_state[f"{key}.address"], st.session_state[f"{key}.label"] = picked, labels.get(str(picked))
    return known.get(picked) if picked else None


def run_labels(listed: Sequence[Run], names: Mapping[str, str] | None = None) -> dict[str, str]:
    """One label a run, by what differs among these; a star in front of those that have one. A select box reads no
    Markdown."""
    names = names or name_runs(listed)
    return {run.id: ("★ " if run.marks.star else "") + shown(names[run.id]) for run in listed}


def summary(run: Run) -> str:
    """One line for a picked run: test accuracy with n, and the time that its training took."""
    right, n = score_of(run)
    text = f"{percent_of(right, n)} test pictures" if n else STATUS[run.state.status][0]
    of_best = f" · {run.describe_model()}" if run.used_model == "best" else ""
    taught = " · learnt from a teacher" if run.config.train.teacher else ""
    return f"{text}{of_best}{taught} · trained in {span(run.state.whole_seconds)}"
