"""export_run: a finished run as a folder of files that work without Atelier."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import safetensors.numpy

from core.backbones.registry import with_current_names
from core.data.pictures.preprocess import Preprocess
from core.disk import disk_trouble, draft_path, sync_folder
from core.errors import UserMistake
from core.evaluation import Which
from core.export.card import model_card
from core.export.facts import FACTS, ExportFacts, read_facts
from core.progress import Clock, Progress
from core.runs.run import Run

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from core.inference.predictor import Predictor

Format = Literal["onnx", "safetensors", "torch", "web"]
FORMATS: tuple[Format, ...] = get_args(Format)
FILES = Path(__file__).parent / "files"
CARD = "README.md"
WRITTEN: dict[Format, tuple[str, ...]] = {
    "onnx": ("model.onnx", "predict_onnx.py", "pictures.py"),
    "safetensors": ("model.safetensors", "network.py", "predict_safetensors.py", "pictures.py"),
    "torch": ("model.pt2", "predict_torch.py", "pictures.py"),
    "web": ("model.onnx", "index.html"),
}
OURS = {FACTS, CARD, *(name for names in WRITTEN.values() for name in names)}


def export_run(
    run: Run, target: Path, formats: Sequence[str] = FORMATS, which: Which | None = None
) -> Iterator[Progress]:
    """Write the folder `target`: model.json, a model card, and the files of WRITTEN for each format.

    It is made beside its place and moved there when it is whole; closing the generator leaves nothing. An earlier
    export at that place is replaced. UserMistake for an unknown format, for a folder that holds anything else, and
    where the run has no model.
    """
    chosen = check_formats(formats)
    check_target(target)
    which = which or run.used_model
    draft, clock = draft_path(target), Clock()
    steps = _steps(run, which, chosen)
    try:
        draft.mkdir(parents=True)
        for number, (phase, step) in enumerate(steps):
            yield Progress(phase, number, len(steps), clock.seconds_left(number, len(steps)) if number > 1 else None)
            step(draft)
        _move(draft, target)
    except OSError as error:
        raise disk_trouble(error, target.parent, "Nothing was exported.") or UserMistake(
            f"{str(target)!r} cannot be written: {error.strerror}; nothing was exported"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    yield Progress("done", len(steps), len(steps), 0.0)


def check_formats(formats: Sequence[str]) -> tuple[Format, ...]:
    """The formats, each once, in the order of FORMATS. UserMistake for an unknown one."""
    if unknown := [name for name in formats if name not in FORMATS]:
        raise UserMistake(f"There is no format {unknown[0]!r}; there are {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in formats)


def check_target(target: Path) -> None:
    """UserMistake where an export cannot be put there without losing what is there."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserMistake(f"{str(target)!r} is a file; it was kept. Name a folder that is new or empty")
    names = {path.name for path in target.iterdir()}
    if not names:
        return
    if read_facts(target) is None:
        raise UserMistake(
            f"The folder {str(target)!r} is not empty and holds no earlier export, so nothing was written there; "
            "name a folder that is new or empty"
        )
    if others := sorted(names - OURS):
        raise UserMistake(
            f"The earlier export in {str(target)!r} has a file beside it that is not its own, {others[0]!r}, which "
            "would be lost; nothing was written. Name another folder"
        )


Step = tuple[str, Callable[[Path], None]]


def _steps(run: Run, which: Which, formats: tuple[Format, ...]) -> list[Step]:
    """What there is to do, in order: a phase for whoever waits, and what writes into the folder."""
    work = _Work(run, which)
    steps: list[Step] = [("loading the network", work.write_facts)]
    if {"safetensors", "torch"} & set(formats):
        steps.append(("tracing the network", work.trace))
    if "safetensors" in formats:
        steps.append(("writing safetensors", work.write_safetensors))
    if "torch" in formats:
        steps.append(("writing torch", work.write_torch))
    if {"onnx", "web"} & set(formats):
        steps.append(("writing ONNX", work.write_onnx))
    names = {name for one in formats for name in WRITTEN[one]}
    steps.append(("writing the card", lambda folder: work.write_texts(folder, names)))
    return steps


class _Work:
    """An export at work: what one step has made and the next one needs."""

    predictor: "Predictor"
    program: "ExportedProgram"
    weights: bytes
    facts: ExportFacts

    def __init__(self, run: Run, which: Which) -> None:
        self.run, self.which = run, which

    def write_facts(self, folder: Path) -> None:
        from core.inference.predictor import load_predictor

        self.predictor = load_predictor(self.run, self.which)
        self.weights = safetensors.numpy.save(dict(with_current_names(self.run.weights(self.which))))
        self.facts = facts_of(self.run, self.which, hashlib.sha256(self.weights).hexdigest())
        (folder / FACTS).write_text(
            json.dumps(self.facts.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    def trace(self, folder: Path) -> None:
        from core.export.answering import trace

        self.program = trace(self.predictor)

    def write_safetensors(self, folder: Path) -> None:
        from core.export.network_source import network_source

        side, classes = self.facts.preprocess.image_size, len(self.facts.classes)
        (folder / "network.py").write_text(network_source(self.program, side, classes), encoding="utf-8")
        (folder / "model.safetensors").write_bytes(self.weights)

    def write_torch(self, folder: Path) -> None:
        import torch

        torch.export.save(self.program, folder / "model.pt2")

    def write_onnx(self, folder: Path) -> None:
        from core.export.answering import trace
        from core.export.onnx_file import onnx_file

        content = onnx_file(trace(self.predictor, most=1), self.facts.preprocess, self.facts.in_onnx)
        (folder / "model.onnx").write_bytes(content)

    def write_texts(self, folder: Path, names: set[str]) -> None:
        """The scripts, the page and the card: what stands in FILES, as it is there."""
        for name in names:
            for template in (FILES / name, FILES / f"{name}.txt"):
                if template.is_file():
                    (folder / name).write_bytes(template.read_bytes())
        (folder / CARD).write_text(model_card(self.run, self.facts, names), encoding="utf-8")


def facts_of(run: Run, which: Which, sha256: str) -> ExportFacts:
    """The facts of that model of a run, whose weights as they are exported have this SHA-256."""
    card = run.card(which)
    return ExportFacts(
        title=run.title,
        run=run.id,
        weights=which,
        sha256=sha256,
        fingerprint=card.fingerprint,
        classes=card.classes,
        preprocess=Preprocess.model_validate(card.preprocess),
        config=run.config.model_copy(update={"model": card.model}),
        source=card.source,
        teacher=run.teacher,
    )


def _move(draft: Path, target: Path) -> None:
    """The finished folder to its place; an earlier export is moved aside first, and comes back where that fails."""
    former = draft_path(target)
    if target.exists():
        check_target(target)  # again: making it took a while
        target.rename(former)
    try:
        draft.rename(target)
    except OSError:
        if former.exists():
            former.rename(target)
        raise
    shutil.rmtree(former, ignore_errors=True)
    sync_folder(target.parent)
