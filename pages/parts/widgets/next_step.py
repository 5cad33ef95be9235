"""What to do where there is nothing to show yet: a button that leads on, drawn by Train, Results and Try-It."""

import streamlit as st

from core.jobs.import_job import start_import
from pages.parts.shell.cache import datasets, live_imports, live_runs, runs
from pages.parts.shell.escape import escape
from pages.parts.shell.navigation import go_to
from pages.parts.shell.session import requester

SAMPLES = "sample-artworks"


def draw_next_step() -> None:
    """A button that leads to a first trained network, from whatever there is; beside it what else one may do."""
    newest = next(iter(runs()), None)
    if newest is not None and newest.state.has_failed:
        st.caption(f"The newest run did not end well. {escape(newest.state.message, 300)}")
    with st.container(horizontal=True, gap="small", key="next-step"):
        if live_runs():
            _draw_button("Watch the network learn", "model_training", "pages/train.py")
        elif datasets():
            _draw_button("Start training", "model_training", "pages/train.py")
        elif live_imports():
            _draw_button("Pictures are coming in: see how far", "photo_library", "streamlit_app.py")
        else:
            draw_samples_button(primary=True)
            _draw_button("Add your own pictures", "add_photo_alternate", "pages/data.py", primary=False)


def draw_samples_button(primary: bool) -> None:
    """Draw the samples and train on them: one click, which Home then follows."""
    label, icon = "Start with the samples", ":material/play_arrow:"
    if st.button(label, type="primary" if primary else "secondary", icon=icon, key="start_samples"):
        start_import("sample", SAMPLES, then="quick", requester=requester())
        go_to("streamlit_app.py")


def draw_missing_side(key: str) -> None:
    """What to do for the side of Results, "cifar" or "own", on which no run has finished."""
    mine = [dataset for dataset in datasets() if (dataset.name == "cifar10") == (key == "cifar")]
    names = {dataset.name for dataset in mine}
    if any(run.config.data.dataset in names for run in live_runs()):
        _draw_button("Watch the network learn", "model_training", "pages/train.py", side=key)
    elif mine:
        # the dataset that was added last is the one that somebody is curious about
        name = max(mine, key=lambda dataset: dataset.created).name
        label = f"Start training on {escape(name, 40)}"
        if st.button(label, key=f"train_{key}", icon=":material/model_training:"):
            st.session_state["train_dataset"] = name
            go_to("pages/train.py")
    else:
        wanted = "CIFAR-10" if key == "cifar" else "your artwork"
        _draw_button(f"Add {wanted} first", "add_photo_alternate", "pages/data.py", side=key)


def _draw_button(label: str, icon: str, page: str, primary: bool = True, side: str = "") -> None:
    """side: the side of Results that it stands on, where it is one of two."""
    kind = "primary" if primary and not side else "secondary"
    if st.button(label, key=f"next.{page}{side}", icon=f":material/{icon}:", type=kind):  # type: ignore[arg-type]
        go_to(page)
