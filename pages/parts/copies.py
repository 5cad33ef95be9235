"""Near-copies: pictures that are the same one again, in groups side by side, conflicts and leaks first."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.config import DataConfig
from core.data.copies import KINDS, Copies, read_copies
from core.data.dataset import Dataset
from core.data.splits import PARTS
from pages.parts.cached import parts_of, stamp_of, thumbnail, whole_picture
from pages.parts.deciding import decide, decided, draw_decided, mark_of, take_back
from pages.parts.errand_bar import Words, draw_errand
from pages.parts.errands import Errand
from pages.parts.escape import escape, shown
from pages.parts.leak import draw_leak
from pages.parts.palette import PART_NAMES

ON_A_PAGE = 12
IN_A_CARD = 4  # pictures of a group that its card shows
IN_A_DIALOG = 24
ALL, NONE = "all", "none"  # of a group that stay, besides one
SAYS = {
    "bytes": "the same file",
    "pixels": "the same pixels",
    "near": "re-encoded or resized",
    "mirrored": "mirrored",
    "cropped": "cropped",
}

SEARCH = Words(
    "Look for copies",
    ":material/content_copy:",
    {"reading": "Reading the pictures", "comparing": "Comparing", "waiting": "Waiting for another search"},
)


@dataclass(frozen=True)
class Group:
    """Copies of one picture."""

    rows: tuple[int, ...]
    kinds: tuple[str, ...]
    conflict: bool  # in more than one class
    leak: bool  # in more than one given part


def draw_copies(dataset: Dataset, data: DataConfig) -> None:
    """What is known about copies, or a button that looks for them; data: the split that is being planned."""
    stamp = stamp_of(dataset.folder / "copies.npz")
    found = _groups(str(dataset.folder), dataset.content_hash, stamp, dataset)
    if found is None:
        _offer_search(dataset)
        return
    if not found:
        st.success(
            f"No picture is a copy of another: all {dataset.used:,} were compared, also mirrored and slightly cropped.",
            icon=":material/check_circle:",
        )
        return
    draw_decided(dataset, "copies")
    leaked = _draw_meaning(dataset, data, stamp, found)
    if leaked:
        draw_leak(dataset, data, leaked)
    _draw_groups(dataset, found)


def _offer_search(dataset: Dataset) -> None:
    st.markdown(
        "**Is one picture in here twice?** A copy may be re-encoded, resized, mirrored or slightly cropped. Copies in "
        "two classes contradict each other; copies in training and test make the test too easy."
    )
    draw_errand(Errand("copies", dataset), SEARCH)
    st.caption(f"Compares all {dataset.used:,} pictures with each other, once. Ten thousand take less than a minute.")


def _draw_meaning(dataset: Dataset, data: DataConfig, stamp: int, found: list[Group]) -> int:
    """One sentence each: conflicts, leaks, and what keeping copies together does to the split. Returns the test
    pictures that are copies of training pictures where copies are ignored."""
    copied = sum(len(group.rows) for group in found)
    st.markdown(
        f"**{copied:,}** of {dataset.used:,} pictures have a copy among them, in **{len(found):,}** "
        f"{'group' if len(found) == 1 else 'groups'}."
    )
    conflicts, leaks = (sum(getattr(group, kind) for group in found) for kind in ("conflict", "leak"))
    if conflicts:
        st.warning(
            f"**{_counted(conflicts)} across classes:** the same picture has two labels, so no network can be right "
            "about both. Decide which label is right.",
            icon=":material/call_split:",
        )
    if leaks:
        st.warning(
            f"**{_counted(leaks)} across the parts that the pictures came with:** the test asks about pictures that "
            "were learnt from, so its accuracy flatters.",
            icon=":material/leak_add:",
        )
    alone, together, n = _tested(dataset.content_hash, data.model_dump_json(), stamp, dataset)
    st.info(_told_of_split(alone, together, n, bool((dataset.given_parts == 2).any())), icon=":material/call_split:")
    return alone


def _counted(groups: int) -> str:
    return "1 group of copies" if groups == 1 else f"{groups:,} groups of copies"


def _told_of_split(alone: int, together: int, n: int, given: bool) -> str:
    if not alone:
        return f"As you split now, none of {n:,} test pictures is a copy of a training picture."
    told = f"If copies are ignored, **{alone:,} of {n:,}** test pictures are copies of training pictures. "
    if together and given:
        told += "*Copies: together* parts training and validation without splitting a group, but a test part that came "
        left = "all" if together == alone else f"{together:,}"
        return f"{told}with the pictures stays as it is, to be comparable with others' results: {left} of them stay."
    if not together:
        return f"{told}With *Copies: together*, as Train proposes, none is: a group is on one side."
    return f"{told}With *Copies: together*, as Train proposes, {together:,} of {n:,} are."


def _draw_groups(dataset: Dataset, found: list[Group]) -> None:
    counts = {
        "all": len(found),
        "conflict": sum(group.conflict for group in found),
        "leak": sum(group.leak for group in found),
    }
    names = {"all": "All groups", "conflict": "Across classes", "leak": "Across given parts"}
    offered = [kind for kind in names if counts[kind]]
    kind = "all"
    if len(offered) > 1:
        kind = st.segmented_control(
            "Show",
            offered,
            format_func=lambda kind: f"{names[kind]} ({counts[kind]:,})",
            default="all",
            required=True,
            key=f"copies_kind_{dataset.id}",
        )
    chosen = [group for group in found if kind == "all" or getattr(group, kind)]
    _offer_cleaning(dataset, chosen)
    grid = st.container()
    pages, page = -(-len(chosen) // ON_A_PAGE), 1
    if pages > 1:
        page = st.pagination(pages, key=f"copies_page_{dataset.id}_{kind}")
    with grid, st.grid(3, min_column_width=300, gap="small"):
        for group in chosen[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]:
            _card(dataset, group)


def _card(dataset: Dataset, group: Group) -> None:
    with st.container(border=True, height="stretch", gap="xsmall", key=f"group_{group.rows[0]}"):
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
            if group.conflict:
                st.badge("two classes", icon=":material/call_split:", color="red")
            if group.leak:
                st.badge("two parts", icon=":material/leak_add:", color="orange")
            st.caption(", ".join(SAYS[kind] for kind in group.kinds), width="content")
        with st.grid(2, min_column_width=100, gap="xsmall"):
            for row in group.rows[:IN_A_CARD]:
                with st.container(gap=None):
                    st.image(thumbnail(dataset, row), width="stretch", alt=shown(dataset.names[row], 200))
                    st.caption(_label(dataset, row), help=escape(dataset.names[row], 200))
                    if mark := mark_of(dataset, row):
                        st.caption(mark)
        more = len(group.rows) - IN_A_CARD
        told = f"All {len(group.rows)} side by side" if more > 0 else "Side by side"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if st.button(told, key=f"beside_{group.rows[0]}", type="tertiary", icon=":material/compare:"):
                _beside(dataset, group)
            _ask_group(dataset, group)


def _ask_group(dataset: Dataset, group: Group) -> None:
    """One of them stays, in the class that a person says, or none."""
    classes = sorted({int(label) for label in dataset.labels[list(group.rows)]})
    key = f"group_{dataset.id}_{group.rows[0]}"
    choices: tuple[int | str, ...] = (*classes, NONE)
    outs = {choice: set(_left_out(dataset, group, choice)) for choice in choices}
    now = {row for row in group.rows if row in decided(dataset) and decided(dataset)[row].label is None}
    st.session_state[key] = next((choice for choice, out in outs.items() if out == now), ALL)
    st.selectbox(
        "What stays",
        [ALL, *outs],
        format_func=lambda choice: _say(dataset, group, choice),
        key=key,
        label_visibility="collapsed",
        width=190,
        on_change=_decide_group,
        args=(dataset, group, key),
    )


def _say(dataset: Dataset, group: Group, choice: object) -> str:
    if choice == ALL:
        return "All stay"
    if choice == NONE:
        return "None stays"
    return f"One stays: {shown(dataset.classes[int(str(choice))], 30)}" if group.conflict else "One stays"


def _decide_group(dataset: Dataset, group: Group, key: str) -> None:
    take_back(dataset, group.rows)
    if st.session_state[key] != ALL:
        decide(dataset, _left_out(dataset, group, st.session_state[key]), None, "copy")


def _left_out(dataset: Dataset, group: Group, choice: int | str) -> list[int]:
    """All but one of this class; NONE: all. Of several one in a given test part stays, then the largest file."""
    if choice == NONE:
        return list(group.rows)
    members = [row for row in group.rows if dataset.labels[row] == choice]
    lengths, parts = dataset.records["length"], dataset.given_parts
    kept = max(members, key=lambda row: (int(parts[row]), int(lengths[row]), -row))
    return [row for row in group.rows if row != kept]


def _offer_cleaning(dataset: Dataset, groups: list[Group]) -> None:
    """Decide about all groups that are shown: of copies in one class one stays, of conflicts none."""
    conflicts = [group for group in groups if group.conflict]
    alike = [group for group in groups if not group.conflict]
    with st.container(horizontal=True, vertical_alignment="center"):
        if alike:
            count = sum(len(group.rows) - 1 for group in alike)
            label = f"Leave out {count:,} {'copy' if count == 1 else 'copies'}, one of each group stays"
            if st.button(label, icon=":material/filter_1:", key="clean_copies"):
                out = [row for group in alike for row in _left_out(dataset, group, int(dataset.labels[group.rows[0]]))]
                decide(dataset, out, None, "copy")
                st.rerun()
        if conflicts:
            count = sum(len(group.rows) for group in conflicts)
            label = f"Leave out all {count:,} pictures that are in two classes"
            if st.button(label, icon=":material/call_split:", key="clean_conflicts"):
                decide(dataset, [row for group in conflicts for row in group.rows], None, "in two classes")
                st.rerun()


def _label(dataset: Dataset, row: int) -> str:
    """Class and, where it came with one, part of a picture."""
    told = escape(dataset.classes[dataset.labels[row]], 22)
    part = int(dataset.given_parts[row])
    return f"{told} · {PART_NAMES[PARTS[part]]}" if part >= 0 else told


@st.dialog("Copies of one another", width="large")
def _beside(dataset: Dataset, group: Group) -> None:
    st.caption(", ".join(SAYS[kind] for kind in group.kinds).capitalize())
    with st.grid(2 if len(group.rows) < 5 else 3, min_column_width=200, gap="small"):
        for row in group.rows[:IN_A_DIALOG]:
            with st.container(gap="xxsmall"):
                st.image(whole_picture(dataset, row, 480), width="stretch", alt=shown(dataset.names[row], 200))
                st.caption(f"**{_label(dataset, row)}** · {escape(dataset.names[row], 200)}")
    if len(group.rows) > IN_A_DIALOG:
        st.caption(f"And {len(group.rows) - IN_A_DIALOG:,} more.")


@st.cache_data(max_entries=20, show_spinner="Reading what was found …")
def _groups(folder: str, content_hash: str, stamp: int, _dataset: Dataset) -> list[Group] | None:
    """Conflicts first, then leaks, then the rest, the most alike first; None where nobody has looked."""
    found = read_copies(_dataset)
    return None if found is None else _sorted_groups(found, _dataset.labels, _dataset.given_parts)


def _sorted_groups(found: Copies, labels: np.ndarray, given_parts: np.ndarray) -> list[Group]:
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
        Group(
            tuple(members),
            tuple(KINDS[kind] for kind in sorted(kinds[first])),
            len(set(labels[members].tolist())) > 1,
            len({part for part in given_parts[members].tolist() if part >= 0}) > 1,
        )
        for first, members in rows.items()
    ]
    return sorted(groups, key=lambda group: (not group.conflict, not group.leak, nearest[group.rows[0]]))


@st.cache_data(max_entries=20, show_spinner=False)
def _tested(content_hash: str, data: str, stamp: int, _dataset: Dataset) -> tuple[int, int, int]:
    """Test pictures that are copies of training pictures where copies are ignored and kept together; test pictures."""
    found, plan = read_copies(_dataset), DataConfig.model_validate_json(data)
    if found is None:
        return 0, 0, 0
    alone, together = (
        parts_of(_dataset, plan.model_copy(update={"copies": copies})) for copies in ("ignore", "together")
    )
    return len(found.leaked(alone)), len(found.leaked(together)), len(alone["test"])
