"""A thousand runs as a busy year leaves them: copies of one finished run with settings, ends and marks of their own.

python -m tests.many_runs HOME [COUNT]        adds COUNT copies (1,000) of the newest finished run in HOME
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from core.config import change_config
from core.disk import read_json
from core.presets import PRESETS
from core.runs.run import Run, list_runs
from core.settings import runs_root

HEAVY = (".npz", ".safetensors")  # linked, not copied: a thousand models would fill a disk
ENDS = ("done",) * 16 + ("stopped",) * 2 + ("failed", "lost")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def copy_run(run: Run, count: int, seed: int = 0) -> list[str]:
    """The ids of `count` new runs, every one readable and with the model and the answers of `run`."""
    random = Random(seed)
    newest = datetime.fromisoformat(run.created) - timedelta(days=1)
    began = [newest - timedelta(minutes=random.uniform(0, 525_600)) for _ in range(count)]
    test = run.evaluation("test")
    score = [int(test.correct.sum()), test.n] if test else None
    return [_copy(run, moment, score, random) for moment in sorted(began)]


def _copy(run: Run, began: datetime, score: list[int] | None, random: Random) -> str:
    run_id = _id_of(began, random)
    folder = runs_root() / run_id
    folder.mkdir(parents=True)
    for file in run.folder.iterdir():
        if file.suffix in HEAVY:
            (folder / file.name).hardlink_to(file)
        elif file.is_file() and file.name not in ("config.json", "state.json", "marks.json"):
            (folder / file.name).write_bytes(file.read_bytes())
    settings = {
        "train.learning_rate": random.choice([0.001, 0.01, 0.02, 0.05, 0.1]),
        "train.batch_size": random.choice([16, 32, 64, 128, 256]),
        "train.seed": random.randrange(100),
    }
    config = change_config(run.config.model_copy(update={"preset": random.choice(list(PRESETS))}), settings)
    created = began.isoformat(timespec="milliseconds")
    told = read_json(run.folder / "config.json") | {"created": created, "config": config.model_dump(mode="json")}
    status = random.choice(ENDS)
    state = read_json(run.folder / "state.json") | {"status": status, "updated": created, "score": score}
    state["message"] = "" if status == "done" else f"It ended as {status}."
    _write(folder / "config.json", told)
    _write(folder / "state.json", state)
    if random.random() < 0.2:
        marks = {"title": random.choice(["", "the best so far", "for the talk"]), "star": random.random() < 0.3}
        _write(folder / "marks.json", marks | {"note": "", "hidden": random.random() < 0.2})
    return run_id


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")  # not flushed, or a thousand would take minutes


def _id_of(moment: datetime, random: Random) -> str:
    number, digits = int(moment.astimezone(UTC).timestamp() * 1000), ""
    while number:
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return digits.rjust(8, "0")[-8:] + "".join(random.choices(DIGITS, k=4))


def main(arguments: list[str]) -> int:
    os.environ["ATELIER_HOME"] = arguments[0]
    finished = next(run for run in list_runs() if run.state.status == "done")
    copy_run(finished, int(arguments[1]) if len(arguments) > 1 else 1000)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
