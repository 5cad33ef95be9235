"""How much faster two one-processor machines of a Ray cluster train 12 runs than one: python -m tests.cluster_bench

A run takes some 20 s: much shorter ones are mostly the start of processes, of which both machines here share the cores.
"""

import os
import tempfile
import time
from pathlib import Path

RUNS, EPOCHS = 12, 1000
CHOICES = {"data__image_size": 64, "train__batch_size": 32}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        seconds = {}
        for count in (1, 2):
            os.environ["ATELIER_HOME"] = f"{folder}/home-{count}"
            seconds[count] = measure(Path(folder) / f"nodes-{count}", count)
            print(f"{RUNS} runs on {count} machine{'s' * (count > 1)}: {seconds[count]:.1f} s", flush=True)
        print(f"ratio: {seconds[1] / seconds[2]:.2f}")


def measure(folder: Path, count: int) -> float:
    """Seconds from the first submission until the last run has ended; the start of all processes counts."""
    from core.runs.queue import ensure_supervisor, stop_supervisor, submit
    from core.runs.run import open_run
    from core.settings import make_home
    from tests import tiny
    from tests.core.cluster.machines import machines, use

    make_home()
    tiny.add_colours()
    with machines(folder, count) as cluster:
        use(cluster)
        runs = [tiny.new_run(train__epochs=EPOCHS, **CHOICES) for _ in range(RUNS)]
        began = time.monotonic()
        for run in runs:
            submit(run)
        ensure_supervisor()
        while not all(open_run(run.folder).state.ended for run in runs):
            time.sleep(0.1)
        took = time.monotonic() - began
        assert {open_run(run.folder).state.status for run in runs} == {"done"}
        stop_supervisor()
    return took


if __name__ == "__main__":
    main()
