"""evaluate_run: the predictions of a finished run for one of its parts, from the disk or computed now.

answer_with: which of its models answers for it, the last or the best on its validation part.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from core.data.pictures.preprocess import Preprocess
from core.data.store.batches import load_part
from core.data.store.store import TensorStore, load_store
from core.engine.evaluate import evaluate
from core.engine.hardware import Hardware, autocast
from core.errors import UserMistake
from core.evaluation import MEASURES, Evaluation, Measure, Which
from core.inference.predictor import load_model
from core.people import must_be_own
from core.progress import Clock, Progress
from core.runs.environments import read_environments
from core.runs.run import Run
from core.runs.writer import RunWriter


def evaluate_run(
    run: Run, part: str = "test", measure: Measure = "evaluation", which: Which | None = None
) -> Evaluation:
    """The stored Evaluation of that model (None: of the used one), else a new one.

    UserMistake where the part is empty, the dataset is another one, or there is no such model."""
    which, stored = which or run.used_model, run.evaluation(part, measure)
    if stored is not None and stored.model == which:
        return stored
    store = _store_of(run)
    if not len(store.parts[part]):
        others = " and ".join(name for name, rows in store.parts.items() if len(rows))
        raise UserMistake(f"Run {run.id} has no pictures in its {part} part; it has {others}")
    store = replace(store, preprocess=Preprocess.model_validate(run.card(which).preprocess))
    with _autocast(run):
        return evaluate(load_model(run, which), load_part(store, part), part, store.classes, measure, which)


def answer_with(run: Run, which: Which) -> Iterator[Progress]:
    """Let that model of a run answer for it from now on, everywhere: every part is asked in both measures, and what is
    stored is replaced at the end. Does nothing where it answers already.

    UserMistake where the run has not ended well, has no such model, is somebody else's, or its pictures are gone."""
    must_be_own(run.owner, f"Run {run.id}")
    if not run.state.is_finished:
        raise UserMistake(f"Run {run.id} has not ended well, so no model answers for it; it is {run.state.status}")
    if which == "best" and not run.has_best_model:
        raise UserMistake(f"Run {run.id} has no best model: there was no validation part to judge by")
    if which == run.used_model:
        return
    store = _store_of(run)
    store = replace(store, preprocess=Preprocess.model_validate(run.card(which).preprocess))
    model, clock, number_format = load_model(run, which), Clock(), _autocast(run)
    parts = [part for part in ("train", "val", "test") if len(store.parts[part])]
    answers: list[Evaluation] = []
    done, total = 0, len(MEASURES) * sum(len(store.parts[part]) for part in parts)
    for part in parts:
        pictures = load_part(store, part)
        for measure in MEASURES:
            yield Progress("asking", done, total, clock.seconds_left(done, total))
            with number_format:
                answers.append(evaluate(model, pictures, part, store.classes, measure, which))
            done += len(store.parts[part])
    RunWriter(run.folder).answer_with(which, answers)


def _autocast(run: Run) -> AbstractContextManager[object]:
    """The number format in which its last attempt trained and answered, where this processor computes in it."""
    last = read_environments(run.folder)[-1:]
    in_bfloat16 = bool(last) and last[0].precision == "bfloat16"
    return autocast(run.config.train, Hardware(torch.device("cpu"), bfloat16=in_bfloat16))


def _store_of(run: Run) -> TensorStore:
    store = load_store(run.config.data)
    if store.fingerprint != run.fingerprint:
        raise UserMistake(f"The dataset {run.config.data.dataset!r} changed since run {run.id}; evaluate a new run")
    return store
