"""Learning on from what was learnt: runs on a trunk train, go on, answer and outlive what they began with."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from core.__main__ import main
from core.config import RunConfig, change_config
from core.data.batches import load_part
from core.data.dataset import find_dataset
from core.data.store import load_store
from core.engine import features
from core.engine.evaluate import evaluate
from core.engine.features import build_features, features_path, open_features, runs_once
from core.engine.hardware import Hardware
from core.errors import UserMistake
from core.evaluation import MEASURES
from core.inference.evaluating import evaluate_run
from core.inference.predictor import load_model, load_predictor
from core.models.build import build_model
from core.probe import _build, _only_head, _open_parts
from core.runs.deeds import delete_run
from core.runs.run import create_run, open_run, read_run
from core.runs.trunks import keep_trunk, pin_trunk, settle_trunk
from core.settings import features_root, weights_root
from core.train import train_run
from core.trunks import is_kept_run, list_trunks, read_trunk, trunk_path
from tests import tiny
from tests.test_resume import ROOT, broken_off, resumed, same, saved_often  # noqa: F401  the last one is a fixture
from tests.trunks import SMALL, put_weights

ON_A_RUN = {"model__name": "transfer", "train__epochs": 3}
PRETRAINED = {"model__name": "pretrained", "model__trunk": SMALL, "data__image_size": 32, "train__epochs": 2}


@pytest.fixture(autouse=True)
def one_thread_afterwards():
    yield
    torch.set_num_threads(1)


def new_run(**changes):
    """A run whose trunk is pinned, as the command line and the form do it."""
    config = RunConfig(preset="quick", data=tiny.DATA, train=tiny.TRAIN)
    config = pin_trunk(change_config(config, {name.replace("__", "."): value for name, value in changes.items()}))
    store = load_store(config.data)
    return create_run(config, store.fingerprint, store.classes)


def trained(**changes):
    run = new_run(**changes)
    train_run(run.folder)
    return open_run(run.folder)


def without_features(monkeypatch):
    """The trunk sees the pictures in every epoch, as if they were augmented."""
    monkeypatch.setattr("core.train.runs_once", lambda config: False)


# ------------------------------------------------------------------------------------------------------ trunks


def test_a_run_is_kept_as_a_trunk_under_the_name_of_its_weights(tiny_run):
    name = keep_trunk(tiny_run)
    assert is_kept_run(name) and name.startswith(f"{tiny_run.id}-") and keep_trunk(tiny_run) == name
    source = read_trunk(name).source
    assert (source.run, source.dataset, source.classes, source.image_size) == (tiny_run.id, "colours", 2, 16)
    assert source.model == tiny_run.config.model and source.mean == (0.5, 0.5, 0.5)


def test_settings_name_the_run_by_its_weights_however_it_was_called(tiny_run):
    for called in ("latest", tiny_run.id, tiny_run.id[:6]):
        config = change_config(tiny_run.config, {"model.name": "transfer", "model.trunk": called})
        assert pin_trunk(config).model.trunk == keep_trunk(tiny_run)
    assert pin_trunk(tiny_run.config) == tiny_run.config


def test_a_trunk_brings_its_image_size_unless_another_is_asked_for(tiny_run):
    config = change_config(RunConfig(), {"model.name": "transfer", "model.trunk": "latest"})
    assert settle_trunk(config, {"model.name": "transfer"}).data.image_size == 16
    assert settle_trunk(config, {"model.name": "transfer", "data.image_size": 32}).data.image_size == 32
    with pytest.raises(UserMistake, match=rf"run {tiny_run.id} takes pictures of 16 pixels .*is 32. Set it to 16"):
        build_model(pin_trunk(config).model, 3, 32)


def test_what_cannot_be_learnt_on_from_says_why(tiny_run):
    waiting = tiny.new_run()
    for called, told in ((waiting.id, "still trains"), ("0000zz", "No such run"), ("googlenet", "No such run")):
        with pytest.raises(UserMistake, match=told):
            pin_trunk(change_config(RunConfig(), {"model.name": "transfer", "model.trunk": called}))
    with pytest.raises(UserMistake, match="no run 'zzz' to learn on from"):
        build_model(change_config(RunConfig(), {"model.name": "transfer", "model.trunk": "zzz"}).model, 3, 16)


# ----------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("name", ["paper_cnn", "cnn", "resnet"])
def test_a_new_head_learns_on_the_features_of_every_network(trained_home, name):
    trained(model__name=name, model__width=8)
    run = trained(**ON_A_RUN, model__trunk="latest", train__learning_rate=0.5)
    assert run.state.status == "done" and run.evaluation("test").accuracy == 1.0
    source, weights = list_trunks()[run.config.model.trunk].source, run.weights()
    assert source.model.name == name and weights["head.weight"].shape[0] == 2
    network = build_model(run.config.model, 2, 16)  # as it began: the trunk has not moved
    state = network.state_dict()
    assert all(np.array_equal(weights[key], state[key].numpy()) for key in weights if key.startswith("trunk."))


def test_a_finetuned_run_moves_its_trunk(tiny_run):
    run = trained(**ON_A_RUN, model__trunk=tiny_run.id, model__trainable="all")
    before, after = tiny_run.weights(), run.weights()
    assert not np.array_equal(after["trunk.conv1.weight"], before["conv1.weight"])
    assert run.card().source.run == tiny_run.id and not features_root().exists()


@pytest.mark.parametrize("trainable", ["head", "all"])
def test_what_it_learnt_on_from_may_be_deleted(tiny_run, trainable):
    stored = find_dataset("colours")
    run = new_run(**ON_A_RUN, model__trunk=tiny_run.id, model__trainable=trainable)
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
    second = trained(**ON_A_RUN, model__trunk=first.id, data__image_size=32)
    third = trained(**ON_A_RUN, model__trunk=second.id, model__trainable="all", data__image_size=32)
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
            told = evaluate(network, load_part(store, part), part, store.classes, measure)
            assert np.allclose(told.probabilities, run.evaluation(part, measure).probabilities, atol=1e-5), part
    dataset, test = find_dataset("colours"), run.evaluation("test")
    answers = load_predictor(run).predict([(dataset.names[i], dataset.original(i)) for i in test.indices])
    for answer, stored in zip(answers, test.probabilities, strict=True):
        assert dict(answer.classes)["blue"] == pytest.approx(stored[0], abs=1e-5)


def test_a_head_learns_from_features_what_it_learns_from_pictures(tiny_run, monkeypatch):
    quick = trained(**ON_A_RUN, model__trunk=tiny_run.id)
    without_features(monkeypatch)
    slow = trained(**ON_A_RUN, model__trunk=tiny_run.id)
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


def test_what_a_run_would_take_tells_the_trunk_from_the_noise_that_stands_in_for_features(tiny_run, monkeypatch):
    config = pin_trunk(change_config(tiny_run.config, {"model.name": "transfer", "model.trunk": tiny_run.id}))
    hardware = Hardware(torch.device("cpu"))
    parts, pictures, classes = _open_parts(config, hardware)
    model, draw = _build(config, classes), torch.randn

    def slow_randn(*shape, **options):
        time.sleep(0.5)
        return draw(*shape, **options)

    monkeypatch.setattr(torch, "randn", slow_randn)
    many = {name: 1000 * count for name, count in pictures.items()}
    learner, seconds = _only_head(model, parts, many, config, hardware)
    assert learner is model.head and parts["train"].images[:1].nbytes == 4 * 84  # what a run holds of a picture
    assert 0 < seconds < 1000 * 0.5 / 2  # half a second of noise for 32 pictures would be 700 s for 48,000


def test_features_that_were_broken_off_go_on_and_are_the_same(tiny_run, monkeypatch):
    monkeypatch.setattr("core.engine.features.evaluation_batch", lambda side: 8)
    config = pin_trunk(change_config(tiny_run.config, {"model.name": "transfer", "model.trunk": tiny_run.id})).model
    store, network = load_store(tiny_run.config.data, config), build_model(config, 2, 16)
    monkeypatch.setattr("core.data.dataset.TICK_SECONDS", -1.0)
    steps = build_features(network.trunk, 84, store, torch.device("cpu"))
    told = [next(steps) for _ in range(2)]
    steps.close()
    assert [progress.done for progress in told] == [8, 16] and not features_path(network.trunk, store).exists()
    draft = features_path(network.trunk, store).with_suffix(".draft")
    with draft.open("ab") as file:
        file.write(b"half a row")
    again = list(build_features(network.trunk, 84, store, torch.device("cpu")))
    assert [progress.done for progress in again] == [24, 32, 40, 48]
    images = torch.from_numpy(np.array(store.images)).float().div(255).sub(0.5).div(0.5)
    with torch.no_grad():
        expected = network.trunk(images).numpy()
    assert np.allclose(open_features(network.trunk, store), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "once"),
    [
        ({}, True),
        ({"train.augment": "flip"}, False),
        ({"model.mirror": True}, False),
        ({"model.trainable": "all"}, False),
        ({"model.name": "cnn"}, False),
    ],
)
def test_a_trunk_sees_pictures_once_only_where_nothing_before_the_head_changes(change, once):
    config = change_config(RunConfig(), {"model.name": "pretrained"})
    assert runs_once(change_config(config, change)) == once


def test_augmented_pictures_go_through_the_frozen_trunk_in_every_epoch(tiny_run):
    run = trained(**ON_A_RUN, model__trunk=tiny_run.id, train__augment="flip", train__learning_rate=0.5)
    assert run.state.status == "done" and not features_root().exists()
    statistics = {key: values for key, values in run.weights().items() if "running" in key or "batches" in key}
    before = tiny_run.weights()
    assert len(statistics) == 6
    assert all(np.array_equal(values, before[key.removeprefix("trunk.")]) for key, values in statistics.items())


# ------------------------------------------------------------------------------------------------------ going on


@pytest.mark.parametrize("changes", [{}, {"model__trainable": "all"}, {"train__augment": "flip,mixup"}])
def test_a_run_on_a_trunk_goes_on_bit_for_bit(tiny_run, saved_often, changes):  # noqa: F811
    whole = trained(**ON_A_RUN, model__trunk=tiny_run.id, **changes)
    run = broken_off(new_run(**ON_A_RUN, model__trunk=tiny_run.id, **changes), step=6)
    shutil.rmtree(weights_root())  # what it learns on from is its own by now
    train_run(resumed(run).folder)
    assert same(open_run(run.folder), whole)


def test_a_damaged_trunk_is_told_and_the_run_says_so(tiny_run):
    run = new_run(**ON_A_RUN, model__trunk=tiny_run.id)
    path = trunk_path(run.config.model.trunk)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserMistake, match="checksum differs"):
        train_run(run.folder)
    assert read_run(run.id).state.status == "failed"


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"model__trainable": "all"}, {"train__augment": "flip"}])
def test_two_ranks_learn_on_from_a_run(tiny_run, changes):
    run = new_run(**ON_A_RUN, model__trunk=tiny_run.id, **changes)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    told = subprocess.run([*command, "-m", "core.train", run.folder], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    run = open_run(run.folder)
    assert run.state.status == "done" and run.evaluation("test").accuracy > 0.5
    before, moved = tiny_run.weights()["conv1.weight"], run.weights()["trunk.conv1.weight"]
    assert np.array_equal(before, moved) == (run.config.model.trainable == "head")


def test_the_command_line_learns_on_from_a_run_in_the_size_that_it_knows(tiny_run, capsys):
    settings = ["--set", "model.name=transfer", "--set", f"model.trunk={tiny_run.id[:8]}", "--set", "train.epochs=1"]
    assert main(["train", "--data", "colours", "--preset", "quick", *settings, "--json"]) == 0
    run = read_run(json.loads(capsys.readouterr().out)["run"])
    assert run.config.data.image_size == 16 and run.config.model.trunk == keep_trunk(tiny_run)
    delete_run(tiny_run)
    assert main(["runs", "clone", run.id, "--set", "train.seed=3", "--json"]) == 0
