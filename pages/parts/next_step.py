"""What to do where there is nothing to show yet: links that lead on, drawn by Results and Try-It."""

import streamlit as st

from pages.parts.cached import datasets, live_runs, runs
from pages.parts.escape import escape


def draw_next_step() -> None:
    """The way to a first trained network, from wherever one stands."""
    newest = next(iter(runs()), None)
    if newest is not None and newest.state.status in ("failed", "lost"):
        st.caption(f"The newest run did not end well. {escape(newest.state.message, 300)}")
    if live_runs():
        st.page_link("pages/train.py", label="One is training: watch it learn", icon=":material/model_training:")
    elif datasets():
        st.page_link("pages/train.py", label="Train a network", icon=":material/model_training:")
    else:
        st.page_link("streamlit_app.py", label="Start with the samples: one click", icon=":material/play_arrow:")
        st.page_link("pages/data.py", label="Or add your own pictures", icon=":material/add_photo_alternate:")


def draw_missing_side(key: str) -> None:
    """What to do for the side of Results, "cifar" or "own", on which no run has finished."""
    mine = [dataset for dataset in datasets() if (dataset.name == "cifar10") == (key == "cifar")]
    names = {dataset.name for dataset in mine}
    if any(run.config.data.dataset in names for run in live_runs()):
        st.page_link("pages/train.py", label="One is training: watch it learn", icon=":material/model_training:")
    elif mine:
        # the set that was added last is the one that somebody is curious about
        name = max(mine, key=lambda dataset: dataset.created).name
        label = f"Train a network on {escape(name, 40)}"
        if st.button(label, key=f"train_{key}", icon=":material/model_training:"):
            st.session_state["train_dataset"] = name
            st.switch_page("pages/train.py")
    else:
        wanted = "CIFAR-10" if key == "cifar" else "your artwork"
        st.page_link("pages/data.py", label=f"Add {wanted} first", icon=":material/add_photo_alternate:")
