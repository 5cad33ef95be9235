"""A run as a script: the same accuracy exactly, from the exported zip alone; what cannot be written out is told."""

import ast
import contextlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.cli.app import main
from core.config import DataConfig, RunConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.data.imports.pipeline import import_pictures
from core.data.store.store import load_store
from core.data.versions.export import export_dataset
from core.errors import UserMistake
from core.presets import PRESETS
from core.runs.actions import create_run
from core.runs.run import open_run
from core.runs.state import replace_state, write_state
from core.scripts.writing import ODD_WAYS, render, write_script
from core.train import train_run
from tests.core.data.test_picture import wide_profile
from tests.pictures import encoded, finish, noise
from tests.tiny import DATA, TRAIN, add_colours, colour_pictures, train_tiny_run

NEEDED = {"torch", "torchvision", "numpy", "PIL"}
MOST_LINES = 200
FAMILY = [
    {"model.padding": "same", "model.activation": activation, "model.pool": pool, **more}
    for activation, pool, more in (
        ("gelu", "average", {"model.norm_conv": "all", "model.dropout_conv": 0.1}),
        ("relu", "max", {"model.norm_linear": "all", "model.dropout_linear": 0.3, "model.linear": [40, 30, 20]}),
        ("silu", "strided", {"model.convolutions": 2, "train.optimizer": "adam", "train.schedule": "cosine"}),
        ("tanh", "none", {"model.linear": [], "train.optimizer": "rmsprop", "train.schedule": "step"}),
        ("elu", "max", {"model.channels": [8, 12, 16], "train.optimizer": "adamw", "train.class_weights": "balanced"}),
        ("sigmoid", "max", {"model.kernel": 5, "train.patience": 1, "train.epochs": 8}),
        ("leaky_relu", "max", {"model.negative_slope": 0.2, "model.flip_tta": True, "data.split": "paper"}),
    )
]
PRETRAINED = {  # the longest of what the templates are given for a backbone
    "features": 1280,
    "backbone_arguments": "'inception_v3', weights=None, aux_logits=False, transform_input=True, init_weights=False",
    "cut": "setattr(self.backbone.get_submodule('classifier'), '1', nn.Identity())  # its last layer",
    "weights_file": "Path(__file__).with_name('run.npz')",
}
EVERY_AUGMENTATION = ["flip", "shift_crop", "rotate", "colour", "cutout", "mixup"]


def odd_picture(seed, number, ways):
    """A picture that is turned, large or transparent, in the ways that are named."""
    size = (1100 + number, 150 + number) if "large" in ways else (40 + number, 30)
    picture = Image.effect_noise(size, 60).convert("RGB")
    ending = "PNG" if number % 2 else "JPEG"
    if "transparent" in ways and number % 2:
        picture.putalpha(Image.linear_gradient("L").resize(size))
    exif = Image.Exif()
    exif[0x0112] = 1 + (seed + number) % 8 if "turned" in ways else 1
    buffer = io.BytesIO()
    picture.save(buffer, ending, exif=exif)
    return buffer.getvalue()


def unpacked(name, folder):
    """The exported dataset, unpacked."""
    for _ in export_dataset(find_dataset(name), folder / "data.zip"):
        pass
    with zipfile.ZipFile(folder / "data.zip") as archive:
        archive.extractall(folder / "data")
    return folder / "data"


def trained(config):
    store = load_store(config.data)
    run = create_run(config, store.fingerprint, store.classes)
    train_run(run.folder)
    return open_run(run.folder)


def printed_by(script, data, asked=None):
    """The lines that the script prints; asked: a list that takes the weights of each network that it asks."""
    module = {"__name__": "script", "__file__": str(script)}
    exec(compile(script.read_text(), str(script), "exec"), module)
    if asked is not None:
        predict = module["predict"]
        module["predict"] = lambda model, images: asked.append(model.state_dict()) or predict(model, images)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        module["main"](data)
    return printed.getvalue().splitlines()


def printed_in_a_clean_environment(script, data):
    """The same, by a process that knows nothing of Atelier."""
    one_core = "import os, runpy, sys; os.sched_getaffinity = lambda _: {0}; "  # as the run was trained in a test
    start = f"sys.argv = {[str(script), str(data)]!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ATELIER_HOME")}
    command = [sys.executable, "-c", one_core + start]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=script.parent, env=kept, check=True
    ).stdout.splitlines()


def expected(run):
    """The losses of the epochs and the accuracy, as the run has them."""
    found, epochs = run.evaluation("test"), run.epochs()
    losses = [f"epoch {row.epoch}/{run.config.train.epochs}: training loss {row.train_loss:.4f}" for row in epochs]
    right = int(found.correct.sum())
    return [*losses, f"accuracy on the test part: {right / found.n:.4f} ({right} of {found.n} pictures)"]


def same_as_its_script(run, folder, printed=printed_by):
    script = folder / "run.py"
    for _ in write_script(run, script):
        pass
    text = script.read_text()
    lines = printed(script, unpacked(run.config.data.dataset, folder))
    assert lines == expected(run)
    return text


def imports_of(text):
    tops = set()
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        tops |= {name.partition(".")[0] for name in names}
    return tops - sys.stdlib_module_names


MUON = {"train.optimizer": "muon", "train.learning_rate": 0.02, "train.momentum": 0.9, "train.weight_decay": 0.01}
RESIDUAL = {"model.name": "resnet", "model.width": 8, "train.precision": "bfloat16"}
FROZEN = {"model.name": "pretrained", "model.backbone": "efficientnet_lite0", "data.image_size": 32}
MOVES_AND_MEANS = {
    "Muon": MUON,
    "Muon of a residual network": MUON | RESIDUAL | {"train.schedule": "one_cycle"},
    "Muon without momentum": MUON | {"model.name": "cnn", "train.momentum": 0.0},
    "Muon where no filter learns": MUON | FROZEN,
    "growing pictures": RESIDUAL | {"train.progressive": 0.7, "train.augment": ["flip"], "train.epochs": 4},
    "first layer frozen": MUON | RESIDUAL | {"train.freeze_first": 0.5, "train.epochs": 4},
    "first layer frozen in one vector": RESIDUAL | {"train.freeze_first": 0.4, "train.epochs": 4},
    "first layer frozen, of Muon's lookahead": MUON
    | RESIDUAL
    | {"train.freeze_first": 0.4, "train.epochs": 3, "train.lookahead": 2, "train.ema": 0.9},
    "alternating flips": {"train.augment": ["flip", "shift_crop"], "train.flips": "alternating", "train.epochs": 3},
    "flips of the unsure": {"model.flip_tta": True, "model.tta_below": 0.6, "train.augment": ["flip"]},
    "crops": RESIDUAL | {"model.crop_tta": True, "train.epochs": 4},
    "crops and flips of the unsure": RESIDUAL
    | {"model.crop_tta": True, "model.flip_tta": True, "model.tta_below": 0.6},
    "Muon with a rate for filters": MUON | RESIDUAL | {"train.filter_rate": 0.1, "train.schedule": "one_cycle"},
    "lookahead": {"train.lookahead": 3, "train.epochs": 4},
    "lookahead of Muon's mean": MUON | RESIDUAL | {"train.lookahead": 2, "train.ema": 0.9},
    "mean": {"train.ema": 0.9, "train.optimizer": "adam", "train.learning_rate": 0.002},
    "mean and early stopping": {"train.ema": 0.5, "train.patience": 1, "train.learning_rate": 0.5, "train.epochs": 9},
    "mean of Muon's": MUON | RESIDUAL | {"train.ema": 0.99, "train.augment": ["flip", "mixup"]},
    "mean of a layer": {"train.ema": 0.8} | FROZEN,
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", MOVES_AND_MEANS.values(), ids=MOVES_AND_MEANS)
def test_muon_and_the_mean_of_the_weights_give_the_same_accuracy(changes, trained_home, tmp_path):
    run = trained(change_config(RunConfig(preset="quick", data=DATA, train=TRAIN), changes))
    asked = []
    same_as_its_script(run, tmp_path, lambda script, data: printed_by(script, data, asked))
    which = "best" if "train.patience" in changes else "last"
    of_the_run = {value.tobytes() for value in run.weights(which).values()}
    assert {value.numpy().tobytes() for value in asked[-1].values() if value.is_floating_point()} <= of_the_run


@pytest.mark.slow
@pytest.mark.parametrize(
    "preset",
    [name for name in PRESETS if name != "speedrun"],  # best with fewer epochs
)
def test_the_script_of_each_preset_gives_the_same_accuracy(preset, trained_home, tmp_path):
    config = change_config(PRESETS[preset], {"data.dataset": "colours", "train.epochs": 2, "train.batch_size": 8})
    if config.model.name in ("resnet", "compact"):
        config = change_config(config, {"model.width": 8, "data.image_size": 16})
    if config.model.name == "pretrained":
        config = change_config(config, {"data.image_size": 32})
    way = printed_in_a_clean_environment if preset == "quick" else printed_by
    text = same_as_its_script(trained(config), tmp_path, way)
    assert imports_of(text) <= NEEDED and len(text.splitlines()) < MOST_LINES


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])  # as torchvision has it, and written out
def test_no_preset_and_no_backbone_takes_more_lines(backbone, home, monkeypatch):
    monkeypatch.setattr("core.scripts.writing._network", lambda *_: PRETRAINED)  # no backbone has to be built for it
    add_colours()
    for preset in PRESETS if backbone == "resnet18" else ["pretrained"]:
        changes = {"data.dataset": "colours"} | ({"model.backbone": backbone} if preset == "pretrained" else {})
        for more in ({}, MUON, {"train.ema": 0.99}):
            config = change_config(PRESETS[preset], changes | more)
            store = load_store(config.data)
            run = create_run(config, store.fingerprint, store.classes)
            text = render(run, find_dataset("colours"), store, Path("run.py"), () if more else ODD_WAYS)
            ast.parse(text)
            assert len(text.splitlines()) < MOST_LINES, (preset, more)
            assert max(map(len, text.splitlines())) <= 135


@pytest.mark.slow
def test_every_odd_way_of_pictures_alone_and_together(home, tmp_path):
    for number, ways in enumerate(({"turned"}, {"large", "turned", "transparent"})):
        entries = [
            (f"{k}/{i}.{'png' if i % 2 else 'jpg'}", f"class {k}", None, odd_picture(50 * k + i, i, ways))
            for k in (0, 1)
            for i in range(8)
        ]
        finish(import_pictures(f"odd {number}", iter(entries), "zip", False))
        data = DataConfig(dataset=f"odd {number}", image_size=20)
        (tmp_path / str(number)).mkdir()
        text = same_as_its_script(trained(RunConfig(preset="quick", data=data, train=TRAIN)), tmp_path / str(number))
        assert ("exif_transpose" in text, "draft" in text, "paste" in text) == tuple(
            way in ways for way in ("turned", "large", "transparent")
        )


@pytest.mark.slow
@pytest.mark.parametrize("changes", FAMILY, ids=lambda changes: changes["model.activation"])
def test_the_script_of_the_family_has_its_options(changes, trained_home, tmp_path):
    config = RunConfig(preset="quick", data=DATA, train=TRAIN)
    run = trained(change_config(config, {"model.name": "cnn", "train.epochs": 2, **changes}))
    same_as_its_script(run, tmp_path)


@pytest.mark.slow
def test_every_augmentation_is_written_out(trained_home, tmp_path):
    run = train_tiny_run(train__augment=EVERY_AUGMENTATION, train__label_smoothing=0.1)
    same_as_its_script(run, tmp_path)


@pytest.mark.slow
def test_pictures_of_every_shape_names_that_change_and_given_parts(home, tmp_path):
    random = np.random.default_rng(0)
    entries = [
        (f"{'z' if i % 3 else 'a'}/{name[0]}<{i}>.png", name, ("train", "test", "val")[i % 3], content)
        for k, name in enumerate(("<b>&{{ 1 }}", 'say """hi"""\\', "العربية 🎨"))
        for i in range(9)
        for content in [encoded(noise(*random.integers(20, 60, 2).tolist(), 50 * k + i, "RGBA" if i % 2 else "RGB"))]
    ]
    finish(import_pictures("<i>odd</i>", iter(entries), "zip", False))
    for fit in ("crop", "squash", "pad"):
        folder = tmp_path / fit
        folder.mkdir()
        data = DataConfig(dataset="<i>odd</i>", image_size=20, fit=fit)
        same_as_its_script(trained(RunConfig(preset="quick", data=data, train=TRAIN)), folder)


@pytest.mark.slow
def test_duplicates_that_stay_together_are_listed(home, tmp_path):
    pictures = colour_pictures(12)
    again = [(f"blue/again{i}.png", "blue", None, pictures[0][3]) for i in range(5)]
    finish(import_pictures("colours", iter([*pictures, *again]), "zip", False))
    data = DATA.model_copy(update={"duplicates": "together"})
    text = same_as_its_script(trained(RunConfig(preset="quick", data=data, train=TRAIN)), tmp_path)
    assert "unpack(" in text


def test_a_notebook_has_the_same_cells(tiny_run, tmp_path):
    for name in ("run.py", "run.ipynb"):
        assert main(["script", tiny_run.id, "--out", str(tmp_path / name)]) == 0
    document = json.loads((tmp_path / "run.ipynb").read_bytes())
    code = "\n".join("".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code")
    ast.parse(code)
    script = (tmp_path / "run.py").read_text()
    assert [line for line in code.splitlines() if line and line not in script] == ['main("DATA_FOLDER")']
    assert document["nbformat"] == 4


def test_what_cannot_be_written_out_is_told(tiny_run, new_run, tmp_path):
    with pytest.raises(UserMistake, match="queued"):
        list(write_script(new_run, tmp_path / "a.py"))
    with pytest.raises(UserMistake, match=r"FILE\.py or FILE\.ipynb"):
        list(write_script(tiny_run, tmp_path / "a.txt"))
    write_state(tiny_run.folder, replace_state(tiny_run.state, status="stopped"))
    with pytest.raises(UserMistake, match="stopped"):
        list(write_script(open_run(tiny_run.folder), tmp_path / "a.py"))
    assert not list(tmp_path.glob("a.*"))


def test_pictures_that_a_script_would_read_otherwise_are_named(home, tmp_path):
    entries = [
        (f"{name}/{i}.jpg", name, None, encoded(noise(40, 30, 10 * k + i, "CMYK"), "JPEG"))
        for k, name in enumerate(("a", "b"))
        for i in range(6)
    ]
    finish(import_pictures("print", iter(entries), "zip", False))
    config = change_config(RunConfig(preset="quick", data=DATA, train=TRAIN), {"data.dataset": "print"})
    run = trained(change_config(config, {"train.epochs": 1}))
    for _ in write_script(run, tmp_path / "a.py"):  # Pillow reads plain CMYK as the run does
        pass
    entries[0] = (*entries[0][:3], encoded(noise(40, 30, 1), "PNG", icc_profile=wide_profile()))
    finish(import_pictures("profile", iter(entries), "zip", False))
    run = trained(change_config(config, {"data.dataset": "profile", "train.epochs": 1}))
    with pytest.raises(UserMistake, match=r"1 picture\(s\) need more.*'a/0.jpg'"):
        list(write_script(run, tmp_path / "b.py"))
    assert not (tmp_path / "b.py").exists()
