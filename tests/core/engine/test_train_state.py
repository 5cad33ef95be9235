"""TrainState: training resumed from one equals training that was never interrupted, bit for bit."""

from dataclasses import replace
from typing import get_args

import pytest
import torch

from core.config import Augmentation, ModelConfig, TrainConfig
from core.data.store.batches import load_part, training_batches
from core.engine import fit as fit_module
from core.engine.fit import Diverged, fit
from core.engine.train_state import TrainState, ask_train_state
from core.models.build import build_model
from core.rows import EpochRow, TickRow
from tests import tiny
from tests.core.engine.test_fit import CPU, SAFE_RATES, choices, network, poison, weights

EVERY = get_args(Augmentation)
TIMES = {"seconds", "val_seconds", "images_per_second"}


@pytest.fixture(autouse=True)
def a_tick_an_iteration(monkeypatch):
    monkeypatch.setattr(fit_module, "SECONDS_A_TICK", -1.0)


def started(store, config, start=None):
    model = network(store, config.seed)
    train, val = load_part(store, "train"), load_part(store, "val")
    return model, fit(model, train, val if len(val) else None, len(store.classes), config, CPU, start)


def whole(store, config):
    model, rows = started(store, config)
    seen = without_times(rows)
    return weights(model), seen


def without_times(rows):
    """Rows apart from times, and apart from ticks."""
    return [row.model_dump(exclude=TIMES) for row in rows if not isinstance(row, TickRow)]


def interrupted(store, config, *steps: int):
    """The same training, taken down after each of `steps` and built again from what was kept."""
    seen, start = [], None
    for step in steps:
        _, rows = started(store, config, start)
        for row in rows:
            seen += [] if isinstance(row, TickRow) else without_times([row])
            if row.step == step and isinstance(row, TickRow):
                break
        start = TrainState.from_parts(*ask_train_state(rows).to_parts())
        rows.close()
    model, rows = started(store, config, start)
    seen += without_times(rows)
    return weights(model), seen


def same(store, config, *steps):
    (expected, rows), (got, seen) = whole(store, config), interrupted(store, config, *steps)
    assert torch.equal(got, expected)
    assert seen == rows


@pytest.mark.parametrize("schedule", choices("schedule"))
@pytest.mark.parametrize("optimizer", choices("optimizer"))
def test_every_optimizer_and_schedule_goes_on_from_the_middle_of_an_epoch(tiny_store, optimizer, schedule):
    rate = SAFE_RATES.get(optimizer, 0.05)
    config = TrainConfig(
        epochs=3, batch_size=6, optimizer=optimizer, schedule=schedule, learning_rate=rate, augment=EVERY
    )
    same(tiny_store, config, 8)  # 6 iterations an epoch


@pytest.mark.parametrize("step", range(1, 13))
def test_every_iteration_is_a_place_to_go_on_from(tiny_store, step):
    same(tiny_store, TrainConfig(epochs=2, batch_size=6, learning_rate=0.05, augment=EVERY), step)


def test_training_may_be_interrupted_again_and_again(tiny_store):
    config = TrainConfig(epochs=4, batch_size=6, learning_rate=0.05, momentum=0.8, weight_decay=0.01, augment=EVERY)
    same(tiny_store, config, 2, 3, 6, 7, 12, 17, 23)


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"label_smoothing": 0.1},
        {"ema": 0.9},
        {"progressive": 0.5},
        {"augment": ("flip", "mixup"), "flips": "alternating"},
        {"lookahead": 3},
        {"optimizer": "muon", "filter_rate": 0.01, "momentum": 0.6},
        {"lookahead": 2, "ema": 0.9, "optimizer": "muon"},
        {"optimizer": "muon", "ema": 0.99, "momentum": 0.6},
        {"momentum": 0.0},
        {"batch_size": 31},
        {"optimizer": "adam", "momentum": 0.0, "learning_rate": 0.005},
        {"optimizer": "rmsprop", "momentum": 0.0, "learning_rate": 0.0005},
    ],
    ids=str,
)
def test_other_choices_go_on_exactly_as_well(tiny_store, changes):
    same(tiny_store, TrainConfig(**({"epochs": 3, "batch_size": 6, "learning_rate": 0.05} | changes)), 2)


@pytest.mark.parametrize("step", [2, 8])
def test_a_student_goes_on_exactly(tiny_store, monkeypatch, step):
    answers = torch.randn(len(tiny_store.images), 2, 2, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(
        "tests.core.engine.test_train_state.load_part",
        lambda store, name, load=load_part: replace(load(store, name), answers=answers[: len(store.parts[name])]),
    )
    same(tiny_store, TrainConfig(epochs=3, batch_size=6, learning_rate=0.05, augment=EVERY, teacher="a"), step)


def test_dropout_goes_on_exactly_and_draws_anew_in_every_epoch(tiny_store, monkeypatch):
    model = ModelConfig(name="cnn", dropout_conv=0.3, dropout_linear=0.5)
    monkeypatch.setattr(
        "tests.core.engine.test_train_state.network", lambda store, seed: build_model(model, 2, 16, seed)
    )
    same(tiny_store, TrainConfig(epochs=3, batch_size=6, learning_rate=0.05), 2, 6, 9)
    one, other = (whole(tiny_store, TrainConfig(epochs=1, batch_size=6, seed=seed))[0] for seed in (1, 1))
    assert torch.equal(one, other)


def test_the_residual_network_goes_on_exactly_with_the_first_layer_that_it_began_with(tiny_store, monkeypatch):
    model = ModelConfig(name="resnet", width=8)
    monkeypatch.setattr(
        "tests.core.engine.test_train_state.network", lambda store, seed: build_model(model, 2, 16, seed)
    )
    config = TrainConfig(epochs=2, batch_size=16, learning_rate=0.05, precision="bfloat16", augment=("flip",))
    same(tiny_store, config, 1, 3)


def test_rows_of_200_iterations_are_whole_after_an_interruption():
    store = tiny.noise_store(850)
    same(store, TrainConfig(epochs=1, batch_size=2, learning_rate=1e-4), 150, 200, 399)


@pytest.mark.parametrize("epoch", [1, 2])
def test_the_end_of_an_epoch_is_a_place_to_go_on_from_and_so_is_a_higher_number_of_epochs(tiny_store, epoch):
    config = TrainConfig(epochs=3, batch_size=8, learning_rate=0.05, augment=EVERY)
    expected, rows = whole(tiny_store, config)
    _, first = started(tiny_store, config.model_copy(update={"epochs": epoch}))
    seen = []
    for row in first:
        seen += [] if isinstance(row, TickRow) else without_times([row])
        if isinstance(row, EpochRow) and row.epoch == epoch:
            break
    state = ask_train_state(first)
    assert (state.epoch, state.iteration, state.step) == (epoch + 1, 0, 4 * epoch)
    assert list(first) == []
    model, rest = started(tiny_store, config, state)
    seen += without_times(rest)
    assert seen == rows and torch.equal(weights(model), expected)


def test_asking_for_the_state_changes_nothing(tiny_store):
    config = TrainConfig(epochs=2, batch_size=8, learning_rate=0.05, augment=EVERY)
    expected, rows = whole(tiny_store, config)
    model, asked = started(tiny_store, config)
    seen = []
    for row in asked:
        seen += without_times([row])
        if isinstance(row, TickRow | EpochRow):
            ask_train_state(asked)
    assert seen == rows and torch.equal(weights(model), expected)


def test_a_state_stays_what_it_was_while_training_goes_on(tiny_store):
    _, rows = started(tiny_store, TrainConfig(epochs=2, batch_size=8, learning_rate=0.05))
    next(row for row in rows if isinstance(row, TickRow))
    state = ask_train_state(rows)
    before = {name: values.copy() for name, values in state.to_parts()[1].items()}
    list(rows)
    assert all((values == before[name]).all() for name, values in state.to_parts()[1].items())


def test_seconds_are_counted_on(tiny_store):
    config = TrainConfig(epochs=2, batch_size=8, learning_rate=0.05)
    _, rows = started(tiny_store, config)
    seconds = next(row.seconds for row in rows if isinstance(row, TickRow) and row.step == 6)
    state = ask_train_state(rows)
    assert state.seconds + state.epoch_seconds >= seconds > 0
    _, rest = started(tiny_store, config, state)
    assert next(rest).seconds > seconds


def test_training_that_breaks_after_going_on_keeps_what_it_went_on_from(tiny_store):
    config = TrainConfig(epochs=3, batch_size=8, learning_rate=0.05)
    _, rows = started(tiny_store, config)
    next(row for row in rows if isinstance(row, TickRow) and row.step == 6)
    model, rest = started(tiny_store, config, ask_train_state(rows))
    next(rest)
    poison(model, "conv2_bn.running_var")
    with pytest.raises(Diverged, match=r"epoch 2, .*the model of epoch 2, iteration 2 was kept"):
        list(rest)
    assert torch.isfinite(weights(model)).all()


@pytest.mark.parametrize("augment", [(), EVERY])
@pytest.mark.parametrize("skip", [1, 5, 6, 7, 30, 103, 515, 516])
def test_skipped_batches_leave_the_others_as_they_are(augment, skip, monkeypatch):
    monkeypatch.setattr("core.data.store.batches.BLOCK_BYTES", 3 * 10 * 10 * 1000)  # several blocks an epoch
    part = load_part(tiny.noise_store(2062), "train")
    every = list(training_batches(part, 4, augment, 0, 1))
    left = list(training_batches(part, 4, augment, 0, 1, skip=skip))
    assert len(every) == 516 and len(left) == 516 - skip
    for one, other in zip(every[skip:], left, strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
        assert torch.equal(one.indices, other.indices) and one.global_batch_size == other.global_batch_size


def test_skipped_blocks_are_not_read(monkeypatch):
    monkeypatch.setattr("core.data.store.batches.BLOCK_BYTES", 3 * 10 * 10 * 256)
    part, read = load_part(tiny.noise_store(1024), "train"), []
    gather = type(part).gather
    monkeypatch.setattr(type(part), "gather", lambda self, places: read.append(len(places)) or gather(self, places))
    list(training_batches(part, 4, EVERY, 0, 1, skip=200))
    assert sum(read) == 256  # the last of four blocks
