"""The homes in which everything is clicked: empty, as version 0.1.0 left one, with a run at work, with failed runs."""

import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from core.data.imports.pipeline import import_pictures
from core.experiments.ablation.actions import create_experiment
from core.experiments.ablation.components import find_components
from core.experiments.ablation.spec import plan_experiment
from core.experiments.sweeps.actions import create_sweep
from core.experiments.sweeps.ranges import range_for
from core.experiments.sweeps.spec import plan_sweep
from core.jobs.import_job import start_import
from core.runs.queue import ensure_supervisor, submit
from core.runs.run import Run, read_run
from core.submit import choose_config
from tests.e2e.browser import ROOT
from tests.pictures import finish
from tests.tiny import colour_pictures, new_run
from tests.waiting import wait_until

LONG = 1000  # epochs of 450 pictures, longer than anybody clicks
TOO_FAST = {"train__learning_rate": 1, "train__momentum": 0.999, "train__weight_decay": 1}


def fill_with_nothing(folder: Path) -> None:
    """Nobody has ever been there."""


def fill_with_version_0_1(folder: Path) -> None:
    """Two versions of a dataset, finished, stopped and hidden runs, an experiment, a sweep, a preset."""
    archive = cases() / "home-0.1.0.tar.gz"
    if not archive.exists():
        pytest.skip(f"no {archive}: ATELIER_CASES names its folder")
    with tarfile.open(archive) as tar:
        tar.extractall(folder.parent, filter="data")
    (folder.parent / "home").replace(folder)


def cases() -> Path:
    """The folder of homes of older versions: $ATELIER_CASES, else beside the real pictures, else beside the project."""
    if named := os.environ.get("ATELIER_CASES"):
        return Path(named)
    pictures = os.environ.get("ATELIER_REAL_DATA")
    return Path(pictures).parent / "cases" if pictures else ROOT.parent / "shared" / "cases"


def fill_with_colours(folder: Path) -> None:
    """Pictures of two colours; put_to_work() trains on them."""
    finish(import_pictures("colours", iter(colour_pictures(each=300)), "zip", False))


def fill_with_failures(folder: Path) -> None:
    """Pictures of two colours, a run whose process was killed, and the newest, which diverged."""
    fill_with_colours(folder)
    killed = new_run(train__epochs=LONG)
    worker = _train(killed)
    wait_until(lambda: read_run(killed.id).state.step > 0)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    _train(new_run(train__epochs=LONG, **TOO_FAST)).wait()


def _train(run: Run) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "core.train", str(run.folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def put_to_work() -> None:
    """One run trains, and another waits behind it."""
    first, second = new_run(train__epochs=LONG), new_run(train__epochs=LONG)
    submit(first)
    submit(second)
    ensure_supervisor()
    wait_until(lambda: read_run(first.id).state.step > 0)


def put_everything_to_work() -> None:
    """An import, a run and one that waits, and behind them an experiment and a sweep."""
    base = choose_config("quick", "colours", {})
    create_experiment(plan_experiment(base, find_components(["flip"]), seeds=1))
    create_sweep(plan_sweep(base, [range_for("train.learning_rate", "0.001..0.1")], 600, trials=2))
    put_to_work()
    start_import("sample", "sample-objects")
