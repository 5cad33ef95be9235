"""Trial: a training that keeps nothing but its answers, for questions that take several of them."""

from collections.abc import Generator

from torch import nn

from core.config import RunConfig
from core.data.batches import load_part
from core.data.dataset import Clock, Progress
from core.data.store import TensorStore
from core.engine.evaluate import evaluate
from core.engine.features import build_features, feature_part, open_features, runs_once
from core.engine.fit import fit
from core.engine.hardware import Hardware
from core.evaluation import Evaluation
from core.models.build import build_model
from core.models.pretrained import OnTrunk
from core.rows import TickRow


def try_out(config: RunConfig, store: TensorStore, hardware: Hardware) -> Generator[float, None, Evaluation]:
    """Train on store.parts["train"]; returns the answers on store.parts["test"]. Yields the share that is done, 0..1.

    No picture watches the training, so it never ends early. Closing the generator stops it. Raises as fit does.
    """
    model = build_model(config.model, len(store.classes), config.data.image_size, seed=config.train.seed)
    choices = config.train.model_copy(update={"patience": 0})
    if runs_once(config) and isinstance(model, OnTrunk):  # as a run does it: of a frozen trunk only the head learns
        model.to(hardware.device)
        for _ in build_features(model.trunk, model.head.in_features, store, hardware.device):
            yield 0.0
        learner: nn.Module = model.head
        seen = open_features(model.trunk, store)
        train, test = (feature_part(seen, store, part, hardware.device) for part in ("train", "test"))
    else:
        learner = model
        train, test = (load_part(store, part, hardware.device) for part in ("train", "test"))
    for row in fit(learner, train, None, len(store.classes), choices, hardware):
        if isinstance(row, TickRow):
            yield row.step / row.steps
    return evaluate(learner, test, "test", store.classes)


def told(
    trial: Generator[float, None, Evaluation], phase: str, place: int, places: int, clock: Clock
) -> Generator[Progress, None, Evaluation]:
    """The trial at `place` of `places`, which take about as long each; `done` counts per cent of one."""
    while True:
        try:
            done, total = 100 * place + int(100 * next(trial)), 100 * places
        except StopIteration as end:
            return end.value
        yield Progress(phase, done, total, clock.seconds_left(done, total))
