"""What was found in a zip or folder, before anything is imported: classes to rename, merge and leave out."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.data.imports.class_mapping import ClassMapping, make_class_mapping
from core.data.imports.preview import EXAMPLE_SIDE, ImportPreview, ImportScan, scan_source
from core.data.sources.listing import NAMES_OF_FILES
from core.data.sources.names import class_name
from core.data.sources.zip import ENCODINGS
from core.data.versions.versions import newest_versions
from core.errors import UserMistake
from core.jobs.import_job import start_import
from core.jobs.uploads import forget_upload
from pages.parts.data.label_table import ask_labels, forget_table
from pages.parts.shell.cache import dataset_named, datasets, pixels_to_png
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.frame import boundary
from pages.parts.widgets.import_progress import say_on_page

EXAMPLES = 3  # of each class
ROW = 56  # pixels, so that the examples can be seen
STATE = "import_preview"
CLASS_FOLDERS = {"auto": "As found", "outer": "The outer folders", "inner": "The folders inside them"}


def open_preview(path: Path, name: str, source: str, staged: bool) -> None:
    """From now on draw_preview shows this; `staged`: it is our own copy, deleted when it is not wanted."""
    st.session_state[STATE] = {"path": str(path), "name": name, "source": source, "staged": staged, "number": 0}


def has_preview() -> bool:
    return STATE in st.session_state


def draw_preview() -> None:
    """What was found, what would be skipped, and the button that imports it."""
    state = st.session_state[STATE]
    state["labels"] = ask_labels(state)
    try:
        found = _scan(state)
    except UserMistake as mistake:
        title = f"{escape(state['name'])} cannot be added"
        st.warning(escape(say_on_page(str(mistake)), 900), title=title, icon=":material/info:")
        _ask_class_folders(state, None)
        _offer_back()
        return
    st.markdown(f"**{escape(state['name'])}** · {escape(found.preview().layout, 300)}")
    if found.listing.garbled:
        _ask_encoding(state, found)
    _ask_class_folders(state, found)
    mapping = _ask_classes(state, found)
    try:
        preview = found.preview(mapping)
    except UserMistake as mistake:
        st.warning(escape(mistake, 600), icon=":material/info:")
        _offer_back()
        return
    _draw_summary(preview)
    _ask_import(state, preview, mapping)


def _scan(state: dict[str, Any]) -> ImportScan:
    """Scanned once; kept with the session, because the same folder may hold something else tomorrow."""
    key = (state["path"], state.get("encoding"), state.get("reading"), state["labels"])
    if state.get("scanned") != key:
        with st.spinner("Scanning the files"):
            state["found"] = scan_source(
                Path(state["path"]),
                state.get("encoding"),
                state.get("reading") or "auto",
                labels=state["labels"],
                each=EXAMPLES,
            )
        state["scanned"] = key
        state["names"], state["out"] = {}, ()
        state["number"] += 1
        state["guess"] = state["found"].listing.guess or state.get("guess")
    found: ImportScan = state["found"]
    return found


def _offer_back() -> None:
    if st.button("Other pictures", icon=":material/undo:", key="back"):
        _close()
        st.rerun()


def _close() -> None:
    state = st.session_state.pop(STATE)
    forget_table(state)
    if state["staged"]:
        forget_upload(Path(state["path"]))


def _ask_class_folders(state: dict[str, Any], found: ImportScan | None) -> None:
    """Where the shape of the folders leaves a doubt: one click says which of them are the classes. Where the names of
    the files say them, there is none to choose."""
    if not state.get("guess") or state["labels"]:
        return
    st.caption(f":material/help: {escape(state['guess'], 400)}")
    if found is not None and found.listing.table == NAMES_OF_FILES:
        st.caption("If they are not the classes, put the pictures of each class into a folder of its own.")
        return
    st.segmented_control(
        "Which folders are the classes?",
        list(CLASS_FOLDERS),
        format_func=lambda reading: CLASS_FOLDERS[reading],
        default="auto",
        key="class_folders",
        on_change=lambda: state.update(reading=st.session_state["class_folders"]),
    )


def _ask_encoding(state: dict[str, Any], found: ImportScan) -> None:
    """Names of which nobody knows the code page: each way to read them, with what comes out."""
    path = Path(state["path"])
    if "readings" not in state:
        state["readings"] = {None: _some_names(found)} | {
            code: _some_names(scan_source(path, code, decode=False)) for code in ENCODINGS
        }
    st.selectbox(
        "Folder names look garbled. Choose the encoding.",
        list(state["readings"]),
        format_func=lambda code: f"{ENCODINGS.get(code, 'As they are')}: {state['readings'][code]}",
        key="encoding",
        on_change=lambda: state.update(encoding=st.session_state["encoding"]),
        width=520,
    )


def _some_names(found: ImportScan) -> str:
    names = dict.fromkeys(entry.class_name for entry in found.listing.entries if not entry.class_name.isascii())
    if not names:
        names = dict.fromkeys(entry.name for entry in found.listing.entries if not entry.name.isascii())
    return shown(", ".join(list(names)[:4]))


def _where_named(state: dict[str, Any], found: ImportScan) -> str:
    """The head above the names of the classes as they were found."""
    if state["labels"]:
        return "In the table"
    return "In the names" if found.listing.table == NAMES_OF_FILES else "Folder"


def _ask_classes(state: dict[str, Any], found: ImportScan) -> ClassMapping:
    """The table of classes: which are used, and what they are called from now on."""
    preview = found.preview()
    before = {name: state["names"].get(name, name) for name in preview.found}
    table = pd.DataFrame(
        {
            "Use": [name not in state["out"] for name in preview.found],
            "Examples": [_strip(found.examples.get(name, [])) for name in preview.found],
            "Files": [preview.sizes[name] for name in preview.found],
            "Folder": [shown(name, 200) for name in preview.found],
            "Class": [shown(name, 200) for name in before.values()],
        }
    )
    edited = st.data_editor(
        table,
        hide_index=True,
        disabled=["Examples", "Folder", "Files"],
        row_height=ROW,
        height=min(ROW * len(table) + 38, 380),
        column_config={
            "Use": st.column_config.CheckboxColumn(width=80, help="Without a tick the class is left out."),
            "Examples": st.column_config.ImageColumn(width=200),
            "Folder": st.column_config.TextColumn(
                _where_named(state, found), width=250, help="The name, as it was found."
            ),
            "Class": st.column_config.TextColumn(
                width=250, help="Type another name. Two classes of one name become one.", max_chars=200, required=True
            ),
            "Files": st.column_config.NumberColumn(width=80),
        },
        key=f"classes_{state['number']}",
        alt="The classes that were found",
    )
    names, out = {}, []
    for row, (name, was) in enumerate(before.items()):
        typed = str(edited["Class"].iloc[row] or "").strip()
        names[name] = was if typed in ("", shown(was, 200).strip()) else typed  # what is only shown is not a new name
        if not edited["Use"].iloc[row]:
            out.append(name)
    _offer_merging(state, names, out)
    return make_class_mapping(
        {name: new for name, new in names.items() if name != new},
        out,
        state.get("encoding"),
        state.get("reading") or "auto",
        state["labels"],
    )


def _strip(pictures: list[np.ndarray]) -> str | None:
    """A few examples side by side, as an address that holds them."""
    if not pictures:
        return None
    png = pixels_to_png(np.concatenate(pictures, axis=2), EXAMPLE_SIDE)
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _offer_merging(state: dict[str, Any], names: dict[str, str], out: list[str]) -> None:
    used = [name for name in names if name not in out]
    with st.container(horizontal=True):
        with st.popover("Merge classes", icon=":material/merge:"):
            chosen = st.multiselect(
                "Classes that are one", used, format_func=lambda name: shown(name), key=f"merge_{state['number']}"
            )
            proposed = names[chosen[0]] if chosen else ""
            typed = st.text_input(
                "Called", placeholder=shown(proposed), max_chars=200, key=f"merged_name_{state['number']}"
            ).strip()
            ready = len(chosen) > 1
            if st.button("Merge them", type="primary", disabled=not ready, key="merge_them"):
                _take(state, names | dict.fromkeys(chosen, class_name(typed or proposed)), out)
        alike = _alike(names, used)
        if alike and st.button("Merge names that differ only in case", icon=":material/match_case:", key="merge_alike"):
            _take(state, names | alike, out)


def _alike(names: dict[str, str], used: list[str]) -> dict[str, str]:
    """Cat, cat and "cat " -> the first spelling of them, for those that another one is like."""
    first: dict[str, str] = {}
    changed = {}
    for name in used:
        spelled = first.setdefault(names[name].casefold().strip(), names[name])
        if spelled != names[name]:
            changed[name] = spelled
    return changed


def _take(state: dict[str, Any], names: dict[str, str], out: list[str]) -> None:
    """Begin the table anew with these names: an editor's own edits are relative to what it was given."""
    state["names"], state["out"] = names, tuple(out)
    state["number"] += 1
    st.rerun()


def _draw_summary(preview: ImportPreview) -> None:
    facts = [f"**{preview.pictures:,}** pictures in **{len(preview.classes)}** classes", _size(preview.bytes)]
    merged = [name for name in preview.classes if sum(new == name for new in preview.found.values()) > 1]
    if merged:
        facts.append(f"merged: {', '.join(f'{escape(name, 30)} ({preview.counts[name]:,})' for name in merged)}")
    if preview.skipped:
        facts.append(f"**{preview.skipped:,}** skipped")
    if preview.ignored:
        facts.append(f"{preview.ignored:,} system file{'s' * (preview.ignored != 1)} ignored")
    st.markdown("To import: " + " · ".join(facts))
    if preview.skips:
        table = pd.DataFrame(
            {
                "Skipped": [skip.count for skip in preview.skips],
                "Why": [shown(f"It {skip.reason}" if skip.count == 1 else skip.reason, 200) for skip in preview.skips],
                "For example": [shown(", ".join(skip.names), 300) for skip in preview.skips],
            }
        )
        st.dataframe(table, hide_index=True, alt="What would be skipped and why")
    for remark in (remark for remark in preview.remarks if remark != preview.guess):  # that stands above the table
        st.caption(f":material/info: {escape(remark, 400)}")


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):,.1f} MB"


def _ask_import(state: dict[str, Any], preview: ImportPreview, mapping: ClassMapping) -> None:
    if preview.trouble and st.session_state.get("import_into") is None:
        trouble = say_on_page(preview.trouble)
        st.warning(escape(trouble[0].upper() + trouble[1:] + ".", 600), icon=":material/info:")
    found = newest_versions(datasets())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        into = None
        if found:
            into = st.selectbox(
                "Goes into",
                [None, *(one.name for one in found)],
                format_func=lambda name: (
                    "A dataset of its own" if name is None else f"A new version of {shown(name, 50)}"
                ),
                help="A new version has the pictures of the older one as well; those that are there already stay out.",
                width=280,
                key="import_into",
            )
        name = state["name"]
        if into is None:
            typed = st.text_input(
                "Name", placeholder=name, max_chars=80, help="What this set is called from now on.", width=320
            ).strip()
            name = typed or name
        if preview.same_as and st.button(
            f"Open {escape(preview.same_as, 40)}", type="primary", icon=":material/photo_library:", key="open_same"
        ):
            st.session_state["dataset_added"] = preview.same_as
            _close()
            st.rerun()
        most = "" if preview.decoded and into is None else "up to "  # what is there already stays out
        label = f"{'Import' if into is None else 'Add'} {most}{preview.pictures:,} pictures"
        asked = st.button(
            label,
            type="secondary" if preview.same_as else "primary",
            icon=":material/add:",
            disabled=bool(preview.trouble) and into is None,
            key="import_them",
        )
        _offer_back()
    if asked:
        with boundary():
            _import(state, name, mapping, into)


def _import(state: dict[str, Any], name: str, mapping: ClassMapping, into: str | None) -> None:
    if into is None and dataset_named(name):
        raise UserMistake(f"There is a dataset called {name} already; choose another name, or delete that one first.")
    path, chosen = Path(state["path"]), mapping.model_dump()
    name = into or name
    upload, source = state["staged"], state["source"]
    start_import("pictures", name, path, is_upload=upload, source=source, class_mapping=chosen, into=into)
    del st.session_state[STATE]
    st.rerun()
