"""Small real things: pictures of two colours, stores of them, and runs that take a moment."""

from pathlib import Path

import numpy as np
from PIL import Image

from core.config import DataConfig, RunConfig, TrainConfig, change_config
from core.data.datasets.dataset import Dataset
from core.data.imports.pipeline import import_pictures
from core.data.pictures.preprocess import Preprocess
from core.data.store.store import TensorStore, load_store
from core.runs.actions import create_run
from core.runs.run import Run, open_run
from tests.pictures import encoded, finish

COLOURS = {"blue": (40, 60, 200), "orange": (230, 140, 30)}
DATA = DataConfig(dataset="colours", image_size=16, test_fraction=0.25, val_fraction=0.25)
TRAIN = TrainConfig(epochs=3, batch_size=8, learning_rate=0.05)


def colour_picture(colour: str, seed: int) -> np.ndarray:
    """uint8 (16, 16, 3): the colour with noise, so that no two are equal."""
    noise = np.random.default_rng(seed).integers(-25, 26, (16, 16, 3))
    return (np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8)


def colour_pictures(each: int = 24) -> list[tuple[str, str, None, bytes]]:
    return [
        (f"{colour}/{i:02}.png", colour, None, encoded(Image.fromarray(colour_picture(colour, 100 * k + i))))
        for k, colour in enumerate(COLOURS)
        for i in range(each)
    ]


def make_store(images: np.ndarray, labels, parts=None, classes=None, **preprocess) -> TensorStore:
    """A store in memory. images uint8 (N, 3, S, S); without parts every picture trains."""
    labels = np.asarray(labels, np.int64)
    nothing = np.zeros(0, np.int64)
    chosen = {"train": np.arange(len(images)), "val": nothing, "test": nothing} | (parts or {})
    return TensorStore(
        images=images,
        labels=labels,
        names=[f"{i}.png" for i in range(len(images))],
        groups=np.arange(len(images)),
        classes=classes or tuple(f"class {k}" for k in range(labels.max() + 1)),
        parts={name: np.asarray(rows, np.int64) for name, rows in chosen.items()},
        refused=(),
        fingerprint="f" * 64,
        preprocess=Preprocess(image_size=images.shape[-1], **preprocess),
        dataset="tiny",
    )


def colour_store() -> TensorStore:
    """48 pictures, blue before orange; of each colour 16 train, 4 watch and 4 test."""
    images = np.stack([colour_picture(colour, 100 * k + i) for k, colour in enumerate(COLOURS) for i in range(24)])
    parts = {"train": [*range(16), *range(24, 40)], "val": [*range(16, 20), *range(40, 44)]}
    parts["test"] = [*range(20, 24), *range(44, 48)]
    return make_store(images.transpose(0, 3, 1, 2).copy(), np.repeat([0, 1], 24), parts, tuple(COLOURS))


def noise_store(count: int, side: int = 10, classes: int = 3, seed: int = 0, **preprocess) -> TensorStore:
    """Pictures of noise that all train; the first pixel of picture i is (i // 256, i % 256, class)."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    labels = random.integers(0, classes, count)
    labels[:classes] = np.arange(classes)[:count]
    numbers = np.arange(count)
    images[:, :, 0, 0] = np.stack([numbers // 256, numbers % 256, labels], 1)
    return make_store(images, labels, **preprocess)


def add_colours(name: str = "colours") -> Dataset:
    """Import the two colours through the real intake."""
    return finish(import_pictures(name, iter(colour_pictures()), "zip", False))


def new_run(**changes) -> Run:
    """A queued run on the dataset "colours"; changes as new_run(train__epochs=2)."""
    config = RunConfig(preset="quick", data=DATA, train=TRAIN)
    config = change_config(config, {name.replace("__", "."): value for name, value in changes.items()})
    store = load_store(config.data)
    return create_run(config, store.fingerprint, store.classes)


def train_tiny_run(**changes) -> Run:
    from core.train import train_run

    run = new_run(**changes)
    train_run(run.folder)
    return open_run(run.folder)


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
