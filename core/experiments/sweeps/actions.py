"""What a person does with a sweep: create, stop, resume and delete it. No torch."""

import math
import shutil

from core.disk import write_json
from core.errors import UserMistake
from core.experiments.sweeps.spec import MOST_TRIALS, SweepSpec
from core.experiments.sweeps.sweep import SWEEPS, Sweep, open_sweep
from core.experiments.sweeps.trials import count_used, list_trials
from core.people import must_be_own
from core.runs.process import is_at_work, request_stop


def create_sweep(plan: SweepSpec) -> Sweep:
    """Write a sweep; whoever creates one calls ensure_supervisor(), which then works at it."""
    return open_sweep(SWEEPS.write(plan))


def stop_sweep(sweep: Sweep) -> str:
    """Stop a sweep; the trial at work is begun again when it is resumed. Returns a sentence for the screen."""
    must_be_own(sweep.plan.owner, f"Sweep {sweep.id}")
    if sweep.status == "done":
        return f"Sweep {sweep.id} has ended already."
    request_stop(sweep.folder)
    return f"Sweep {sweep.id} was asked to stop. What it has found so far is kept."


def resume_sweep(sweep: Sweep, more_seconds: float = 0.0) -> Sweep:
    """Go on with a sweep, with more time if it is given, and then with as many trials again where all are used up. The
    caller ensures a supervisor."""
    must_be_own(sweep.plan.owner, f"Sweep {sweep.id}")
    if not 0 <= more_seconds < math.inf:
        raise UserMistake(f"{more_seconds / 60:g} minutes more are no time that ends; give a number of minutes")
    if more_seconds:
        trials = sweep.plan.trials
        if count_used(list_trials(sweep)) >= trials:
            trials = max(trials, min(2 * trials, MOST_TRIALS))
        budget = sweep.plan.budget_seconds + more_seconds
        plan = sweep.plan.model_copy(update={"budget_seconds": budget, "trials": trials})
        write_json(sweep.folder / "plan.json", plan.model_dump(mode="json"))
    for name in ("stop", "done"):
        (sweep.folder / name).unlink(missing_ok=True)
    return open_sweep(sweep.folder)


def delete_sweep(sweep: Sweep) -> None:
    """Remove a sweep that has ended; its runs stay, hidden. UserMistake while it is at work."""
    must_be_own(sweep.plan.owner, f"Sweep {sweep.id}")
    if not sweep.ended:
        raise UserMistake(f"Sweep {sweep.id} is at work. Stop it first: python -m core sweep stop {sweep.id}")
    if is_at_work(sweep.folder):
        raise UserMistake(f"Sweep {sweep.id} is still stopping. Try again in a moment.")
    shutil.rmtree(sweep.folder)
