"""fit: it learns, the same every time; its rows say what happened; broken training keeps what was good."""

import copy
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from core.config import Augmentation, ModelConfig, TrainConfig
from core.data.store.batches import load_part, training_batches
from core.engine.fit import Diverged, fit
from core.engine.hardware import Hardware
from core.errors import UserMistake
from core.models.build import build_model
from core.rows import EpochRow, IterationRow, TickRow, iterations_a_row
from tests import tiny

CPU = Hardware(torch.device("cpu"))
TINY = TrainConfig(epochs=4, batch_size=8, learning_rate=0.05)


def network(store, seed=0):
    return build_model(ModelConfig(), len(store.classes), store.preprocess.image_size, seed)


def started(store, config=TINY, model=None, val=True):
    """(model, generator of rows)."""
    model = model or network(store, config.seed)
    snapshot = load_part(store, "val") if val else None
    return model, fit(model, load_part(store, "train"), snapshot, len(store.classes), config, CPU)


def trained(store, config=TINY, **options):
    model, rows = started(store, config, **options)
    return model, list(rows)


def of_kind(rows, kind):
    return [row for row in rows if isinstance(row, kind)]


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def choices(field):
    return get_args(TrainConfig.model_fields[field].annotation)


def test_pictures_grow_for_a_network_that_takes_any_size_and_for_no_other(tiny_store):
    config = TINY.model_copy(update={"progressive": 0.6, "epochs": 3})
    for name, expected in (("resnet", [10, 12, 16]), ("paper_cnn", [16, 16, 16])):
        seen = []
        model = build_model(ModelConfig(name=name, width=8), 2, 16, 0)
        model.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0].shape[-1]))
        _, rows = started(tiny_store, config, model, val=False)
        assert len(of_kind(rows, EpochRow)) == 3
        assert list(dict.fromkeys(seen)) == list(dict.fromkeys(expected)), name


def test_two_colours_are_learnt_without_a_mistake(tiny_store):
    _, rows = trained(tiny_store)
    epochs = of_kind(rows, EpochRow)
    assert [row.epoch for row in epochs] == [1, 2, 3, 4]
    assert (epochs[-1].val_accuracy, epochs[-1].val_per_class) == (1.0, (1.0, 1.0))
    assert epochs[-1].train_loss < epochs[0].train_loss and epochs[-1].train_accuracy == 1.0
    assert epochs[-1].val_loss < 0.1


def test_same_seed_same_result_bit_for_bit(tiny_store):
    config = TINY.model_copy(update={"augment": get_args(Augmentation), "epochs": 2, "seed": 3})
    (one, rows), (again, others) = trained(tiny_store, config), trained(tiny_store, config)
    assert torch.equal(weights(one), weights(again))
    columns = ("train_loss", "val_loss", "train_accuracy")
    for a, b in zip(of_kind(rows, EpochRow), of_kind(others, EpochRow), strict=True):
        assert a.model_dump(include=set(columns)) == b.model_dump(include=set(columns))


def test_another_seed_gives_another_result(tiny_store):
    ends = [trained(tiny_store, TINY.model_copy(update={"seed": seed, "epochs": 1}))[0] for seed in (0, 1)]
    assert not torch.equal(*map(weights, ends))
    # also from the same first weights: the seed draws the order too
    first = network(tiny_store)
    ends = [
        trained(tiny_store, TINY.model_copy(update={"seed": seed, "epochs": 1}), model=copy.deepcopy(first))[0]
        for seed in (0, 1)
    ]
    assert not torch.equal(*map(weights, ends))


def written_out(model, part, config):
    """The same training as a notebook writes it: the loss of every iteration."""
    optimizer = torch.optim.SGD(model.parameters(), config.learning_rate, config.momentum)
    losses = []
    model.train()
    for epoch in range(1, config.epochs + 1):
        for batch in training_batches(part, config.batch_size, config.augment, config.seed, epoch):
            optimizer.zero_grad()
            loss = nn.CrossEntropyLoss()(model(batch.images.contiguous()), batch.labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def test_the_running_loss_is_the_mean_over_200_iterations():
    store, config = tiny.noise_store(2010), TrainConfig(epochs=1, batch_size=2, learning_rate=1e-6)
    _, rows = trained(store, config)
    losses = torch.tensor(written_out(network(store), load_part(store, "train"), config))
    reported = of_kind(rows, IterationRow)
    ends = [200, 400, 600, 800, 1000, 1005]
    assert [row.iteration for row in reported] == ends
    expected = [float(losses[start:end].mean()) for start, end in pairwise([0, *ends])]
    assert [row.train_loss for row in reported] == pytest.approx(expected, abs=1e-5)
    assert of_kind(rows, EpochRow)[0].train_loss == pytest.approx(float(losses.mean()), abs=1e-5)


def test_a_short_epoch_tells_its_loss_in_twentieths_and_a_long_one_as_the_paper():
    lengths = (4, 186, 300, 999, 1000, 12_500)
    assert [iterations_a_row(iterations) for iterations in lengths] == [10, 10, 15, 49, 200, 200]
    store, config = tiny.noise_store(440), TrainConfig(epochs=1, batch_size=2, learning_rate=1e-6)
    _, rows = trained(store, config)
    losses = torch.tensor(written_out(network(store), load_part(store, "train"), config))
    reported = of_kind(rows, IterationRow)
    assert [row.iteration for row in reported] == [*range(11, 221, 11)]
    expected = [float(part.mean()) for part in losses.split(11)]
    assert [row.train_loss for row in reported] == pytest.approx(expected, abs=1e-5)


def test_it_ends_where_the_loop_of_a_notebook_ends(tiny_store):
    config = TrainConfig(epochs=2, batch_size=8, learning_rate=0.01)
    model, _ = trained(tiny_store, config)
    plain = network(tiny_store)
    written_out(plain, load_part(tiny_store, "train"), config)
    assert torch.allclose(weights(model), weights(plain), atol=1e-5)


def test_rows_say_where_training_stands(tiny_store):
    _, rows = trained(tiny_store, TINY.model_copy(update={"epochs": 2, "schedule": "cosine"}))
    reported = of_kind(rows, IterationRow)
    assert [(row.epoch, row.iteration, row.iterations, row.step) for row in reported] == [(1, 4, 4, 4), (2, 4, 4, 8)]
    assert reported[0].learning_rate > reported[1].learning_rate > 0 and reported[0].seconds < reported[1].seconds
    assert all(row.steps == 8 and row.images_per_second > 0 for row in of_kind(rows, TickRow))
    for row in of_kind(rows, EpochRow):
        assert row.images_per_second * row.seconds == pytest.approx(32)  # each of the 32 pictures once
        assert row.val_seconds > 0 and row.step == 4 * row.epoch
        assert row.train_accuracy == pytest.approx(sum(row.train_per_class) / 2)  # 16 of each colour


def test_without_a_validation_part_there_are_no_validation_metrics(tiny_store):
    _, rows = trained(tiny_store, TINY.model_copy(update={"epochs": 1}), val=False)
    row = of_kind(rows, EpochRow)[0]
    assert (row.val_loss, row.val_accuracy, row.val_per_class, row.val_seconds) == (None, None, None, 0.0)


def test_a_validation_part_does_not_change_what_is_learnt(tiny_store):
    assert torch.equal(weights(trained(tiny_store)[0]), weights(trained(tiny_store, val=False)[0]))


def test_a_class_without_training_pictures_has_no_share():
    store = tiny.noise_store(20, classes=2)
    store = tiny.make_store(store.images, store.labels, classes=("a", "b", "nobody"))
    row = of_kind(trained(store, TrainConfig(epochs=1), val=False)[1], EpochRow)[0]
    assert row.train_per_class[2] is None and None not in row.train_per_class[:2]


def overfitting():
    """Noise: what is learnt of the training part only harms on the validation part."""
    store = tiny.noise_store(60)
    store.parts["train"], store.parts["val"] = np.arange(36), np.arange(36, 60)
    return store


OVERFIT = TrainConfig(epochs=40, batch_size=12, learning_rate=0.05, seed=1)


def test_training_ends_after_its_patience_without_a_lower_validation_loss():
    store, patient = overfitting(), OVERFIT.model_copy(update={"patience": 4})
    _, rows = trained(store, patient)
    epochs = of_kind(rows, EpochRow)
    losses = [row.val_loss for row in epochs]
    best = losses.index(min(losses)) + 1
    assert epochs[-1].epoch == best + 4 < 40 and epochs[-1].best_epoch == best
    # apart from its end it is the training that it would be without patience
    _, others = trained(store, OVERFIT.model_copy(update={"epochs": 40}))
    assert losses == [row.val_loss for row in of_kind(others, EpochRow)][: len(losses)]


def test_every_row_has_the_best_epoch_so_far():
    epochs = of_kind(trained(overfitting(), OVERFIT.model_copy(update={"epochs": 6}))[1], EpochRow)
    losses = [row.val_loss for row in epochs]
    assert [row.best_epoch for row in epochs] == [losses.index(min(losses[:n])) + 1 for n in range(1, 7)]
    assert of_kind(trained(overfitting(), OVERFIT, val=False)[1], EpochRow)[0].best_epoch is None


def scripted(monkeypatch, losses):
    """The validation loss is given instead of computed."""
    given = iter(losses)
    answers = torch.zeros(8, dtype=torch.int64)
    monkeypatch.setattr("core.engine.fit.mean_loss_and_predictions", lambda *_: (next(given), answers))


NAN = float("nan")


@pytest.mark.parametrize(
    ("losses", "best", "patience"),
    [
        ([NAN, 0.7, 0.5, 0.6], [0, 2, 3, 3], 0),
        ([0.5, NAN, 0.5, 0.4], [1, 1, 1, 4], 0),
        ([float("inf"), NAN, 0.7], [0, 0], 2),
        ([0.5, 0.5, 0.5, 0.4], [1, 1, 1], 2),  # as low is not lower
        ([0.5, 0.6, 0.4, 0.5], [1, 1, 3, 3], 2),
    ],
)
def test_a_loss_that_is_not_finite_is_never_the_best(tiny_store, monkeypatch, losses, best, patience):
    scripted(monkeypatch, losses)
    _, rows = trained(tiny_store, TINY.model_copy(update={"epochs": len(losses), "patience": patience}))
    assert [row.best_epoch for row in of_kind(rows, EpochRow)] == best


def test_early_stopping_without_a_validation_part_is_refused(tiny_store):
    with pytest.raises(UserMistake, match="Early stopping watches the loss on the validation part, and there is none"):
        trained(tiny_store, TINY.model_copy(update={"patience": 3}), val=False)


def test_with_balanced_weights_a_small_class_is_not_forgotten():
    # 4 of 40 pictures are orange, and told apart from the blue ones by noise alone: guessing blue is 90 % right
    store = tiny.noise_store(40, classes=2)
    labels = (np.arange(40) % 10 == 0).astype(np.int64)
    store = tiny.make_store(store.images, labels)
    found = {}
    for choice in choices("class_weights"):
        config = TrainConfig(epochs=3, batch_size=20, learning_rate=0.02, class_weights=choice)
        row = of_kind(trained(store, config, val=False)[1], EpochRow)[-1]
        found[choice] = row.train_per_class[1]
    assert found["balanced"] > found["none"]


SAFE_RATES = {"adam": 0.005, "adamw": 0.005, "rmsprop": 0.0005}
KINDS = [
    *({"optimizer": name, "learning_rate": SAFE_RATES.get(name, 0.05)} for name in choices("optimizer")),
    *({"schedule": name} for name in choices("schedule")),
    *({"augment": (name,)} for name in get_args(Augmentation)),
    {"augment": get_args(Augmentation)},
    *({"precision": name} for name in choices("precision")),
    *({"class_weights": name} for name in choices("class_weights")),
    {"class_weights": "balanced", "augment": ("mixup",), "label_smoothing": 0.1},
    {"label_smoothing": 0.1},
    {"weight_decay": 0.01},
    {"momentum": 0.0},
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_every_kind_of_training_learns_two_colours(tiny_store, kind):
    config = TrainConfig(**({"epochs": 6, "batch_size": 8, "learning_rate": 0.05} | kind))
    epochs = of_kind(trained(tiny_store, config)[1], EpochRow)
    assert epochs[-1].train_loss < epochs[0].train_loss and epochs[-1].val_accuracy == 1.0


@pytest.mark.parametrize(("batch_size", "iterations"), [(8, 4), (30, 2), (31, 1), (32, 1), (33, 1), (1024, 1)])
def test_any_batch_size_from_two_on_gives_whole_epochs(tiny_store, batch_size, iterations):
    _, rows = trained(tiny_store, TrainConfig(epochs=2, batch_size=batch_size))
    assert {row.iterations for row in of_kind(rows, IterationRow)} == {iterations}
    seen = 31 if batch_size == 31 else 32  # a rest of one picture waits for the next epoch
    assert all(round(row.images_per_second * row.seconds) == seen for row in of_kind(rows, EpochRow))


def test_a_batch_of_one_picture_is_refused_with_the_reason(tiny_store):
    with pytest.raises(UserMistake, match="A batch of 1 of the 32 training pictures is too small: batch norm needs"):
        trained(tiny_store, TrainConfig(batch_size=1))
    with pytest.raises(UserMistake, match="A batch of 1 of the 1 training pictures"):
        trained(tiny.noise_store(1, classes=1), TrainConfig(batch_size=32))
    two_ranks = Hardware(torch.device("cpu"), 0, 2)
    with pytest.raises(UserMistake, match="at least 2 pictures a step in each of the processes"):
        next(fit(network(tiny_store), load_part(tiny_store, "train"), None, 2, TrainConfig(batch_size=3), two_ranks))


def test_closing_the_generator_keeps_what_was_learnt(tiny_store):
    model, rows = started(tiny_store)
    before = weights(model)
    next(rows)
    rows.close()
    after = weights(model)
    assert torch.isfinite(after).all() and not torch.equal(before, after)


def test_training_that_diverges_says_so_and_keeps_finite_weights():
    store = tiny.noise_store(64)
    wild = TrainConfig(epochs=300, batch_size=8, learning_rate=1.0, momentum=0.999, weight_decay=1.0)
    model, rows = started(store, wild, val=False)
    said = r"Training diverged in epoch \d+, iteration \d+: .* The learning rate 1 is too high for this run: try 0\.1\."
    with pytest.raises(Diverged, match=said) as diverged:
        list(rows)
    assert torch.isfinite(weights(model)).all() and diverged.value.try_rate == 0.1


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_learning_rate_beyond_all_measure_diverges_at_once(tiny_store, optimizer):
    # the form and the command line refuse such a rate; a file written by hand may still ask for it
    wild = TrainConfig.model_construct(**TINY.model_dump() | {"optimizer": optimizer, "learning_rate": 1e9})
    with pytest.raises(Diverged, match=r"epoch \d, .*The learning rate 1e\+09 is too high for this run: try 1e\+08\."):
        trained(tiny_store, wild)


def test_no_lower_learning_rate_is_proposed_than_may_be_chosen(tiny_store):
    model, rows = started(tiny_store, TINY.model_copy(update={"learning_rate": 2e-7}))
    poison(model, "fc3.bias")
    with pytest.raises(Diverged, match=r"try 1e-07\."):
        list(rows)


def poison(model, name):
    model.state_dict()[name].fill_(float("inf"))


@pytest.mark.parametrize("name", ["fc3.weight", "conv1.bias", "conv2_bn.running_var", "dense1_bn.running_mean"])
def test_weights_that_break_are_replaced_by_those_of_the_last_good_epoch(tiny_store, name):
    # running statistics do not show in the loss of training: they would break the evaluation
    model, rows = started(tiny_store)
    good = next(weights(model) for row in rows if isinstance(row, EpochRow) and row.epoch == 2)
    poison(model, name)
    with pytest.raises(Diverged, match=r"diverged in epoch 3, .*the model of epoch 2 was kept"):
        list(rows)
    assert torch.equal(weights(model), good)


def test_training_that_is_broken_from_the_start_keeps_the_first_weights():
    store = tiny.noise_store(32)
    model = network(store)
    before = weights(model)
    rows = fit(model, load_part(store, "train"), None, 3, TINY, CPU)
    broken = model.register_forward_pre_hook(lambda _, inputs: (inputs[0] * float("nan"),))
    with pytest.raises(Diverged, match=r"epoch 1, iteration 1: .*the first weights were kept"):
        next(rows)
    broken.remove()
    assert torch.equal(weights(model), before)


def test_muon_moves_filters_at_a_rate_of_their_own(tiny_store):
    config = TINY.model_copy(update={"optimizer": "muon", "schedule": "linear", "epochs": 1, "batch_size": 1024})
    part, after = load_part(tiny_store, "train"), []
    before = {name: value.detach().clone() for name, value in network(tiny_store).named_parameters()}
    for rate in (0.0, 0.01, 0.02):
        model = network(tiny_store)
        list(fit(model, part, None, 2, config.model_copy(update={"filter_rate": rate}), CPU))
        after.append({name: value.detach() for name, value in model.named_parameters()})
    assert not torch.equal(after[2]["fc3.weight"], before["fc3.weight"])
    for name, was in before.items():
        if was.dim() != 4:  # at the learning rate, whatever filters do
            assert torch.equal(after[0][name], after[2][name])
            continue
        begun = was * len(was) ** 0.5 / was.norm()  # the norm that is kept
        way, twice = after[1][name] - begun, after[2][name] - begun
        assert torch.allclose(twice, 2 * way, atol=1e-6)
        turned = torch.linalg.svdvals(way.flatten(1)) / 0.01
        assert turned.max() < 1.3 and turned.mean() > 0.5
