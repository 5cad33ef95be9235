"""Classes from a table: which table, which of its columns; asked in the preview of an import."""

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core.data.sources.table import TABLE_BYTES, Labels, Table, read_table, tables_in
from core.errors import UserMistake
from core.jobs.uploads import forget_upload, save_upload
from pages.parts.shell.escape import escape, shown

SHOWN_ROWS = 4
HELP = (
    "A CSV with a file and its class in each row, whatever its header, separator and code page. Files may be written "
    "with or without their folders and endings."
)


def ask_labels(state: dict[str, Any]) -> Labels | None:
    """The table that says the classes in place of folders, and its columns; None where folders do. state: of the
    preview."""
    path = Path(state["path"])
    if "tables" not in state:
        state["tables"] = tables_in(path)
    with st.popover("Classes from a table", icon=":material/table:", key="labels"):
        inside = st.selectbox(
            "Table",
            [None, *state["tables"]],
            format_func=lambda name: "None: folders are the classes" if name is None else shown(name, 60),
            key="labels_inside",
            help=HELP,
        )
        upload = st.file_uploader(
            "Or a CSV file", type=["csv", "tsv", "txt"], max_upload_size=TABLE_BYTES // 2**20, key="labels_upload"
        )
        _keep_upload(state, upload)
        named = state.get("table_upload") or inside
        if named is None:
            return None
        called = state["table_called"] if state.get("table_upload") else ""
        try:
            table = read_table(Labels(path=named, called=called), path, state.get("encoding"))
        except UserMistake as mistake:
            st.warning(escape(mistake, 500), icon=":material/info:")
            return None
        file_column, class_column = _ask_columns(table)
    return Labels(path=named, called=called, file_column=file_column, class_column=class_column)


def forget_table(state: dict[str, Any]) -> None:
    """Let go of our copy of a table that was uploaded."""
    if kept := state.pop("table_upload", None):
        forget_upload(Path(kept))


def _keep_upload(state: dict[str, Any], upload: Any) -> None:
    """Our own copy of the uploaded table, made once."""
    identity = None if upload is None else upload.file_id
    if state.get("table_id") == identity:
        return
    forget_table(state)
    state["table_id"] = identity
    if upload is not None:
        state["table_upload"] = str(save_upload(upload, ".csv"))
        state["table_called"] = shown(Path(upload.name).name, 60)


def _ask_columns(table: Table) -> tuple[str, str]:
    """The columns of files and classes, as Labels takes them; "" where they are found by themselves."""
    options = [None, *range(len(table.columns))]
    key = str(len(table.columns))  # a table with other columns asks anew
    chosen = [
        st.selectbox(
            label,
            options,
            format_func=lambda at: "Found by itself" if at is None else f"{at + 1}: {shown(table.columns[at], 40)}",
            key=f"labels_{field}_{key}",
        )
        for label, field in (("Column of the files", "file"), ("Column of the classes", "class"))
    ]
    rows = [[shown(cell, 40) for cell in row] for row in [list(table.columns), *table.rows[: SHOWN_ROWS - 1]]]
    st.dataframe(
        pd.DataFrame(rows, columns=[str(at + 1) for at in range(len(table.columns))]),
        hide_index=True,
        height="content",
        alt="The first rows of the table",
    )
    file_column, class_column = (_as_named(at, table) for at in chosen)
    return file_column, class_column


def _as_named(at: int | None, table: Table) -> str:
    """The column by its number, or by its name where another one is called as the number is."""
    if at is None:
        return ""
    return table.columns[at] if str(at + 1) in table.columns else str(at + 1)
