"""Versions of a dataset: what each is called in a list, and their history with undo and restore."""

from collections.abc import Sequence

import streamlit as st

from core.data.datasets.dataset import Dataset
from core.data.versions.versions import (
    describe_version,
    newest_version,
    own_reasons,
    restore_version,
    undo_version,
    versions_of,
)
from core.runs.dataset_use import describe_use, kept_when_undone
from pages.parts.shell.cache import runs
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.frame import boundary
from pages.parts.shell.navigation import go_to

NEWEST = "newest version"
MADE = "version_made"  # the name of the version that this session has just made


def in_families(found: Sequence[Dataset]) -> list[Dataset]:
    """As a list offers them: versions of the same pictures one below the other, the newest first, undone ones last."""
    first = {one.family: place for place, one in reversed(list(enumerate(found)))}
    return sorted(found, key=lambda one: (first[one.family], one.undone, -one.version))


def standing_of(dataset: Dataset, found: Sequence[Dataset]) -> str:
    """Which of several versions it is: newest, older or undone; "" where it is the only one."""
    if len(versions_of(dataset, found)) < 2:
        return ""
    if dataset.undone:
        return "undone version"
    return NEWEST if dataset.id == newest_version(dataset, found).id else "older version"


def version_label(dataset: Dataset, found: Sequence[Dataset]) -> str:
    """Its name and, where there are several versions, which one it is. Plain text."""
    standing = standing_of(dataset, found)
    return f"{shown(dataset.name, 60)} · {standing}" if standing else shown(dataset.name)


def train_on(dataset: Dataset) -> None:
    """Go to the Train page with this dataset."""
    st.session_state["train_dataset"] = dataset.name
    go_to("pages/train.py")


def draw_made(dataset: Dataset) -> None:
    """The version that was just made, with the buttons to train on it and to undo it."""
    if st.session_state.get(MADE) != dataset.name:
        return
    st.success(
        f"**{escape(dataset.name)}** is there: {describe_version(dataset)}. What it was made from stays as "
        "it was, and each picture is in the part in which it was.",
        icon=":material/check_circle:",
    )
    with st.container(horizontal=True):
        if st.button("Start training", icon=":material/model_training:", key="train_on_made"):
            st.session_state.pop(MADE)
            train_on(dataset)
        if st.button("Undo", icon=":material/undo:", key="undo_made"):
            _undo(dataset)
        if st.button("Close", type="tertiary", key="close_made"):
            st.session_state.pop(MADE)
            st.rerun()


def draw_history(dataset: Dataset, found: Sequence[Dataset]) -> None:
    """Every version of a dataset, the newest first: what it changed, why, and how many runs use it."""
    versions = versions_of(dataset, found)
    if len(versions) < 2:
        return
    newest = newest_version(dataset, found)
    st.markdown("**Versions**")
    for one in reversed(versions):
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"version_{one.id}"):
            with st.container(gap=None):
                mark = " · newest" if one.id == newest.id else " · undone" if one.undone else ""
                st.markdown(f"**{escape(one.name)}**{mark} · {one.used:,} pictures in {len(one.classes)} classes")
                st.caption(_describe(one))
            with boundary():
                _draw_actions(one, one.id == dataset.id)


def _describe(version: Dataset) -> str:
    when = escape(version.created[:16].replace("T", " "))
    reasons = ", ".join(f"{count:,} {escape(why, 40)}" for why, count in own_reasons(version).items())
    text = f"{when} · {describe_version(version)}" + (f" ({reasons})" if reasons else "")
    return f"{text}. {describe_use(version.name, runs(hidden=True))}"


def _draw_actions(version: Dataset, is_open: bool) -> None:
    if not is_open and st.button("Open", icon=":material/photo_library:", key=f"open_{version.id}"):
        st.session_state["dataset_added"] = version.name
        st.rerun()
    if st.button("Start training", icon=":material/model_training:", key=f"train_{version.id}"):
        train_on(version)
    if version.undone:
        if st.button("Bring back", icon=":material/redo:", key=f"restore_{version.id}"):
            restore_version(version)
            st.rerun()
    elif version.parent and st.button("Undo", icon=":material/undo:", key=f"undo_{version.id}"):
        _undo(version)


def _undo(version: Dataset) -> None:
    """Delete a version, or only mark it as undone where runs were trained on it."""
    kept = kept_when_undone(version.name, runs(hidden=True))
    undo_version(version, keep=kept)
    st.session_state.pop(MADE, None)
    what = "is undone; the runs that were trained on it keep it" if kept else "is undone"
    st.toast(f"{escape(version.name)} {what}.", icon=":material/undo:")
    st.rerun()
