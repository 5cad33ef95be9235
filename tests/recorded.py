"""What version 0.1.0 says of a home that it wrote: the commands, and their documents as they were recorded.

python -m tests.recorded home-0.1.0.tar.gz    # only with version 0.1.0; a later one would record its own faults
"""

import io
import json
import math
import os
import sys
import tarfile
import tempfile
import zipfile
from contextlib import redirect_stdout
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from core.__main__ import main
from tests.pictures import png

EXPECTED = Path(__file__).resolve().parent / "expected" / "home-0.1.0"
DATASETS = ("small", "small v2")
STOPPED = "mx15xeh8josj"
PAPER_RUNS = ("mx15vdkoxxvv", STOPPED)  # have no validation part
QUICK_RUNS = ("mx15vohwokwx", "mx15x1lr46mc", "mx15x2wir40t", "mx15x7qdzka9", "mx15x958viqc")
RUNS = (*PAPER_RUNS, *QUICK_RUNS)
MEASURES = ("evaluation", "paper")
RESUMED_EPOCHS = 4  # of the stopped run, which has done 2 of 1000; see shorten()
DERIVED, TORCH = 1e-9, 1e-4  # tolerances: an interval of stored numbers; answers that a network gives now
HOME, WORK = "HOME", "WORK"  # stand for the folders of whoever asks
SHOWN_TO_NETWORKS = ("cartoon.jpg", "painting.jpg", "sketch.jpg", "drawn.png")


class Command(NamedTuple):
    """A command whose document is recorded; `tolerance` is for numbers that are not stored but computed by it."""

    arguments: tuple[str, ...]
    tolerance: float = 0.0

    @property
    def line(self) -> str:
        return " ".join(self.arguments)

    @property
    def file(self) -> str:
        """Name of the file that holds its document: all of `runs show RUN` are in runs-show.json."""
        group = self.arguments[0] in ("evaluate", "predict")
        return "-".join(self.arguments[: 1 if group else 2]) + ".json"


def commands() -> list[Command]:
    """Every command; those of one file stand together."""
    of_data = [("data", verb, name) for verb in ("show", "versions", "ledger", "copies") for name in DATASETS]
    of_data += [("data", "export", name, f"{WORK}/{name}.zip") for name in DATASETS]
    lists = [("runs", "list"), ("runs", "list", "--all"), ("runs", "list", "--deleted")]
    lists += [("experiment", "list"), ("sweep", "list"), ("sweep", "show", "latest")]
    lists += [("presets", "list"), ("weights", "list")]
    of_runs = [("runs", "show", run) for run in RUNS]
    pictures = [f"{WORK}/{name}" for name in SHOWN_TO_NETWORKS]
    return [
        *(Command(arguments) for arguments in [("data", "list"), *of_data, *lists, *of_runs]),
        Command(("experiment", "show", "latest"), DERIVED),
        *(Command(("evaluate", run, *which)) for run in RUNS for which in evaluations_of(run)),
        *(Command(("predict", run, *pictures), TORCH) for run in RUNS),
    ]


def evaluations_of(run: str) -> list[tuple[str, ...]]:
    """The options of `evaluate` for every part and measure of which the run has stored answers."""
    parts = ("train", "test") if run in PAPER_RUNS else ("train", "val", "test")
    return [("--part", part, "--measure", measure) for part in parts for measure in MEASURES]


def ask(arguments: tuple[str, ...], work: Path) -> Any:
    """The document of a command about the home in ATELIER_HOME, normalised; its files lie in `work`."""
    answer = io.StringIO()
    with redirect_stdout(answer):
        code = main([argument.replace(WORK, str(work)) for argument in (*arguments, "--json")])
    assert code == 0, f"{' '.join(arguments)}: exit code {code}"
    return normalised(json.loads(answer.getvalue()), work)


def normalised(document: Any, work: Path) -> Any:
    """The document with placeholders for the folders of this machine."""
    if isinstance(document, dict):
        return {key: normalised(value, work) for key, value in document.items()}
    if isinstance(document, list):
        return [normalised(value, work) for value in document]
    if isinstance(document, str):
        return document.replace(os.environ["ATELIER_HOME"], HOME).replace(str(work), WORK)
    return document


def differences(recorded: Any, found: Any, tolerance: float = 0.0, where: str = "document") -> list[str]:
    """Every value of a recorded document that is missing or another one in what was found. Keys may have come."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        gone = [f"{where}.{key} is gone" for key in recorded if key not in found]
        both = [(f"{where}.{key}", recorded[key], found[key]) for key in recorded if key in found]
    elif isinstance(recorded, list) and isinstance(found, list):
        gone = [] if len(recorded) == len(found) else [f"{where} has {len(found)} entries, not {len(recorded)}"]
        both = [(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(recorded, found, strict=False))]
    else:
        return [] if _same(recorded, found, tolerance) else [f"{where} is {found!r}, not {recorded!r}"]
    return gone + [line for name, old, new in both for line in differences(old, new, tolerance, name)]


def _same(recorded: Any, found: Any, tolerance: float) -> bool:
    if isinstance(recorded, bool) or isinstance(found, bool) or not isinstance(recorded, int | float):
        return type(recorded) is type(found) and recorded == found
    return isinstance(found, int | float) and math.isclose(recorded, found, rel_tol=tolerance, abs_tol=tolerance)


def recorded(command: Command) -> Any:
    """The document that version 0.1.0 gave."""
    return _read(command.file)[command.line]


def resumed_before() -> Any:
    """What resumed() was with version 0.1.0."""
    return _read("resumed.json")


def unpack(archive: Path, folder: Path) -> Path:
    """The home in the archive, unpacked into `folder`."""
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    return folder / "home"


def forget_answers(home: Path) -> None:
    """Remove every stored evaluation, so that `evaluate` has to ask the networks again."""
    for path in home.glob("runs/*/evaluation-*.npz"):
        path.unlink()


def take_pictures(work: Path) -> None:
    """Put SHOWN_TO_NETWORKS into `work`: the first picture of each class of the dataset, and a drawn one."""
    ask(("data", "export", DATASETS[0], f"{WORK}/pictures.zip"), work)
    (work / "drawn.png").write_bytes(png(seed=7, width=64, height=48))
    with zipfile.ZipFile(work / "pictures.zip") as pictures:
        for name in SHOWN_TO_NETWORKS[:-1]:
            first = min(path for path in pictures.namelist() if path.startswith(name.split(".")[0]))
            (work / name).write_bytes(pictures.read(first))


def shorten(home: Path) -> None:
    """Make the stopped run one of RESUMED_EPOCHS; its learning rate is constant, so its epochs stay the same ones."""
    path = home / "runs" / STOPPED / "config.json"
    made = json.loads(path.read_text(encoding="utf-8"))
    made["config"]["train"]["epochs"] = RESUMED_EPOCHS
    path.write_text(json.dumps(made), encoding="utf-8")


def resumed(work: Path) -> list[dict[str, Any]]:
    """What the stopped run has learnt in each epoch once it was resumed and has finished: no times."""
    assert ask(("runs", "resume", STOPPED), work)["status"] == "done"
    kept = ("epoch", "step", "train_loss", "train_accuracy", "train_per_class", "learning_rate")
    return [{key: row[key] for key in kept} for row in ask(("runs", "show", STOPPED), work)["epochs_done"]]


def record(archive: Path, work: Path) -> None:
    """Write the documents that the program gives now over those that were recorded."""
    home = unpack(archive, work)
    os.environ["ATELIER_HOME"] = str(home)
    take_pictures(work)
    for file, group in groupby(sorted(commands(), key=lambda command: command.file), lambda command: command.file):
        _write(file, {command.line: ask(command.arguments, work) for command in group})
    shorten(home)
    _write("resumed.json", resumed(work))


def _read(file: str) -> Any:
    return json.loads((EXPECTED / file).read_text(encoding="utf-8"))


def _write(file: str, document: Any) -> None:
    EXPECTED.mkdir(parents=True, exist_ok=True)
    (EXPECTED / file).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        record(Path(sys.argv[1]).resolve(), Path(folder).resolve())
