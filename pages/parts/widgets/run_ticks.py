"""Runs in a table with ticks: the filters above it, which runs are ticked, and what is done with those."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.display_names import display_name
from core.runs.actions import hide_run, star_run
from core.runs.run import Run, read_run
from pages.parts.shell.escape import shown
from pages.parts.shell.notifications import notify, notify_errors, quoted


def choose_values(label: str, key: str, values: Iterable[str], named: str = "", width: int = 200) -> list[str]:
    """A filter: those of the values that were chosen, none for all. `named`: what display_name calls this kind."""
    known = sorted(set(values))
    if key in st.session_state:  # a value that is gone with its last run
        st.session_state[key] = [value for value in st.session_state[key] if value in known]
    return st.multiselect(
        label,
        known,
        key=key,
        format_func=lambda value: shown(display_name(named, value)),
        placeholder="All",
        persist_state="session",
        width=width,
    )


def holds_words(text: str, words: str) -> bool:
    """Whether every word that somebody looks for is in the text, in capitals or not."""
    return all(word in text.casefold() for word in words.casefold().split())


def draw_ticks(
    table: pd.DataFrame,
    ids: Sequence[str],
    ticks: str,
    key: str,
    column_config: dict[str, Any],
    changed: Callable[[list[str]], None] | None = None,
    kind: str = "",
    **drawn: Any,
) -> list[str]:
    """A line for each of `ids`, whose column "star" can be clicked; returns the ids that are ticked.

    `ticks`: where the session keeps them. `key`: how the table's own begins; another list, or another `kind` of lines,
    is another table. `changed` is called with the ids when somebody ticks. `drawn`: what else st.dataframe takes."""
    # ticks are kept as ids, and rows are numbered anew with every list: somebody's new run on top must not move a tick
    ticked = [run_id for run_id in st.session_state.get(ticks, []) if run_id in ids]
    stamp = hashlib.sha256(" ".join([kind, *ids] if kind else ids).encode()).hexdigest()[:12]
    key = f"{key}.{stamp}.{st.session_state.get(f'{ticks}.turn', 0)}"
    star = st.column_config.ButtonColumn(
        "★", type="tertiary", width=50, key=f"{key}.star", on_click=_toggle_star, args=(ids, f"{key}.star")
    )
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        on_select=lambda: _tick(ids, ticks, key, changed),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [ids.index(run_id) for run_id in ticked]}},
        placeholder="–",
        column_config={"star": star} | column_config,
        **drawn,
    )
    return ticked


def forget_ticks(ticks: str) -> None:
    """Another turn is another table, which takes its ticks from the session."""
    st.session_state[ticks] = []
    st.session_state[f"{ticks}.turn"] = st.session_state.get(f"{ticks}.turn", 0) + 1


def mark_runs(chosen: Sequence[Run], mark: Callable[[Run, bool], Run], value: bool) -> list[Run]:
    """Star or hide them, or the reverse; returns those of which that could be done."""
    done = []
    for run in chosen:
        with notify_errors(run.id, quoted([run])):
            done.append(mark(run, value))
    return done


def hide_runs(chosen: Sequence[Run]) -> None:
    """Leave them out of lists from now on, and say so."""
    if done := mark_runs(chosen, hide_run, True):
        are = "is" if len(done) == 1 else "are"
        notify(f"{quoted(done)} {are} left out of lists from now on.", "show", [run.id for run in done])


def _tick(ids: Sequence[str], ticks: str, key: str, changed: Callable[[list[str]], None] | None) -> None:
    rows = sorted(st.session_state[key].selection.rows)
    st.session_state[ticks] = [ids[row] for row in rows if row < len(ids)]
    if changed:
        changed(st.session_state[ticks])


def _toggle_star(ids: Sequence[str], key: str) -> None:
    run_id = ids[st.session_state[key].row]
    with notify_errors(run_id):
        run = read_run(run_id)
        star_run(run, not run.marks.star)
