"""The model card of an exported run, as Markdown: what it was trained on, how often it is right, what it is not for.

Names that people gave are data: each stands in the text with every mark of Markdown and HTML disarmed.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from core.display_names import display_name
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.export.facts import ExportFacts
from core.inference.calibration import load_calibration
from core.intervals import wilson
from core.runs.run import Run
from core.runs.teachers import teacher_sentence

FEW_TESTED = 100  # test pictures below which the card says how little they tell
FEW_OF_A_CLASS = 20
NAME_LENGTH = 200
_MARKS = frozenset("\\`*_{}[]()<>#+-.!|~$:&^=\"'@/%")
USES = {
    "model.onnx": "The network with all of its preprocessing. Input `image`: uint8 (height, width, 3), RGB, of any "
    "size; output `probabilities`: float32, one a class. Any program that reads ONNX can use it.",
    "predict_onnx.py": "`python predict_onnx.py picture.jpg`, with `pip install onnxruntime numpy pillow`.",
    "model.safetensors": "The weights alone, which cannot hold code. Atelier takes them in again: "
    "`python -m core runs add FOLDER`.",
    "network.py": "The network as Python, for these weights.",
    "predict_safetensors.py": "`python predict_safetensors.py picture.jpg`, with `pip install torch safetensors numpy "
    "pillow`.",
    "model.pt2": "The network as a program of `torch.export`: uint8 (batch, 3, side, side) to logits.",
    "predict_torch.py": "`python predict_torch.py picture.jpg`, with `pip install torch numpy pillow`.",
    "pictures.py": "Opens and cuts a picture as it was done in training; the scripts use it.",
    "index.html": "A page of its own: put this folder on any web server, or run `python -m http.server` in it and open "
    "http://localhost:8000. Pictures stay in the browser.",
    "model.json": "Classes in the order of the answers, preprocessing, origin.",
}


def model_card(run: Run, facts: ExportFacts, files: Iterable[str]) -> str:
    """The card of an export with these files. The run's stored answers are read; none are computed."""
    test = _evaluation(run, facts, "test")
    parts = {part: _evaluation(run, facts, part) for part in ("train", "val")} | {"test": test}
    sections = [
        [f"# {plain(facts.title)}", "", _what_it_does(facts)],
        ["## What it was trained on", "", *_training(run, facts, parts)],
        ["## How often it is right", "", *_measured(test, parts["train"]), *_calibration(run, facts)],
        ["## What it is not for", "", *_limits(facts, test)],
        ["## What is in this folder", "", *_files(files)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def plain(name: str) -> str:
    """A name as Markdown shows it letter by letter, on one line."""
    visible = "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:NAME_LENGTH])
    return "".join(f"\\{letter}" if letter in _MARKS else letter for letter in visible)


def _evaluation(run: Run, facts: ExportFacts, part: str) -> Evaluation | None:
    """The stored answers of this very model on a part."""
    evaluation = run.evaluation(part)
    return evaluation if evaluation and evaluation.n and evaluation.model == facts.weights else None


def _what_it_does(facts: ExportFacts) -> str:
    names = ", ".join(plain(name) for name in facts.classes[:20])
    more = f" and {len(facts.classes) - 20} more" if len(facts.classes) > 20 else ""
    return f"It says which of {len(facts.classes)} classes a picture belongs to: {names}{more}."


def _training(run: Run, facts: ExportFacts, parts: dict[str, Evaluation | None]) -> Iterator[str]:
    counts = [f"{one.n:,} {name}" for name, one in _named_parts(parts) if one is not None]
    yield f"- Pictures: the dataset “{plain(facts.dataset)}”" + (f": {', '.join(counts)} pictures." if counts else ".")
    network = display_name("model.name", facts.model.name)
    if facts.model.name in ("pretrained", "transfer"):
        layers = "last layer only" if facts.model.trainable == "head" else "all layers"
        network += f" ({plain(facts.model.backbone)}, {layers} trained)"
    yield f"- Network: {network}, {run.config.train.epochs} epochs, {run.describe_model(facts.weights)}."
    if taught := teacher_sentence(run):
        yield f"- {plain(taught)}"
    fit = display_name("data.fit", facts.preprocess.fit)
    yield f"- It receives {facts.preprocess.image_size} × {facts.preprocess.image_size} pixels ({plain(fit)})."
    yield f"- Run {facts.run} of {run.created[:10]}, made with Atelier; SHA-256 of the weights {facts.sha256}."


def _named_parts(parts: dict[str, Evaluation | None]) -> Iterator[tuple[str, Evaluation | None]]:
    for part, name in (("train", "training"), ("val", "validation"), ("test", "test")):
        yield name, parts[part]


def _measured(test: Evaluation | None, train: Evaluation | None) -> Iterator[str]:
    if test is None:
        yield "It was not measured on pictures that it had not seen, so nobody knows."
        return
    low, high = test.interval
    yield (
        f"**{test.accuracy:.1%}** of {test.n:,} test pictures, which it had not seen ({int(test.correct.sum()):,} "
        f"right; 95 % interval {low:.1%} to {high:.1%}). Guessing would reach {test.chance:.1%}, always the largest "
        f"class {test.majority:.1%}."
    )
    yield ""
    learnt = train.counts.tolist() if train else None
    yield "| class | " + ("training pictures | " if learnt else "") + "test pictures | accuracy | 95 % interval |"
    yield "|---|" + ("---:|" if learnt else "") + "---:|---:|---|"
    for k, name in enumerate(test.classes):
        right, n = int(test.confusion[k, k]), int(test.counts[k])
        seen = f"{learnt[k]:,} | " if learnt else ""
        share = f"{right / n:.1%} | {_interval(right, n)}" if n else "- | -"
        yield f"| {plain(name)} | {seen}{n:,} | {share} |"
    if worst := _most_confused(test):
        yield ""
        yield worst


def _interval(right: int, n: int) -> str:
    low, high = wilson(right, n)
    return f"{low:.1%} to {high:.1%}"


def _most_confused(test: Evaluation) -> str:
    wrong = test.confusion.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return ""
    true, answered = np.unravel_index(wrong.argmax(), wrong.shape)
    return (
        f"Most often confused: {plain(test.classes[true])} taken for {plain(test.classes[answered])}, "
        f"{wrong[true, answered]:,} of {test.counts[true]:,} pictures."
    )


def _calibration(run: Run, facts: ExportFacts) -> Iterator[str]:
    try:
        calibration = load_calibration(run, facts.weights)
    except UserMistake:
        return
    yield ""
    yield f"The probabilities here are the network's own. {calibration.summary}"


def _limits(facts: ExportFacts, test: Evaluation | None) -> Iterator[str]:
    yield (
        f"- Pictures of anything else. It answers one of its {len(facts.classes)} classes whatever it is shown, often "
        "with a high probability."
    )
    yield (
        "- Pictures that come another way than those it learnt from: other cameras, scans, crops or styles. The "
        "numbers above hold for pictures of the same dataset."
    )
    yield "- Decisions about people, authorship, authenticity or worth. It sees pixels, and knows nothing about them."
    if test is not None and test.n < FEW_TESTED:
        yield f"- Fine comparisons: {test.n} test pictures tell little; mind the intervals."
    if test is not None and (few := [name for name, n in _counted(test) if n < FEW_OF_A_CLASS]):
        yield f"- Relying on it for {', '.join(map(plain, few[:8]))}: fewer than {FEW_OF_A_CLASS} test pictures each."


def _counted(test: Evaluation) -> list[tuple[str, int]]:
    return list(zip(test.classes, test.counts.tolist(), strict=True))


def _files(files: Iterable[str]) -> Iterator[str]:
    there = {*files, "model.json"}
    for name, use in USES.items():
        if name in there:
            yield f"- `{name}`: {use}"
