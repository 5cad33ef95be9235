"""Loss: the training criterion of a TrainConfig."""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.config import TrainConfig
from core.data.store.batches import Batch


class Loss:
    """Cross-entropy of a batch, the mean over its pictures.

    A picture's loss is smoothed, then multiplied by the weight of its class. With mixup it is the sum of the losses
    against both labels, each by its share. The validation loss has none of these: it is plain cross-entropy.
    """

    def __init__(self, config: TrainConfig, labels: Tensor, classes: int) -> None:
        """labels: int64 (n,), those of the whole training part."""
        self.smoothing = config.label_smoothing
        self.weights = balance(labels, classes) if config.class_weights == "balanced" else None

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """logits float32 (B, classes) -> float32 ()."""
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


def balance(labels: Tensor, classes: int) -> Tensor:
    """float32 (classes,): n / (k * n_c) for n pictures of k classes, n_c of them of class c: each class weighs the
    same in all, and a picture 1 on average. A class without pictures does not count, and has 0."""
    counts = torch.bincount(labels, minlength=classes)
    present = int((counts > 0).sum())
    return torch.where(counts > 0, len(labels) / (present * counts.clamp(min=1)), 0.0).float()
