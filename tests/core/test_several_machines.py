"""One run on several machines with torchrun, and a machine that is taken away: the same batches, rows and weights."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.disk import read_json, write_json
from core.runs.preemption import EXIT_CODE
from core.runs.run import open_run
from tests import tiny
from tests.core.engine.test_train_state import TIMES
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def one_thread_run(**choices):
    """A new run that every process trains on one thread, as this one does."""
    run = tiny.new_run(**choices)
    path = run.folder / "config.json"
    write_json(path, read_json(path) | {"threads": 1})
    return run


def launcher(run, machine: int, port: int) -> subprocess.Popen[str]:
    """The command of docs/cluster.md on machine 0 or 1."""
    rendezvous = [f"--node-rank={machine}", "--master-addr=127.0.0.1", f"--master-port={port}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", *rendezvous]
    return subprocess.Popen(
        [*command, "-m", "core.train", str(run.folder)], cwd=ROOT, text=True, stderr=subprocess.PIPE
    )


def test_two_launchers_train_the_batches_and_rows_of_one_process(trained_home):
    # without batch norm and dropout, which each machine takes over what it has of a batch
    choices = {"model__name": "cnn", "model__norm_conv": "none", "train__batch_size": 26, "train__epochs": 6}
    choices |= {"model__norm_linear": "none", "model__dropout_conv": 0.0, "model__dropout_linear": 0.0}
    choices["train__learning_rate"] = 0.02
    one = tiny.train_tiny_run(**choices)
    run = one_thread_run(**choices)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [launcher(run, machine, port) for machine in (0, 1)]
    said = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    two = open_run(run.folder)
    assert two.state.status == "done"
    assert [row.step for row in two.iterations()] == [row.step for row in one.iterations()]
    for here, there in zip(one.epochs(), two.epochs(), strict=True):
        assert abs(here.train_loss - there.train_loss) < 1e-5 and abs(here.val_loss - there.val_loss) < 1e-5
        assert np.allclose(here.train_per_class, there.train_per_class)
    assert np.array_equal(two.evaluation("train").indices, one.evaluation("train").indices)


def start(run) -> subprocess.Popen[str]:
    """The line of an sbatch file, the same at every start."""
    return subprocess.Popen([sys.executable, "-m", "core.train", str(run.folder)], cwd=ROOT, text=True)


def test_a_job_that_is_preempted_and_started_again_goes_on_by_itself(trained_home):
    whole = tiny.train_tiny_run(train__epochs=150, train__schedule="one_cycle")
    run = one_thread_run(train__epochs=150, train__schedule="one_cycle")
    for end in (signal.SIGTERM, signal.SIGKILL):  # asked in time, or too late
        begun = open_run(run.folder).state.epoch
        process = start(run)
        wait_until(lambda: open_run(run.folder).state.epoch > begun + 3 and open_run(run.folder).state.is_training)  # noqa: B023
        os.kill(process.pid, end)
        assert process.wait(120) == {signal.SIGTERM: EXIT_CODE, signal.SIGKILL: -signal.SIGKILL}[end]
        left = open_run(run.folder)
        assert left.state.status == {signal.SIGTERM: "stopped", signal.SIGKILL: "lost"}[end] and left.has_checkpoint
        assert left.evaluation("test") is None  # for that there was no time
    assert start(run).wait(180) == 0
    ended = open_run(run.folder)
    assert ended.state.status == "done" and ended.state.attempt == 3
    rows = [[row.model_dump(exclude=TIMES) for row in one.rows()] for one in (ended, whole)]
    assert rows[0] == rows[1] and ended.evaluation("test") is not None


def test_what_a_person_stopped_is_not_begun_again_by_its_start_line(trained_home):
    run = one_thread_run(train__epochs=1000)
    process = start(run)
    wait_until(lambda: open_run(run.folder).state.epoch >= 2)
    (run.folder / "stop").touch()
    assert process.wait(120) == 0 and open_run(run.folder).state.status == "stopped"
    assert start(run).wait(120) == 2 and open_run(run.folder).state.attempt == 1
