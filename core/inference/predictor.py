"""Predictor: a finished run, ready to say what it sees in a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from core.data.batches import normalise
from core.data.decoding import receive_in_child
from core.data.picture import Refusal
from core.data.preprocess import Preprocess
from core.engine.evaluate import answer, evaluation_batch
from core.engine.position import differing
from core.errors import UserMistake
from core.models.build import build_model
from core.runs.run import Run


@dataclass(frozen=True)
class Prediction:
    """What the network says about one picture, or why it could not be read."""

    file: str  # the name as it was given: data, never a path
    classes: tuple[tuple[str, float], ...]  # (class, probability), best first; empty with an error
    received: np.ndarray | None  # uint8 (3, S, S): what the network received
    error: str | None = None


@dataclass(frozen=True)
class Predictor:
    model: nn.Module  # in evaluation mode, never changed
    classes: tuple[str, ...]
    preprocess: Preprocess

    def predict(self, pictures: Sequence[tuple[str, bytes]]) -> list[Prediction]:
        """One Prediction a picture (file name, file content), in order; broken ones carry their sentence."""
        received = receive_in_child([content for _, content in pictures], self.preprocess)
        readable = [picture for picture in received if not isinstance(picture, Refusal)]
        answers = iter(self.probabilities(np.stack(readable)) if readable else [])
        return [
            Prediction(name, (), None, error=str(picture))
            if isinstance(picture, Refusal)
            else Prediction(name, self._ranked(next(answers)), picture)
            for (name, _), picture in zip(pictures, received, strict=True)
        ]

    @torch.no_grad()
    def probabilities(self, received: np.ndarray) -> np.ndarray:
        """uint8 (B, 3, S, S) -> float32 (B, classes), rows sum to 1."""
        blocks = torch.from_numpy(received).permute(0, 2, 3, 1).split(evaluation_batch(received.shape[-1]))
        logits = [answer(self.model, normalise(block.contiguous(), self.preprocess)) for block in blocks]
        return torch.cat(logits).softmax(1).numpy()

    def _ranked(self, probabilities: np.ndarray) -> tuple[tuple[str, float], ...]:
        order = np.argsort(-probabilities, kind="stable")
        return tuple((self.classes[i], float(probabilities[i])) for i in order)


def load_predictor(run: Run) -> Predictor:
    """The network of a run with its checked weights. UserMistake where there are none, or they do not fit."""
    card = run.card()
    return Predictor(load_model(run), card.classes, Preprocess.model_validate(card.preprocess))


def load_model(run: Run) -> nn.Module:
    """The network of a run in evaluation mode, on the CPU."""
    card, weights = run.card(), run.weights()
    # of a network on a trunk the run has kept the whole: what it learnt on from may be gone
    model = build_model(card.model, len(card.classes), card.image_size, learnt=False, source=card.source)
    if others := differing(model, weights):
        raise UserMistake(
            f"The weights of run {run.id} do not fit {card.model.name} with {len(card.classes)} classes: "
            f"{', '.join(others[:4])} differ. Train it again."
        )
    # strict, after the shapes were compared: nothing is silently left at its random start
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return model.eval()
