"""Architecture: the network that will learn, its settings, its layers, and what each of them does."""

import streamlit as st

from core.config import ModelConfig, RunConfig
from core.data.dataset import Dataset
from core.presets import preset
from core.runs.run import Run
from pages.parts.beside import draw_beside
from pages.parts.cached import datasets, runs
from pages.parts.design import draw_design, draw_size, keep, last_good, pick_beside
from pages.parts.escape import escape, shown
from pages.parts.frame import boundary, frame
from pages.parts.network import Layer, draw_layer, draw_network, draw_table, layers_of, read_summary, warm_up
from pages.parts.run_form import USUAL, fitted, take_config
from pages.parts.starting import newest_name, supervisor
from pages.parts.totals import draw_totals, totals_of
from pages.parts.walk import TABS, WALK, draw_walk

PICKED = "architecture.layer"  # the name of the layer that is open
STYLE = (
    "<style>"
    # Streamlit stacks columns below 640 pixels; settings beside a drawing need more
    "@media (max-width: 900px) {"
    ' [class*="st-key-sides"] [data-testid="stColumn"] { min-width: calc(100% - 1.5rem); } }'
    # a card that is too narrow for its label comes into the next line
    ".st-key-totals > * { min-width: 10.5rem; }"
    # its charts write in grey, which on a layer's blue could hardly be read; what the pointer tells has its own ground
    '[class*="st-key-network"] :is(.textpoint, .annotation) text { fill: currentColor !important; }'
    "</style>"
)


def main() -> None:
    with frame("Architecture", "The network that will learn, from picture to answer."):
        warm_up()
        st.html(STYLE)
        finished = [run for run in runs() if run.has_model and run.state.ended]
        left, right = st.container(key="sides").columns([3, 8], gap="large")
        with left:
            dataset, classes, size = _choose()
            model, mistake = draw_design(classes, size)
        with right:
            model, classes, size = last_good(model, classes, size, mistake)
            with st.skeleton(height=420):
                layers, failed = layers_of(model, classes, size)
            config = _as_run(dataset, model, size)
            beside = _draw_head(dataset, config, classes, layers, finished, mistake or failed)
            if layers:
                _draw_layers(layers, size)
        if layers:
            _draw_tabs(dataset, config, classes, layers, finished, beside)
        if dataset is not None:
            supervisor()  # last: it answers how long an epoch takes


def _choose() -> tuple[Dataset | None, int, int]:
    """The pictures, how many classes there are to tell apart, and the side of the picture."""
    known, dataset = datasets(), None
    if known:
        names = {dataset.name: dataset for dataset in known}
        if st.session_state.get("architecture_dataset") not in names:
            st.session_state["architecture_dataset"] = newest_name(known)
        name = st.selectbox(
            "Pictures",
            list(names),
            format_func=lambda name: f"{shown(name, 40)}: {len(names[name].classes)} classes",
            key="architecture_dataset",
            persist_state="session",
        )
        dataset = names[name]
        classes = len(dataset.classes)
    else:
        classes = int(st.number_input("Classes", 2, 500, 10, key="architecture_classes", persist_state="session"))
    return dataset, classes, draw_size()


def _draw_head(
    dataset: Dataset | None, config: RunConfig, classes: int, layers: list[Layer], finished: list[Run], mistake: str
) -> tuple[str, list[Layer]]:
    """What it is held against, the way to Train, the totals, and why a network cannot be."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="head"):
        name, before = pick_beside(finished)
        st.button(
            "Keep this one",
            icon=":material/push_pin:",
            on_click=keep,
            args=(config.model,),
            disabled=bool(mistake),
            help="From now on, what you change is held against the network as it is now.",
        )
        if dataset is not None and st.button(
            "Train this network", icon=":material/model_training:", type="primary", disabled=bool(mistake)
        ):
            take_config(config)
            st.switch_page("pages/train.py")
    if mistake:
        kept = " Below is the last one that can." if layers else ""
        st.error(f"This network cannot be built. {escape(mistake, 400)}.{kept}", icon=":material/block:")
    others, _ = layers_of(before, classes, config.data.image_size)
    if layers:
        batch = config.train.batch_size
        earlier = totals_of(others, batch) if others else None
        timed = None if dataset is None else (dataset, config, before if others else None)
        draw_totals(totals_of(layers, batch), earlier, batch, timed)
    return name, others


def _as_run(dataset: Dataset | None, model: ModelConfig, size: int) -> RunConfig:
    """The settings of Train's usual preset with this network; without pictures, those of the paper."""
    config = preset("paper") if dataset is None else fitted(USUAL, dataset)
    return config.model_copy(update={"model": model, "data": config.data.model_copy(update={"image_size": size})})


def _draw_layers(layers: list[Layer], size: int) -> None:
    names = [layer["name"] for layer in layers]
    picked = str(st.session_state.get(PICKED))
    if picked not in names:
        picked = next((str(layer["name"]) for layer in layers if layer["parameters"]), names[0])
    draw_network(layers, size, "network", picked, _pick)
    largest = max(layers, key=lambda layer: layer["parameters"])
    parameters, learnt = (sum(layer[which] for layer in layers) for which in ("parameters", "learnt"))
    told = f"Blue learns; {largest['parameters'] / max(1, parameters):.0%} of the parameters are in {largest['name']}."
    if learnt < parameters:
        told = f"Blue learns: {learnt:,} of {parameters:,} parameters; the others stay as they came."
    st.caption(f"{told} Click a layer to see what it does.")
    draw_layer(layers[names.index(picked)], layers, size)


def _pick(name: str) -> None:
    st.session_state[PICKED] = name


def _draw_tabs(
    dataset: Dataset | None,
    config: RunConfig,
    classes: int,
    layers: list[Layer],
    finished: list[Run],
    beside: tuple[str, list[Layer]],
) -> None:
    (name, others), size, batch = beside, config.data.image_size, config.train.batch_size
    table, walk, both = st.tabs(["All layers", WALK, "Beside another"], key=TABS, on_change="rerun")
    if table.open:
        with table:
            draw_table(layers, _pick)
            _draw_summary(config.model, classes, size)
    if walk.open:
        with walk, boundary():
            draw_walk(dataset, config.data, config.model, classes, finished)
    if both.open:
        with both:
            if not others:
                st.info(f"{escape(name, 60)} cannot be built for pictures of {size} pixels.", icon=":material/block:")
                return
            st.caption("Choose the other one above the numbers, under Before.")
            draw_beside(layers, totals_of(layers, batch), escape(name, 60), others, totals_of(others, batch), size)


def _draw_summary(model: ModelConfig, classes: int, size: int) -> None:
    text = st.expander(
        "The same as torchsummary prints it", icon=":material/receipt_long:", key="summary", on_change="rerun"
    )
    if text.open:
        with text, boundary():
            st.code(read_summary(model.model_dump_json(), classes, size), language=None)


main()
