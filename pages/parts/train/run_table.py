"""All runs: the picker that follows ?run=ID, the table of runs with filters, and the trash."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.display_names import display_name
from core.runs.actions import hide_run
from core.runs.naming import name_runs
from core.runs.run import Run
from pages.parts.shell.cache import deleted_runs, runs, score_of
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.formatting import STATUS, percent_of
from pages.parts.shell.notifications import (
    is_notified_about,
    notify,
    notify_deleted,
    notify_errors,
    quoted,
    restore_from_trash,
)
from pages.parts.shell.session import select_run
from pages.parts.train.run_dialogs import open_dialog
from pages.parts.widgets.run_picker import newest, run_picker, visible
from pages.parts.widgets.run_ticks import choose_values, draw_ticks, forget_ticks, hide_runs, holds_words, mark_runs

FEW = 8  # runs; a longer table has filters
TRASH_PAGE = 10
TICKED = "ticked"  # ids of the ticked rows
OVERLAY = "overlay"  # ids of the runs whose curves are compared


def has_runs() -> bool:
    """Whether there is a run to show."""
    return bool(visible(runs(hidden=True), "run"))


def pick_run() -> str | None:
    """The run that the panel shows: the one in ?run=, else the one at work, else the newest; None without runs."""
    listed = visible(runs(hidden=True), "run")
    before = st.session_state.get("run.address")
    if before and before not in {run.id for run in listed} and not is_notified_about(before):
        notify_deleted(before)
    _notify_unknown(st.query_params.get("run"))
    if not listed:
        return None
    picked = run_picker("Run", "run", listed, newest(listed))
    return picked.id if picked else None


def _notify_unknown(requested: str | None) -> None:
    """Notify once that a link leads to a run that is not here, because another one is shown instead."""
    if not requested or requested in (st.session_state.get("run.address"), st.session_state.get("run.unknown")):
        return
    if requested in {run.id for run in runs(hidden=True)}:
        return
    st.session_state["run.unknown"] = requested
    if requested in {run.id for run in deleted_runs()}:
        notify_deleted(requested)
    else:
        notify("The link leads to a run that is not here: it was deleted for good, or is somewhere else.", wrong=True)


def draw_runs() -> None:
    """Every run in a table: a tick opens it above, more ticks compare their curves. Then the trash."""
    everything = runs(hidden=True)
    if everything:
        st.header("Runs", anchor=False)
        _draw_table(_filtered(everything))
    _draw_trash(deleted_runs())


def _filtered(everything: Sequence[Run]) -> list[Run]:
    """The runs to list: without the hidden ones, and filtered where there are more than a few."""
    hidden = sum(run.marks.hidden for run in everything)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="filters"):
        kept = list(everything)
        if len(everything) > FEW:
            words = st.text_input(
                "Find", key="find", placeholder="Name, note or id", icon=":material/search:", persist_state="session"
            )
            names = choose_values("Dataset", "find.dataset", [run.config.data.dataset for run in everything], width=220)
            presets = choose_values("Preset", "find.preset", [run.config.preset for run in everything], "preset", 220)
            starred = st.toggle("Starred", key="find.starred", persist_state="session")
            kept = [
                run
                for run in everything
                if _matches(run, words)
                and (not names or run.config.data.dataset in names)
                and (not presets or run.config.preset in presets)
                and (run.marks.star or not starred)
            ]
        if hidden and not st.toggle(f"Show {hidden} hidden", key="show_hidden", persist_state="session"):
            kept = [run for run in kept if not run.marks.hidden]
    return kept


def _matches(run: Run, words: str) -> bool:
    name = run.requester.name if run.requester else ""
    text = f"{run.title} {run.id} {run.marks.note} {STATUS[run.state.status][0]} {name}"
    return holds_words(text, words)


def _draw_table(listed: Sequence[Run]) -> None:
    if not listed:
        st.caption("No matching runs.")
        return
    ids = [run.id for run in listed]
    names = name_runs(listed)
    table = pd.DataFrame([describe(run, names[run.id]) for run in listed])
    ticked = draw_ticks(
        table,
        ids,
        TICKED,
        "runs",
        changed=_open_ticked,
        height="content" if len(listed) <= FEW else 320,
        alt="Every run with its dataset, preset, status, test accuracy and seconds",
        column_order=[name for name in table.columns if name != "Requested by" or table[name].any()],
        column_config={
            "Run": st.column_config.TextColumn(width=260),
            "test accuracy": st.column_config.NumberColumn("Test accuracy", format="%.1f %%"),
            "of": st.column_config.NumberColumn("of test pictures", format="localized"),
            "seconds": st.column_config.NumberColumn("Seconds", format="%.0f"),
            "created": st.column_config.DatetimeColumn("Created", format="distance"),
        },
    )
    _draw_actions_of_several([run for run in listed if run.id in ticked])


def _open_ticked(ticked: Sequence[str]) -> None:
    """The first one in the panel above, and several with their curves compared."""
    st.session_state[OVERLAY] = ticked if len(ticked) > 1 else []
    if ticked and st.session_state.get("run") not in ticked:
        select_run(ticked[0])


def _draw_actions_of_several(ticked: Sequence[Run]) -> None:
    if not ticked:
        st.caption("Tick a run to open it above; tick more to compare their curves.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="several"):
        text = "1 run is ticked" if len(ticked) == 1 else f"{len(ticked)} runs are ticked; their curves are above"
        st.caption(text, width="content")
        several: list[tuple[str, str, str, Callable[[Sequence[Run]], None]]] = [
            ("delete", "Delete", "delete", _open_delete_dialog),
            ("untick", "Untick", "check_box_outline_blank", _untick),
        ]
        if any(not run.marks.hidden for run in ticked):
            several.insert(0, ("hide", "Hide", "visibility_off", hide_runs))
        if any(run.marks.hidden for run in ticked):
            several.insert(0, ("show", "Show again", "visibility", _show))
        for name, label, icon, do in several:
            st.button(
                label, key=f"several.{name}", icon=f":material/{icon}:", type="tertiary", on_click=do, args=(ticked,)
            )


def _untick(ticked: Sequence[Run]) -> None:
    forget_ticks(TICKED)
    st.session_state[OVERLAY] = []


def _open_delete_dialog(ticked: Sequence[Run]) -> None:
    open_dialog("delete" if len(ticked) == 1 else "delete_several", ticked)


def _show(ticked: Sequence[Run]) -> None:
    if done := mark_runs(ticked, hide_run, False):
        notify(f"{quoted(done)} {'is' if len(done) == 1 else 'are'} in the lists again.")


def _draw_trash(deleted: Sequence[Run]) -> None:
    if not deleted:
        return
    trash = st.expander(f"Trash ({len(deleted)})", icon=":material/delete:", key="trash", on_change="rerun")
    if not trash.open:
        return
    with trash:
        pages = -(-len(deleted) // TRASH_PAGE)
        page = st.session_state.get("trash.page", 1) if pages > 1 else 1
        page = min(page, pages)
        for run in deleted[(page - 1) * TRASH_PAGE : page * TRASH_PAGE]:
            _draw_deleted(run)
        with st.container(horizontal=True, vertical_alignment="center", key="trash.foot"):
            if pages > 1:
                st.pagination(pages, key="trash.page")
            st.space("stretch")
            st.button(
                "Empty the trash",
                key="trash.empty",
                icon=":material/delete_forever:",
                type="tertiary",
                on_click=open_dialog,
                args=("empty", []),
            )


def _draw_deleted(run: Run) -> None:
    right, n = score_of(run)
    result = f"{percent_of(right, n)} test pictures" if n else STATUS[run.state.status][0].lower()
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"deleted.{run.id}"):
        st.markdown(escape(run.title), width="content")
        st.caption(f"{result} · created {run.created[:10]}", width="stretch")
        st.button(
            "Restore", key=f"restore.{run.id}", icon=":material/restore_from_trash:", on_click=_restore, args=(run,)
        )


def _restore(run: Run) -> None:
    with notify_errors(run.id, quoted([run])):
        notify(f"{quoted([restore_from_trash(run.id)])} is back.")
        select_run(run.id)


def describe(run: Run, name: str) -> dict[str, Any]:
    right, n = score_of(run)
    # the table stands still while a run trains; its panel above shows how far it is
    reached = "" if run.state.is_live else f"{run.state.epoch} of "
    return {
        "star": "★" if run.marks.star else "☆",
        "Run": shown(name, 80),
        "Dataset": shown(run.config.data.dataset, 40),
        "Preset": shown(display_name("preset", run.config.preset), 20),
        "Status": STATUS[run.state.status][0],
        "Epochs": f"{reached}{run.config.train.epochs}",
        "test accuracy": 100 * right / n if n else None,
        "of": n or None,
        "seconds": run.state.whole_seconds or None,
        "created": pd.Timestamp(run.created),
        "Id": run.id,
        "Requested by": shown(run.requester.name, 40) if run.requester else "",
    }
