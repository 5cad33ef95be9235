"""evaluate: every picture once in evaluation mode, or the paper's own way; the network stays as it was."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from core.config import ModelConfig
from core.data.store.batches import load_part, normalise
from core.engine.evaluate import evaluate, evaluation_batch, mean_loss_and_predictions, predict_logits, views_of
from core.models.build import build_model
from tests import tiny

CLASSES = ("class 0", "class 1", "class 2")


class Brighter(nn.Module):
    """Brighter than the mean of the batch: class 1, else class 0. Right only where a batch has both."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)

    def forward(self, images):
        brightness = self.norm(images.mean((1, 2, 3))[:, None])
        return torch.cat([-brightness, brightness], 1)


def network(side=10, classes=3):
    return build_model(ModelConfig(), classes, side)


def bright_store(labels):
    """Pictures of 8 x 8: class 0 dark, class 1 bright."""
    images = np.random.default_rng(0).integers(0, 60, (len(labels), 3, 8, 8), dtype=np.uint8)
    return tiny.make_store(images + (180 * np.asarray(labels, np.uint8))[:, None, None, None], labels)


@pytest.mark.parametrize("count", [1, 2, 33, 103])
def test_every_picture_is_answered_once_in_store_order(count):
    store = tiny.noise_store(count + 10)
    store.parts["test"] = np.arange(5, count + 5)
    model = network().eval()
    answers = evaluate(model, load_part(store, "test"), "test", CLASSES)
    assert (answers.part, answers.measure, answers.classes, answers.n) == ("test", "evaluation", CLASSES, count)
    assert answers.indices.tolist() == list(range(5, count + 5)) and answers.seconds > 0
    assert np.array_equal(answers.labels, store.labels[5 : count + 5])
    pictures = torch.from_numpy(store.images[5 : count + 5]).permute(0, 2, 3, 1)
    with torch.no_grad():
        expected = model(normalise(pictures, store.preprocess)).softmax(1).numpy()
    assert np.allclose(answers.probabilities, expected, atol=1e-6)
    assert np.allclose(answers.probabilities.sum(1), 1, atol=1e-5) and answers.probabilities.dtype == np.float32


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("measure", ["evaluation", "paper"])
def test_the_network_is_left_as_it_was(measure, training):
    model = network().train(training)
    before = copy.deepcopy(model.state_dict())
    evaluate(model, load_part(tiny.noise_store(70), "train"), "train", CLASSES, measure)
    assert model.training is training and all(module.training is training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(p.grad is not None for p in model.parameters())


def test_a_network_that_fails_is_put_back_into_training():
    model = network(side=16).train()
    with pytest.raises(RuntimeError):
        evaluate(model, load_part(tiny.noise_store(5), "train"), "train", CLASSES)
    assert model.training


@pytest.mark.parametrize(("pictures", "counted"), [(10_000, 626), (2_142, 134), (64, 4), (65, 4), (66, 6), (2, 2)])
def test_the_papers_measure_counts_what_the_paper_counted(pictures, counted):
    part = load_part(tiny.noise_store(pictures, classes=2, side=8), "train")
    answers = evaluate(Brighter(), part, "test", ("a", "b"), "paper")
    assert answers.n == counted == len(set(answers.indices.tolist())) and answers.measure == "paper"
    assert np.array_equal(answers.labels, part.labels.numpy()[answers.indices])


def test_the_papers_measure_does_not_depend_on_the_order_of_the_classes():
    in_order = [0] * 320 + [1] * 320
    mixed = np.random.default_rng(1).permutation(in_order).tolist()
    for labels in (in_order, in_order[::-1], mixed):
        answers = evaluate(Brighter(), load_part(bright_store(labels), "train"), "test", ("a", "b"), "paper")
        assert answers.accuracy > 0.95 and min(answers.counts) >= 10  # in store order: every batch of one class, half


def test_the_papers_measure_uses_the_batch_at_hand():
    part = load_part(bright_store([0, 1] * 100), "train")
    model = Brighter()
    model.norm.running_mean.fill_(100.0)  # in evaluation mode every picture is darker than that
    assert evaluate(model, part, "test", ("a", "b"), "evaluation").accuracy == 0.5
    assert evaluate(model, part, "test", ("a", "b"), "paper").accuracy > 0.95


def test_the_papers_measure_is_the_same_every_time():
    part, model = load_part(tiny.noise_store(200), "train"), network()
    one, again = (evaluate(model, part, "train", CLASSES, "paper") for _ in range(2))
    assert np.array_equal(one.indices, again.indices) and np.array_equal(one.probabilities, again.probabilities)
    assert one.indices.tolist() != sorted(one.indices.tolist())


@pytest.mark.parametrize("measure", ["evaluation", "paper"])
def test_an_empty_part_has_no_answers(measure):
    answers = evaluate(network(), load_part(tiny.noise_store(5), "val"), "val", CLASSES, measure)
    assert answers.n == 0 and np.isnan(answers.accuracy) and answers.probabilities.shape == (0, 3)


def test_a_single_picture_has_no_batch_statistics():
    assert evaluate(Brighter(), load_part(tiny.noise_store(1), "train"), "train", ("a", "b"), "paper").n == 0


def test_large_pictures_are_answered_in_smaller_batches():
    assert [evaluation_batch(side) for side in (16, 32, 64, 224, 512)] == [2000, 500, 125, 10, 4]


def test_a_network_of_many_channels_answers_fewer_pictures_at_once():
    assert [evaluation_batch(side, True) for side in (16, 32, 64, 224)] == [500, 125, 31, 4]
    for name, most in (("paper_cnn", 500), ("resnet", 125), ("compact", 125)):
        model, asked = build_model(ModelConfig(name=name, width=8), 3, 32), []
        model.register_forward_pre_hook(lambda _, args, asked=asked: asked.append(len(args[0])))
        mean_loss_and_predictions(model, load_part(tiny.noise_store(520, side=32), "train"))
        assert max(asked) == most


def test_loss_and_predictions_are_those_of_the_whole_part():
    part, model = load_part(tiny.noise_store(50), "train"), network().eval()
    loss, predictions = mean_loss_and_predictions(model, part)
    with torch.no_grad():
        logits = model(normalise(part.images, part.preprocess))
    assert loss == pytest.approx(float(nn.functional.cross_entropy(logits, part.labels)), rel=1e-5)
    assert torch.equal(predictions, logits.argmax(1))


def test_a_network_that_answers_for_both_sides_is_blind_to_which_one_is_left():
    model = build_model(ModelConfig(flip_tta=True), 3, 10)
    store = tiny.noise_store(20)
    turned = tiny.make_store(store.images[..., ::-1].copy(), store.labels)
    here, there = (evaluate(model, load_part(each, "train"), "train", CLASSES) for each in (store, turned))
    np.testing.assert_allclose(here.probabilities, there.probabilities, atol=1e-6)
    model.flip_tta = False
    one_sided = [evaluate(model, load_part(each, "train"), "train", CLASSES) for each in (store, turned)]
    assert np.abs(one_sided[0].probabilities - one_sided[1].probabilities).max() > 1e-4


def test_the_papers_measure_has_no_flip_test_time_augmentation():
    plain, both = (build_model(ModelConfig(flip_tta=flip_tta), 3, 10) for flip_tta in (False, True))
    part = load_part(tiny.noise_store(64), "train")
    predicted = [evaluate(model, part, "train", CLASSES, "paper").probabilities for model in (plain, both)]
    np.testing.assert_array_equal(*predicted)


def test_only_a_picture_of_which_the_network_is_unsure_is_asked_again_flipped():
    plain, every, some = (build_model(ModelConfig(flip_tta=flip), 3, 10) for flip in (False, True, True))
    part = load_part(tiny.noise_store(60), "train")
    once, twice = (evaluate(model, part, "train", CLASSES).probabilities for model in (plain, every))
    some.tta_below = float(np.median(once.max(1)))
    unsure = once.max(1) < some.tta_below
    asked, forward = [], some.forward
    some.forward = lambda images: (asked.append(len(images)), forward(images))[1]
    answers = evaluate(some, part, "train", CLASSES).probabilities
    np.testing.assert_allclose(answers, np.where(unsure[:, None], twice, once), atol=1e-6)
    assert asked == [60, int(unsure.sum())] and 20 < unsure.sum() < 40
    some.tta_below = 0.0
    np.testing.assert_array_equal(evaluate(some, part, "train", CLASSES).probabilities, once)


@pytest.mark.parametrize("flips", [False, True])
def test_crops_count_as_much_as_the_picture_as_it_is(flips):
    model = build_model(ModelConfig(name="resnet", width=8, flip_tta=flips, crop_tta=True), 3, 32).eval()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    around = nn.functional.pad(images, (1, 1, 1, 1), "reflect")

    def answer(view):
        return (model(view) + model(view.flip(3))) / 2 if flips else model(view)

    with torch.no_grad():
        expected = answer(images) / 2 + answer(around[..., :32, :32]) / 4 + answer(around[..., 2:, 2:]) / 4
        assert torch.allclose(predict_logits(model, images), expected, atol=1e-6)
        assert not torch.allclose(expected, answer(images), atol=1e-4)
        model.tta_below = 0.0
        assert torch.equal(predict_logits(model, images), model(images))


def test_the_views_of_a_picture_weigh_one_and_are_shifted_by_a_thirty_second_of_the_side():
    model = build_model(ModelConfig(name="resnet", width=8, flip_tta=True, crop_tta=True), 3, 64)
    images = torch.arange(64.0).expand(1, 3, 64, 64)
    views = views_of(model, images)
    assert [view.is_flipped for view in views] == [False, True] * 3 and sum(view.weight for view in views) == 1
    assert [int(view.images[0, 0, 0, 10]) for view in views] == [10, 53, 8, 51, 12, 55]
