"""What a person decides about pictures, wherever she comes across them, until one button makes a version of it."""

from collections.abc import Iterable, Sequence
from contextlib import closing

import pandas as pd
import streamlit as st

from core.data.dataset import Dataset
from core.data.versions import Decision, make_version, newest_version, next_name, told_of_changes
from pages.parts.cached import datasets
from pages.parts.escape import escape, shown
from pages.parts.frame import boundary
from pages.parts.versions import MADE

STAYS, OUT = "stays", "out"  # what may become of a picture, besides another class
MOST_LISTED = 1000  # decisions that the list shows


def decided(dataset: Dataset) -> dict[int, Decision]:
    """Row -> what shall become of it; this session's own, kept while pages are turned."""
    return st.session_state.setdefault(f"decided_{dataset.id}", {})


def kept(dataset: Dataset) -> set[int]:
    """Rows that somebody has looked at and that stay as they are; also of this session."""
    return st.session_state.setdefault(f"kept_{dataset.id}", set())


def decide(dataset: Dataset, rows: Iterable[int], label: int | None, why: str) -> None:
    """label: the class from then on, None: left out. A class that a picture has already takes its decision back."""
    for row in rows:
        if label is not None and int(dataset.labels[row]) == label:
            decided(dataset).pop(row, None)
        else:
            decided(dataset)[row] = Decision(label, why)


def take_back(dataset: Dataset, rows: Iterable[int]) -> None:
    for row in rows:
        decided(dataset).pop(row, None)


def forget(dataset: Dataset) -> None:
    """Every decision about a dataset; what widgets show of them follows."""
    for what in ("decided", "kept", "picked"):
        st.session_state.pop(f"{what}_{dataset.id}", None)


def mark_of(dataset: Dataset, row: int) -> str:
    """What is decided about a picture, for a caption; "" where nothing is."""
    decision = decided(dataset).get(row)
    if decision is None:
        return ""
    if decision.label is None:
        return ":orange[:material/block: left out]"
    return f":blue[:material/label: {escape(dataset.classes[decision.label], 22)}]"


# ------------------------------------------------------------------------------------------- the new version


def draw_decided(dataset: Dataset, where: str) -> None:
    """What was decided and what becomes of it; nothing where nothing was. where: on which tab, for the keys."""
    every = decided(dataset)
    if not every:
        return
    out = sum(decision.label is None for decision in every.values())
    told = told_of_changes({"relabelled": len(every) - out, "left out": out})
    found = datasets()
    number, _ = next_name(dataset, found)
    with st.container(border=True, key=f"decided_{where}"), boundary():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/edit_note: Decided: **{told}**", width="content")
            make = st.button(f"Make version {number}", type="primary", icon=":material/check:", key=f"make_{where}")
            with st.popover("Which", icon=":material/list:"):
                _list_decided(dataset, every)
            if st.button("Forget them", type="tertiary", key=f"forget_{where}"):
                forget(dataset)
                st.rerun()
        newest = newest_version(dataset, found)
        caption = (
            f"Nothing has changed yet. Version {number} will have it so; {escape(dataset.name, 60)} stays as it is."
        )
        if newest.id != dataset.id:
            caption += f" Version {number} is made from this one, not from {escape(newest.name, 60)}."
        st.caption(caption)
        if make:
            _make(dataset, every)


def _list_decided(dataset: Dataset, every: dict[int, Decision]) -> None:
    some = list(every.items())[:MOST_LISTED]
    table = pd.DataFrame(
        {
            "Picture": [shown(dataset.names[row], 200) for row, _ in some],
            "Class": [shown(dataset.classes[dataset.labels[row]]) for row, _ in some],
            "Becomes": [
                "left out" if decision.label is None else shown(dataset.classes[decision.label]) for _, decision in some
            ],
            "Why": [shown(decision.why) for _, decision in some],
        }
    )
    st.dataframe(table, hide_index=True, width=560, alt="What was decided")
    if len(every) > len(some):
        st.caption(f"And {len(every) - len(some):,} more.")


def _make(dataset: Dataset, every: dict[int, Decision]) -> None:
    bar = st.progress(0.0, text="Making the version")
    with closing(make_version(dataset, every)) as steps:  # type: ignore[type-var]
        for progress in steps:
            bar.progress(min(1.0, progress.done / max(1, progress.total)), text="Making the version")
            made = progress.dataset
    assert made is not None, dataset.id
    forget(dataset)
    st.session_state["dataset_added"] = st.session_state[MADE] = made.name
    st.rerun()


# ---------------------------------------------------------------------------------------- picking in the grid


def draw_picking(dataset: Dataset, shown_rows: Sequence[int]) -> bool:
    """A switch that lets pictures be picked and, once some are, what can be done with them; whether it is on."""
    picked: set[int] = st.session_state.setdefault(f"picked_{dataset.id}", set())
    with st.container(horizontal=True, vertical_alignment="center", key="picking"):
        on = st.toggle(
            "Pick pictures", key=f"picking_{dataset.id}", help="To leave them out or give them another class."
        )
        if not on:
            return False
        if st.button("All on this page", icon=":material/select_all:", key="pick_page"):
            picked.update(shown_rows)
            st.rerun()
        if picked:
            _draw_deeds(dataset, picked)
        else:
            st.caption("Tick pictures below.", width="content")
    return True


def _draw_deeds(dataset: Dataset, picked: set[int]) -> None:
    count = f"{len(picked):,} picked"
    st.markdown(f"**{count}**", width="content")
    if st.button("Leave out", icon=":material/block:", key="picked_out"):
        decide(dataset, picked, None, "by hand")
        _unpick(dataset)
    label = st.selectbox(
        "Class from now on",
        range(len(dataset.classes)),
        index=None,
        format_func=lambda place: shown(dataset.classes[place]),
        placeholder="Give another class",
        label_visibility="collapsed",
        width=220,
        key=f"picked_class_{dataset.id}",
    )
    if st.button("Relabel", icon=":material/label:", key="picked_relabel", disabled=label is None):
        decide(dataset, picked, label, "by hand")
        _unpick(dataset)
    if st.button("None", type="tertiary", key="picked_none"):
        _unpick(dataset)


def _unpick(dataset: Dataset) -> None:
    st.session_state.pop(f"picked_{dataset.id}", None)
    st.rerun()


def draw_pick(dataset: Dataset, row: int) -> None:
    """The tick of one picture."""
    key = f"pick_{dataset.id}_{row}"
    st.session_state[key] = row in st.session_state[f"picked_{dataset.id}"]
    st.checkbox(f"Pick {escape(dataset.names[row])}", key=key, label_visibility="collapsed", on_change=_pick,
                args=(dataset, row, key))  # fmt: skip


def _pick(dataset: Dataset, row: int, key: str) -> None:
    picked: set[int] = st.session_state[f"picked_{dataset.id}"]
    (picked.add if st.session_state[key] else picked.discard)(row)


def draw_decide_one(dataset: Dataset, row: int) -> None:
    """In the large view: leave this picture out, or give it another class."""
    decision = decided(dataset).get(row)
    key = f"one_{dataset.id}_{row}"
    own = int(dataset.labels[row])
    options = [STAYS, OUT, *(label for label in range(len(dataset.classes)) if label != own)]
    st.session_state[key] = STAYS if decision is None else OUT if decision.label is None else decision.label
    st.selectbox(
        "What shall become of it",
        options,
        format_func=lambda choice: _say(dataset, row, choice),
        key=key,
        on_change=_decide_one,
        args=(dataset, row, key),
    )


def _say(dataset: Dataset, row: int, choice: object) -> str:
    if choice == STAYS:
        return f"Stays {shown(dataset.classes[dataset.labels[row]], 40)}"
    return "Leave it out" if choice == OUT else f"Relabel: {shown(dataset.classes[int(str(choice))], 40)}"


def _decide_one(dataset: Dataset, row: int, key: str) -> None:
    choice = st.session_state[key]
    if choice == STAYS:
        take_back(dataset, [row])
    else:
        decide(dataset, [row], None if choice == OUT else int(choice), "by hand")
