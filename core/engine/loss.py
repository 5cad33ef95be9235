"""Loss: the training criterion of a TrainConfig."""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.config import TrainConfig
from core.data.store.batches import Batch


class Loss:
    """Cross-entropy of a batch, the mean over its pictures.

    A picture's loss is smoothed, then multiplied by the weight of its class. With mixup it is the sum of the losses
    against both labels, each by its share. Where the batch has a teacher's answers, that counts by 1 - distill_share,
    and distill_loss by distill_share. The validation loss has none of these: it is plain cross-entropy.
    """

    def __init__(self, config: TrainConfig, labels: Tensor, classes: int) -> None:
        """labels: int64 (n,), those of the whole training part."""
        self.smoothing = config.label_smoothing
        self.weights = balance(labels, classes) if config.class_weights == "balanced" else None
        self.share, self.temperature = config.distill_share, config.temperature

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """logits float32 (B, classes) -> float32 ()."""
        if batch.answers is None:
            return self._against_labels(logits, batch)
        answered = soft_answers(batch, self.temperature)
        distilled = self.share * distill_loss(logits, answered, self.temperature)
        # a share of 1 leaves the labels out altogether: 0 times an infinite loss would be no number
        return distilled if self.share == 1 else distilled + (1 - self.share) * self._against_labels(logits, batch)

    def _against_labels(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.weights is None and batch.lam is None:
            return F.cross_entropy(logits, batch.labels, label_smoothing=self.smoothing)
        losses = self._each(logits, batch.labels)
        if batch.lam is not None and batch.mixed_labels is not None:
            losses = torch.lerp(self._each(logits, batch.mixed_labels), losses, batch.lam)
        # divided by the pictures, not by their weights: the mean over steps and ranks is then the mean over the part
        return losses.mean()

    def _each(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="none")
        return losses if self.weights is None else losses * self.weights[labels]


def soft_answers(batch: Batch, temperature: float) -> Tensor:
    """float32 (B, classes): the teacher's probabilities at a temperature; with mixup those for both pictures, each by
    its share, as the labels are."""
    assert batch.answers is not None, "a batch without a teacher's answers"
    own = (batch.answers / temperature).softmax(1)
    if batch.mixed_answers is None or batch.lam is None:
        return own
    return torch.lerp((batch.mixed_answers / temperature).softmax(1), own, batch.lam[:, None])


def distill_loss(logits: Tensor, answered: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher_T || student_T), the mean over the pictures: float32 ().

    logits: float32 (B, classes), the student's; answered: float32 (B, classes), the teacher's probabilities at the
    temperature T >= 1. T^2 keeps the gradients as large as those of the labels (Hinton, Vinyals and Dean 2015,
    "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, section 2)."""
    student = (logits / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(student, answered, reduction="batchmean")


def balance(labels: Tensor, classes: int) -> Tensor:
    """float32 (classes,): n / (k * n_c) for n pictures of k classes, n_c of them of class c: each class weighs the
    same in all, and a picture 1 on average. A class without pictures does not count, and has 0."""
    counts = torch.bincount(labels, minlength=classes)
    present = int((counts > 0).sum())
    return torch.where(counts > 0, len(labels) / (present * counts.clamp(min=1)), 0.0).float()
