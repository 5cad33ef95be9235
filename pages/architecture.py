"""Architecture: the network that will learn, its settings, its layers, and what each of them does."""

import streamlit as st

from pages.parts.architecture.design import draw_design, last_good
from pages.parts.architecture.designed import Designed, as_run, ask_task
from pages.parts.architecture.layers import layers_of
from pages.parts.architecture.network_panel import draw_head, draw_layers
from pages.parts.architecture.tabs import draw_tabs
from pages.parts.form.start_run import supervisor
from pages.parts.shell.cache import runs
from pages.parts.shell.frame import frame
from pages.parts.shell.torch_import import warm_up

STYLE = (
    "<style>"
    # Streamlit stacks columns below 640 pixels; settings next to a drawing need more
    "@media (max-width: 900px) {"
    ' [class*="st-key-columns"] [data-testid="stColumn"] { min-width: calc(100% - 1.5rem); } }'
    # a card that is too narrow for its label comes into the next line
    ".st-key-totals > * { min-width: 9rem; }"
    ".st-key-totals [data-testid='stMetricValue'] { font-size: 1.5rem; }"
    # its charts write in grey, which on a layer's blue could hardly be read; the pointer's box has a ground of its own
    '[class*="st-key-network"] :is(.textpoint, .annotation) text { fill: currentColor !important; }'
    "</style>"
)

with frame("Architecture", "The network that will learn, from picture to prediction."):
    warm_up()
    st.html(STYLE)
    finished = [run for run in runs() if run.has_model and run.state.ended]
    left, right = st.container(key="columns").columns([3, 8], gap="large")
    with left:
        dataset, classes, size = ask_task()
        model, mistake = draw_design(classes, size)
    with right:
        model, classes, size = last_good(model, classes, size, mistake)
        with st.skeleton(height=420):
            layers, failed = layers_of(model, classes, size)
        designed = Designed(dataset, as_run(dataset, model, size), classes, layers, mistake or failed, finished)
        compared = draw_head(designed)
        if layers:
            draw_layers(designed, compared)
    if layers:
        draw_tabs(designed, compared)
    if dataset is not None:
        supervisor()  # last: it measures how long an epoch takes
