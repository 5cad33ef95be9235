"""What a person does with an experiment: create, stop, resume and delete it. No torch."""

import shutil
from contextlib import suppress

from core.data.datasets.dataset import find_dataset
from core.disk import write_json
from core.errors import UserMistake
from core.experiments.ablation.experiment import EXPERIMENTS, Experiment, open_experiment
from core.experiments.ablation.feed import mark_for_retry
from core.experiments.ablation.spec import ExperimentSpec
from core.people import must_be_own
from core.probes.estimates import estimate_run
from core.runs.actions import ask_to_stop
from core.runs.process import request_stop
from core.runs.state import now


def create_experiment(plan: ExperimentSpec) -> Experiment:
    """Write an experiment; whoever creates one calls ensure_supervisor(), which then works at it."""
    answer = estimate_run(plan.base.config, find_dataset(plan.dataset))
    told = plan.model_copy(update={"base_seconds": answer["seconds"] if answer else None})
    return open_experiment(EXPERIMENTS.write(told))


def stop_experiment(experiment: Experiment) -> str:
    """Stop it; the run at work keeps what it has learnt and goes on when the experiment is resumed. Returns a
    sentence for the screen."""
    must_be_own(experiment.plan.owner, f"Experiment {experiment.id}")
    if experiment.status == "done":
        return f"Experiment {experiment.id} has ended already."
    request_stop(experiment.folder)
    for cell in open_experiment(experiment.folder).cells:
        if cell.run is not None and cell.is_active:
            with suppress(UserMistake):  # deleted in this moment
                ask_to_stop(cell.run)
    return f"Experiment {experiment.id} was asked to stop. What it has found so far is kept."


def resume_experiment(experiment: Experiment) -> Experiment:
    """Go on with an experiment, and try again what has failed or was stopped. The caller ensures a supervisor."""
    must_be_own(experiment.plan.owner, f"Experiment {experiment.id}")
    find_dataset(experiment.plan.dataset)  # UserMistake where it is gone
    write_json(experiment.folder / "resumed", {"at": now()})
    mark_for_retry(experiment.folder, [cell for cell in open_experiment(experiment.folder).cells if cell.is_stopping])
    for name in ("stop", "done", "untimed"):
        (experiment.folder / name).unlink(missing_ok=True)
    return open_experiment(experiment.folder)


def delete_experiment(experiment: Experiment) -> None:
    """Remove an experiment that has ended; its runs stay. UserMistake while it is at work."""
    must_be_own(experiment.plan.owner, f"Experiment {experiment.id}")
    if not experiment.ended:
        stop = f"python -m core experiment stop {experiment.id}"
        raise UserMistake(f"Experiment {experiment.id} is at work. Stop it first: {stop}")
    if any(cell.is_active for cell in experiment.cells):
        raise UserMistake(f"Experiment {experiment.id} is still stopping. Try again in a moment.")
    shutil.rmtree(experiment.folder)
