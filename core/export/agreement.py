"""Does an exported file answer as the program does? Its own scripts are run on pictures of the test part, as files."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.data.datasets.dataset import find_dataset
from core.errors import UserMistake
from core.export.export import FORMATS, export_run
from core.progress import Clock, Progress
from core.runs.run import Run

if TYPE_CHECKING:
    from core.inference.predictor import Prediction, Predictor

WITH_SCRIPT = tuple(name for name in FORMATS if name != "web")  # whose file is that of onnx
AT_ONCE = 200  # pictures that one process of a script is given


@dataclass(frozen=True)
class Agreement:
    """What one format answers, held against the program, over the same picture files."""

    format: str
    n: int
    same: int  # pictures with the same best class
    probability: float  # largest difference of a probability, over all pictures and classes
    logit: float | None  # of ONNX: largest difference of a logit on the very square that the network received


def measure_agreement(run: Run, pictures: int | None = None) -> Iterator[Progress | list[Agreement]]:
    """Export `run` into a folder that is thrown away and ask every format about at most so many test pictures.

    Progress, then as the last one the result. UserMistake where the pictures or the test part of the run are gone.
    """
    from core.inference.predictor import load_predictor

    contents = _test_pictures(run, pictures)
    predictor, clock = load_predictor(run), Clock()
    total = (len(WITH_SCRIPT) + 1) * len(contents)
    with tempfile.TemporaryDirectory(prefix="atelier-export-") as temporary:
        folder = Path(temporary) / "export"
        yield from export_run(run, folder, WITH_SCRIPT)
        files = [Path(temporary) / f"{number}" for number in range(len(contents))]
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
        expected: list[Prediction] = []
        for first in range(0, len(contents), AT_ONCE):
            expected += predictor.predict([("", content) for content in contents[first : first + AT_ONCE]])
            yield Progress("asking the program", len(expected), total, clock.seconds_left(len(expected), total))
        found: list[Agreement] = []
        for name in WITH_SCRIPT:
            done = (len(found) + 1) * len(contents)
            yield Progress(f"asking {name}", done, total, clock.seconds_left(done, total))
            answers = ask_script(folder, name, files)
            logit = _largest_logit(folder, predictor, expected) if name == "onnx" else None
            found.append(_compared(name, expected, answers, predictor.classes, logit))
    yield found


def ask_script(
    folder: Path, name: str, files: Sequence[Path], command: Sequence[str] = (sys.executable,)
) -> list[dict[str, float]]:
    """Class -> probability for each file, from predict_<name>.py of an export, run by `command`."""
    answers = []
    for first in range(0, len(files), AT_ONCE):
        arguments = map(str, files[first : first + AT_ONCE])
        done = subprocess.run(
            [*command, str(folder / f"predict_{name}.py"), *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"predict_{name}.py ended with {done.returncode}: {done.stderr[-2000:]}")
        for line in done.stdout.splitlines():
            answers.append({one["class"]: one["probability"] for one in json.loads(line)["classes"]})
    return answers


def _test_pictures(run: Run, most: int | None) -> list[bytes]:
    from core.data.store.store import load_store

    store = load_store(run.config.data)
    if store.fingerprint != run.fingerprint:
        raise UserMistake(f"The dataset {run.config.data.dataset!r} changed since run {run.id}; export a new run")
    rows = store.parts["test"][:most].tolist()
    if not rows:
        raise UserMistake(f"Run {run.id} has no test pictures to compare with")
    dataset = find_dataset(run.config.data.dataset)
    return [dataset.original(row) for row in rows]


def _compared(
    name: str,
    expected: "Sequence[Prediction]",
    answers: list[dict[str, float]],
    classes: tuple[str, ...],
    logit: float | None,
) -> Agreement:
    ours = np.array([[dict(one.classes)[label] for label in classes] for one in expected])
    theirs = np.array([[one[label] for label in classes] for one in answers])
    return Agreement(
        format=name,
        n=len(ours),
        same=int((ours.argmax(1) == theirs.argmax(1)).sum()),
        probability=float(np.abs(ours - theirs).max()),
        logit=logit,
    )


def _largest_logit(folder: Path, predictor: "Predictor", expected: "Sequence[Prediction]") -> float:
    """The square itself is given to the file, which leaves a picture of that size as it is."""
    import onnx
    import onnxruntime
    import torch

    from core.export.answering import Answering

    model = onnx.load(folder / "model.onnx")
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("logits"))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    network, largest = Answering(predictor).eval(), 0.0
    for one in expected:
        assert one.received is not None, one.error
        (theirs,) = session.run(["logits"], {"image": np.ascontiguousarray(one.received.transpose(1, 2, 0))})
        with torch.no_grad():
            ours = network(torch.from_numpy(one.received)[None]).numpy()
        largest = max(largest, float(np.abs(ours - theirs).max()))
    return largest
