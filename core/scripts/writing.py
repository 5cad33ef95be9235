"""write_script: a run as one PyTorch file, checked against the store before it is written."""

import base64
import io
import json
import re
import zlib
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from core.config import ModelConfig, RunConfig, TrainConfig
from core.data.datasets.dataset import Dataset
from core.data.pictures.picture import LARGE
from core.data.splits import PARTS, split_indices
from core.data.store.batch_count import effective_batch_size
from core.data.store.batches import block_pictures
from core.data.store.content import dataset_with
from core.data.store.store import TensorStore, build_store, open_store
from core.data.versions.export import class_folders, export_paths
from core.disk import write_atomic
from core.engine.evaluate import evaluation_batch, view_step
from core.engine.features import uses_fixed_features
from core.engine.freezing import learning_epochs
from core.engine.muon import FILTER_MOMENTUM
from core.engine.optimizers import NEEDS_SHAPES
from core.engine.schedule import picture_side
from core.errors import UserMistake
from core.fields import RESIDUAL_NETWORKS, acts_in
from core.models.shapes import Step, trace_shapes
from core.progress import Clock, Progress
from core.runs.environments import read_environments
from core.runs.run import Run

MOST_PACKED = 20_000  # letters of row numbers, in one line
NAMED = 3
LINES = 200  # that a script should stay below
NETWORKS = {
    "paper_cnn": "the paper's CNN",
    "cnn": "a CNN",
    "resnet": "a ResNet",
    "compact": "a small residual network",
    "pretrained": "a pretrained network",
}
ODD_WAYS = {  # how pictures may lie in their files, and what the script then says that it makes of them
    "transparent": "transparency on white",
    "turned": "upright",
    "large": "what is large reduced first",
}
CLASSES = {"paper_cnn": "PaperCNN", "resnet": "ResNet", "compact": "Compact", "pretrained": "TransferModel"}
NEEDS_VERSIONS = "mnasnet"  # whose state says a version, which a plain file of weights does not


def write_script(run: Run, path: Path) -> Iterator[Progress]:
    """Write the run as FILE.py or as FILE.ipynb; of a pretrained network also FILE.npz, with what it has learnt before.

    The pictures are read as the file reads them and compared with those that the run was trained on. UserMistake where
    the run cannot be written out, or would not get the same pictures; then nothing is written.
    """
    if path.suffix not in (".py", ".ipynb"):
        raise UserMistake(f"a script is written as FILE.py or FILE.ipynb, not {path.name!r}")
    _must_be_writable(run)
    dataset = dataset_with(run.config.data, fingerprint=run.fingerprint)
    data = run.config.data.model_copy(update={"dataset": dataset.name})
    yield from build_store(dataset, data)
    store = open_store(dataset, data, run.config.model)
    if len(store.labels) != dataset.used:
        raise UserMistake(
            f"{dataset.used - len(store.labels):,} picture(s) of {dataset.name!r} cannot be read at "
            f"{data.image_size} pixels; leave them out (data exclude) and train again, then a script can be written."
        )
    odd = yield from _odd_ways(dataset)
    text = render(run, dataset, store, path, odd)
    others = yield from _other_pictures(text, dataset, store)
    if others:
        raise UserMistake(
            f"{len(others):,} picture(s) need more than a short script to be read as the run read them (a colour "
            f"profile, CMYK or 16 bits): {', '.join(map(repr, others[:NAMED]))}. Save them as plain RGB, or leave "
            "them out (data exclude), train again, then write that run out."
        )
    if run.config.model.name == "pretrained":
        _write(path.with_suffix(".npz"), _backbone_weights(run.config.model))
    _write(path, _as_notebook(text) if path.suffix == ".ipynb" else text.encode())
    yield Progress("done", dataset.used, dataset.used, 0.0)


def render(run: Run, dataset: Dataset, store: TensorStore, path: Path, odd: Collection[str] = ()) -> str:
    """The text of the script, in cells that begin with "# %%"; odd: of ODD_WAYS, what its pictures have."""
    config, train_pictures = run.config, len(store.parts["train"])
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # Python, no markup: whatever a person named goes through repr
    )
    environment.filters["python"] = repr
    batch = effective_batch_size(config.train.batch_size, train_pictures)
    environments = read_environments(run.folder)
    learns_filters = not (config.model.name == "pretrained" and config.model.trainable == "head")
    text = environment.get_template("script.py.j2").render(
        run=run.id,
        network=NETWORKS[config.model.name],
        file=re.sub(r"[^\w.-]", "_", path.name),
        notebook=path.suffix == ".ipynb",
        isa=environments[-1].onednn_isa if environments else "",
        grows=acts_in(config, "train.progressive") and config.train.progressive < 1,
        sides=[
            picture_side(config.train, config.data.image_size, epoch) for epoch in range(1, config.train.epochs + 1)
        ],
        precision=(environments[-1].precision if environments else "") or config.train.precision,
        classes=class_folders(dataset),
        size=config.data.image_size,
        fit=config.data.fit,
        mean=store.preprocess.mean,
        std=store.preprocess.std,
        data=config.data,
        model=config.model,
        train=config.train,
        has_parts=bool((dataset.given_parts >= 0).any()),
        **_fractions(dataset, config),
        count=dataset.used,
        order=_order(dataset),
        odd=odd,
        needs="".join(f"; {ODD_WAYS[way]}" for way in ODD_WAYS if way in odd),
        moved=_moved(dataset, store, config),
        mixup="mixup" in config.train.augment,
        alternates=acts_in(config, "train.flips") and config.train.flips == "alternating",
        freezes=acts_in(config, "train.freeze_first") and config.train.freeze_first < 1,
        learning_epochs=learning_epochs(config.train),
        weighted=config.train.class_weights == "balanced",
        whitening=config.model.name in RESIDUAL_NETWORKS,
        batch=batch,
        leaves_one=train_pictures % batch == 1 and train_pictures > 1,
        network_class=CLASSES.get(config.model.name, "build_model"),
        frozen=uses_fixed_features(config),
        flip_tta=config.model.flip_tta,
        crop_tta=config.model.crop_tta,
        tta_below=config.model.tta_below,
        block=block_pictures(config.data.image_size, batch),
        at_once=evaluation_batch(config.data.image_size, config.model.name in RESIDUAL_NETWORKS),
        separate=config.train.optimizer in NEEDS_SHAPES,  # else all weights are one vector
        muon=config.train.optimizer == "muon" and learns_filters,
        filter_momentum=FILTER_MOMENTUM if config.train.filter_rate else config.train.momentum,
        step=view_step(config.data.image_size),
        share=repr((config.train.filter_rate or config.train.learning_rate) / config.train.learning_rate),
        optimizer=_optimizer(config.train, learns_filters),
        **_network(config.model, len(store.classes), config.data.image_size, path),
    )
    return _spaced(re.sub(r"\n{4,}", "\n\n\n", text))


def _spaced(text: str) -> str:
    """With two lines between functions; where it gets long with one, then with none between methods, and at last with
    none but before the parts (# %%) of the script."""
    if text.count("\n") >= LINES:
        text = text.replace("\n\n\n", "\n\n")
    if text.count("\n") >= LINES:
        text = re.sub(r"\n\n(?=    (?:def |@torch.no_grad))", "\n", text)
    if text.count("\n") < LINES:
        return text
    head, end, body = text.partition('"""\n\n')
    return head + end + re.sub(r"\n\n(?!# %%)", "\n", body)


def _must_be_writable(run: Run) -> None:
    """UserMistake where no script can give the numbers of the run."""
    why, environments = "", read_environments(run.folder)
    if run.state.status != "done":
        why = f"it is {run.state.status}, and only a run that came to its end has numbers that a script can give again"
    elif run.config.model.name == "transfer":
        why = "its backbone is the network of another run (transfer); write out that run"
    elif run.config.train.teacher:
        why = "it learnt from the answers of another run (its teacher), and a script has neither those nor that run"
    elif run.config.model.name == "pretrained" and run.config.model.backbone.startswith(NEEDS_VERSIONS):
        why = f"the weights of {run.config.model.backbone} need more than their numbers to be loaded"
    elif environments and environments[-1].processes > 1:
        why = f"{environments[-1].processes} processes trained it together, and a script is one"
    if why:
        raise UserMistake(f"Run {run.id} cannot be written out as a script: {why}.")


def _fractions(dataset: Dataset, config: RunConfig) -> dict[str, Any]:
    """The shares that are drawn, as Python: 0 where the dataset brings the part along. A given val part without a test
    part is the test part."""
    given = [bool((dataset.given_parts == number).any()) for number in (1, 2)]
    return {
        "given_test": given[1],
        "test_fraction": 0 if any(given) else repr(str(config.data.test_fraction)),
        "val_fraction": 0 if all(given) else repr(str(config.data.val_fraction)),
    }


def _order(dataset: Dataset) -> str:
    """Where the files do not sort as the pictures are: the place of each picture in the sorted files, packed."""
    has_parts, folders = bool((dataset.given_parts >= 0).any()), class_folders(dataset)
    keys = []
    for path, label in zip(export_paths(dataset), dataset.labels.tolist(), strict=True):
        part, _, rest = path.partition("/") if has_parts else ("", "", path)
        keys.append((PARTS.index(part) if has_parts else 0, label, rest.removeprefix(folders[label] + "/")))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    if order == list(range(len(keys))):
        return ""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return _packed(places, "whose files have other names in the exported zip than in the dataset")


def _moved(dataset: Dataset, store: TensorStore, config: RunConfig) -> list[tuple[int, str]]:
    """(part or -1, rows) of the pictures that are in another part than the split by class alone draws."""
    plain, part_of = split_indices(store.labels, dataset.given_parts, config.data), np.full((2, dataset.used), -1)
    for which, parts in enumerate((plain, store.parts)):
        for number, name in enumerate(PARTS):
            part_of[which][parts[name]] = number
    differs = part_of[0] != part_of[1]
    return [
        (number, _packed(rows, "that are in another part because of duplicates or an earlier version"))
        for number in (-1, 0, 1, 2)
        if len(rows := np.flatnonzero(differs & (part_of[1] == number)))
    ]


def _packed(rows: np.ndarray, which: str) -> str:
    differences = np.diff(rows, prepend=0).astype("<i4")
    text = base64.b85encode(zlib.compress(differences.tobytes(), 9)).decode()
    if len(text) > MOST_PACKED:
        raise UserMistake(f"The run cannot be written out as a script: it would list {len(rows):,} pictures {which}.")
    return repr(text)


def _optimizer(train: TrainConfig, learns_filters: bool) -> str:
    rest = f"weight_decay={train.weight_decay}"
    if train.optimizer in ("sgd", "nesterov"):
        ahead = ", nesterov=True" if train.optimizer == "nesterov" and train.momentum > 0 else ""
        return f"torch.optim.SGD([vector], lr=0.0, momentum={train.momentum}, {rest}{ahead}, fused=True)"
    if train.optimizer == "muon" and learns_filters:
        return f"Muon(model, {train.weight_decay})"
    if train.optimizer == "muon":  # whose rule for all else than filters is Nesterov's
        ahead = ", nesterov=True" if train.momentum > 0 else ""
        return f"torch.optim.SGD(model.parameters(), lr=0.0, momentum={train.momentum}, {rest}{ahead}, fused=True)"
    if train.optimizer == "rmsprop":
        return f"torch.optim.RMSprop([vector], momentum={train.momentum}, {rest}, foreach=True)"
    name = "Adam" if train.optimizer == "adam" else "AdamW"
    return f"torch.optim.{name}([vector], betas=({train.momentum}, 0.999), {rest}, fused=True)"


def _network(model: ModelConfig, classes: int, image_size: int, path: Path) -> dict[str, Any]:
    """What the template of the network needs beside its settings."""
    if model.name == "cnn":
        return {"layers": _layers(trace_shapes(model, classes, image_size), model)}
    if model.name != "pretrained":
        return {}
    from core.models.transfer import cut_last, last_layer, published_network

    network = published_network(model.backbone)
    name, _ = last_layer(network)
    parent, _, child = name.rpartition(".")
    of_google = model.backbone in ("googlenet", "inception_v3")
    more = ", aux_logits=False, transform_input=True, init_weights=False" if of_google else ""
    file = repr(path.with_suffix(".npz").name)
    return {
        "features": cut_last(network)[1],
        "backbone_arguments": f"{model.backbone!r}, weights=None{more}",
        "cut": f"setattr(self.backbone.get_submodule({parent!r}), {child!r}, nn.Identity())  # its last layer",
        "weights_file": file if path.suffix == ".ipynb" else f"Path(__file__).with_name({file})",
    }


def _layers(steps: list[Step], model: ModelConfig) -> list[str]:
    """The layers as Python, a line for each that has weights with what follows it."""
    lines: list[list[str]] = []
    for step in steps:
        if step.kind in ("conv", "linear", "flatten"):
            lines.append([])
        lines[-1].append(_layer(step, model))
    return [", ".join(line) for line in lines]


def _layer(step: Step, model: ModelConfig) -> str:
    has_maps = len(step.shape) == 3
    if step.kind == "conv":
        sizes = [step.inputs, step.outputs, model.kernel, step.stride, step.padding]
        return f"nn.Conv2d({', '.join(map(str, sizes))})"
    if step.kind == "linear":
        return f"nn.Linear({step.inputs}, {step.outputs})"
    if step.kind == "norm":
        return f"nn.BatchNorm{'2d' if has_maps else '1d'}({step.outputs})"
    if step.kind == "pool":
        return "nn.MaxPool2d(2)" if model.pool == "max" else "nn.AvgPool2d(2)"
    if step.kind == "drop":
        return f"nn.Dropout2d({model.dropout_conv})" if has_maps else f"nn.Dropout({model.dropout_linear})"
    if step.kind == "flatten":
        return "nn.Flatten()"
    slope = f"{model.negative_slope}" if model.activation == "leaky_relu" else ""
    names = {"relu": "ReLU", "leaky_relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU"}
    return f"nn.{names.get(model.activation, model.activation.capitalize())}({slope})"


def _backbone_weights(model: ModelConfig) -> bytes:
    """The weights of the backbone, without its last layer, as numpy's own file of arrays."""
    from core.models.build import build_model

    backbone = build_model(model, 2, 224).get_submodule("backbone")
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value.numpy() for name, value in backbone.state_dict().items()})
    return buffer.getvalue()


def _other_pictures(text: str, dataset: Dataset, store: TensorStore) -> Generator[Progress, None, list[str]]:
    """Read every picture, and split them, as the script does; returns the names of those that it reads otherwise."""
    script: dict[str, Any] = {"__name__": "script", "__file__": "script.py"}
    functions = text.partition("# %% run")[0]
    exec(compile(functions, "script", "exec"), script)  # our own template; what people named stands in it as literals
    has_parts = bool((dataset.given_parts >= 0).any())
    given = [np.maximum(dataset.given_parts, 0)] if has_parts else []
    for name, rows in zip(PARTS, script["split"](dataset.labels, *given), strict=True):
        assert np.array_equal(rows, store.parts[name]), f"the script draws another {name} part"
    clock = Clock()
    others: list[str] = []
    for row, content in enumerate(dataset.originals()):
        if not _is_read_alike(script["read_picture"], content, store.images[row]):
            others.append(dataset.names[row])
        if clock.ticks():
            yield Progress("comparing", row, dataset.used, clock.seconds_left(row, dataset.used))
    return others


def _odd_ways(dataset: Dataset) -> Generator[Progress, None, set[str]]:
    """What of ODD_WAYS the pictures of a dataset have: what a script must do to read them as an import does."""
    found: set[str] = set()
    clock = Clock()
    for row, content in enumerate(dataset.originals()):
        found |= _odd_ways_of(content)
        if clock.ticks():
            yield Progress("looking", row, dataset.used, clock.seconds_left(row, dataset.used))
    return found


def _odd_ways_of(content: bytes) -> set[str]:
    try:
        picture = Image.open(io.BytesIO(content))
        found = {
            "turned": picture.getexif().get(0x0112, 1) != 1,
            "transparent": picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info,
            "large": max(picture.size) > LARGE,
        }
    except Exception:  # whatever Pillow raises without the care of an import; the comparison that follows names it
        return set()
    return {way for way, has in found.items() if has}


def _is_read_alike(read_picture: Any, content: bytes, stored: np.ndarray) -> bool:
    """stored: uint8 (3, S, S)."""
    try:
        return bool(np.array_equal(read_picture(io.BytesIO(content)), stored.transpose(1, 2, 0)))
    except Exception:  # whatever Pillow raises without the care of an import
        return False


def _as_notebook(text: str) -> bytes:
    """The cells of the script as a notebook, each under its heading."""
    first, *rest = re.split(r"^# %% ?", text, flags=re.M)
    doc, _, imports = first.partition('"""\n\n')
    cells = [_cell("markdown", doc.removeprefix('"""').strip()), _cell("code", imports.strip())]
    for cell in rest:
        heading, _, code = cell.partition("\n")
        cells += [_cell("markdown", f"## {heading.capitalize()}"), _cell("code", code.strip())]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    return (json.dumps(document, indent=1) + "\n").encode()


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomic(path, content)
    except OSError as error:
        raise UserMistake(f"{str(path)!r} cannot be written: {error.strerror}. Name another file.") from error
