"""load_features: the features of a run's network, which are the inputs of its last layer."""

from collections.abc import Callable

import numpy as np
import torch

from core.data.pictures.preprocess import Preprocess
from core.data.store.batches import normalise
from core.engine.evaluate import evaluation_batch
from core.evaluation import Which
from core.inference.feature_network import FeatureNetwork
from core.inference.predictor import load_model
from core.runs.run import Run


def load_features(run: Run, which: Which | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 (B, 3, S, S) -> float32 (B, F): the inputs of the last layer of that model's network (None: the used one).

    UserMistake where there are no weights, or they are damaged.
    """
    which = which or run.used_model
    network, preprocess = FeatureNetwork(load_model(run, which)), Preprocess.model_validate(run.card(which).preprocess)

    def features(images: np.ndarray) -> np.ndarray:
        blocks = torch.from_numpy(images).permute(0, 2, 3, 1).split(evaluation_batch(images.shape[-1]))
        found = torch.cat([network(normalise(block.contiguous(), preprocess))[1] for block in blocks]).numpy()
        return found[:, : found.shape[1] - network.first_width]

    return features
