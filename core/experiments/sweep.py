"""Sweep: Optuna tries settings within ranges, and gives up early on what falls behind. No torch before it works.

It goes by the accuracy on the validation part, never on the test part. A person writes plan.json and the empty file
stop; a child of the supervisor works through the trials (`work_at`), each a run like any other, and keeps Optuna's
journal. What it has found is read from there; the best settings become a preset under a name that a person gives.
"""

import json
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from core.config import DataConfig, ModelConfig, RunConfig, TrainConfig, change_config, check_with_data
from core.data.dataset import find_dataset
from core.data.store import count_parts, pictures_now
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.experiments.plans import Plans
from core.runs.deeds import TITLE_CHARACTERS, hide_run, rename_run
from core.runs.process import ProcessMark
from core.runs.run import create_run, now, read_launch
from core.settings import must_have_room

if TYPE_CHECKING:
    import optuna

ROOMS: dict[str, type[BaseModel]] = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig}
# what would make two trials differ in the pictures that they are judged by, or in luck
FIXED = {"data.dataset", "data.balance", "data.split", "data.test_fraction", "data.val_fraction", "data.copies"}
FIXED |= {"data.seed", "train.seed", "train.epochs", "train.patience"}
NARROWER = {  # than what is allowed: where nobody would look, a trial is lost
    "train.learning_rate": (1e-4, 1.0),
    "train.weight_decay": (1e-6, 0.05),
    "train.batch_size": (16, 512),
    "train.label_smoothing": (0.0, 0.2),
    "data.image_size": (16, 64),
}
LOGARITHMIC = {"train.learning_rate", "train.weight_decay", "train.batch_size"}
MOST_TRIALS = 500
FIRST_TRIALS = 5  # that are always trained to their end, so that there is something to fall behind
SWEEPS = Plans("sweep")
Status = Literal["waiting", "running", "stopped", "done"]


class Range(BaseModel):
    """Where to look for one field: from low to high, or among choices as the command line writes them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    field: str
    low: float | None = None
    high: float | None = None
    whole: bool = False  # numbers without fractions
    log: bool = False
    choices: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        return ", ".join(self.choices) if self.choices else f"{self.low:g} to {self.high:g}"


class SweepPlan(BaseModel):
    """What was asked for: plan.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = 1
    created: str
    base: RunConfig
    ranges: tuple[Range, ...]
    budget_seconds: float
    trials: int
    content_hash: str

    @property
    def title(self) -> str:
        """Holds the dataset's name: escape it on a page."""
        fields = ", ".join(one.field.partition(".")[2] for one in self.ranges)
        return f"{self.base.preset} on {self.base.data.dataset}: {fields}"


@dataclass(frozen=True)
class Tried:
    """One trial."""

    number: int
    values: dict[str, Any]  # field -> value
    accuracy: float | None  # on the validation part, after the last epoch that it had; None of one that failed
    status: str  # "complete", "pruned", "fail", "running"
    seconds: float
    run: str
    why: str = ""


@dataclass(frozen=True)
class Sweep:
    """A sweep as it was when it was read."""

    id: str
    folder: Path
    plan: SweepPlan
    status: Status
    message: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ("done", "stopped")


def range_for(field: str, narrowed: str = "") -> Range:
    """The range of a field as RunConfig defines it, or a part of it: "0.001..0.1", or names with "|" between them
    (a comma will do where no value has one itself). UserMistake for a field that cannot be swept or values that it does
    not take."""
    info = _definition(field)
    if not narrowed:
        return _whole_range(field, info)
    low, dots, high = narrowed.partition("..")
    if dots:
        whole = _whole_range(field, info)
        if whole.low is None:
            raise UserMistake(f"{field} is no number; write its values with | between them, e.g. {whole.told}")
        try:
            ends = float(low), float(high)
        except ValueError as error:
            raise UserMistake(f"{narrowed!r} is no range for {field}; write it as 0.001..0.1") from error
        for end in ends:
            change_config(RunConfig(), {field: str(int(end)) if whole.whole and end == int(end) else str(end)})
        if ends[0] >= ends[1]:
            raise UserMistake(f"{narrowed!r} is no range for {field}: it ends before it begins")
        return whole.model_copy(update={"low": ends[0], "high": ends[1], "log": whole.log and ends[0] > 0})
    values = tuple(word.strip() for word in narrowed.split("|" if "|" in narrowed or _is_tuple(info) else ","))
    for value in values:
        change_config(RunConfig(), {field: value})
    return Range(field=field, choices=values)


def can_sweep(field: str) -> bool:
    try:
        range_for(field)
    except UserMistake:
        return False
    return True


def plan_sweep(base: RunConfig, ranges: Sequence[Range], budget_seconds: float, trials: int = 100) -> SweepPlan:
    """What a sweep would be; writes nothing. UserMistake where there is nothing to vary or no validation part."""
    if not ranges:
        raise UserMistake("a sweep needs at least one field to vary")
    if len({one.field for one in ranges}) != len(ranges):
        raise UserMistake("a field is named twice")
    if budget_seconds <= 0 or not 1 <= trials <= MOST_TRIALS:
        raise UserMistake(f"a sweep needs a budget of more than nothing, and 1 to {MOST_TRIALS} trials")
    dataset = find_dataset(base.data.dataset)
    base = change_config(base, {"data.dataset": dataset.name, "train.patience": 0})
    parts = count_parts(base.data)
    if not parts["val"]:
        raise UserMistake(
            "A sweep goes by the validation part, and there is none: give it a share of the pictures, e.g. "
            "data.val_fraction=0.1"
        )
    check_with_data(base.train, parts)
    return SweepPlan(
        created=now(),
        base=base,
        ranges=tuple(ranges),
        budget_seconds=budget_seconds,
        trials=trials,
        content_hash=dataset.content_hash,
    )


def create_sweep(plan: SweepPlan) -> Sweep:
    """Write a sweep; whoever creates one calls ensure_supervisor(), which then works at it."""
    return open_sweep(SWEEPS.write(plan))


def list_sweeps() -> list[Sweep]:
    """Every readable sweep, newest first."""
    found = []
    for folder in reversed(SWEEPS.folders()):
        with suppress(UserMistake):
            found.append(open_sweep(folder))
    return found


def read_sweep(sweep_id: str) -> Sweep:
    """The sweep with that id, a unique beginning or ending of it, or "latest"; else UserMistake."""
    return open_sweep(SWEEPS.find(sweep_id))


def open_sweep(folder: Path) -> Sweep:
    """The sweep in `folder`. UserMistake where it cannot be read as one."""
    try:
        plan = SweepPlan.model_validate(read_json(folder / "plan.json"))
    except (OSError, ValueError, ValidationError) as error:
        raise UserMistake(f"Sweep {folder.name} is damaged or gone: its plan.json cannot be read.") from error
    message = ""
    with suppress(OSError, ValueError, KeyError, TypeError):
        message = str(read_json(folder / "done")["message"])
    return Sweep(folder.name, folder, plan, _status(folder), message)


def stop_sweep(sweep: Sweep) -> str:
    """Stop a sweep; the trial at work is begun again when it is resumed. In one sentence."""
    if sweep.status == "done":
        return f"Sweep {sweep.id} has ended already."
    (sweep.folder / "stop").touch()
    return f"Sweep {sweep.id} was asked to stop. What it has found so far is kept."


def resume_sweep(sweep: Sweep, more_seconds: float = 0.0) -> Sweep:
    """Go on with a sweep, with more time if it is given, and then with as many trials again where all are used up. The
    caller ensures a supervisor."""
    if more_seconds:
        trials = sweep.plan.trials
        if used(tried(sweep)) >= trials:
            trials = max(trials, min(2 * trials, MOST_TRIALS))
        budget = sweep.plan.budget_seconds + more_seconds
        plan = sweep.plan.model_copy(update={"budget_seconds": budget, "trials": trials})
        write_json(sweep.folder / "plan.json", plan.model_dump(mode="json"))
    for name in ("stop", "done"):
        (sweep.folder / name).unlink(missing_ok=True)
    return open_sweep(sweep.folder)


def delete_sweep(sweep: Sweep) -> None:
    """Remove a sweep that has ended; its runs stay, hidden."""
    if not sweep.ended:
        raise UserMistake(f"Sweep {sweep.id} is at work. Stop it first: python -m core sweep stop {sweep.id}")
    if _is_at_work(sweep.folder):
        raise UserMistake(f"Sweep {sweep.id} is still stopping. Try again in a moment.")
    shutil.rmtree(sweep.folder)


# ------------------------------------------------------------------------------------------------ what it has found


def read_study(sweep: Sweep) -> "optuna.Study | None":
    """Optuna's own view of a sweep, e.g. for its plots; writes nothing. None before the first trial."""
    if not (sweep.folder / "journal.log").exists():
        return None
    import optuna

    try:
        return optuna.load_study(study_name=sweep.id, storage=_journal(sweep))
    except KeyError:
        return None


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


def tried(sweep: Sweep) -> list[Tried]:
    """Every trial so far, in order."""
    study = read_study(sweep)
    return [] if study is None else _tried_in(study)


def _tried_in(study: "optuna.Study") -> list[Tried]:
    return [
        Tried(
            number=trial.number,
            values=dict(trial.params),
            accuracy=trial.value,
            status=trial.state.name.lower(),
            seconds=trial.duration.total_seconds() if trial.duration else 0.0,
            run=str(trial.user_attrs.get("run", "")),
            why=str(trial.user_attrs.get("why", "")),
        )
        for trial in study.trials
        if trial.state.name != "WAITING"
    ]


def best_of(trials: Sequence[Tried]) -> Tried | None:
    """The complete trial with the highest accuracy on the validation part."""
    complete = [one for one in trials if one.status == "complete" and one.accuracy is not None]
    return max(complete, key=lambda one: one.accuracy or 0.0, default=None)


def config_of(sweep: Sweep, trial: Tried) -> RunConfig:
    """The settings of a trial."""
    return change_config(sweep.plan.base, trial.values)


def used(trials: Sequence[Tried]) -> int:
    """How many of the plan's trials are used up."""
    return sum(one.status in ("complete", "pruned", "fail") for one in trials)


def spent(trials: Sequence[Tried]) -> float:
    """Seconds of the trials that were not cut short."""
    return sum(one.seconds for one in trials if one.status in ("complete", "pruned"))


# ----------------------------------------------------------------------------------- for the supervisor and its child


def next_sweep() -> Path | None:
    """The folder of the oldest sweep that still has something to do."""
    return SWEEPS.oldest_at_work()


def begin_sweep(folder: Path, mark: ProcessMark) -> None:
    write_json(folder / "launch.json", {"role": "sweep", **mark.to_json()})


def settle_sweep(folder: Path, gave_way: bool) -> None:
    """Once its process is gone: one that ended of itself before it was done is not begun again and again."""
    (folder / "launch.json").unlink(missing_ok=True)
    if folder.exists() and not gave_way and not (folder / "stop").exists() and not (folder / "done").exists():
        write_json(folder / "done", {"message": "Its process ended before it was done; its log has the details."})


def work_at(folder: Path) -> None:
    """Train trial after trial until the budget or the number of trials is reached, or somebody asks to stop."""
    import optuna

    sweep, message = open_sweep(folder), ""
    study = open_study(sweep)
    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:  # its process was ended
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
    if not study.trials:
        study.enqueue_trial(_values_of(sweep.plan), skip_if_exists=True)  # the base first: the best is never worse
    try:
        while _has_room(folder):
            trials = _tried_in(study)
            longest = max((one.seconds for one in trials if one.status == "complete"), default=0.0)
            if used(trials) >= sweep.plan.trials or spent(trials) + longest > sweep.plan.budget_seconds:
                break
            _try_one(sweep, study)
    except UserMistake as mistake:
        message = str(mistake)
    if not (folder / "stop").exists():
        write_json(folder / "done", {"message": message})


def _has_room(folder: Path) -> bool:
    """Waits for room on the disk, without which trial after trial would fail; False once somebody asks to stop."""
    while not (folder / "stop").exists():
        try:
            must_have_room()
            return True
        except UserMistake:
            time.sleep(1.0)
    return False


def _try_one(sweep: Sweep, study: "optuna.Study") -> None:
    import optuna

    from core.rows import EpochRow
    from core.train import train_rows

    dataset = find_dataset(sweep.plan.base.data.dataset)
    if dataset.content_hash != sweep.plan.content_hash:
        raise UserMistake(f"The dataset {dataset.name!r} changed since the sweep began; start a new one")
    trial = study.ask()
    values = {one.field: _suggest(trial, one) for one in sweep.plan.ranges}
    accuracy, pruned, epoch = None, False, 0
    try:
        config = change_config(sweep.plan.base, values)
        run = create_run(config, pictures_now(config.data)[0], dataset.classes)
        hide_run(rename_run(run, f"trial {trial.number}: sweep {sweep.id[-4:]}"[:TITLE_CHARACTERS]))
        trial.set_user_attr("run", run.id)
        for row in train_rows(run.folder):
            if not isinstance(row, EpochRow) or row.val_accuracy is None:
                continue
            accuracy, epoch = row.val_accuracy, row.epoch
            trial.report(accuracy, epoch)
            if trial.should_prune() and epoch < config.train.epochs:
                pruned = True
                (run.folder / "stop").touch()
        if not pruned and epoch < config.train.epochs:  # by a person, or because the disk is short
            raise UserMistake("it was stopped")
    except UserMistake as mistake:  # e.g. it diverged, or the network cannot be: that is an answer too
        trial.set_user_attr("why", str(mistake))
        accuracy = None
    if pruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    elif accuracy is None:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, accuracy)


def _suggest(trial: "optuna.Trial", one: Range) -> Any:
    if one.choices:
        return trial.suggest_categorical(one.field, one.choices)
    assert one.low is not None and one.high is not None, one
    if one.whole:
        return trial.suggest_int(one.field, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(one.field, one.low, one.high, log=one.log)


def _values_of(plan: SweepPlan) -> dict[str, Any]:
    """The base's own values, as far as they lie in the ranges; Optuna draws the others."""
    values: dict[str, Any] = {}
    for one in plan.ranges:
        room, _, name = one.field.partition(".")
        value = getattr(getattr(plan.base, room), name)
        if one.choices:
            word = next((word for word in one.choices if _means(plan.base, one.field, word)), None)
            values |= {} if word is None else {one.field: word}
        elif one.low is not None and one.high is not None and one.low <= value <= one.high:
            values[one.field] = value
    return values


def _means(base: RunConfig, field: str, word: str) -> bool:
    return change_config(base, {field: word}) == base


# ------------------------------------------------------------------------------------------------------- definitions


def _definition(field: str) -> Any:
    room, _, name = field.partition(".")
    known = [f"{one}.{leaf}" for one, model in ROOMS.items() for leaf in model.model_fields]
    if field not in known:
        raise UserMistake(f"unknown setting {field!r}; known: {', '.join(known)}")
    if field in FIXED:
        raise UserMistake(f"{field} cannot be swept: trials would not be judged alike")
    return ROOMS[room].model_fields[name]


def _whole_range(field: str, info: Any) -> Range:
    kind = info.annotation
    if get_origin(kind) is Literal:
        return Range(field=field, choices=get_args(kind))
    if kind is bool:
        return Range(field=field, choices=("true", "false"))
    if _is_tuple(info):
        names = get_args(get_args(kind)[0])
        if not names or not all(isinstance(name, str) for name in names):
            raise UserMistake(f"{field} needs its values, with | between them, e.g. {field}='6,16|16,32'")
        return Range(field=field, choices=("none", *names, "+".join(names[:2])))
    if kind not in (int, float):
        raise UserMistake(f"{field} needs its values, with | between them, e.g. {field}='one|two'")
    ends: dict[str, float] = {}
    for rule in info.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(rule, name, None) is not None:
                ends["low" if name in ("ge", "gt") else "high"] = float(getattr(rule, name)) * (
                    0.99 if name == "lt" else 1
                )
    low, high = NARROWER.get(field, (ends.get("low", 0.0), ends.get("high", 1.0)))
    return Range(field=field, low=low, high=high, whole=kind is int, log=field in LOGARITHMIC)


def _is_tuple(info: Any) -> bool:
    return get_origin(info.annotation) is tuple


def _status(folder: Path) -> Status:
    if (folder / "stop").exists():
        return "stopped"
    if (folder / "done").exists():
        return "done"
    return "running" if _is_at_work(folder) else "waiting"


def _is_at_work(folder: Path) -> bool:
    launch = read_launch(folder)
    return launch is not None and launch[1].is_alive()


def to_json(sweep: Sweep) -> dict[str, Any]:
    """One JSON document of a sweep."""
    trials = tried(sweep)
    best = best_of(trials)
    return {
        "sweep": sweep.id,
        "title": sweep.plan.title,
        "status": sweep.status,
        "message": sweep.message,
        "ranges": {one.field: one.told for one in sweep.plan.ranges},
        "budget_minutes": sweep.plan.budget_seconds / 60,
        "spent_seconds": spent(trials),
        "trials": [json.loads(json.dumps(vars(one))) for one in trials],
        "best": best.number if best else None,
        "config": config_of(sweep, best).model_dump(mode="json") if best else None,
    }
