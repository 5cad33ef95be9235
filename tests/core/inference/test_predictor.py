"""Predictor: Try-It answers what the evaluation answered, and says why a picture could not be read."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.datasets.dataset import delete_dataset, find_dataset
from core.data.imports.pipeline import import_pictures
from core.data.pictures.preprocess import Preprocess
from core.data.store.store import load_store
from core.errors import UserMistake
from core.inference.predictor import FEW, load_model, load_predictor
from core.runs.actions import ask_to_stop
from core.runs.run import open_run
from core.runs.writer import RunWriter
from tests import tiny
from tests.pictures import encoded, finish, noise
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def predictor(tiny_run):
    return load_predictor(tiny_run)


def test_every_test_picture_is_answered_as_the_evaluation_did(tiny_run, predictor):
    dataset, stored = find_dataset("colours"), tiny_run.evaluation("test")
    answers = predictor.predict([(dataset.names[i], dataset.original(i)) for i in stored.indices])
    images = load_store(tiny_run.config.data).images
    for k, answer in enumerate(answers):
        assert (answer.file, answer.error) == (dataset.names[stored.indices[k]], None)
        assert np.array_equal(answer.received, images[stored.indices[k]])
        assert answer.classes[0][0] == tiny_run.classes[stored.predictions[k]]
        by_class = dict(answer.classes)
        assert np.allclose([by_class[name] for name in tiny_run.classes], stored.probabilities[k], rtol=0, atol=1e-5)


def test_classes_are_ranked_best_first_and_add_up_to_one(predictor):
    (answer,) = predictor.predict([("noise.png", encoded(noise(40, 30)))])
    probabilities = [probability for _, probability in answer.classes]
    assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) == pytest.approx(1)
    assert {name for name, _ in answer.classes} == {"blue", "orange"}


def test_a_broken_picture_carries_its_sentence_and_the_others_their_answers(predictor):
    blue, orange = (encoded(noise(20, 20)), tiny.colour_pictures(1)[1][3])
    given = [
        ("<b>a</b>.png", blue),
        ("../b.png", b"not a picture"),
        ("", b""),
        ("cut.png", blue[:200]),
        ("d.png", orange),
    ]
    answers = predictor.predict(given)
    assert [answer.file for answer in answers] == [name for name, _ in given]
    assert [answer.error is None for answer in answers] == [True, False, False, False, True]
    for answer in answers[1:4]:
        assert answer.error and answer.classes == () and answer.received is None
    assert answers[4].classes[0][0] == "orange"


def test_only_broken_pictures_and_none_at_all_are_answered(predictor):
    assert predictor.predict([]) == []
    assert predictor.predict([("a", b"?")])[0].classes == ()


def test_a_few_are_read_by_the_lasting_child_and_many_by_the_pool_with_the_same_outcome(predictor):
    kinds = [("PNG", (40, 30)), ("JPEG", (1300, 900)), ("GIF", (20, 20)), ("PNG", (4, 4))]
    given = [(kind, encoded(noise(*size), kind)) for kind, size in kinds] + [("cut", b"\xff\xd8\xff")]
    few, many = predictor.predict(given), predictor.predict(given * 2)
    assert len(given) <= FEW < len(given * 2)
    for one, other in zip(few * 2, many, strict=True):
        assert np.array_equal(one.received, other.received) and one.error == other.error  # of two refused ones, None
        assert dict(one.classes) == pytest.approx(dict(other.classes), abs=1e-6)


def test_many_pictures_are_answered_like_each_alone(predictor, monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 256, (30, 3, 16, 16), dtype=np.uint8)
    alone = np.concatenate([predictor.probabilities(picture[None]) for picture in pictures])
    monkeypatch.setattr("core.inference.predictor.evaluation_batch", lambda _: 7)
    together = predictor.probabilities(pictures)
    assert together.shape == (30, 2) and together.dtype == np.float32
    assert np.allclose(together, alone, atol=1e-6)


def test_the_network_is_in_evaluation_mode_with_the_runs_preprocess(tiny_run, predictor):
    assert not predictor.model.training and predictor.classes == ("blue", "orange")
    assert predictor.preprocess == Preprocess(image_size=16)
    for name, value in load_model(tiny_run).state_dict().items():
        assert np.array_equal(value.numpy(), tiny_run.weights()[name]), name


def test_a_run_without_a_model_says_so(new_run):
    with pytest.raises(UserMistake, match=f"Run {new_run.id} has no model"):
        load_predictor(new_run)


def test_changed_weights_are_not_opened(tiny_run):
    path = tiny_run.folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserMistake, match="changed or damaged"):
        load_predictor(tiny_run)


def test_weights_of_another_network_are_refused_by_name(tiny_run, new_run):
    weights = tiny_run.weights()
    weights["fc3.bias"] = np.zeros(5, np.float32)
    del weights["conv1.bias"]
    pen = RunWriter(new_run.folder)
    pen.starting()
    pen.save_model(weights, tiny_run.card())
    with pytest.raises(UserMistake, match=r"do not fit paper_cnn with 2 classes: conv1\.bias, fc3\.bias differ"):
        load_predictor(open_run(new_run.folder))


def test_many_who_ask_one_network_at_once_get_the_answers_that_each_alone_gets(predictor):
    pictures = np.random.default_rng(0).integers(0, 256, (16, 4, 3, 16, 16), dtype=np.uint8)
    alone = [predictor.probabilities(batch) for batch in pictures]
    before = {name: value.clone() for name, value in predictor.model.state_dict().items()}
    with ThreadPoolExecutor(8) as sessions:
        together = list(sessions.map(predictor.probabilities, pictures))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
    assert not predictor.model.training
    assert all(torch.equal(value, before[name]) for name, value in predictor.model.state_dict().items())


@pytest.mark.slow
def test_twenty_pictures_are_answered_while_a_run_trains_and_neither_disturbs_the_other(tiny_run, predictor):
    given = [(name, content) for name, _, _, content in tiny.colour_pictures(10)]
    alone, run = predictor.predict(given), tiny.new_run(train__epochs=1000)
    worker = subprocess.Popen([sys.executable, "-m", "core.train", run.folder], cwd=ROOT)
    try:
        wait_until(lambda: open_run(run.folder).state.step)
        together = predictor.predict(given)
        assert open_run(run.folder).state.status == "running"
        ask_to_stop(open_run(run.folder))
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
    assert [answer.classes for answer in together] == [answer.classes for answer in alone]
    assert open_run(run.folder).state.status == "stopped" and open_run(run.folder).weights()


def test_a_run_answers_with_the_classes_it_learnt_in_their_order_whatever_comes_after(tmp_path, monkeypatch):
    """Sorted as text 10 would come before 9; what is called otherwise later has not been learnt."""
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    named = {"blue": "9", "orange": "10"}
    nine, ten = (tiny.colour_pictures(1)[k][3] for k in (0, 1))
    learnt = [(name, named[colour], part, content) for name, colour, part, content in tiny.colour_pictures()]
    finish(import_pictures("numbers", iter(learnt), "zip", False))
    run = tiny.train_tiny_run(data__dataset="numbers")
    assert run.card().classes == run.classes == ("9", "10")
    delete_dataset("numbers")
    turned = [(name, {"9": "b", "10": "a"}[label], part, content) for name, label, part, content in learnt]
    finish(import_pictures("numbers", iter(turned), "zip", False))
    answers = load_predictor(open_run(run.folder)).predict([("1.png", nine), ("2.png", ten)])
    assert [answer.classes[0][0] for answer in answers] == ["9", "10"]
