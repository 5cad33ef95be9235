"""Pending edits of a dataset: pictures to leave out or relabel, kept in the session until they become a version."""

from collections.abc import Iterable, Sequence
from contextlib import closing

import pandas as pd
import streamlit as st

from core.data.datasets.dataset import Dataset
from core.data.versions.versions import Edit, describe_changes, make_version, newest_version, next_name
from pages.parts.shell.cache import datasets
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.frame import boundary
from pages.parts.widgets.dataset_versions import MADE

NO_EDIT, OUT = "none", "out"  # what a picture may be given, besides another class
MOST_LISTED = 1000  # edits that the list shows
BY_HAND = "by hand"  # why, where a person picked the picture


def pending_edits(dataset: Dataset) -> dict[int, Edit]:
    """Row -> its edit; kept in this session, also while another page is open."""
    edits: dict[int, Edit] = st.session_state.setdefault(f"edits_{dataset.id}", {})
    return edits


def confirmed_labels(dataset: Dataset) -> set[int]:
    """Rows whose labels somebody has confirmed in this session: they get no edit."""
    rows: set[int] = st.session_state.setdefault(f"confirmed_{dataset.id}", set())
    return rows


def add_edits(dataset: Dataset, rows: Iterable[int], label: int | None, why: str) -> None:
    """label: the new class, None: left out. The class that a picture already has removes its edit."""
    for row in rows:
        if label is not None and int(dataset.labels[row]) == label:
            pending_edits(dataset).pop(row, None)
        else:
            pending_edits(dataset)[row] = Edit(label, why)


def remove_edits(dataset: Dataset, rows: Iterable[int]) -> None:
    for row in rows:
        pending_edits(dataset).pop(row, None)


def discard_edits(dataset: Dataset) -> None:
    """Drop every edit of a dataset; what widgets show of them follows."""
    for what in ("edits", "confirmed", "selected"):
        st.session_state.pop(f"{what}_{dataset.id}", None)


def describe_edit(dataset: Dataset, row: int) -> str:
    """The pending edit of a picture, as Markdown for a caption; "" where there is none."""
    edit = pending_edits(dataset).get(row)
    if edit is None:
        return ""
    if edit.label is None:
        return ":orange[:material/block: left out]"
    return f":blue[:material/label: {escape(dataset.classes[edit.label], 22)}]"


# ------------------------------------------------------------------------------------------- the new version


def draw_pending_edits(dataset: Dataset, where: str) -> None:
    """The pending edits, with the buttons that apply or discard them; nothing where there are none.

    where: on which tab, for the keys of the widgets.
    """
    edits = pending_edits(dataset)
    if not edits:
        return
    number, _ = next_name(dataset, datasets())
    with st.container(border=True, key=f"edits_{where}"), boundary():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/edit_note: Pending edits: **{_count_edits(edits)}**", width="content")
            make = st.button(f"Make version {number}", type="primary", icon=":material/check:", key=f"make_{where}")
            with st.popover("List", icon=":material/list:"):
                _list_edits(dataset, edits)
            if st.button("Discard", type="tertiary", key=f"discard_{where}"):
                discard_edits(dataset)
                st.rerun()
        st.caption(_describe_version(dataset, number))
        if make:
            _make_version(dataset, edits)


def _count_edits(edits: dict[int, Edit]) -> str:
    out = sum(edit.label is None for edit in edits.values())
    return describe_changes({"relabelled": len(edits) - out, "left out": out})


def _describe_version(dataset: Dataset, number: int) -> str:
    name, newest = escape(dataset.name, 60), newest_version(dataset, datasets())
    text = f"Nothing has changed yet. Version {number} will have these edits; {name} stays as it is."
    if newest.id != dataset.id:
        text += f" Version {number} is made from this one, not from {escape(newest.name, 60)}."
    return text


def _list_edits(dataset: Dataset, edits: dict[int, Edit]) -> None:
    some = list(edits.items())[:MOST_LISTED]
    table = pd.DataFrame(
        {
            "Picture": [shown(dataset.names[row], 200) for row, _ in some],
            "Class": [shown(dataset.classes[dataset.labels[row]]) for row, _ in some],
            "Becomes": ["left out" if edit.label is None else shown(dataset.classes[edit.label]) for _, edit in some],
            "Why": [shown(edit.why) for _, edit in some],
        }
    )
    st.dataframe(table, hide_index=True, width=560, alt="The pending edits")
    if len(edits) > len(some):
        st.caption(f"And {len(edits) - len(some):,} more.")


def _make_version(dataset: Dataset, edits: dict[int, Edit]) -> None:
    bar = st.progress(0.0, text="Making the version")
    with closing(make_version(dataset, edits)) as steps:  # type: ignore[type-var]
        for progress in steps:
            bar.progress(min(1.0, progress.done / max(1, progress.total)), text="Making the version")
            made = progress.dataset
    assert made is not None, dataset.id
    discard_edits(dataset)
    st.session_state["dataset_added"] = st.session_state[MADE] = made.name
    st.rerun()


# -------------------------------------------------------------------------------------- selecting in the grid


def draw_selection(dataset: Dataset, shown_rows: Sequence[int]) -> bool:
    """A switch that lets pictures be selected and, once some are, the edits for them; whether it is on."""
    selected: set[int] = st.session_state.setdefault(f"selected_{dataset.id}", set())
    with st.container(horizontal=True, vertical_alignment="center", key="selection"):
        on = st.toggle(
            "Select pictures", key=f"selecting_{dataset.id}", help="To leave them out or give them another class."
        )
        if not on:
            return False
        if st.button("All on this page", icon=":material/select_all:", key="select_page"):
            selected.update(shown_rows)
            st.rerun()
        if selected:
            _draw_actions(dataset, selected)
        else:
            st.caption("Tick pictures below.", width="content")
    return True


def _draw_actions(dataset: Dataset, selected: set[int]) -> None:
    st.markdown(f"**{len(selected):,} selected**", width="content")
    if st.button("Leave out", icon=":material/block:", key="selected_out"):
        add_edits(dataset, selected, None, BY_HAND)
        _clear_selection(dataset)
    label = st.selectbox(
        "New class",
        range(len(dataset.classes)),
        index=None,
        format_func=lambda place: shown(dataset.classes[place]),
        placeholder="Give another class",
        label_visibility="collapsed",
        width=220,
        key=f"selected_class_{dataset.id}",
    )
    if st.button("Relabel", icon=":material/label:", key="selected_relabel", disabled=label is None):
        add_edits(dataset, selected, label, BY_HAND)
        _clear_selection(dataset)
    if st.button("Clear", type="tertiary", key="selected_none"):
        _clear_selection(dataset)


def _clear_selection(dataset: Dataset) -> None:
    st.session_state.pop(f"selected_{dataset.id}", None)
    st.rerun()


def draw_select_one(dataset: Dataset, row: int) -> None:
    """The tick of one picture."""
    key = f"select_{dataset.id}_{row}"
    st.session_state[key] = row in st.session_state[f"selected_{dataset.id}"]
    st.checkbox(
        f"Select {escape(dataset.names[row])}",
        key=key,
        label_visibility="collapsed",
        on_change=_select,
        args=(dataset, row, key),
    )


def _select(dataset: Dataset, row: int, key: str) -> None:
    selected: set[int] = st.session_state[f"selected_{dataset.id}"]
    (selected.add if st.session_state[key] else selected.discard)(row)


# --------------------------------------------------------------------------------------------- one picture


def draw_edit_one(dataset: Dataset, row: int) -> None:
    """A select box with the edits of one picture: leave it out, or give it another class."""
    edit = pending_edits(dataset).get(row)
    key = f"edit_{dataset.id}_{row}"
    own = int(dataset.labels[row])
    options = [NO_EDIT, OUT, *(label for label in range(len(dataset.classes)) if label != own)]
    st.session_state[key] = NO_EDIT if edit is None else OUT if edit.label is None else edit.label
    st.selectbox(
        "Edit",
        options,
        format_func=lambda choice: _edit_label(dataset, row, choice),
        key=key,
        on_change=_edit_one,
        args=(dataset, row, key),
    )


def _edit_label(dataset: Dataset, row: int, choice: object) -> str:
    if choice == NO_EDIT:
        return f"Keep as {shown(dataset.classes[dataset.labels[row]], 40)}"
    return "Leave out" if choice == OUT else f"Relabel: {shown(dataset.classes[int(str(choice))], 40)}"


def _edit_one(dataset: Dataset, row: int, key: str) -> None:
    choice = st.session_state[key]
    if choice == NO_EDIT:
        remove_edits(dataset, [row])
    else:
        add_edits(dataset, [row], None if choice == OUT else int(choice), BY_HAND)
