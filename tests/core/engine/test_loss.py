"""Loss: smoothed, weighted and mixed, and still the mean over the pictures."""

import math

import pytest
import torch
import torch.nn.functional as F

from core.config import TrainConfig
from core.data.store.batches import Batch
from core.engine.loss import Loss, balance

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 0, 0, 1, 2])
BLENDED = torch.tensor([1, 0, 2, 1, 0, 2])
SHARES = torch.tensor([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


def batch(labels=LABELS, blended=None, shares=None):
    count = len(labels)
    return Batch(torch.zeros(count, 3, 8, 8), labels, torch.arange(count), count, blended, shares)


def loss(given=None, labels=LABELS, **choices):
    return Loss(TrainConfig(**choices), labels, 3)(LOGITS, given or batch())


def expected(target, weights=None):
    """Cross-entropy against targets as probabilities (B, classes), written out."""
    losses = -(target * LOGITS.log_softmax(1)).sum(1)
    return float((losses if weights is None else losses * weights).mean())


def test_without_choices_it_is_cross_entropy():
    assert torch.equal(loss(), F.cross_entropy(LOGITS, LABELS))
    assert torch.equal(loss(label_smoothing=0.1), F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1))


def test_balanced_weights_are_worked_out_by_hand():
    # 6 pictures of 3 classes: 6 / (3 * 4), 6 / (3 * 1), 6 / (3 * 1)
    assert balance(LABELS, 3).tolist() == [0.5, 2.0, 2.0]
    assert balance(LABELS, 3)[LABELS].mean() == 1.0
    assert loss(class_weights="balanced").item() == pytest.approx(
        expected(F.one_hot(LABELS).float(), torch.tensor([0.5, 0.5, 0.5, 0.5, 2.0, 2.0])), rel=1e-6
    )


def test_a_class_without_pictures_has_a_finite_weight():
    weights = balance(torch.tensor([0, 0, 2]), 4)
    assert weights.tolist() == [0.75, 0.0, 1.5, 0.0]  # 3 / (2 * 2), 3 / (2 * 1): two classes have pictures
    alone = Loss(TrainConfig(class_weights="balanced"), torch.tensor([0, 0, 0]), 3)
    assert math.isfinite(alone(LOGITS, batch(torch.zeros(6, dtype=torch.int64))))


def test_mixup_asks_for_both_labels_by_their_shares():
    target = SHARES[:, None] * F.one_hot(LABELS) + (1 - SHARES[:, None]) * F.one_hot(BLENDED)
    assert loss(batch(blended=BLENDED, shares=SHARES)).item() == pytest.approx(expected(target), rel=1e-6)


def test_smoothing_weights_and_mixup_go_together():
    smooth = [0.7 * F.one_hot(labels).float() + 0.3 / 3 for labels in (LABELS, BLENDED)]
    weights = torch.tensor([0.5, 2.0, 2.0])
    shares = SHARES[:, None]
    target = shares * weights[LABELS, None] * smooth[0] + (1 - shares) * weights[BLENDED, None] * smooth[1]
    mixed = batch(blended=BLENDED, shares=SHARES)
    ours = loss(mixed, label_smoothing=0.3, class_weights="balanced")
    assert ours.item() == pytest.approx(expected(target), rel=1e-6)


def test_the_shares_of_two_ranks_have_the_mean_of_the_whole():
    whole = loss(batch(blended=BLENDED, shares=SHARES), class_weights="balanced", label_smoothing=0.1)
    loss_of = Loss(TrainConfig(class_weights="balanced", label_smoothing=0.1), LABELS, 3)
    halves = [
        loss_of(LOGITS[rank::2], batch(LABELS[rank::2], BLENDED[rank::2], SHARES[rank::2])).item() for rank in (0, 1)
    ]
    assert sum(halves) / 2 == pytest.approx(whole.item(), rel=1e-6)
