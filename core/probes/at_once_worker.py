"""One of the trainings that core/probes times in turns: trains when a line on standard input says for how long.

python -m core.probes.at_once_worker CONFIG THREADS [direct | winograd | matmul]

On the pictures of the dataset; with a way of computing convolutions on random ones, that way and in the very precision
that CONFIG says. 0 threads: all.
"""

import json
import os
import sys
import time
from typing import Any

from core.config import RunConfig
from core.engine.kernels import Kernels
from core.errors import UserMistake

WARM_SECONDS = 1.0  # the first steps choose kernels and fill caches


def main(arguments: list[str]) -> int:
    """Answer lines until there are no more; every answer is a line of JSON."""
    answers = os.fdopen(os.dup(1), "w")  # whatever else is printed goes to standard error
    os.dup2(2, 1)

    def answer(document: dict[str, Any]) -> None:
        print(json.dumps(document), file=answers, flush=True)

    try:
        config, on_noise = RunConfig.model_validate_json(arguments[0]), len(arguments) > 2
        kernels = Kernels(config.train.precision, conv_algorithm=arguments[2]) if on_noise else None  # type: ignore[arg-type]
        _train(config, int(arguments[1]) or None, kernels, answer)
    except UserMistake as mistake:
        answer({"mistake": str(mistake)})
        return 2
    return 0


def _train(config: RunConfig, threads: int | None, kernels: Kernels | None, answer: Any) -> None:
    """kernels: where they are asked for, on random pictures."""
    from core.engine.fit import fit
    from core.engine.hardware import choose_hardware
    from core.engine.schedule import endless
    from core.probes.worker import build, noise_parts, open_parts, peak_bytes, trained_part
    from core.rows import TickRow

    hardware = choose_hardware(config, threads, kernels)
    parts, pictures, classes = (noise_parts if kernels else open_parts)(config, hardware)
    learner, _ = trained_part(build(config, classes), parts, pictures, config, hardware)
    rows = fit(learner, parts["train"], None, classes, endless(config.train), hardware)
    part, batch = len(parts["train"]), min(config.train.batch_size, len(parts["train"]))

    seen = 0

    def go_on(seconds: float) -> dict[str, float]:
        """Train for about so long: pictures, seconds, and seconds of the processors."""
        nonlocal seen
        before, began, busy = seen, time.perf_counter(), time.process_time()
        while seen == before or time.perf_counter() - began < seconds:
            row = next(row for row in rows if isinstance(row, TickRow))
            seen = (row.epoch - 1) * part + min(part, row.iteration * batch)
        taken = {"seconds": time.perf_counter() - began, "busy": time.process_time() - busy}
        return taken | {"pictures": seen - before}

    go_on(WARM_SECONDS)
    answer({"device": hardware.device.type, "peak_bytes": peak_bytes(hardware)})
    for line in sys.stdin:
        answer(go_on(float(line)))


if __name__ == "__main__":
    from core.data.pictures.child import wait_briefly

    wait_briefly()
    sys.exit(main(sys.argv[1:]))
