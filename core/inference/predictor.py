"""Predictor: the network of a finished run, ready to classify pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from core.backbones.registry import with_current_names
from core.data.pictures.decode_pool import receive_in_child
from core.data.pictures.picture import Refusal
from core.data.pictures.preprocess import Preprocess
from core.data.pictures.viewer import receive_pictures
from core.data.store.batches import normalise
from core.engine.evaluate import evaluation_batch
from core.engine.train_state import differing
from core.errors import UserMistake
from core.evaluation import Which
from core.inference.feature_network import FeatureNetwork
from core.models.build import build_model
from core.runs.run import Run

FEW = 8  # pictures: starting processes that decode takes half a second, more than reading so many in the lasting one


@dataclass(frozen=True)
class Prediction:
    """The probabilities of one picture, or why it could not be read."""

    file: str  # the name as it was given: data, never a path
    classes: tuple[tuple[str, float], ...]  # (class, probability), best first; empty with an error
    received: np.ndarray | None  # uint8 (3, S, S): what the network received
    error: str | None = None
    features: np.ndarray | None = None  # float32 (F,): of FeatureNetwork, for novelty.py and neighbours.py


@dataclass(frozen=True)
class Predictor:
    model: nn.Module  # in evaluation mode, never changed
    classes: tuple[str, ...]
    preprocess: Preprocess

    def predict(self, pictures: Sequence[tuple[str, bytes]]) -> list[Prediction]:
        """One Prediction a picture (file name, file content), in order; broken ones carry their sentence."""
        contents = [content for _, content in pictures]
        receive = receive_pictures if len(contents) <= FEW else receive_in_child
        received = receive(contents, self.preprocess)
        readable = [picture for picture in received if not isinstance(picture, Refusal)]
        answers = zip(*self.answer(np.stack(readable)), strict=True) if readable else iter(())
        return [
            Prediction(name, (), None, error=str(picture))
            if isinstance(picture, Refusal)
            else self._prediction(name, picture, *next(answers))
            for (name, _), picture in zip(pictures, received, strict=True)
        ]

    def probabilities(self, received: np.ndarray) -> np.ndarray:
        """uint8 (B, 3, S, S) -> float32 (B, classes), rows sum to 1."""
        return self.answer(received)[0]

    @torch.no_grad()
    def answer(self, received: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (B, 3, S, S) -> probabilities float32 (B, classes) and features float32 (B, F) of FeatureNetwork."""
        blocks = torch.from_numpy(received).permute(0, 2, 3, 1).split(evaluation_batch(received.shape[-1]))
        passed = [self._network(normalise(block.contiguous(), self.preprocess)) for block in blocks]
        logits, features = (torch.cat(column) for column in zip(*passed, strict=True))
        return logits.softmax(1).numpy(), features.numpy()

    @cached_property
    def _network(self) -> FeatureNetwork:
        return FeatureNetwork(self.model)

    def _prediction(
        self, name: str, received: np.ndarray, probabilities: np.ndarray, features: np.ndarray
    ) -> Prediction:
        return Prediction(name, self._ranked(probabilities), received, features=features)

    def _ranked(self, probabilities: np.ndarray) -> tuple[tuple[str, float], ...]:
        order = np.argsort(-probabilities, kind="stable")
        return tuple((self.classes[i], float(probabilities[i])) for i in order)


def load_predictor(run: Run, which: Which | None = None) -> Predictor:
    """The network of a run with its checked weights. UserMistake where there are none, or they do not fit."""
    which = which or run.used_model
    card = run.card(which)
    return Predictor(load_model(run, which), card.classes, Preprocess.model_validate(card.preprocess))


def load_model(run: Run, which: Which | None = None) -> nn.Module:
    """The network of a run in evaluation mode, on the CPU: its last or its best model; None: the used one."""
    which = which or run.used_model
    card, weights = run.card(which), with_current_names(run.weights(which))
    # the run has saved its backbone too: the weights that this came from may be gone
    model = build_model(card.model, len(card.classes), card.image_size, load_weights=False, source=card.source)
    if others := differing(model, weights):
        raise UserMistake(
            f"The weights of run {run.id} do not fit {card.model.name} with {len(card.classes)} classes: "
            f"{', '.join(others[:4])} differ. Train it again."
        )
    # strict, after the shapes were compared: nothing is silently left at its random start
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return model.eval()
