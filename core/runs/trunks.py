"""The model of a finished run, kept as a trunk that other runs learn on from, whatever becomes of the run."""

import hashlib
from collections.abc import Collection

import safetensors.numpy

from core.config import ModelConfig, RunConfig, change_config
from core.disk import write_atomic, write_json
from core.errors import UserMistake
from core.runs.run import Run, now, read_run
from core.trunks import HALF, Source, Trunk, is_kept_run, natural_side, read_trunk, trunk_path

NAMED = 8  # digits of the weights' SHA-256 in the name of a trunk


def settle_trunk(config: RunConfig, chosen: Collection[str]) -> RunConfig:
    """pin_trunk; and where a trunk was chosen but no image size with it, the size that it has learnt from."""
    config = pin_trunk(config)
    side = natural_side(config.model)
    if side is None or "data.image_size" in chosen or not {"model.name", "model.trunk"} & set(chosen):
        return config
    return change_config(config, {"data.image_size": side})


def pin_trunk(config: RunConfig) -> RunConfig:
    """The same settings, with the run that `transfer` learns on from kept as a trunk and named by its weights.

    So the run may train on or be deleted, and the settings mean the same. UserMistake where there is no such run, or
    it has no finished model.
    """
    model = config.model
    if model.name != "transfer" or (is_kept_run(model.trunk) and read_trunk(model.trunk) is not None):
        return config
    name = keep_trunk(read_run(model.trunk.partition("-")[0]))
    return config.model_copy(update={"model": model.model_copy(update={"trunk": name})})


def keep_trunk(run: Run) -> str:
    """Keep the last model of a run that has ended; the name of the trunk. What is kept already is not copied again."""
    if not run.state.ended:
        raise UserMistake(f"Run {run.id} still trains; another one can learn on from it when it has ended")
    model, content = run.card(), safetensors.numpy.save(run.weights())
    digest = hashlib.sha256(content).hexdigest()
    name = f"{run.id}-{digest[:NAMED]}"
    if read_trunk(name) is not None:
        return name
    source = Source(
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
    path = trunk_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    card = Trunk(sha256=digest, origin="run", added=now(), source=source).model_dump(mode="json")
    write_json(path.with_suffix(".json"), card)  # last: without it the trunk is not there
    return name


def learns_on_from(model: ModelConfig) -> str:
    """The id of the run that `transfer` learns on from, "" for every other network."""
    return model.trunk.partition("-")[0] if model.name == "transfer" else ""
