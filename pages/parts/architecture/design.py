"""The network that is being designed: the form with its settings, and the network that it is compared with."""

from collections.abc import Sequence

import streamlit as st

from core.config import ModelConfig, RunConfig, change_config
from core.errors import UserMistake
from core.fields import acts, layers_of, value_of
from core.models.shapes import check_network
from core.presets import all_presets
from core.runs.run import Run
from pages.parts.form.field_widgets import draw_field
from pages.parts.form.pretrained import take_network
from pages.parts.form.state import apply_input, form_values, invalid_input, set_value
from pages.parts.form.validation import Remark
from pages.parts.shell.escape import shown
from pages.parts.widgets.run_picker import run_labels

DESIGN = "design"  # the name of this form
SIZE = "data.image_size"
COMPARED = "design.compared"  # which network it is compared with
KEPT = "design.kept"  # a network that somebody has kept to compare others with, as JSON
GOOD = "design.good"  # the last network that could be built, as JSON, with its classes and image size
EXAMPLES: dict[str, tuple[str, ModelConfig]] = {
    "Paper": ("Two convolutions and three linear layers.", ModelConfig(name="cnn")),
    "PyTorch": (
        "The network of PyTorch's CIFAR-10 tutorial: windows of 5 pixels, ReLU, no batch norm.",
        ModelConfig(name="cnn", kernel=5, activation="relu", norm_conv="none", norm_linear="none"),
    ),
    "Stacked": (
        "Two convolutions before each pooling, the pattern that the course CS231n teaches.",
        ModelConfig(
            name="cnn",
            channels=(32, 64, 128),
            convolutions=2,
            padding="same",
            activation="relu",
            norm_conv="all",
            linear=(128,),
        ),
    ),
}


def draw_size() -> int:
    """The side in pixels of the pictures that the network receives."""
    base = RunConfig()
    if "model.name" in apply_input(DESIGN):
        take_network(DESIGN)
    if SIZE not in form_values(DESIGN):
        set_value(SIZE, value_of(base, SIZE), DESIGN)
    draw_field(SIZE, base, _remarks(), "Usually", DESIGN, dots=False)
    return int(form_values(DESIGN)[SIZE])


def draw_design(classes: int, size: int) -> tuple[ModelConfig, str]:
    """The form: which network, and the settings that act for it. With it, why it cannot be built, or ""."""
    base = RunConfig()
    for field in _fields():
        if field not in form_values(DESIGN):
            set_value(field, value_of(base, field), DESIGN)
    draw_field("model.name", base, (), "Usually", DESIGN, dots=False)
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="examples"):
        st.caption("Like", width="content")
        for name, (text, model) in EXAMPLES.items():
            st.button(name, key=f"example.{name}", type="tertiary", help=text, on_click=design, args=(model,))
    for field in _acting():
        draw_field(field, base, _remarks(), "Usually", DESIGN)
    # a field that is out of sight is as usual, so that nothing hidden decides
    values = {field: form_values(DESIGN)[field] for field in ("model.name", *_acting())}
    model = change_config(base, values).model
    try:
        check_network(model, classes, size)
    except UserMistake as mistake:
        return model, str(mistake)
    return model, ""


def _remarks() -> list[Remark]:
    """What was typed and is no value of its field."""
    return [Remark(why, (field,), stops=True) for field, why in invalid_input(DESIGN).items()]


def design(model: ModelConfig) -> None:
    """Fill the form from a network; before it is drawn, or in a callback."""
    for field in _fields():
        set_value(field, value_of(RunConfig(model=model), field), DESIGN)


def last_good(model: ModelConfig, classes: int, size: int, mistake: str) -> tuple[ModelConfig, int, int]:
    """The network itself with its classes and image size, or the last one that could be built."""
    if not mistake:
        st.session_state[GOOD] = (model.model_dump_json(), classes, size)
    document, *rest = st.session_state.get(GOOD, (ModelConfig().model_dump_json(), 10, 32))
    return ModelConfig.model_validate_json(document), *rest


def pick_compared(finished: Sequence[Run]) -> tuple[str, ModelConfig]:
    """The network that this one is compared with: its name and its settings."""
    known: dict[str, tuple[str, ModelConfig]] = {"paper": ("The paper's network", ModelConfig())}
    for name, config in all_presets().items():
        if layers_of(config.model) not in [layers_of(other) for _, other in known.values()]:
            known[f"preset {name}"] = (f"Preset {shown(name, 40)}", config.model)
    known |= {
        f"example {name}": (f"{name}, as an example", model) for name, (_, model) in EXAMPLES.items() if name != "Paper"
    }
    if kept := st.session_state.get(KEPT):
        known["kept"] = ("The one that you kept", ModelConfig.model_validate_json(kept))
    labels = run_labels(finished)
    known |= {f"run {run.id}": (f"Run {labels[run.id]}", run.config.model) for run in finished}
    if st.session_state.get(COMPARED) not in known:
        st.session_state[COMPARED] = "paper"
    picked = st.selectbox(
        "Compare with",
        list(known),
        key=COMPARED,
        format_func=lambda key: known[key][0],
        persist_state="session",
        help="The small numbers under the totals say what is different from this network, for the same pictures.",
    )
    return known[picked]


def keep(model: ModelConfig) -> None:
    """Compare with this network from now on."""
    st.session_state[KEPT] = model.model_dump_json()
    st.session_state[COMPARED] = "kept"


def _fields() -> list[str]:
    return [f"model.{field}" for field in ModelConfig.model_fields]


def _acting() -> list[str]:
    """The fields that act for what is chosen, without the name, in the order of the definition."""
    values = {field: form_values(DESIGN)[f"model.{field}"] for field in ModelConfig.model_fields}
    return [f"model.{field}" for field in values if field != "name" and acts(field, values)]
