"""AtOnce: how many runs with a network train at once on this machine, one thread each, and what that brings. No torch.

A small network keeps no two cores busy: the threads of a step wait for each other. It is measured once for a machine
and a size of network, by trainings that take turns: one on all cores, then one a core, all together.
"""

import hashlib
import json
import statistics
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from core.config import RunConfig
from core.data.pictures.child import usable_cores
from core.disk import finite, read_json, write_json
from core.engine.machine_load import OtherLoad
from core.fields import layers_of
from core.probes.arms import Arm, turn
from core.probes.probes import CROWDED, machine, program
from core.settings import at_once_root

AT_ONCE = "at_once.json"  # in the folder of an experiment or a sweep: what it goes by
LONG_SECONDS = 120.0  # of trainings, from which on it is worth measuring
WORTH = 1.1  # as many pictures a second: with less, runs train one after the other
BLOCKS = 3  # of turns A B B A
TURN_SECONDS = 1.0
CROWDED_SECONDS = 600.0  # then what was measured on a busy machine is measured again
MEMORY_SHARE = 0.7  # of what is free, that the runs may take together


@dataclass(frozen=True)
class AtOnce:
    """What was measured for one network."""

    runs: int  # 1: one after the other, each on all cores
    ratio: float = 1.0  # pictures a second of `together` runs, by those of one on all cores
    together: int = 1  # that were measured
    others: float = 0.0  # share of the processors that other programs took meanwhile
    why: str = ""  # why nothing was measured, in a sentence

    @property
    def threads(self) -> int | None:
        """Of each run; None: all cores."""
        return 1 if self.runs > 1 else None

    @property
    def sentence(self) -> str:
        if self.why:
            return f"Runs train one after the other: {self.why}."
        busy = (
            "" if self.others <= CROWDED else f" Measured while other programs took {self.others:.0%} of the machine."
        )
        if self.runs > 1:
            return (
                f"{self.runs} runs train at once, one thread each: measured {self.ratio:.2f} times as many pictures a "
                f"second as one after the other on all cores.{busy}"
            )
        return (
            f"Runs train one after the other on all cores: {self.together} at once were measured to bring "
            f"{self.ratio:.2f} times as many pictures a second.{busy}"
        )


def read_at_once(config: RunConfig) -> AtOnce | None:
    """What was measured for the network of these settings on this machine; None where nothing was, or it is stale."""
    path = _path(config)
    try:
        document = read_json(path)
        found = AtOnce(**document)
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError, TypeError):
        return None
    return None if found.others > CROWDED and age > CROWDED_SECONDS else found


def noted_at_once(folder: Path) -> AtOnce | None:
    """What an experiment or a sweep goes by; None before that was measured."""
    try:
        return AtOnce(**read_json(folder / AT_ONCE))
    except (OSError, ValueError, TypeError):
        return None


def measure_at_once(config: RunConfig) -> AtOnce:
    """What is known, or is measured now, in half a minute; kept for read_at_once. UserMistake where the network cannot
    be trained."""
    known = read_at_once(config)
    if known is not None:
        return known
    found = _measure(config, usable_cores())
    write_json(_path(config), finite(asdict(found)))
    return found


def _measure(config: RunConfig, cores: int) -> AtOnce:
    if cores < 2:
        return AtOnce(1, why="there is one core")
    with ExitStack() as arms:
        alone = arms.enter_context(_arm(config, cores))
        ready = alone.answer()
        if ready["device"] != "cpu":
            return AtOnce(1, why="they train on the graphics card")
        free = MEMORY_SHARE * psutil.virtual_memory().available
        count = min(cores, int(free // max(1, ready["peak_bytes"])))
        if count < 2:
            return AtOnce(1, why="there is no memory for two")
        beside = [arms.enter_context(_arm(config, 1)) for _ in range(count)]
        for arm in beside:
            arm.answer()
        others, ratios, own = OtherLoad(), [], 0.0
        for _ in range(BLOCKS):
            rates = [turn(those, TURN_SECONDS) for those in ([alone], beside, beside, [alone])]
            own += sum(seconds for _, seconds in rates)
            ratios.append((rates[1][0] + rates[2][0]) / (rates[0][0] + rates[3][0]))
        ratio = statistics.median(ratios)
        return AtOnce(count if ratio >= WORTH else 1, ratio, count, others.share(own))


def _arm(config: RunConfig, threads: int) -> Arm:
    return Arm("core.probes.at_once_worker", config.model_dump_json(), str(threads))


def _path(config: RunConfig) -> Path:
    """By everything that the answer depends on."""
    train = config.train
    asked = [layers_of(config.model).model_dump(mode="json"), config.data.image_size, train.batch_size]
    asked += [
        train.augment,
        train.precision,
        train.optimizer,
        config.data.dataset,
        machine(),
        usable_cores(),
        program(),
    ]
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    return at_once_root() / f"{digest[:24]}.json"
