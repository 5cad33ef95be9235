"""settle_kernels: which kernels a run is trained with: those of its attempt before, else the ones measured as fastest.

No torch: every candidate trains in a process of its own, on noise, for oneDNN reads its limits once a process.
"""

import os
import statistics
from collections.abc import Callable
from contextlib import ExitStack

from core.config import RunConfig
from core.data.datasets.dataset import Dataset
from core.data.store.store import count_parts
from core.engine.kernels import Kernels, is_narrow, keep_kernels, possible_kernels, read_kernels
from core.engine.machine_load import OtherLoad
from core.environment import cpu_name
from core.probes.arms import Arm, turn
from core.probes.probes import CROWDED
from core.runs.environments import read_environments
from core.runs.run import Run

# training pictures of a whole run from which on some ten seconds of measuring are worth it; networks that ask for
# bfloat16 or have many channels are wide, and a picture of them takes longer
LONG = {"narrow": 1_000_000, "wide": 20_000}
WIDE_BATCH = 64  # of those: a step with more takes seconds, and the ratios are about the same
BLOCKS = 3  # of turns A B B A
TURN_SECONDS = 0.5
GAIN = 1.02  # as many pictures a second: with less, what is taken unmeasured stays
CLEAR = 1.2  # beside busy programs, which disturb a measurement by less than that


def settle_kernels(run: Run, dataset: Dataset, tell: Callable[[str], None]) -> Kernels | None:
    """The kernels of a run that begins or goes on on this processor; None where there is nothing to choose. Measures
    what was not measured yet where the run is long, after `tell` with a sentence about it."""
    before = read_environments(run.folder)[-1:]
    if before and before[0].precision and before[0].cpu == cpu_name():  # its sums shall be rounded as they were
        return Kernels(before[0].precision, before[0].onednn_isa, before[0].conv_algorithm)
    return find_kernels(run.config, dataset, run.threads, tell)


def find_kernels(
    config: RunConfig, dataset: Dataset, threads: int | None, tell: Callable[[str], None]
) -> Kernels | None:
    """What was measured for these settings, or is measured now because their run is long; None elsewhere."""
    known = read_kernels(config, threads)
    if known is None and _is_worth_it(config, dataset):
        tell("Measures which kernels of this processor are the fastest for this network; once, ten to thirty seconds.")
        known = measure_kernels(config, threads)
    return known


def _is_worth_it(config: RunConfig, dataset: Dataset) -> bool:
    if len(possible_kernels(config)) < 2 or int(os.environ.get("WORLD_SIZE", 1)) > 1:
        return False
    if config.model.name in ("pretrained", "transfer") and config.model.trainable == "head":
        return False  # its backbone sees each picture once, and is no part of training
    pictures = count_parts(dataset, config.data)["train"] * config.train.epochs
    return pictures >= LONG["narrow" if is_narrow(config) else "wide"]


def measure_kernels(config: RunConfig, threads: int | None = None) -> Kernels:
    """The fastest of possible_kernels for the network of these settings; kept for read_kernels, unless other programs
    made it unsure. UserMistake where the network cannot be trained here."""
    possible = possible_kernels(config)
    with ExitStack() as begun:
        arms = [begun.enter_context(_arm(config, threads, kernels)) for kernels in possible]
        if any(arm.answer()["device"] != "cpu" for arm in arms):  # then none of them is the CPU's to compute with
            keep_kernels(config, threads, possible[0], [])
            return possible[0]
        rates: list[list[float]] = [[] for _ in arms]
        others, own = OtherLoad(), 0.0
        for _ in range(BLOCKS):
            for place in (*range(len(arms)), *reversed(range(len(arms)))):
                rate, busy = turn([arms[place]], TURN_SECONDS)
                rates[place].append(rate)
                own += busy
        is_crowded = others.share(own) > CROWDED
    medians = [statistics.median(of_arm) for of_arm in rates]
    best = max(range(len(possible)), key=medians.__getitem__)
    gain = medians[best] / medians[0]
    if is_crowded and gain < CLEAR:
        return possible[0]
    chosen = possible[best if gain >= GAIN else 0]
    keep_kernels(config, threads, chosen, medians)
    return chosen


def _arm(config: RunConfig, threads: int | None, kernels: Kernels) -> Arm:
    batch = config.train.batch_size if is_narrow(config) else min(WIDE_BATCH, config.train.batch_size)
    changes = {"precision": kernels.precision, "batch_size": batch}
    changed = config.model_copy(update={"train": config.train.model_copy(update=changes)})
    arguments = changed.model_dump_json(), str(threads or 0), kernels.conv_algorithm
    return Arm("core.probes.at_once_worker", *arguments, ONEDNN_MAX_CPU_ISA=kernels.isa or "DEFAULT")
