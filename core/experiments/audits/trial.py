"""train_trial: a training that keeps nothing but its evaluation, for audits that take several of them."""

from collections.abc import Generator

from torch import nn

from core.config import RunConfig
from core.data.store.batches import load_part
from core.data.store.store import TensorStore
from core.engine.evaluate import evaluate
from core.engine.features import build_features, feature_part, open_features, uses_fixed_features
from core.engine.fit import fit
from core.engine.hardware import Hardware, autocast
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.models.build import build_model
from core.models.transfer import TransferModel
from core.progress import Clock, Progress
from core.rows import TickRow


def train_trial(config: RunConfig, store: TensorStore, hardware: Hardware) -> Generator[float, None, Evaluation]:
    """Train on store.parts["train"]; returns the evaluation on store.parts["test"]. Yields the share done, 0..1.

    It has no validation part, so it never ends early. Closing the generator stops it. Raises as fit does; UserMistake
    for settings with a teacher.
    """
    if config.train.teacher:
        raise UserMistake(
            "These settings learn from a teacher's answers, and the teacher has learnt from pictures by which such a "
            "training is judged; ask about a run without a teacher"
        )
    model = build_model(config.model, len(store.classes), config.data.image_size, seed=config.train.seed)
    train_config = config.train.model_copy(update={"patience": 0})
    if uses_fixed_features(config) and isinstance(
        model, TransferModel
    ):  # as a run does it: of a frozen backbone only the head
        model.to(hardware.device)
        for _ in build_features(model.backbone, model.head.in_features, store, hardware.device):
            yield 0.0
        learner: nn.Module = model.head
        features = open_features(model.backbone, store)
        train, test = (feature_part(features, store, part, hardware.device) for part in ("train", "test"))
    else:
        learner = model
        train, test = (load_part(store, part, hardware.device) for part in ("train", "test"))
    for row in fit(learner, train, None, len(store.classes), train_config, hardware):
        if isinstance(row, TickRow):
            yield row.step / row.steps
    with autocast(train_config, hardware):
        return evaluate(learner, test, "test", store.classes)


def report_progress(
    trial: Generator[float, None, Evaluation], phase: str, place: int, places: int, clock: Clock
) -> Generator[Progress, None, Evaluation]:
    """Run the trial at `place` of `places` equally long ones; `done` counts per cent of one. Returns its evaluation."""
    while True:
        try:
            done, total = 100 * place + int(100 * next(trial)), 100 * places
        except StopIteration as end:
            return end.value
        yield Progress(phase, done, total, clock.seconds_left(done, total))
