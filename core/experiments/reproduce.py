"""Every number of the paper again: runs of the presets on CIFAR-10 and artworks, as runs on disk and as a table.

python -m core reproduce --seeds 3 > docs/results.md
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.config import RunConfig
from core.data.datasets.dataset import find_dataset
from core.data.store.store import load_store
from core.evaluation import MEASURES, Evaluation, Measure
from core.experiments.dataset_runs import find_finished
from core.experiments.paper import paper_accuracy, paper_numbers
from core.rows import EpochRow, IterationRow, TickRow
from core.runs.run import Run, list_runs, open_run
from core.submit import create_checked_run, fitted_config
from core.train import train_rows

PLANS = (("paper", 1), ("quick", None), ("better", None))  # preset, seeds (None: as many as asked for)
MEASURE_LABELS: dict[Measure, str] = {"evaluation": "whole part, evaluation mode", "paper": "the paper's own way"}


@dataclass(frozen=True)
class Reproduction:
    """One preset on one dataset: a finished run a seed."""

    preset: str
    dataset: str
    runs: tuple[Run, ...]

    def accuracy(self, part: str, measure: Measure) -> list[float]:
        """Mean of the per-class accuracies of each run, fractions."""
        return [_answers(run, part, measure).mean_class_accuracy for run in self.runs]


def planned(datasets: tuple[str, ...], seeds: int) -> list[tuple[str, str, RunConfig]]:
    """(preset, dataset, config) of every run that a reproduction consists of."""
    return [
        (name, dataset, fitted_config(name, find_dataset(dataset), {"train.seed": seed}))
        for name, count in PLANS
        for dataset in datasets
        for seed in range(min(seeds, count or seeds))
    ]


def reproduce(
    datasets: tuple[str, ...] = ("cifar10", "artworks"), seeds: int = 3
) -> Iterator[Run | IterationRow | TickRow | EpochRow]:
    """Train what is not there yet; yields each run when it begins and when it has ended, and its rows in between."""
    for _, _, config in planned(datasets, seeds):
        store = load_store(config.data)
        if find_finished(config, store.fingerprint, list_runs()) is None:
            run = create_checked_run(config)
            yield run
            yield from train_rows(run.folder)
            yield open_run(run.folder)


def collect(datasets: tuple[str, ...], seeds: int) -> list[Reproduction]:
    """What has been trained so far, by preset and dataset."""
    found: dict[tuple[str, str], list[Run]] = {}
    runs = list_runs()
    for name, dataset, config in planned(datasets, seeds):
        run = find_finished(config, load_store(config.data).fingerprint, runs)
        if run is not None:
            found.setdefault((name, dataset), []).append(run)
    return [Reproduction(name, dataset, tuple(runs)) for (name, dataset), runs in found.items()]


def to_markdown(reproductions: list[Reproduction]) -> str:
    """Two tables: all presets at a glance, and the paper's table class by class with ours."""
    lines = [
        "| preset | dataset | runs | train pictures | train % | test pictures | test % (95 % interval) "
        "| test %, the paper's own way | seconds of training | seconds an epoch |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(reproduction) for reproduction in reproductions]
    for reproduction in reproductions:
        if reproduction.preset == "paper":
            lines += ["", *_compare_with_paper(reproduction)]
    return "\n".join(lines) + "\n"


def _line(reproduction: Reproduction) -> str:
    runs = reproduction.runs
    run, rows = runs[0], [row for run in runs for row in run.epochs()]
    train, test = (_answers(run, part, "evaluation") for part in ("train", "test"))
    counted = _answers(run, "test", "paper")
    epochs = len(rows) / len(runs)
    seconds = [sum(row.seconds for row in run.epochs()) for run in runs]
    interval = ""
    if len(runs) == 1:
        low, high = test.interval
        interval = f" ({100 * low:.2f}-{100 * high:.2f})"
    return _cells(
        reproduction.preset,
        reproduction.dataset,
        str(len(runs)),
        f"{train.n:,}",
        _mean(reproduction.accuracy("train", "evaluation")),
        f"{test.n:,}",
        _mean(reproduction.accuracy("test", "evaluation")) + interval,
        f"{_mean(reproduction.accuracy('test', 'paper'))} of {counted.n:,}",
        f"{statistics.mean(seconds):.1f} ({epochs:.0f} epochs)",
        f"{statistics.median(row.seconds for row in rows):.2f}",
    )


def _compare_with_paper(reproduction: Reproduction) -> list[str]:
    run = reproduction.runs[0]
    numbers = paper_numbers(run.classes)
    lines = [
        f"### {reproduction.dataset}, preset paper, run {run.id}",
        "",
        "| part | how measured | pictures | mean of classes | " + " | ".join(run.classes) + " |",
        "|---" * (4 + len(run.classes)) + "|",
    ]
    for part in ("train", "test"):
        if numbers is not None:
            theirs = numbers.train if part == "train" else numbers.test
            cells = [f"{100 * paper_accuracy(theirs, name):.2f}" for name in run.classes]
            counted = f"{theirs.counted:,}" if theirs.counted else "first two of each batch"
            lines.append(_cells(part, "the paper itself", counted, f"{100 * theirs.mean:.2f}", *cells))
        for measure in MEASURES:
            answers = _answers(run, part, measure)
            cells = [f"{100 * share:.2f}" if np.isfinite(share) else "-" for share in answers.per_class]
            mean = f"**{100 * answers.mean_class_accuracy:.2f}**"
            lines.append(_cells(part, f"ours, {MEASURE_LABELS[measure]}", f"{answers.n:,}", mean, *cells))
    return lines


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _mean(shares: list[float]) -> str:
    if len(shares) == 1:
        return f"{100 * shares[0]:.2f}"
    return f"{100 * statistics.mean(shares):.2f} ± {100 * statistics.stdev(shares):.2f}"


def _answers(run: Run, part: str, measure: Measure) -> Evaluation:
    answers = run.evaluation(part, measure)
    assert answers is not None, f"run {run.id} is done and has no evaluation of {part}"
    return answers
