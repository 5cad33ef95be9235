"""The app under test: opened at its entry file, in an ATELIER_HOME of its own."""

from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.testing.v1 import AppTest

from core.config import RunConfig, change_config
from core.data.datasets.dataset import Dataset
from core.data.imports.pipeline import import_pictures
from core.runs.actions import create_run
from core.runs.run import Run
from core.runs.state import replace_state, write_state
from tests.pictures import png
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parent.parent


def open_page(page: str = "streamlit_app.py", **query: str) -> AppTest:
    """The page after its first run; caches are emptied, for they outlive a test."""
    st.cache_data.clear()
    st.cache_resource.clear()
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=PATIENCE)
    for name, value in query.items():
        app.query_params[name] = value
    if page == "streamlit_app.py":
        return app.run()
    return app.switch_page(page).run()


def widget(app: AppTest, base: str) -> Any:
    """The widget of a form's field, e.g. "form.train.epochs"; when the program rewrites one, it gets another key."""
    count = app.session_state["widgets.count"].get(base, 0) if "widgets.count" in app.session_state else 0
    return app.get_by_key(f"{base}~{count}" if count else base)


def add_pictures(name: str = "pets", classes: tuple[str, ...] = ("cat", "dog"), each: int = 6) -> Dataset:
    """A dataset of `each` small pictures a class and one file that is no picture."""
    entries = [(f"{place}.png", label, None, png(place)) for label in classes for place in range(each)]
    entries.append(("notes.png", classes[0], None, b"not a picture"))
    last = None
    for progress in import_pictures(name, iter(entries), "zip", False):
        last = progress.dataset
    assert last is not None
    return last


def add_failed_run(dataset: Dataset, message: str) -> Run:
    config = change_config(RunConfig(), {"data.dataset": dataset.name})
    run = create_run(config, "f" * 64, dataset.classes)
    write_state(run.folder, replace_state(run.state, status="failed", message=message))
    return run


def said(app: AppTest) -> str:
    """Every word on the page that is Markdown, a caption, a box or a badge."""
    kinds = ("title", "header", "markdown", "caption", "warning", "error", "info", "success")
    return "\n".join(str(getattr(one, "value", "")) for kind in kinds for one in app.get(kind))
