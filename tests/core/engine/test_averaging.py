"""Averaging: the mean of the weights answers, and training goes on with the weights themselves. Lookahead: half of the
way is taken back."""

import pytest
import torch
from torch import nn

from core.data.store.batches import load_part
from core.engine.averaging import Averaging, Lookahead
from core.engine.fit import fit
from core.rows import EpochRow
from tests.core.engine.test_fit import CPU, TINY, network, weights


def test_the_mean_is_the_one_that_is_worked_out_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 4.0)
    averaging = Averaging(layer, 0.5)
    nn.init.constant_(layer.weight, 8.0)
    averaging.update(1)  # early on a share of 2/11 is kept: 8 - 4 * 2/11
    nn.init.constant_(layer.weight, 0.0)
    averaging.update(1000)
    averaging.swap()
    assert float(layer.weight.detach()) == pytest.approx((8 - 8 / 11) / 2)
    averaging.swap()
    assert float(layer.weight.detach()) == 0.0


def test_without_a_decay_nothing_is_kept_and_nothing_changes():
    layer = nn.Linear(2, 2)
    averaging, before = Averaging(layer, 0.0), layer.weight.detach().clone()
    averaging.update(5)
    averaging.swap()
    assert torch.equal(layer.weight, before) and averaging.copy() == {}


def test_it_answers_with_the_mean_and_learns_as_it_would_without(tiny_store):
    plain, averaged = network(tiny_store), network(tiny_store)
    parts = load_part(tiny_store, "train"), load_part(tiny_store, "val"), len(tiny_store.classes)
    ours = list(fit(averaged, *parts, TINY.model_copy(update={"ema": 0.9}), CPU))
    theirs = list(fit(plain, *parts, TINY, CPU))
    losses = [[row.train_loss for row in rows if isinstance(row, EpochRow)] for rows in (ours, theirs)]
    assert losses[0] == losses[1]
    assert not torch.equal(weights(plain), weights(averaged))
    assert [row.val_loss for row in ours if isinstance(row, EpochRow)] != [
        row.val_loss for row in theirs if isinstance(row, EpochRow)
    ]


def test_whoever_leaves_in_the_middle_keeps_the_mean(tiny_store):
    model = network(tiny_store)
    rows = fit(model, load_part(tiny_store, "train"), None, 2, TINY.model_copy(update={"ema": 0.9}), CPU)
    seen = next(rows)
    shown = weights(model).clone()
    rows.close()
    assert seen.step > 0 and torch.equal(weights(model), shown)


def test_lookahead_takes_half_of_the_way_back_every_so_many_steps():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 4.0)
    lookahead, seen = Lookahead(layer.parameters(), 2), []
    for step in range(1, 5):
        layer.weight.data += 8.0
        lookahead.update(step)
        seen.append(float(layer.weight.detach()))
    assert seen == [12.0, 12.0, 20.0, 20.0]
    assert float(lookahead.copy()["0"]) == 20.0


def test_without_lookahead_nothing_is_kept():
    layer = nn.Linear(1, 1)
    lookahead = Lookahead(layer.parameters(), 0)
    lookahead.update(5)
    assert lookahead.copy() == {}


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])  # all weights in one vector, each by itself
def test_lookahead_halves_what_a_run_of_as_many_steps_has_moved(tiny_store, optimizer):
    part, plain, halved = load_part(tiny_store, "train"), network(tiny_store), network(tiny_store)
    config = TINY.model_copy(update={"optimizer": optimizer, "epochs": 1, "learning_rate": 0.001})
    steps = -(-len(part) // min(config.batch_size, len(part)))
    before = {name: value.detach().clone() for name, value in plain.named_parameters()}
    list(fit(plain, part, None, 2, config, CPU))
    list(fit(halved, part, None, 2, config.model_copy(update={"lookahead": steps}), CPU))
    for (name, moved), half in zip(plain.named_parameters(), halved.parameters(), strict=True):
        assert torch.allclose(half, (before[name] + moved) / 2, atol=1e-6)
    assert not torch.equal(weights(plain), weights(halved))
