"""bench_training: the notebook's loop and ours in one go on this machine, as ratios, and how far from the limit we are.

python -m core bench training
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from core.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from core.data.datasets.dataset import find_dataset
from core.data.store.batches import Part, load_part
from core.data.store.store import TensorStore, load_store
from core.engine.evaluate import evaluate
from core.engine.fit import fit
from core.engine.hardware import Hardware, choose_hardware
from core.evaluation import Evaluation
from core.experiments.benchmarks.baseline import NotebookNet
from core.experiments.paired_comparison import AccuracyCheck, compare
from core.models.build import build_model
from core.models.summary import layer_table
from core.rows import EpochRow
from core.settings import atelier_home
from core.submit import fitted_config

PAPER_TEST = 0.6457  # the paper's mean of classes on CIFAR-10's test part
PAPER_EPOCHS = 50
SEEDS = (0, 1, 2)
EPOCHS = 3


@dataclass(frozen=True)
class BenchRow:
    name: str
    baseline_seconds: float  # the notebook's loop
    seconds: float  # ours
    ratio: float  # baseline_seconds / seconds
    note: str = ""


@dataclass(frozen=True)
class PhysicalLimit:
    """The floating-point work of the network against what a large matrix product reaches on this machine."""

    operations: float  # floating-point operations of training on one picture, forward and backward
    reachable: float  # operations a second of a 2,048 x 2,048 float32 matrix product
    ideal_seconds: float  # an epoch of 50,000 pictures at that rate
    shares: dict[str, float]  # by row name: ideal_seconds / seconds


@dataclass(frozen=True)
class Bench:
    machine: str
    rows: tuple[BenchRow, ...]
    accuracy: AccuracyCheck | None
    limit: PhysicalLimit | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Step:
    """What the bench is about to do: for a progress bar."""

    message: str
    done: int
    total: int


@dataclass
class _Times:
    """Seconds of single epochs."""

    baseline: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    ours_512: list[float] = field(default_factory=list)
    artwork_baseline: list[float] = field(default_factory=list)
    artwork: list[float] = field(default_factory=list)
    quick: list[float] = field(default_factory=list)


def bench_training(cifar: str = "cifar10", artworks: str = "artworks", rounds: int = 3) -> Iterator[Step | Bench]:
    """Yields a Step before each piece of work, and the Bench at last. Takes about 6 minutes on two cores.

    Baseline and ours take turns, seed by seed, so that a drifting machine hits both; each figure is the median of
    the epochs. UserMistake where one of the two datasets has not been added.
    """
    hardware = choose_hardware(RunConfig())
    store = load_store(DataConfig(dataset=cifar, val_fraction=0.0))
    art = load_store(DataConfig(dataset=artworks, val_fraction=0.0))
    train, test = load_part(store, "train", hardware.device), load_part(store, "test", hardware.device)
    art_train = load_part(art, "train", hardware.device)
    quick = fitted_config("quick", find_dataset(cifar), {})
    quick_train = load_part(load_store(quick.data), "train", hardware.device)
    times, answers = _Times(), []
    theirs: list[float] = []
    ours: list[float] = []
    seeds = SEEDS[:rounds]
    total, done = 5 * len(seeds) + 1, 0
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        _write_files(art, Path(folder))
        for seed in seeds:
            yield Step(f"CIFAR-10, notebook loop, {EPOCHS} epochs (seed {seed})", done, total)
            measured = _baseline("pictures", cifar, EPOCHS, seed)
            times.baseline += measured["seconds"]
            theirs.append(measured["accuracy"])
            yield Step(f"CIFAR-10, ours at batch 32 and 512 (seed {seed})", done + 1, total)
            seconds, answer = _train(train, test, store, TrainConfig(epochs=EPOCHS, seed=seed), hardware)
            times.ours += seconds
            ours.append(answer.accuracy)
            large = TrainConfig(epochs=EPOCHS, batch_size=512, seed=seed)
            times.ours_512 += _train(train, test, store, large, hardware)[0]
            yield Step(f"Artworks, ImageFolder, 2 epochs (seed {seed})", done + 2, total)
            times.artwork_baseline += _baseline("folder", folder, 2, seed)["seconds"]
            yield Step(f"Artworks, ours (seed {seed})", done + 3, total)
            times.artwork += _train(art_train, None, art, TrainConfig(epochs=EPOCHS, seed=seed), hardware)[0]
            yield Step(f"CIFAR-10, preset quick to its end (seed {seed})", done + 4, total)
            began = time.perf_counter()
            config = quick.train.model_copy(update={"seed": seed})
            answers.append(_train(quick_train, test, store, config, hardware)[1])
            times.quick.append(time.perf_counter() - began)
            done += 5
    yield Step("Physical limit", done, total)
    rows = _rows(times, answers)
    yield Bench(
        machine=hardware.name,
        rows=rows,
        accuracy=compare(len(test), theirs, ours),
        limit=_limit(store, hardware, len(train), rows[:2]),
    )


def _baseline(kind: str, where: str, epochs: int, seed: int) -> dict[str, Any]:
    """The notebook's loop in a process of its own, without what choose_hardware sets in this one."""
    ours = {"THP_MEM_ALLOC_ENABLE", "ONEDNN_MAX_CPU_ISA", "GOMP_SPINCOUNT"}
    process = subprocess.run(
        [sys.executable, "-m", "core.experiments.benchmarks.baseline", kind, where, str(epochs), str(seed)],
        env={name: value for name, value in os.environ.items() if name not in ours}
        | {"ATELIER_HOME": str(atelier_home())},  # it may be relative to our own folder
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise RuntimeError(f"the baseline failed:\n{process.stderr[-2000:]}")
    return json.loads(process.stdout)


def _train(
    train: Part, test: Part | None, store: TensorStore, config: TrainConfig, hardware: Hardware
) -> tuple[list[float], Evaluation]:
    """Seconds of each epoch, and the answers on `test` (on the training part without one)."""
    model = build_model(ModelConfig(), len(store.classes), 32, seed=config.seed)
    rows = list(fit(model, train, None, len(store.classes), config, hardware))
    part, name = (test, "test") if test is not None else (train, "train")
    return [row.seconds for row in rows if isinstance(row, EpochRow)], evaluate(model, part, name, store.classes)


def _write_files(store: TensorStore, folder: Path) -> None:
    """The original training artworks as files, a folder a class."""
    dataset = find_dataset(store.dataset)
    for row in store.parts["train"]:
        place = folder / f"{store.labels[row]:04d}"  # a number, never the class's own name
        place.mkdir(exist_ok=True)
        content = dataset.original(row)
        suffix = ".png" if content[:4] == b"\x89PNG" else ".jpg"  # ImageFolder asks for an ending
        (place / f"{row:08d}{suffix}").write_bytes(content)


def _rows(times: _Times, answers: list[Evaluation]) -> tuple[BenchRow, ...]:
    baseline = statistics.median(times.baseline)
    quick = statistics.median(times.quick)
    reached = ", ".join(f"{100 * answer.mean_class_accuracy:.2f}" for answer in answers)
    passed = all(answer.mean_class_accuracy > PAPER_TEST for answer in answers)
    return (
        _row("CIFAR epoch, batch 32", baseline, statistics.median(times.ours)),
        _row("CIFAR epoch, batch 512 (baseline at 32)", baseline, statistics.median(times.ours_512)),
        _row(
            f"{PAPER_EPOCHS} baseline epochs / quick to its end",
            PAPER_EPOCHS * baseline,
            quick,
            f"{'passed' if passed else 'DID NOT PASS'} {100 * PAPER_TEST:.2f} % with each of {len(answers)} seeds: "
            f"{reached} % of {answers[0].n:,} test pictures, evaluation included in the time; the baseline is "
            f"{PAPER_EPOCHS} times its median epoch",
        ),
        _row(
            "artwork epoch, batch 32 (ImageFolder decodes each epoch)",
            statistics.median(times.artwork_baseline),
            statistics.median(times.artwork),
        ),
    )


def _row(name: str, baseline: float, seconds: float, note: str = "") -> BenchRow:
    return BenchRow(name, baseline, seconds, baseline / seconds, note)


def _limit(store: TensorStore, hardware: Hardware, pictures: int, rows: tuple[BenchRow, ...]) -> PhysicalLimit:
    """Forward: two operations a multiply-add; backward: as much for the weights and again for the inputs, save for
    the first layer, whose inputs are the pictures."""
    layers = [layer.multiply_adds for layer in layer_table(NotebookNet(len(store.classes)), 32)]
    operations = 2.0 * (3 * sum(layers) - layers[0])
    side = 2048
    a, b = torch.rand(side, side, device=hardware.device), torch.rand(side, side, device=hardware.device)
    seconds = []
    for _ in range(8):
        began = time.perf_counter()
        (a @ b).sum().item()
        seconds.append(time.perf_counter() - began)
    reachable = 2 * side**3 / min(seconds)
    ideal = operations * pictures / reachable
    return PhysicalLimit(operations, reachable, ideal, {row.name: ideal / row.seconds for row in rows})
