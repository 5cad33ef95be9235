"""Results: runs compared, with the paper's numbers; all runs in a table, ablations, sweeps, the notebook."""

import streamlit as st

from pages.parts.results.ablation import draw_experiments
from pages.parts.results.all_runs import draw_all_runs
from pages.parts.results.compare_runs import draw_runs
from pages.parts.results.notebook import draw_notebook
from pages.parts.results.sweep import draw_sweeps
from pages.parts.shell.frame import frame

COMPARE = "Compare runs"
OTHERS = {"All runs": draw_all_runs, "Ablation": draw_experiments, "Sweep": draw_sweeps, "Notebook": draw_notebook}

with frame("Results", "What the network learnt, on pictures that it was not trained on."):
    head = st.container(horizontal=True, vertical_alignment="center")
    show = head.segmented_control(
        "Show",
        [COMPARE, *OTHERS],
        default=COMPARE,
        required=True,
        key="show",
        bind="query-params",
        label_visibility="collapsed",
    )
    if show == COMPARE:
        draw_runs(head)  # which has controls of its own there
    else:
        OTHERS[show]()
