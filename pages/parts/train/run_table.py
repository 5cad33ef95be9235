"""All runs: the picker that follows ?run=ID, the table of runs with filters, and the trash."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.display_names import display_name
from core.runs.actions import hide_run, star_run
from core.runs.naming import name_runs
from core.runs.run import Run, read_run
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

FEW = 8  # runs; a longer table has filters
TRASH_PAGE = 10
TICKED = "ticked"  # ids of the ticked rows
TURN = "ticked.turn"  # another number is another table, which takes its ticks from TICKED
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
            names = _choice("Dataset", "find.dataset", [run.config.data.dataset for run in everything])
            presets = _choice("Preset", "find.preset", [run.config.preset for run in everything], "preset")
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


def _choice(label: str, key: str, values: Sequence[str], named: str = "") -> list[str]:
    """The values that were chosen; `named`: what display_name calls this kind of value."""
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
        width=220,
    )


def _matches(run: Run, words: str) -> bool:
    name = run.requester.name if run.requester else ""
    text = f"{run.title} {run.id} {run.marks.note} {STATUS[run.state.status][0]} {name}"
    return all(word in text.casefold() for word in words.casefold().split())


def _draw_table(listed: Sequence[Run]) -> None:
    if not listed:
        st.caption("No matching runs.")
        return
    ids = [run.id for run in listed]
    # ticks are kept as ids, and rows are numbered anew with every list: somebody's new run on top must not move a tick
    ticked = [run_id for run_id in st.session_state.get(TICKED, []) if run_id in ids]
    key = f"runs.{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:12]}.{st.session_state.get(TURN, 0)}"
    names = name_runs(listed)
    table = pd.DataFrame([describe(run, names[run.id]) for run in listed])
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        on_select=lambda: _tick(ids, key),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [ids.index(run_id) for run_id in ticked]}},
        height="content" if len(listed) <= FEW else 320,
        placeholder="–",
        alt="Every run with its dataset, preset, status, test accuracy and seconds",
        column_order=[name for name in table.columns if name != "Requested by" or table[name].any()],
        column_config={
            "star": st.column_config.ButtonColumn(
                "★", type="tertiary", width=50, key=f"{key}.star", on_click=_toggle_star, args=(ids, f"{key}.star")
            ),
            "Run": st.column_config.TextColumn(width=260),
            "test accuracy": st.column_config.NumberColumn("Test accuracy", format="%.1f %%"),
            "of": st.column_config.NumberColumn("of test pictures", format="localized"),
            "seconds": st.column_config.NumberColumn("Seconds", format="%.0f"),
            "created": st.column_config.DatetimeColumn("Created", format="distance"),
        },
    )
    _draw_actions_of_several([run for run in listed if run.id in ticked])


def _tick(ids: Sequence[str], key: str) -> None:
    rows = sorted(st.session_state[key].selection.rows)
    ticked = [ids[row] for row in rows if row < len(ids)]
    st.session_state[TICKED] = ticked
    st.session_state[OVERLAY] = ticked if len(ticked) > 1 else []
    if ticked and st.session_state.get("run") not in ticked:
        select_run(ticked[0])


def _toggle_star(ids: Sequence[str], key: str) -> None:
    run_id = ids[st.session_state[key].row]
    with notify_errors(run_id):
        run = read_run(run_id)
        star_run(run, not run.marks.star)


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
            several.insert(0, ("hide", "Hide", "visibility_off", _hide))
        if any(run.marks.hidden for run in ticked):
            several.insert(0, ("show", "Show again", "visibility", _show))
        for name, label, icon, do in several:
            st.button(
                label, key=f"several.{name}", icon=f":material/{icon}:", type="tertiary", on_click=do, args=(ticked,)
            )


def _untick(ticked: Sequence[Run]) -> None:
    st.session_state[TICKED], st.session_state[OVERLAY] = [], []
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1


def _open_delete_dialog(ticked: Sequence[Run]) -> None:
    open_dialog("delete" if len(ticked) == 1 else "delete_several", ticked)


def _hide(ticked: Sequence[Run]) -> None:
    done = _mark(ticked, True)
    if done:
        are = "is" if len(done) == 1 else "are"
        notify(f"{quoted(done)} {are} left out of lists from now on.", "show", [run.id for run in done])


def _show(ticked: Sequence[Run]) -> None:
    done = _mark(ticked, False)
    if done:
        notify(f"{quoted(done)} {'is' if len(done) == 1 else 'are'} in the lists again.")


def _mark(ticked: Sequence[Run], hidden: bool) -> list[Run]:
    done = []
    for run in ticked:
        with notify_errors(run.id, quoted([run])):
            done.append(hide_run(run, hidden))
    return done


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
