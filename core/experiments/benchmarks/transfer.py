"""bench_transfer: same net, two worlds. From scratch, on the other world's network, and on pretrained ones.

python -m core bench transfer cifar10 artworks --backbone squeezenet1_0 > table.md
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.config import RunConfig
from core.data.datasets.dataset import find_dataset
from core.data.store.store import store_fingerprint
from core.display_names import display_name
from core.evaluation import Evaluation
from core.experiments.ablation.experiment import seconds_of
from core.experiments.benchmarks.training import Step
from core.experiments.dataset_runs import find_finished
from core.rows import EpochRow, IterationRow, TickRow
from core.runs.run import Run, list_runs, open_run
from core.submit import create_checked_run, fitted_config
from core.train import train_rows

PRESET = "quick"  # from scratch, and on the other world's network
PRETRAINED_EPOCHS = 20
NOT_MEASURED = "not measured"
Row = Run | IterationRow | TickRow | EpochRow


@dataclass(frozen=True)
class Way:
    """One way to a network for a dataset."""

    dataset: str
    title: str
    changes: dict[str, Any]
    source: str = ""  # the dataset of the run that it learns on from; the backbone is that run's with the same seed


@dataclass(frozen=True)
class Reached:
    """What the runs of a way have reached so far, one a seed."""

    way: Way
    runs: tuple[Run, ...]

    @property
    def answers(self) -> list[Evaluation]:
        found = [run.evaluation("test") for run in self.runs]
        return [one for one in found if one is not None]


def ways(datasets: Sequence[str], backbones: Sequence[str], fine_tune: bool = False) -> list[Way]:
    """Every way for each dataset. fine_tune: pretrained networks also with every layer, which on a CPU takes hours."""
    found = []
    for dataset in datasets:
        found.append(Way(dataset, f"{PRESET}, from scratch", {"preset": PRESET}))
        for other in datasets:
            if other != dataset:
                for trainable, how in (("head", "frozen"), ("all", "fine-tuned")):
                    changes = {"preset": PRESET, "model.name": "transfer", "model.trainable": trainable}
                    found.append(Way(dataset, f"{PRESET} of {other}, {how}", changes, other))
        for backbone in backbones:
            name = display_name("model.backbone", backbone)
            kinds = (("head", "frozen"), ("all", "fine-tuned")) if fine_tune else (("head", "frozen"),)
            for trainable, how in kinds:
                changes = {"preset": "pretrained", "model.backbone": backbone, "model.trainable": trainable}
                found.append(Way(dataset, f"{name} (ImageNet), {how}", changes | {"train.epochs": PRETRAINED_EPOCHS}))
    return found


def bench_transfer(chosen: Sequence[Way], seeds: int) -> Iterator[Step | Row]:
    """Train what is not there yet, each run in this process; yields a Step before each, its run and its rows."""
    wanted = [(way, seed) for way in chosen for seed in range(seeds)]
    for place, (way, seed) in enumerate(wanted):
        yield Step(f"{way.dataset}: {way.title}, seed {seed}", place, len(wanted))
        if way.source:
            scratch = Way(way.source, "", {"preset": PRESET})
            yield from _train(_config(scratch, seed))
        yield from _train(_config(way, seed))


def collect(chosen: Sequence[Way], seeds: int) -> list[Reached]:
    """What has been trained so far."""
    runs = list_runs()
    return [Reached(way, tuple(run for seed in range(seeds) if (run := _finished(way, seed, runs)))) for way in chosen]


def to_markdown(reached: Sequence[Reached]) -> str:
    """A table a dataset: accuracy over the seeds, its difference to the first way, and the whole time but for the
    backbone's pass, which the first seed makes for all of them and which stands beside it."""
    lines = []
    for dataset in dict.fromkeys(one.way.dataset for one in reached):
        own = [one for one in reached if one.way.dataset == dataset]
        tested = next((one.answers[0].n for one in own if one.answers), 0)
        lines += [
            f"### {dataset}" + (f", {tested:,} test pictures" if tested else ""),
            "",
            "| network | seeds | test accuracy, % | to the first line, points | time, s | backbone's pass, s |",
            "|---|---|---|---|---|---|",
            *(_line(one, own[0]) for one in own),
            "",
        ]
    return "\n".join(lines)


def _line(one: Reached, first: Reached) -> str:
    if not one.answers:
        return f"| {one.way.title} | 0 | {NOT_MEASURED} | | | |"
    accuracies = [100 * answers.accuracy for answers in one.answers]
    against = [100 * answers.accuracy for answers in first.answers]
    difference = (
        f"{statistics.fmean(accuracies) - statistics.fmean(against):+.2f}" if against and one is not first else ""
    )
    seconds = [seconds_of(run) - run.state.backbone_seconds for run in one.runs]
    backbone = [run.state.backbone_seconds for run in one.runs]
    passes = f"{max(backbone):,.1f} (once)" if max(backbone) > 0 else ""
    cells = [one.way.title, str(len(one.runs)), _spread(accuracies), difference, _spread(seconds, 1), passes]
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float], digits: int = 2) -> str:
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return f"{statistics.fmean(values):,.{digits}f} ± {statistics.stdev(values):,.{digits}f}"


def _config(way: Way, seed: int) -> RunConfig:
    """UserMistake where the run that it learns on from is not there."""
    changes = {name: value for name, value in way.changes.items() if name != "preset"} | {"train.seed": seed}
    if way.source:
        source = _finished(Way(way.source, "", {"preset": PRESET}), seed, list_runs())
        changes["model.backbone"] = source.id if source else f"{PRESET} on {way.source}"
    return fitted_config(way.changes["preset"], find_dataset(way.dataset), changes)


def _finished(way: Way, seed: int, runs: Sequence[Run]) -> Run | None:
    if way.source and _finished(Way(way.source, "", {"preset": PRESET}), seed, runs) is None:
        return None
    config = _config(way, seed)
    return find_finished(config, _fingerprint(config), runs)


def _train(config: RunConfig) -> Iterator[Row]:
    if find_finished(config, _fingerprint(config), list_runs()) is None:
        run = create_checked_run(config)
        yield run
        yield from train_rows(run.folder)
        yield open_run(run.folder)


def _fingerprint(config: RunConfig) -> str:
    """Of the pictures as they are; no store is made for it, which at 224 pixels takes gigabytes."""
    return store_fingerprint(find_dataset(config.data.dataset), config.data)
