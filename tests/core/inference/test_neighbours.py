"""The features of a run's training pictures, and its neighbours: a training picture finds itself first."""

import numpy as np
import pytest
import torch

from core.data.datasets.dataset import delete_dataset, find_dataset
from core.data.imports.pipeline import import_pictures
from core.data.store.batches import normalise
from core.errors import UserMistake
from core.inference.feature_network import FeatureNetwork
from core.inference.features import load_features
from core.inference.neighbours import load_neighbours
from core.inference.own_pictures import store_of
from core.inference.predictor import load_predictor
from core.inference.run_features import build_run_features, measured_folder, open_run_features
from core.models.transfer import TransferModel, cut_last, published_network
from core.progress import Progress
from core.settings import novelty_root
from tests import tiny
from tests.pictures import finish


def build(run):
    return list(build_run_features(run))


def test_a_prediction_carries_what_the_last_layer_was_given(tiny_run):
    predictor = load_predictor(tiny_run)
    (answer,) = predictor.predict([("blue.png", tiny.colour_pictures(1)[0][3])])
    weight, bias = (tiny_run.weights()[f"fc3.{name}"] for name in ("weight", "bias"))
    given, maps = np.split(answer.features, [weight.shape[1]])
    logits = given @ weight.T + bias
    softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert np.allclose(softmax, [dict(answer.classes)[name] for name in predictor.classes], atol=1e-5)
    assert np.allclose(load_features(tiny_run)(np.array(answer.received[None]))[0], given, atol=1e-5)
    images = normalise(torch.from_numpy(np.array(answer.received.transpose(1, 2, 0)))[None], predictor.preprocess)
    first = predictor.model.conv1(images)[0].detach().numpy()
    assert np.allclose(maps, [*first.mean((1, 2)), *first.std((1, 2))], atol=1e-5)


def test_flip_augmentation_at_test_time_leaves_the_features_those_of_the_picture(tiny_run, tiny_store):
    model = load_predictor(tiny_run).model
    images = torch.from_numpy(tiny_store.images[:3]).float()
    plain = FeatureNetwork(model)(images)
    model.flip_tta = True
    flipped = FeatureNetwork(model)(images)
    assert torch.equal(plain[1], flipped[1]) and not torch.equal(plain[0], flipped[0])
    assert not any(layer._forward_pre_hooks for layer in model.modules())


def test_features_are_computed_once_for_every_training_picture(tiny_run, monkeypatch):
    assert open_run_features(tiny_run) is None
    build(tiny_run)
    found, store = open_run_features(tiny_run), store_of(tiny_run)
    assert np.array_equal(found.rows, store.parts["train"])
    assert np.array_equal(found.labels, store.labels[store.parts["train"]])
    assert np.allclose(
        found.features[:, : found.width], load_features(tiny_run)(np.array(store.images[found.rows])), atol=1e-5
    )
    monkeypatch.setattr("core.inference.run_features.RunNetwork", lambda *_: pytest.fail("computed again"))
    assert build(tiny_run) == []


@pytest.mark.parametrize("name", ["features.npy", "pictures.npz"])
def test_a_damaged_file_is_made_again(tiny_run, name):
    build(tiny_run)
    path = measured_folder(tiny_run) / name
    path.write_bytes(path.read_bytes()[:50])
    assert open_run_features(tiny_run) is None
    build(tiny_run)
    assert open_run_features(tiny_run) is not None
    assert [folder.name for folder in novelty_root().iterdir()] == [path.parent.name]


def test_broken_off_nothing_stays(tiny_run, monkeypatch):
    monkeypatch.setattr("core.inference.run_features.Clock.ticks", lambda _: True)
    monkeypatch.setattr("core.inference.run_features.evaluation_batch", lambda _: 4)
    steps = build_run_features(tiny_run)
    assert next(steps) == Progress("features", 4, len(tiny_run.evaluation("train").labels), None)
    steps.close()
    assert not list(novelty_root().iterdir()) and open_run_features(tiny_run) is None


def test_every_training_picture_finds_itself_first(tiny_run):
    build(tiny_run)
    neighbours, dataset = load_neighbours(tiny_run), find_dataset("colours")
    predictor, rows = load_predictor(tiny_run), store_of(tiny_run).parts["train"].tolist()
    answers = predictor.predict([(dataset.names[row], dataset.original(row)) for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        first, *others = neighbours.nearest(answer.features, answer.received, 5)
        assert (first.row, first.dataset_row, first.file) == (row, row, dataset.names[row])
        assert first.class_name == dataset.classes[dataset.labels[row]] and first.distance < 1e-3
        assert len(others) == 4 and all(other.row != row for other in others)


def test_neighbours_come_nearest_first_and_are_of_the_training_part(tiny_run):
    build(tiny_run)
    neighbours, train = load_neighbours(tiny_run), set(store_of(tiny_run).parts["train"].tolist())
    (answer,) = load_predictor(tiny_run).predict([("new.png", tiny.colour_pictures(1)[1][3])])
    found = neighbours.nearest(answer.features, count=1000)
    assert {one.row for one in found} == train and len(found) == len(train)
    distances = [one.distance for one in found]
    assert distances == sorted(distances) and found[0].class_name == "orange"


def test_where_features_are_the_same_the_pixels_decide(tiny_run):
    build(tiny_run)
    neighbours = load_neighbours(tiny_run)
    kept = np.load(measured_folder(tiny_run) / "features.npy")
    np.save(measured_folder(tiny_run) / "features.npy", np.zeros_like(kept))  # as of a network with dead units
    alike, store = load_neighbours(tiny_run), store_of(tiny_run)
    for row in neighbours.features.rows[::7].tolist():
        assert alike.nearest(np.zeros(kept.shape[1], np.float32), store.images[row], 1)[0].row == row


def test_what_is_missing_is_told_in_a_sentence(tiny_run, new_run):
    with pytest.raises(UserMistake, match="have not been compared yet"):
        load_neighbours(tiny_run)
    with pytest.raises(UserMistake, match=f"Run {new_run.id} has no model"):
        build(new_run)
    build(tiny_run)
    delete_dataset("colours")
    with pytest.raises(UserMistake, match="unknown dataset"):
        load_neighbours(tiny_run)
    finish(import_pictures("colours", iter(tiny.colour_pictures(12)), "zip", False))
    with pytest.raises(UserMistake, match="changed since run"):
        load_neighbours(tiny_run)


def test_a_full_disk_is_a_sentence(tiny_run, monkeypatch):
    monkeypatch.setattr("core.settings.free_space", lambda *_: 2**20)
    with pytest.raises(UserMistake, match="and the disk has 1 MB free"):
        build(tiny_run)
    assert not list(novelty_root().iterdir())


def test_what_a_frozen_backbone_has_made_is_read_and_is_what_a_prediction_carries(tiny_run, monkeypatch):
    from core.runs.backbones import keep_backbone

    backbone = keep_backbone(tiny_run)
    run = tiny.train_tiny_run(model__name="transfer", model__backbone=backbone, model__trainable="head")
    asked = []
    monkeypatch.setattr("core.inference.run_features.RunNetwork.answer", lambda *given: asked.append(given))
    build(run)
    assert not asked  # the network answered nothing: training had kept it
    found, dataset = open_run_features(run), find_dataset("colours")
    rows = found.rows.tolist()
    answers = load_predictor(run).predict([(dataset.names[row], dataset.original(row)) for row in rows])
    assert np.allclose(found.features, [answer.features for answer in answers], atol=1e-4)


def test_a_network_that_ends_in_a_convolution_has_features_and_first_maps_too():
    backbone, width = cut_last(published_network("squeezenet1_0"))
    model = TransferModel(backbone, width, 3, frozen=True).eval()
    network, images = FeatureNetwork(model), torch.rand(2, 3, 48, 48)
    logits, features = network(images)
    assert features.shape == (2, 512 + 2 * 96) and network.first_width == 2 * 96
    assert torch.allclose(logits, model(images), atol=1e-5)
    assert torch.allclose(features[:, :512], backbone(images).flatten(1), atol=1e-4)
