"""Which runs use a dataset: a sentence for its deletion, and the refusal while one of them trains or waits."""

from collections.abc import Iterable

from core.errors import UserMistake
from core.runs.run import Run


def describe_use(dataset: str, runs: Iterable[Run]) -> str:
    """E.g. "It is used by 1 running, 2 waiting and 3 finished runs."; "" where no run was made with it."""
    runs = [run for run in runs if run.config.data.dataset == dataset]
    waiting = sum(run.state.status == "queued" for run in runs)
    ended = sum(run.state.ended for run in runs)
    counts = {"running": len(runs) - waiting - ended, "waiting": waiting, "finished": ended}
    phrases = [f"{count:,} {word}" for word, count in counts.items() if count]
    if not phrases:
        return ""
    listed = " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)
    return f"It is used by {listed} run{'s' * (len(runs) > 1)}."


def refuse_if_needed(dataset: str, runs: Iterable[Run], action: str = "deleted") -> None:
    """UserMistake while a run trains on a dataset or waits to. `action`: what was not done with the dataset."""
    runs = [run for run in runs if run.config.data.dataset == dataset]
    busy = [run.id for run in runs if run.state.is_live]
    if busy:
        raise UserMistake(
            f"{dataset!r} was not {action}. {describe_use(dataset, runs)} "
            f"Stop those that train or wait first: {', '.join(busy)}"
        )


def kept_when_undone(dataset: str, runs: Iterable[Run]) -> bool:
    """Whether an undone version has to stay for the runs that were trained on it. UserMistake while one trains on it or
    waits to."""
    runs = list(runs)
    refuse_if_needed(dataset, runs, "undone")
    return any(run.config.data.dataset == dataset for run in runs)
