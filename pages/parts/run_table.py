"""The runs so far: the picker that follows ?run=ID, the table under it, and the trash."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.runs.deeds import hide_run, star_run
from core.runs.run import Run, read_run
from pages.parts.asking import ask
from pages.parts.cached import LIVE_STATUSES, deleted_runs, runs, score_of
from pages.parts.escape import escape, shown
from pages.parts.session import look_at
from pages.parts.telling import bring_back, outcome, quoted, tell, tell_gone, told_of
from pages.parts.words import STATUS, span

FEW = 8  # runs; a longer table has filters
TRASH_PAGE = 10
TICKED = "ticked"  # ids of the ticked rows
TURN = "ticked.turn"  # another number is another table, which takes its ticks from TICKED
OVERLAY = "overlay"  # ids of the runs whose curves lie over each other


def pick_run() -> str | None:
    """The run that the panel shows: the one in ?run=, else the one at work, else the newest; None without runs."""
    listed = visible(runs(hidden=True), "run")
    before = st.session_state.get("run.address")
    if before and before not in {run.id for run in listed} and not told_of(before):
        tell_gone(before)
    _tell_unknown(st.query_params.get("run"))
    if not listed:
        return None
    picked = run_picker("Run", "run", listed, newest(listed))
    return picked.id if picked else None


def _tell_unknown(asked: str | None) -> None:
    """Say once that a link leads to a run that is not here, because another one is shown instead."""
    if not asked or asked in (st.session_state.get("run.address"), st.session_state.get("run.unknown")):
        return
    if asked in {run.id for run in runs(hidden=True)}:
        return
    st.session_state["run.unknown"] = asked
    if asked in {run.id for run in deleted_runs()}:
        tell_gone(asked)
    else:
        tell("The link leads to a run that is not here: it was deleted for good, or is somewhere else.", wrong=True)


def visible(listed: Sequence[Run], *keys: str) -> list[Run]:
    """Runs without the hidden ones, except those that the address or this session asks for under one of `keys`."""
    asked = {st.query_params.get(key) for key in keys}
    asked |= {st.session_state.get(name) for key in keys for name in (key, f"{key}.wanted")}
    return [run for run in listed if not run.marks.hidden or run.id in asked]


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
    wanted = st.session_state.pop(f"{key}.wanted", None)
    if wanted in known:
        st.session_state[key] = wanted
    if st.session_state.get(key) not in known:
        # a renamed run comes back from the browser under its old label: the address still knows which one it was
        before = st.session_state.get(f"{key}.address")
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
    if picked is not None and asked != picked:
        st.query_params[key] = picked
    st.session_state[f"{key}.address"], st.session_state[f"{key}.label"] = picked, labels.get(str(picked))
    return known.get(picked) if picked else None


def run_labels(listed: Sequence[Run]) -> dict[str, str]:
    """One label a run, a star in front of those that have one; a select box reads no Markdown."""
    titles = Counter(run.title for run in listed)
    return {
        run.id: ("★ " if run.marks.star else "")
        + shown(run.title if titles[run.title] == 1 else f"{run.title} · {run.id}")
        for run in listed
    }


def draw_runs() -> None:
    """Every run in a table: a tick opens it above, more ticks lay their curves over each other. Then the trash."""
    everything = runs(hidden=True)
    if everything:
        st.subheader("Runs", anchor=False)
        _draw_table(_filtered(everything))
    _draw_trash(deleted_runs())


def _filtered(everything: Sequence[Run]) -> list[Run]:
    """What the person wants to see: without the hidden ones, and with more than a few as the filters say."""
    hidden = sum(run.marks.hidden for run in everything)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="filters"):
        kept = list(everything)
        if len(everything) > FEW:
            words = st.text_input(
                "Find", key="find", placeholder="Name, note or id", icon=":material/search:", persist_state="session"
            )
            pictures = _choice("Pictures", "find.pictures", [run.config.data.dataset for run in everything])
            presets = _choice("Preset", "find.preset", [run.config.preset for run in everything])
            starred = st.toggle("Starred", key="find.starred", persist_state="session")
            kept = [
                run
                for run in everything
                if _speaks_of(run, words)
                and (not pictures or run.config.data.dataset in pictures)
                and (not presets or run.config.preset in presets)
                and (run.marks.star or not starred)
            ]
        if hidden and not st.toggle(f"Show {hidden} hidden", key="show_hidden", persist_state="session"):
            kept = [run for run in kept if not run.marks.hidden]
    return kept


def _choice(label: str, key: str, values: Sequence[str]) -> list[str]:
    known = sorted(set(values))
    if key in st.session_state:  # a value that is gone with its last run
        st.session_state[key] = [value for value in st.session_state[key] if value in known]
    return st.multiselect(
        label, known, key=key, format_func=shown, placeholder="All", persist_state="session", width=220
    )


def _speaks_of(run: Run, words: str) -> bool:
    said = f"{run.title} {run.id} {run.marks.note} {STATUS[run.state.status][0]} {run.asker.name if run.asker else ''}"
    return all(word in said.casefold() for word in words.casefold().split())


def _draw_table(listed: Sequence[Run]) -> None:
    if not listed:
        st.caption("No run is like this.")
        return
    ids = [run.id for run in listed]
    # ticks are kept as ids, and rows are numbered anew with every list: somebody's new run on top must not move a tick
    ticked = [run_id for run_id in st.session_state.get(TICKED, []) if run_id in ids]
    key = f"runs.{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:12]}.{st.session_state.get(TURN, 0)}"
    table = pd.DataFrame([describe(run) for run in listed])
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        on_select=lambda: _tick(ids, key),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [ids.index(run_id) for run_id in ticked]}},
        height="content" if len(listed) <= FEW else 320,
        placeholder="–",
        alt="Every run with its preset, pictures, state, test accuracy and seconds",
        column_order=[name for name in table.columns if name != "Asked by" or table[name].any()],
        column_config={
            "star": st.column_config.ButtonColumn(
                "★", type="tertiary", width=50, key=f"{key}.star", on_click=_turn_star, args=(ids, f"{key}.star")
            ),
            "Run": st.column_config.TextColumn(width=180 if any(run.marks.title for run in listed) else None),
            "test accuracy": st.column_config.NumberColumn("Test accuracy", format="%.1f %%"),
            "of": st.column_config.NumberColumn("of test pictures", format="localized"),
            "seconds": st.column_config.NumberColumn("Seconds", format="%.0f"),
            "began": st.column_config.DatetimeColumn("Began", format="distance"),
        },
    )
    _draw_deeds_of_several([run for run in listed if run.id in ticked])


def _tick(ids: Sequence[str], key: str) -> None:
    rows = sorted(st.session_state[key].selection.rows)
    ticked = [ids[row] for row in rows if row < len(ids)]
    st.session_state[TICKED] = ticked
    st.session_state[OVERLAY] = ticked if len(ticked) > 1 else []
    if ticked and st.session_state.get("run") not in ticked:
        look_at(ticked[0])


def _turn_star(ids: Sequence[str], key: str) -> None:
    run_id = ids[st.session_state[key].row]
    with outcome(run_id):
        run = read_run(run_id)
        star_run(run, not run.marks.star)


def _draw_deeds_of_several(ticked: Sequence[Run]) -> None:
    if not ticked:
        st.caption("Tick a run to open it above; tick more to lay their curves over each other.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="several"):
        told = "1 run is ticked" if len(ticked) == 1 else f"{len(ticked)} runs are ticked; their curves lie above"
        st.caption(told, width="content")
        several: list[tuple[str, str, str, Callable[[Sequence[Run]], None]]] = [
            ("delete", "Delete", "delete", _ask_to_delete),
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


def _ask_to_delete(ticked: Sequence[Run]) -> None:
    ask("delete" if len(ticked) == 1 else "delete_several", ticked)


def _hide(ticked: Sequence[Run]) -> None:
    done = _mark(ticked, True)
    if done:
        are = "is" if len(done) == 1 else "are"
        tell(f"{quoted(done)} {are} left out of lists from now on.", "show", [run.id for run in done])


def _show(ticked: Sequence[Run]) -> None:
    done = _mark(ticked, False)
    if done:
        tell(f"{quoted(done)} {'is' if len(done) == 1 else 'are'} in the lists again.")


def _mark(ticked: Sequence[Run], hidden: bool) -> list[Run]:
    done = []
    for run in ticked:
        with outcome(run.id, quoted([run])):
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
                on_click=ask,
                args=("empty", []),
            )


def _draw_deleted(run: Run) -> None:
    right, n = score_of(run)
    told = [f"{100 * right / n:.1f} % of {n:,} test pictures"] if n else [STATUS[run.state.status][0].lower()]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"deleted.{run.id}"):
        st.markdown(escape(run.title), width="content")
        st.caption(" · ".join([*told, f"began {run.created[:10]}"]), width="stretch")
        st.button(
            "Restore", key=f"restore.{run.id}", icon=":material/restore_from_trash:", on_click=_restore, args=(run,)
        )


def _restore(run: Run) -> None:
    with outcome(run.id, quoted([run])):
        tell(f"{quoted([bring_back(run.id)])} is back.")
        look_at(run.id)


def describe(run: Run) -> dict[str, Any]:
    right, n = score_of(run)
    # the table stands still while a run trains; how far that one is, is said above
    reached = "" if run.state.status in LIVE_STATUSES else f"{run.state.epoch} of "
    return {
        "star": "★" if run.marks.star else "☆",
        "Run": shown(run.marks.title, 60) or run.id[-4:],
        "Pictures": shown(run.config.data.dataset, 40),
        "Preset": shown(run.config.preset, 20),
        "State": STATUS[run.state.status][0],
        "Epochs": f"{reached}{run.config.train.epochs}",
        "test accuracy": 100 * right / n if n else None,
        "of": n or None,
        "seconds": run.state.seconds or None,
        "began": pd.Timestamp(run.created),
        "Asked by": shown(run.asker.name, 40) if run.asker else "",
    }


def summary(run: Run) -> str:
    """One line for a picked run: test accuracy with n, and the time that it took."""
    right, n = score_of(run)
    told = f"{100 * right / n:.1f} % of {n:,} test pictures" if n else STATUS[run.state.status][0]
    return f"{told} · trained in {span(run.state.seconds)}"
