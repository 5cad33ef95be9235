"""A worker that trains for real and saves at every iteration; torch is in the server of the forks before it starts."""

import math
import os
from pathlib import Path

import torch._dynamo  # noqa: F401 - what core/jobs/supervisor.py warms as well

import core.train
from core.engine import fit


def train(folder: Path) -> None:
    os.sched_getaffinity = lambda _: {0}  # one thread, as in the tests' own process
    fit.SECONDS_A_TICK = 0.0
    core.train.SECONDS_IN_AN_EPOCH, core.train.SHARE_OF_SAVING = 0.0, math.inf
    core.train.train_run(folder)
