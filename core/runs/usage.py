"""Which runs need a dataset, in words: before it is deleted."""

from collections.abc import Iterable

from core.errors import UserMistake
from core.runs.run import Run


def tell_use(dataset: str, runs: Iterable[Run]) -> str:
    """E.g. "It is used by 1 running, 2 waiting and 3 finished runs."; "" where no run was made with it."""
    runs = [run for run in runs if run.config.data.dataset == dataset]
    waiting = sum(run.state.status == "queued" for run in runs)
    ended = sum(run.state.ended for run in runs)
    counts = {"running": len(runs) - waiting - ended, "waiting": waiting, "finished": ended}
    told = [f"{count:,} {word}" for word, count in counts.items() if count]
    if not told:
        return ""
    listed = " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)
    return f"It is used by {listed} run{'s' * (len(runs) > 1)}."


def refuse_if_needed(dataset: str, runs: Iterable[Run], deed: str = "deleted") -> None:
    """UserMistake while a run trains on a dataset or waits to. deed: what it says was not done."""
    runs = [run for run in runs if run.config.data.dataset == dataset]
    busy = [run.id for run in runs if not run.state.ended]
    if busy:
        raise UserMistake(
            f"{dataset!r} was not {deed}. {tell_use(dataset, runs)} "
            f"Stop those that train or wait first: {', '.join(busy)}"
        )


def kept_when_undone(dataset: str, runs: Iterable[Run]) -> bool:
    """Whether a version that is undone stays for runs that learnt from it. UserMistake while one trains or waits to."""
    runs = list(runs)
    refuse_if_needed(dataset, runs, "undone")
    return any(run.config.data.dataset == dataset for run in runs)
