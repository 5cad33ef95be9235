"""How far a run is: its place in the queue, the share that is done, and the time that is left."""

from core.runs.run import Run
from core.runs.state import RunState
from pages.parts.shell.cache import live_runs
from pages.parts.shell.escape import escape


def describe_queue_position(run: Run) -> str:
    """Markdown: how many runs are ahead of a queued one, and the name of the first."""
    ahead: list[Run] = []
    for other in live_runs():
        if other.id == run.id:
            break
        ahead.append(other)
    if not ahead:
        return "Next in the queue; it starts in a moment."
    return f"{len(ahead)} ahead in the queue, first {escape(ahead[0].title)}. It starts by itself."


def share_done(state: RunState) -> float:
    """0 to 1, by optimizer steps."""
    return min(1.0, state.step / state.steps) if state.steps else 0.0


def time_left(state: RunState) -> float | None:
    """Seconds until its process ends, as the run itself tells them; None while they are not known."""
    return state.seconds_left if state.is_training else None
