"""Features: what the last layer of a run's network decides by, so that its eyes can be compared."""

from collections.abc import Callable

import numpy as np
import torch

from core.data.batches import normalise
from core.data.preprocess import Preprocess
from core.engine.evaluate import evaluation_batch
from core.inference.predictor import load_model
from core.models.pretrained import last_layer
from core.runs.run import Run


def load_features(run: Run) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 (B, 3, S, S) -> float32 (B, F): what the last layer of the run's network is given.

    UserMistake where there are no weights, or they are damaged.
    """
    model, preprocess = load_model(run), Preprocess.model_validate(run.card().preprocess)
    given: list[torch.Tensor] = []
    last_layer(model)[1].register_forward_pre_hook(lambda layer, inputs: given.append(inputs[0]))

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        given.clear()
        for block in torch.from_numpy(images).permute(0, 2, 3, 1).split(evaluation_batch(images.shape[-1])):
            model(normalise(block.contiguous(), preprocess))
        return torch.cat(given).flatten(1).numpy()

    return features
