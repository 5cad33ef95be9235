"""The trials of a sweep, read from Optuna's journal: what was tried, and the best of it. No torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import RunConfig, change_config
from core.disk import read_lines
from core.errors import UserMistake
from core.experiments.sweeps.sweep import SWEEPS, Sweep, open_sweep
from core.fields import config_document
from core.probes.at_once import noted_at_once
from core.setting_names import current_field

if TYPE_CHECKING:
    import optuna

SECONDS = "seconds"  # the attribute of a trial that says what it took
FIRST_TRIALS = 5  # that are always trained to their end, so that there is something to fall behind


@dataclass(frozen=True)
class SweepTrial:
    """One trial as it was when it was read."""

    number: int
    values: dict[str, Any]  # field -> value
    accuracy: float | None  # on the validation part, after the last epoch that it had; None of one that failed
    status: str  # "complete", "pruned", "fail", "running"
    seconds: float  # of the machine: where trials train at once, its share
    run: str  # id; "" before it was created
    why: str = ""  # it failed


def list_trials(sweep: Sweep) -> list[SweepTrial]:
    """Every trial so far, in order."""
    study = read_study(sweep)
    return [] if study is None else trials_in(study)


def trials_in(study: "optuna.Study") -> list[SweepTrial]:
    """The trials of a study that have begun, in order; without draws of values that an earlier one had."""
    return [
        SweepTrial(
            number=trial.number,
            values=values_of(trial),
            accuracy=trial.value,
            status=trial.state.name.lower(),
            seconds=_seconds_of(trial),
            run=str(trial.user_attrs.get("run", "")),
            why=str(trial.user_attrs.get("why", "")),
        )
        for trial in study.trials
        if trial.state.name != "WAITING" and "same_as" not in trial.user_attrs
    ]


def _seconds_of(trial: "optuna.trial.FrozenTrial") -> float:
    """What a trial took, by the clock that nobody sets; of an older trial, or one at work, by Optuna's dates."""
    seconds = trial.user_attrs.get(SECONDS)
    if isinstance(seconds, int | float):
        return float(seconds)
    return max(0.0, trial.duration.total_seconds()) if trial.duration else 0.0


def values_of(trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    """Field -> value, under the names that settings have today."""
    return {current_field(field): value for field, value in trial.params.items()}


def best_of(trials: Sequence[SweepTrial]) -> SweepTrial | None:
    """The complete trial with the highest accuracy on the validation part."""
    complete = [one for one in trials if one.status == "complete" and one.accuracy is not None]
    return max(complete, key=lambda one: one.accuracy or 0.0, default=None)


def config_of(sweep: Sweep, trial: SweepTrial) -> RunConfig:
    """The settings of a trial."""
    return change_config(sweep.plan.base, trial.values)


def count_used(trials: Sequence[SweepTrial]) -> int:
    """How many of the plan's trials are used up."""
    return sum(one.status in ("complete", "pruned", "fail") for one in trials)


def sum_seconds(trials: Sequence[SweepTrial]) -> float:
    """Seconds of the trials that were not cut short."""
    return sum(one.seconds for one in trials if one.status in ("complete", "pruned"))


def read_study(sweep: Sweep) -> "optuna.Study | None":
    """Optuna's own view of a sweep, e.g. for its plots; writes nothing. None before the first trial. UserMistake where
    the journal is damaged."""
    journal = sweep.folder / "journal.log"
    if not journal.exists() or not journal.stat().st_size:
        return None
    import optuna

    try:
        return optuna.load_study(study_name=sweep.id, storage=_journal(sweep))
    except Exception as error:  # Optuna takes each line for its own, and fails in many ways
        if isinstance(error, KeyError) and _has_no_study(journal):
            return None
        raise UserMistake(f"Sweep {sweep.id} cannot be used: its journal.log is damaged. Its runs are kept.") from error


def _has_no_study(journal: Path) -> bool:
    """Whether nothing but lines of Optuna's are in it, so that the study has only not been begun."""
    try:
        return all(isinstance(line, dict) and "op_code" in line for line in read_lines(journal))
    except (OSError, ValueError):
        return False


def open_study(sweep: Sweep) -> "optuna.Study":
    """The study to work at, begun where there is none yet; each call writes a line into the journal."""
    import optuna

    return optuna.create_study(
        storage=_journal(sweep),
        study_name=sweep.id,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=sweep.plan.base.train.seed),
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=FIRST_TRIALS, n_warmup_steps=sweep.plan.base.train.epochs // 4
        ),
    )


def _journal(sweep: Sweep) -> "optuna.storages.JournalStorage":
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = str(sweep.folder / "journal.log")
    # its usual lock makes a symbolic link, which Windows refuses to most
    return optuna.storages.JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))


def list_documents() -> tuple[list[dict[str, Any]], list[str]]:
    """Every sweep as a document, newest first, and a sentence about each that is damaged."""
    return SWEEPS.scan(lambda folder: sweep_document(open_sweep(folder)))


def sweep_document(sweep: Sweep) -> dict[str, Any]:
    """A sweep and its trials as one JSON document."""
    trials = list_trials(sweep)
    best = best_of(trials)
    return {
        "sweep": sweep.id,
        "title": sweep.plan.title,
        "status": sweep.status,
        "message": sweep.message,
        "ranges": {one.field: one.text for one in sweep.plan.ranges},
        "budget_minutes": sweep.plan.budget_seconds / 60,
        "spent_seconds": sum_seconds(trials),
        "at_once": found.sentence if (found := noted_at_once(sweep.folder)) else None,
        "trials": [json.loads(json.dumps(vars(one))) for one in trials],
        "best": best.number if best else None,
        "config": config_document(config_of(sweep, best)) if best else None,
    }
