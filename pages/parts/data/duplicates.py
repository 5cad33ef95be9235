"""The Duplicates tab: groups of pictures that are the same one again, conflicts and leakage first."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.duplicates.duplicates import KINDS, Duplicates, read_duplicates
from core.data.splits import PARTS
from core.jobs.dataset_job import DatasetJob
from pages.parts.data.data_settings import data_config
from pages.parts.data.leakage import draw_leakage
from pages.parts.data.stamps import duplicates_stamp
from pages.parts.shell.cache import parts_of, thumbnail, whole_picture
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.theme import PART_NAMES
from pages.parts.widgets.edits import add_edits, describe_edit, draw_pending_edits, pending_edits, remove_edits
from pages.parts.widgets.job_progress import JobLabels, draw_job

ON_A_PAGE = 12
IN_A_CARD = 4  # pictures of a group that its card shows
IN_A_DIALOG = 24
ALL, NONE = "all", "none"  # of a group that stay, besides one
REASON = "duplicate"  # of an edit
KIND_LABELS = {
    "bytes": "the same file",
    "pixels": "the same pixels",
    "near": "re-encoded or resized",
    "mirrored": "mirrored",
    "cropped": "cropped",
}

SEARCH = JobLabels(
    "Find duplicates",
    ":material/content_copy:",
    {"reading": "Reading the pictures", "comparing": "Comparing", "waiting": "Waiting for another search"},
)


@dataclass(frozen=True)
class DuplicateGroup:
    """Pictures that are one and the same."""

    rows: tuple[int, ...]
    kinds: tuple[str, ...]
    conflict: bool  # in more than one class
    leakage: bool  # in more than one given part


def draw_duplicates(dataset: Dataset) -> None:
    """What is known about duplicates in the split that is set, or a button that starts the search."""
    data, stamp = data_config(dataset), duplicates_stamp(dataset)
    found = _groups(str(dataset.folder), dataset.content_hash, stamp, dataset)
    if found is None:
        _offer_search(dataset)
        return
    if not found:
        st.success(
            f"No duplicates: all {dataset.used:,} pictures were compared, also mirrored and slightly cropped.",
            icon=":material/check_circle:",
        )
        return
    draw_pending_edits(dataset, "duplicates")
    _draw_counts(dataset, found)
    leaked = _draw_split_leakage(dataset, data, stamp)
    if leaked:
        draw_leakage(dataset, data, leaked)
    _draw_groups(dataset, found)


def _offer_search(dataset: Dataset) -> None:
    st.markdown(
        "**Is one picture in here twice?** A duplicate may be re-encoded, resized, mirrored or slightly cropped. "
        "Duplicates in two classes contradict each other; duplicates in training and test make the test too easy."
    )
    draw_job(DatasetJob("duplicates", dataset), SEARCH)
    st.caption(f"Compares all {dataset.used:,} pictures with each other, once. Ten thousand take less than a minute.")


def _draw_counts(dataset: Dataset, found: list[DuplicateGroup]) -> None:
    """How many duplicates there are, across classes and across the parts that the dataset brings along."""
    count = sum(len(group.rows) for group in found)
    st.markdown(
        f"**{count:,}** of {dataset.used:,} pictures have a duplicate among them, in **{len(found):,}** "
        f"{'group' if len(found) == 1 else 'groups'}."
    )
    conflicts, leaks = (sum(getattr(group, kind) for group in found) for kind in ("conflict", "leakage"))
    if conflicts:
        st.warning(
            f"**{_count_groups(conflicts)} across classes:** the same picture has two labels, so no network can be "
            "right about both. Choose which label is right.",
            icon=":material/call_split:",
        )
    if leaks:
        st.warning(
            f"**{_count_groups(leaks)} across the parts that the pictures came with:** the network is tested on "
            "pictures that it was trained on (leakage), so its test accuracy is too high.",
            icon=":material/leak_add:",
        )


def _count_groups(groups: int) -> str:
    return "1 group of duplicates" if groups == 1 else f"{groups:,} groups of duplicates"


def _draw_split_leakage(dataset: Dataset, data: DataConfig, stamp: int) -> int:
    """What keeping duplicates together does to the split. Returns how many test pictures are duplicates of training
    pictures where they are not kept together."""
    ignored, together, n = _count_leaked(dataset.content_hash, data.model_dump_json(), stamp, dataset)
    given = bool((dataset.given_parts == 2).any())
    st.info(_describe_split(ignored, together, n, given), icon=":material/call_split:")
    return ignored


def _describe_split(ignored: int, together: int, n: int, given: bool) -> str:
    """ignored, together: leaked test pictures, of n, by how duplicates are treated; given: a test part came along."""
    if not ignored:
        return f"In this split, none of {n:,} test pictures is a duplicate of a training picture."
    text = f"If duplicates are ignored, **{ignored:,} of {n:,}** test pictures are duplicates of training pictures. "
    setting = "*Duplicates: together*"
    if together and given:
        left = "all" if together == ignored else f"{together:,}"
        text += f"{setting} splits training and validation without splitting a group, but a test part that came "
        return f"{text}with the pictures stays as it is, to be comparable with others' results: {left} of them stay."
    if not together:
        return f"{text}With {setting}, as Train proposes, none is: a group is in one part."
    return f"{text}With {setting}, as Train proposes, {together:,} of {n:,} are."


def _draw_groups(dataset: Dataset, found: list[DuplicateGroup]) -> None:
    counts = {
        "all": len(found),
        "conflict": sum(group.conflict for group in found),
        "leakage": sum(group.leakage for group in found),
    }
    names = {"all": "All groups", "conflict": "Across classes", "leakage": "Across given parts"}
    offered = [kind for kind in names if counts[kind]]
    kind = "all"
    if len(offered) > 1:
        kind = st.segmented_control(
            "Show",
            offered,
            format_func=lambda kind: f"{names[kind]} ({counts[kind]:,})",
            default="all",
            required=True,
            key=f"duplicates_kind_{dataset.id}",
        )
    chosen = [group for group in found if kind == "all" or getattr(group, kind)]
    _offer_cleaning(dataset, chosen)
    grid = st.container()
    pages, page = -(-len(chosen) // ON_A_PAGE), 1
    if pages > 1:
        page = st.pagination(pages, key=f"duplicates_page_{dataset.id}_{kind}")
    with grid, st.grid(3, min_column_width=300, gap="small"):
        for group in chosen[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]:
            _draw_card(dataset, group)


def _draw_card(dataset: Dataset, group: DuplicateGroup) -> None:
    with st.container(border=True, height="stretch", gap="xsmall", key=f"group_{group.rows[0]}"):
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
            if group.conflict:
                st.badge("two classes", icon=":material/call_split:", color="red")
            if group.leakage:
                st.badge("two parts", icon=":material/leak_add:", color="orange")
            st.caption(", ".join(KIND_LABELS[kind] for kind in group.kinds), width="content")
        with st.grid(2, min_column_width=100, gap="xsmall"):
            for row in group.rows[:IN_A_CARD]:
                with st.container(gap=None):
                    st.image(thumbnail(dataset, row), width="stretch", alt=shown(dataset.names[row], 200))
                    st.caption(_label(dataset, row), help=escape(dataset.names[row], 200))
                    if edit := describe_edit(dataset, row):
                        st.caption(edit)
        more = len(group.rows) - IN_A_CARD
        label = f"Compare all {len(group.rows)}" if more > 0 else "Compare"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if st.button(label, key=f"compare_{group.rows[0]}", type="tertiary", icon=":material/compare:"):
                _draw_comparison(dataset, group)
            _ask_group(dataset, group)


def _ask_group(dataset: Dataset, group: DuplicateGroup) -> None:
    """A select box: all stay, none, or one in the class that a person chooses."""
    classes = sorted({int(label) for label in dataset.labels[list(group.rows)]})
    key = f"group_{dataset.id}_{group.rows[0]}"
    choices: tuple[int | str, ...] = (*classes, NONE)
    outs = {choice: set(_left_out(dataset, group, choice)) for choice in choices}
    edits = pending_edits(dataset)
    now = {row for row in group.rows if row in edits and edits[row].label is None}
    st.session_state[key] = next((choice for choice, out in outs.items() if out == now), ALL)
    st.selectbox(
        "What stays",
        [ALL, *outs],
        format_func=lambda choice: _choice_label(dataset, group, choice),
        key=key,
        label_visibility="collapsed",
        width=190,
        on_change=_edit_group,
        args=(dataset, group, key),
    )


def _choice_label(dataset: Dataset, group: DuplicateGroup, choice: object) -> str:
    if choice == ALL:
        return "All stay"
    if choice == NONE:
        return "None stays"
    return f"One stays: {shown(dataset.classes[int(str(choice))], 30)}" if group.conflict else "One stays"


def _edit_group(dataset: Dataset, group: DuplicateGroup, key: str) -> None:
    remove_edits(dataset, group.rows)
    if st.session_state[key] != ALL:
        add_edits(dataset, _left_out(dataset, group, st.session_state[key]), None, REASON)


def _left_out(dataset: Dataset, group: DuplicateGroup, choice: int | str) -> list[int]:
    """All but one of this class; NONE: all. Of several one in a given test part stays, then the largest file."""
    if choice == NONE:
        return list(group.rows)
    members = [row for row in group.rows if dataset.labels[row] == choice]
    lengths, parts = dataset.records["length"], dataset.given_parts
    kept = max(members, key=lambda row: (int(parts[row]), int(lengths[row]), -row))
    return [row for row in group.rows if row != kept]


def _offer_cleaning(dataset: Dataset, groups: list[DuplicateGroup]) -> None:
    """Edit all groups that are shown: of duplicates in one class one stays, of conflicts none."""
    conflicts = [group for group in groups if group.conflict]
    alike = [group for group in groups if not group.conflict]
    with st.container(horizontal=True, vertical_alignment="center"):
        if alike:
            count = sum(len(group.rows) - 1 for group in alike)
            label = f"Leave out {count:,} duplicate{'s' * (count != 1)}, one of each group stays"
            if st.button(label, icon=":material/filter_1:", key="clean_duplicates"):
                out = [row for group in alike for row in _left_out(dataset, group, int(dataset.labels[group.rows[0]]))]
                add_edits(dataset, out, None, REASON)
                st.rerun()
        if conflicts:
            count = sum(len(group.rows) for group in conflicts)
            label = f"Leave out all {count:,} pictures that are in two classes"
            if st.button(label, icon=":material/call_split:", key="clean_conflicts"):
                add_edits(dataset, [row for group in conflicts for row in group.rows], None, "in two classes")
                st.rerun()


def _label(dataset: Dataset, row: int) -> str:
    """Class and, where it came with one, part of a picture."""
    label = escape(dataset.classes[dataset.labels[row]], 22)
    part = int(dataset.given_parts[row])
    return f"{label} · {PART_NAMES[PARTS[part]]}" if part >= 0 else label


@st.dialog("Duplicates", width="large")
def _draw_comparison(dataset: Dataset, group: DuplicateGroup) -> None:
    st.caption(", ".join(KIND_LABELS[kind] for kind in group.kinds).capitalize())
    with st.grid(2 if len(group.rows) < 5 else 3, min_column_width=200, gap="small"):
        for row in group.rows[:IN_A_DIALOG]:
            with st.container(gap="xxsmall"):
                st.image(whole_picture(dataset, row, 480), width="stretch", alt=shown(dataset.names[row], 200))
                st.caption(f"**{_label(dataset, row)}** · {escape(dataset.names[row], 200)}")
    if len(group.rows) > IN_A_DIALOG:
        st.caption(f"And {len(group.rows) - IN_A_DIALOG:,} more.")


@st.cache_data(max_entries=20, show_spinner="Reading what was found …")
def _groups(folder: str, content_hash: str, stamp: int, _dataset: Dataset) -> list[DuplicateGroup] | None:
    """Conflicts first, then leakage, then the rest, the most alike first; None where no search has ended."""
    found = read_duplicates(_dataset)
    return None if found is None else _sorted_groups(found, _dataset.labels, _dataset.given_parts)


def _sorted_groups(found: Duplicates, labels: np.ndarray, given_parts: np.ndarray) -> list[DuplicateGroup]:
    sizes = np.bincount(found.groups, minlength=len(found.groups))
    rows: dict[int, list[int]] = {}
    for row in np.flatnonzero(sizes[found.groups] > 1).tolist():
        rows.setdefault(int(found.groups[row]), []).append(row)
    kinds: dict[int, set[int]] = {first: set() for first in rows}
    nearest = dict.fromkeys(rows, 1.0)
    for (one, _), kind, distance in zip(found.pairs.tolist(), found.kinds, found.distances, strict=True):
        first = int(found.groups[one])
        kinds[first].add(int(kind))
        nearest[first] = min(nearest[first], float(distance))
    groups = [
        DuplicateGroup(
            tuple(members),
            tuple(KINDS[kind] for kind in sorted(kinds[first])),
            len(set(labels[members].tolist())) > 1,
            len({part for part in given_parts[members].tolist() if part >= 0}) > 1,
        )
        for first, members in rows.items()
    ]
    return sorted(groups, key=lambda group: (not group.conflict, not group.leakage, nearest[group.rows[0]]))


@st.cache_data(max_entries=20, show_spinner=False)
def _count_leaked(content_hash: str, data: str, stamp: int, _dataset: Dataset) -> tuple[int, int, int]:
    """(leaked test pictures where duplicates are ignored, where they are kept together, test pictures)."""
    found, config = read_duplicates(_dataset), DataConfig.model_validate_json(data)
    if found is None:
        return 0, 0, 0
    ignored, together = (
        parts_of(_dataset, config.model_copy(update={"duplicates": treated})) for treated in ("ignore", "together")
    )
    return len(found.test_leakage(ignored)), len(found.test_leakage(together)), len(ignored["test"])
