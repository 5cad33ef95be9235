"""bench_parallel_runs: whole runs an hour, one after the other on all cores, and several at once on one thread each.

python -m core bench parallel-runs NAME
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.config import RunConfig, change_config
from core.data.pictures.child import usable_cores
from core.data.store.store import load_store
from core.engine.machine_load import OtherLoad
from core.errors import UserMistake
from core.experiments.benchmarks.training import Step
from core.probes.at_once import AtOnce, measure_at_once


@dataclass(frozen=True)
class ParallelRuns:
    """Runs an hour in both ways, measured in turns A B A B ..."""

    cores: int
    runs: int  # of each turn
    one_after_the_other: tuple[float, ...]  # seconds of each turn
    at_once: tuple[float, ...]
    others: tuple[float, ...]  # share of the processors that other programs took, of each pair of turns
    known: AtOnce  # what the program goes by for these settings

    @property
    def ratio(self) -> float:
        """Runs an hour at once, by those one after the other, in all turns together."""
        return sum(self.one_after_the_other) / sum(self.at_once)

    def to_json(self) -> dict[str, Any]:
        hour = 3600 * self.runs * len(self.at_once)
        return asdict(self) | {
            "runs_an_hour": hour / sum(self.one_after_the_other),
            "runs_an_hour_at_once": hour / sum(self.at_once),
            "ratio": self.ratio,
        }


def bench_parallel_runs(config: RunConfig, rounds: int = 2) -> Iterator[Step | ParallelRuns]:
    """Train as many whole runs as there are cores, start and evaluation included, in both ways by turns; each in a
    process of its own with torch already loaded, as the supervisor's are. The runs are thrown away.

    UserMistake on a machine with one core.
    """
    cores = usable_cores()
    if cores < 2:
        raise UserMistake("this machine has one core: runs cannot train at once")
    load_store(config.data, config.model)
    yield Step("how many at once", 0, 2 * rounds + 1)
    known = measure_at_once(config)
    alone: list[float] = []
    together: list[float] = []
    others = []
    for place in range(rounds):
        load = OtherLoad()
        yield Step("one after the other", 2 * place + 1, 2 * rounds + 1)
        first, busy = _train(config, cores, at_once=1, threads=None)
        yield Step(f"{cores} at once", 2 * place + 2, 2 * rounds + 1)
        second, more = _train(config, cores, at_once=cores, threads=1)
        alone.append(first)
        together.append(second)
        others.append(load.share(busy + more))
    yield ParallelRuns(cores, cores, tuple(alone), tuple(together), tuple(others), known)


def _train(config: RunConfig, count: int, at_once: int, threads: int | None) -> tuple[float, float]:
    """(seconds of `count` runs, so many at a time; seconds of the processors)."""
    busy = 0.0
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        seconds = 0.0
        for first in range(0, count, at_once):
            with ExitStack() as begun:
                starters = [
                    begun.enter_context(_Starter(config, Path(folder), first + place, threads))
                    for place in range(at_once)
                ]
                for starter in starters:
                    starter.wait_until_ready()
                began = time.perf_counter()
                for starter in starters:
                    starter.go()
                busy += sum(starter.wait_for_end() for starter in starters)
                seconds += time.perf_counter() - began
    return seconds, busy


class _Starter:
    """A process that has loaded torch and waits for its "go"."""

    def __init__(self, config: RunConfig, folder: Path, seed: int, threads: int | None) -> None:
        own = change_config(config, {"train.seed": seed})
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, own.model_dump_json(), str(folder), str(threads or 0)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[3],
        )

    def __enter__(self) -> "_Starter":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def wait_for_end(self) -> float:
        """Seconds of the processors that the run took."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.process.wait()
        if not line:
            raise UserMistake("a run of the bench has failed; its message stands above")
        return float(json.loads(line)["busy"])


def main(arguments: list[str]) -> int:
    """Train one run in a folder that is thrown away."""
    import torch._dynamo  # noqa: F401 - what the supervisor's children have loaded as well

    import core.train
    from core.runs.actions import create_run

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    config, threads = RunConfig.model_validate_json(arguments[0]), int(arguments[2]) or None
    store = load_store(config.data, config.model)
    run = create_run(config, store.fingerprint, store.classes, threads=threads)
    folder = Path(arguments[1]) / run.id
    run.folder.rename(folder)  # out of the list of runs
    print("ready", file=answers, flush=True)
    if not sys.stdin.readline():
        return 1  # whoever began it is gone
    began = time.process_time()
    core.train.train_run(folder)
    print(json.dumps({"busy": time.process_time() - began}), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    from core.data.pictures.child import wait_briefly

    wait_briefly()
    sys.exit(main(sys.argv[1:]))
