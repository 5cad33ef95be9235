"""Results: CIFAR-10 and your artwork side by side, with the paper's numbers beside them."""

from typing import cast, get_args

import streamlit as st

from core.evaluation import Measure
from pages.parts.cached import runs
from pages.parts.experiments import draw_experiments
from pages.parts.frame import frame
from pages.parts.next_step import draw_missing_side, draw_next_step
from pages.parts.run_table import run_picker, visible
from pages.parts.sides import (
    MEASURES_SAY,
    Side,
    draw_confusion,
    draw_loss,
    draw_per_class,
    draw_pictures,
    draw_score,
    draw_time,
    open_side,
    results_csv,
)
from pages.parts.sweeps import draw_sweeps

SHOWS = ("Runs side by side", "With and without", "Sweep")

with frame("Results", "What the network learnt, on pictures that it had never seen."):
    shown = st.segmented_control(
        "Show",
        SHOWS,
        default=SHOWS[0],
        required=True,
        key="show",
        bind="query-params",
        label_visibility="collapsed",
    )
    if shown != SHOWS[0]:
        (draw_experiments if shown == SHOWS[1] else draw_sweeps)()
        st.stop()
    ended_well = [run for run in runs(hidden=True) if run.state.status in ("done", "stopped") and run.has_model]
    finished = visible(ended_well, "cifar", "own")
    if not finished:
        st.info("No run has finished yet.", icon=":material/insights:")
        draw_next_step()
        st.stop()

    measure = st.segmented_control(
        "Measured",
        get_args(Measure),
        default=get_args(Measure)[0],
        required=True,
        format_func=lambda name: MEASURES_SAY[name][0],
        key="measure",
        bind="query-params",
    )
    st.caption(MEASURES_SAY[measure][1])

    # one that was stopped, or that somebody hid and asks for all the same, only if need be
    whole_first = sorted(finished, key=lambda run: (run.marks.hidden, run.state.status != "done"))
    cifar = next((run for run in whole_first if run.config.data.dataset == "cifar10"), None)
    own = next((run for run in whole_first if run.config.data.dataset != "cifar10"), None)
    columns = st.columns(2, gap="large")
    sides: list[Side | None] = []
    for column, label, key, usual in zip(
        columns, ("CIFAR-10", "Your artwork"), ("cifar", "own"), (cifar, own), strict=True
    ):
        with column:
            run = run_picker(label, key, finished, usual)
            side = open_side(key, run, cast(Measure, measure)) if run else None
            sides.append(side)
            if side is not None:
                draw_score(side)
            elif run is not None:
                st.info("This run has no answers in this measure.", icon=":material/info:")
            else:
                missing = "CIFAR-10" if key == "cifar" else "a dataset of your own"
                st.info(f"No finished run on {missing} yet.", icon=":material/insights:")
                draw_missing_side(key)

    views = {
        "Each class": draw_per_class,
        "Loss": draw_loss,
        "Mix-ups": draw_confusion,
        "Pictures": draw_pictures,
        "Time": draw_time,
    }
    there = [side for side in sides if side is not None]
    if there:
        tabs = st.tabs(list(views), key="view", on_change="rerun", bind="query-params")
        for tab, draw in zip(tabs, views.values(), strict=True):
            if tab.open:
                with tab:
                    for column, side in zip(st.columns(2, gap="large"), sides, strict=True):
                        with column:
                            if side is not None:
                                draw(side, there)
        st.download_button(
            "Download the numbers",
            results_csv(there),
            file_name="results.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
