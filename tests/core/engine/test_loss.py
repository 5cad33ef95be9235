"""Loss: smoothed, weighted and mixed, and still the mean over the pictures."""

import math
from dataclasses import replace

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


# what a teacher says of the pictures, and of those that mixup blends in
TAUGHT, TAUGHT_BLENDED = (5 * torch.randn(6, 3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))


def distilled(target, temperature):
    """T^2 KL(target || student_T), written out with loops; target: probabilities (B, classes)."""
    total = 0.0
    for row, probabilities in zip(LOGITS.tolist(), target.tolist(), strict=True):
        exponents = [math.exp(value / temperature) for value in row]
        student = [value / sum(exponents) for value in exponents]
        total += sum(p * math.log(p / q) for p, q in zip(probabilities, student, strict=True))
    return temperature**2 * total / len(target)


@pytest.mark.parametrize(("share", "temperature"), [(0.9, 4.0), (0.5, 1.0), (0.0, 2.0), (1.0, 20.0)])
def test_a_teachers_answers_count_by_their_share(share, temperature):
    given = replace(batch(), answers=TAUGHT)
    expected_loss = share * distilled((TAUGHT / temperature).softmax(1), temperature)
    expected_loss += (1 - share) * float(F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1))
    found = loss(given, distill_share=share, temperature=temperature, label_smoothing=0.1)
    assert found.item() == pytest.approx(expected_loss, rel=1e-5)


def test_mixup_blends_a_teachers_answers_as_it_blends_the_labels():
    given = replace(batch(blended=BLENDED, shares=SHARES), answers=TAUGHT, mixed_answers=TAUGHT_BLENDED)
    target = SHARES[:, None] * (TAUGHT / 3).softmax(1) + (1 - SHARES[:, None]) * (TAUGHT_BLENDED / 3).softmax(1)
    found = loss(given, distill_share=1.0, temperature=3.0)
    assert found.item() == pytest.approx(distilled(target, 3.0), rel=1e-5)


def test_a_student_that_says_what_its_teacher_says_has_nothing_to_learn():
    given = replace(batch(), answers=LOGITS.clone())
    assert loss(given, distill_share=1.0).item() == pytest.approx(0.0, abs=1e-6)


def test_a_teacher_that_is_certain_is_a_label():
    certain = replace(batch(), answers=1e4 * F.one_hot(LABELS).float())
    assert loss(certain, distill_share=1.0, temperature=1.0).item() == pytest.approx(loss().item(), rel=1e-5)


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
