"""The model of a finished run, kept as a pretrained backbone for other runs, whatever becomes of the run."""

import hashlib
from collections.abc import Collection

import safetensors.numpy

from core.backbones.registry import (
    HALF,
    Backbone,
    BackboneSource,
    backbone_path,
    is_kept_run,
    natural_side,
    read_backbone,
)
from core.config import ModelConfig, RunConfig, change_config
from core.disk import write_atomic, write_json
from core.errors import UserMistake
from core.runs.run import Run, read_run
from core.runs.state import now
from core.runs.teachers import pin_teacher

NAMED_DIGITS = 8  # of the weights' SHA-256, in the name of a backbone


def settle_backbone(config: RunConfig, chosen: Collection[str]) -> RunConfig:
    """pin_backbone and pin_teacher; and where a backbone is among the `chosen` fields and no image size, the size that
    it was trained with."""
    config = pin_teacher(pin_backbone(config))
    side = natural_side(config.model)
    if side is None or "data.image_size" in chosen or not {"model.name", "model.backbone"} & set(chosen):
        return config
    return change_config(config, {"data.image_size": side})


def pin_backbone(config: RunConfig) -> RunConfig:
    """The same settings, with the run that is the backbone of `transfer` kept and named by its weights: it may be
    resumed or deleted, and the settings mean the same.

    UserMistake where there is no such run, or it has no finished model.
    """
    model = config.model
    if model.name != "transfer" or (is_kept_run(model.backbone) and read_backbone(model.backbone) is not None):
        return config
    name = keep_backbone(read_run(model.backbone.partition("-")[0]))
    return config.model_copy(update={"model": model.model_copy(update={"backbone": name})})


def keep_backbone(run: Run) -> str:
    """Keep the used model of a run that has ended as a backbone, unless it is kept already; returns its name."""
    if run.state.is_live:
        raise UserMistake(f"Run {run.id} still trains; another one can use it as its backbone when it has ended")
    model, content = run.card(run.used_model), safetensors.numpy.save(run.weights(run.used_model))
    digest = hashlib.sha256(content).hexdigest()
    name = f"{run.id}-{digest[:NAMED_DIGITS]}"
    if read_backbone(name) is not None:
        return name
    source = BackboneSource(
        run=run.id,
        title=run.title,
        dataset=model.dataset,
        model=model.model,
        classes=len(model.classes),
        image_size=model.image_size,
        mean=model.preprocess.get("mean", HALF),
        std=model.preprocess.get("std", HALF),
        source=model.source,
    )
    path = backbone_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    card = Backbone(sha256=digest, origin="run", added=now(), source=source).model_dump(mode="json")
    write_json(path.with_suffix(".json"), card)  # last: without it the backbone is not there
    return name


def backbone_run(model: ModelConfig) -> str:
    """The id of the run that is the backbone of `transfer`, "" for every other network."""
    return model.backbone.partition("-")[0] if model.name == "transfer" else ""
