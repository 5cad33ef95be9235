"""What version 0.1.0 wrote of networks on a backbone, which it called their trunk, is read and resumed as if new."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from core.backbones.registry import backbone_path, with_current_names
from core.disk import read_json, write_json
from core.inference.predictor import load_model
from core.models.build import build_model
from core.models.transfer import TransferModel
from core.runs.backbones import keep_backbone
from core.runs.checkpoint import read_checkpoint, write_checkpoint
from core.runs.run import open_run
from core.settings import weights_root
from core.train import train_run
from tests.core.backbones.test_backbones import ON_A_RUN, new_run, trained
from tests.core.test_resume import broken_off, resumed, rows_of, saved_often  # noqa: F401  the last one is a fixture


def former(weights):
    """Under the names of version 0.1.0; "weights." stands before those of a checkpoint."""
    beginning = re.compile(r"^(weights\.)?((?:backbone\.)+)")
    return {
        beginning.sub(lambda found: (found[1] or "") + "trunk." * found[2].count("."), name): values
        for name, values in weights.items()
    }


def with_former_fields(document: str) -> str:
    for name, old in (("backbone", "trunk"), ("flip_tta", "mirror"), ("duplicates", "copies")):
        document = document.replace(f'"{name}"', f'"{old}"')
    return document


def rewritten(path, card) -> str:
    """A file of weights and the JSON beside it under the former names; the SHA-256 of the weights."""
    content = safetensors.numpy.save(former(safetensors.numpy.load(path.read_bytes())))
    path.write_bytes(content)
    card.write_text(with_former_fields(card.read_text()))
    return hashlib.sha256(content).hexdigest()


def rewrite_run(run):
    """The model of a run as version 0.1.0 wrote it."""
    files = read_json(run.folder / "manifest.json")
    for name in ("model", "model-best"):
        if (run.folder / f"{name}.json").exists():
            card = run.folder / f"{name}.json"
            files["files"][f"{name}.safetensors"] = [rewritten(run.folder / f"{name}.safetensors", card)]
            files["files"][card.name] = [hashlib.sha256(card.read_bytes()).hexdigest()]
    write_json(run.folder / "manifest.json", files)
    config = (run.folder / "config.json").read_text()
    config = (
        config.replace('"backbone"', '"trunk"').replace('"flip_tta"', '"mirror"').replace('"duplicates"', '"copies"')
    )
    (run.folder / "config.json").write_text(config)
    return open_run(run.folder)


def test_former_names_are_those_that_begin_with_trunk():
    names = ["trunk.a.weight", "trunk.trunk.b", "head.bias", "features.trunk.c", "trunks.d"]
    current = ["backbone.a.weight", "backbone.backbone.b", "head.bias", "features.trunk.c", "trunks.d"]
    assert list(with_current_names(dict.fromkeys(names))) == current
    plain = {"conv1.weight": 1, "features.trunk.c": 2}
    assert with_current_names(plain) is plain


def test_a_network_whose_backbone_has_a_backbone_loads_a_former_state_dict():
    def nested():
        return TransferModel(TransferModel(nn.Linear(4, 3), 3, 2, frozen=False), 2, 2, frozen=True)

    one, other = nested(), nested()
    state = former(one.state_dict())
    assert {"trunk.trunk.weight", "trunk.head.weight", "head.bias"} <= state.keys()
    other.load_state_dict(state)
    assert all(torch.equal(value, one.state_dict()[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize("trainable", ["head", "all"])
def test_a_run_of_version_0_1_0_predicts_the_same(tiny_run, trainable):
    run = trained(**ON_A_RUN, model__backbone=tiny_run.id, model__trainable=trainable, model__flip_tta=True)
    images = torch.rand(3, 3, 16, 16)
    expected = load_model(run)(images)
    run = rewrite_run(run)
    assert "trunk.conv1.weight" in run.weights() and '"trunk"' in (run.folder / "model.json").read_text()
    assert torch.equal(load_model(run)(images), expected) and run.config.model.flip_tta


def test_a_backbone_that_version_0_1_0_kept_is_built_upon(tiny_run):
    middle = trained(**ON_A_RUN, model__backbone=tiny_run.id, model__trainable="all")
    name = keep_backbone(middle)
    run = new_run(**ON_A_RUN, model__backbone=middle.id)
    expected = build_model(run.config.model, 2, 16).state_dict()
    path = backbone_path(name)
    card = path.with_suffix(".json")
    sha256 = rewritten(path, card)
    write_json(card, json.loads(card.read_text()) | {"sha256": sha256})
    found = build_model(run.config.model, 2, 16).state_dict()
    assert '"trunk"' in card.read_text() and found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("changes", [{}, {"model__trainable": "all"}])
def test_a_run_that_broke_off_under_version_0_1_0_is_resumed_bit_for_bit(tiny_run, saved_often, changes):  # noqa: F811
    whole = trained(**ON_A_RUN, model__backbone=tiny_run.id, **changes)
    run = broken_off(new_run(**ON_A_RUN, model__backbone=tiny_run.id, **changes), step=6)
    run, checkpoint = rewrite_run(run), read_checkpoint(run.folder)
    numbers = {name: number for name, number in checkpoint.numbers.items() if name != "world_size"} | {"world": 1}
    write_checkpoint(run.folder, checkpoint.step, numbers, former(checkpoint.arrays))
    shutil.rmtree(weights_root())
    train_run(resumed(run).folder)
    run = open_run(run.folder)
    for which in ("last", "best"):
        ours, theirs = with_current_names(run.weights(which)), whole.weights(which)
        assert all(np.array_equal(values, ours[name]) for name, values in theirs.items())
    assert rows_of(run) == rows_of(whole) and read_checkpoint(run.folder).numbers["world_size"] == 1
