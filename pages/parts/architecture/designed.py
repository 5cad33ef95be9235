"""What the Architecture page is about: a designed network for a dataset, and the network that it is compared with."""

from dataclasses import dataclass

import streamlit as st

from core.config import ModelConfig, RunConfig
from core.data.datasets.dataset import Dataset
from core.presets import preset
from core.runs.run import Run
from pages.parts.architecture.design import draw_size
from pages.parts.architecture.layer_texts import Layer
from pages.parts.form.run_form import DEFAULT_PRESET, fit_preset
from pages.parts.form.start_run import newest_name
from pages.parts.shell.cache import datasets
from pages.parts.shell.escape import shown


@dataclass(frozen=True)
class Designed:
    """A network with the settings of a run around it; no layers where it cannot be built."""

    dataset: Dataset | None
    config: RunConfig
    classes: int
    layers: list[Layer]
    mistake: str  # why what the form holds cannot be built; config and layers are then those of the last one that can
    finished: list[Run]  # to compare with, and to show the activations of

    @property
    def size(self) -> int:
        """Side in pixels of the pictures that it receives."""
        return self.config.data.image_size

    @property
    def batch(self) -> int:
        return self.config.train.batch_size


@dataclass(frozen=True)
class Compared:
    """The network that the designed one is compared with; no layers where it cannot be built for these pictures."""

    name: str
    model: ModelConfig
    layers: list[Layer]


def ask_task() -> tuple[Dataset | None, int, int]:
    """The dataset, the number of classes, and the side in pixels of the pictures."""
    known, dataset = datasets(), None
    if known:
        names = {dataset.name: dataset for dataset in known}
        if st.session_state.get("architecture_dataset") not in names:
            st.session_state["architecture_dataset"] = newest_name(known)
        name = st.selectbox(
            "Dataset",
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


def as_run(dataset: Dataset | None, model: ModelConfig, size: int) -> RunConfig:
    """The settings of Train's usual preset with this network; without a dataset, those of the paper."""
    config = preset("paper") if dataset is None else fit_preset(DEFAULT_PRESET, dataset)
    return config.model_copy(update={"model": model, "data": config.data.model_copy(update={"image_size": size})})
