"""evaluate_run: the answers of a finished run on one of its parts, from the disk or computed now."""

from dataclasses import replace

from core.data.batches import load_part
from core.data.preprocess import Preprocess
from core.data.store import load_store
from core.engine.evaluate import evaluate
from core.errors import UserMistake
from core.evaluation import Evaluation, Measure
from core.inference.predictor import load_model
from core.runs.run import Run


def evaluate_run(run: Run, part: str = "test", measure: Measure = "evaluation") -> Evaluation:
    """The stored Evaluation, else a new one. UserMistake where the part is empty or the dataset is another one."""
    stored = run.evaluation(part, measure)
    if stored is not None:
        return stored
    store = load_store(run.config.data)
    if store.fingerprint != run.fingerprint:
        raise UserMistake(f"The dataset {run.config.data.dataset!r} changed since run {run.id}; evaluate a new run")
    if not len(store.parts[part]):
        others = " and ".join(name for name, rows in store.parts.items() if len(rows))
        raise UserMistake(f"Run {run.id} has no pictures in its {part} part; it has {others}")
    store = replace(store, preprocess=Preprocess.model_validate(run.card().preprocess))
    return evaluate(load_model(run), load_part(store, part), part, store.classes, measure)
