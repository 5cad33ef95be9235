"""The layers of a network as a page reads them: once a network, without weights, torch imported only here."""

from collections.abc import Sequence
from dataclasses import asdict

import streamlit as st

from core.config import ModelConfig
from core.errors import UserMistake
from pages.parts.architecture.layer_texts import Layer
from pages.parts.shell.torch_import import wait_for_torch


@st.cache_data(max_entries=200, show_spinner=False)
def read_layers(model: str, classes: int, size: int) -> list[Layer]:
    """Every layer of the network, in the order in which a picture passes them. No weight is drawn for it.

    UserMistake where there is no such network. Torch is imported here, and nowhere above.
    """
    wait_for_torch()
    import torch

    from core.models.build import build_model
    from core.models.summary import layer_table

    with torch.device("meta"):
        network = build_model(ModelConfig.model_validate_json(model), classes, size, load_weights=False)
    return [asdict(layer) | {"memory": layer.memory} for layer in layer_table(network, size)]


@st.cache_data(max_entries=20, show_spinner="Building the network …")
def read_summary(model: str, classes: int, size: int) -> str:
    """What torchsummary prints."""
    wait_for_torch()
    from core.models.build import build_model
    from core.models.summary import torchsummary_text

    network = build_model(ModelConfig.model_validate_json(model), classes, size, load_weights=False)
    return torchsummary_text(network, size)


def layers_of(model: ModelConfig, classes: int, size: int) -> tuple[list[Layer], str]:
    """The layers, or none and the sentence that says which layer fails."""
    try:
        return read_layers(model.model_dump_json(), classes, size), ""
    except UserMistake as mistake:
        return [], str(mistake)


def size_of(shape: Sequence[int]) -> str:
    return " × ".join(str(side) for side in shape)
