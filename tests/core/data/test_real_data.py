"""The real pictures, where $ATELIER_REAL_DATA names the folder of cifar10.zip and artworks.zip."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from core.config import DataConfig
from core.data.duplicates.duplicates import read_duplicates
from core.data.imports.cifar10 import import_cifar10
from core.data.imports.pipeline import import_dataset, import_pictures
from core.data.store.store import find_duplicates_of, load_store
from tests.pictures import encoded, finish

HERE = Path(os.environ.get("ATELIER_REAL_DATA", "nowhere"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HERE.is_dir(), reason="ATELIER_REAL_DATA is not set")]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))


def test_all_of_cifar10_is_used_and_its_test_part_is_kept():
    dataset = list(import_cifar10(HERE / "cifar10.zip"))[-1].dataset
    assert (dataset.given, dataset.used, dataset.refused) == (60_000, 60_000, ())
    assert set(dataset.class_counts.values()) == {6_000}
    paper = load_store(DataConfig(dataset="cifar10", split="paper", balance="smallest", val_fraction=0.0))
    assert {part: len(rows) for part, rows in paper.parts.items()} == {"train": 50_000, "val": 0, "test": 10_000}
    store = load_store(DataConfig(dataset="cifar10", val_fraction=0.1))
    assert {part: len(rows) for part, rows in store.parts.items()} == {"train": 45_000, "val": 5_000, "test": 10_000}
    test = store.parts["test"]
    assert (np.bincount(store.labels[test]) == 1_000).all()
    # the mean colour of all training pictures, as published for CIFAR-10: 0.4914, 0.4822, 0.4465
    learnt = np.concatenate([store.parts["train"], store.parts["val"]])
    assert np.allclose(store.images[learnt].mean((0, 2, 3)) / 255, [0.4914, 0.4822, 0.4465], atol=2e-4)


# all that is found among the artworks as they are; compared by eye, each pair is the same drawing or painting
SEEN = {
    ("cartoon/0097.jpg", "cartoon/0659.jpg"),
    ("cartoon/0286.jpg", "cartoon/1499.jpg"),
    ("cartoon/0346.jpg", "cartoon/0939.jpg"),
    ("cartoon/0371.jpg", "cartoon/1780.jpg"),
    ("cartoon/0411.jpg", "cartoon/1029.jpg"),
    ("cartoon/0561.jpg", "cartoon/1423.jpg"),
    ("cartoon/0562.jpg", "cartoon/0805.jpg"),
    ("cartoon/0647.jpg", "cartoon/0973.jpg"),
    ("cartoon/0818.jpg", "cartoon/0986.jpg"),
    ("cartoon/0863.jpg", "cartoon/1576.jpg"),
    ("cartoon/1067.jpg", "cartoon/1670.jpg"),
    ("cartoon/1098.jpg", "cartoon/1364.jpg"),
    ("cartoon/1112.jpg", "cartoon/1640.jpg"),
    ("cartoon/1231.jpg", "cartoon/1321.jpg"),
    ("cartoon/1307.jpg", "cartoon/1457.jpg"),
    ("painting/0468.jpg", "painting/0934.jpg"),
    ("painting/0468.jpg", "painting/1418.jpg"),
    ("painting/0489.jpg", "painting/1326.jpg"),
    ("painting/0642.jpg", "painting/1025.jpg"),
    ("painting/0675.jpg", "painting/1058.jpg"),
    ("painting/0708.jpg", "painting/1253.jpg"),
    ("painting/0932.jpg", "painting/0987.jpg"),
    ("painting/1161.jpg", "painting/1513.jpg"),
}


def found_in(dataset):
    for _ in find_duplicates_of(dataset):
        pass
    names, result = dataset.names, read_duplicates(dataset)
    return {tuple(sorted((names[a], names[b]))) for a, b in result.pairs.tolist()}


def test_what_is_found_among_the_artworks_are_duplicates():
    dataset = finish(import_dataset("artworks", HERE / "artworks.zip"))
    assert (dataset.used, dataset.refused) == (5400, ())
    assert dataset.class_counts == {"cartoon": 1800, "painting": 1600, "sketch": 2000}
    pairs = found_in(dataset)
    assert len(pairs & SEEN) >= 20 and len(pairs - SEEN) <= 0.02 * len(pairs), pairs - SEEN


def turned(picture, random):
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def resized(picture, random):
    factor = 2 ** random.uniform(-1, 1)
    size = (round(picture.width * factor), round(picture.height * factor))
    return picture.resize(size, [Image.Resampling.BILINEAR, Image.Resampling.LANCZOS][random.integers(2)])


def cropped(picture, random):
    wide, high = round(picture.width * 0.9), round(picture.height * 0.9)
    x, y = random.integers(0, picture.width - wide + 1), random.integers(0, picture.height - high + 1)
    return picture.crop((x, y, x + wide, y + high))


PLANTED = {  # how a copy is made, and the share of them that must be found
    "re-encoded": (lambda picture, random: encoded(picture, "JPEG", quality=int(random.integers(30, 91))), 0.98),
    "resized": (resized, 0.98),
    "mirrored": (turned, 0.9),
    "a tenth cut off": (cropped, 0.9),
    "a tenth cut off each side": (lambda picture, random: ImageOps.crop(picture, round(picture.width / 10)), 0.9),
    "cut and mirrored": (lambda picture, random: turned(cropped(picture, random), random), 0.9),
}


@pytest.mark.nightly  # the module's mark slow says that it needs the real pictures
def test_planted_duplicates_of_artworks_are_found():
    random, each, entries, sources = np.random.default_rng(0), 200, [], {}
    with zipfile.ZipFile(HERE / "artworks.zip") as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        chosen = iter(random.permutation(len(names)).tolist())
        for kind, (make, _) in PLANTED.items():
            sources |= {names[next(chosen)]: (kind, make) for _ in range(each)}
        for name in names:
            content, class_name = archive.read(name), name.split("/")[0]
            entries.append((name, class_name, None, content))
            if name in sources:
                kind, make = sources[name]
                copy = make(Image.open(io.BytesIO(content)).convert("RGB"), random)
                copy = copy if isinstance(copy, bytes) else encoded(copy, "JPEG", quality=90)
                entries.append((f"{name} {kind}", class_name, None, copy))
    dataset = finish(import_pictures("planted", entries, "folder", False))
    pairs = found_in(dataset)
    for kind, (_, share) in PLANTED.items():
        hits = sum((name, f"{name} {kind}") in pairs for name, (made, _) in sources.items() if made == kind)
        assert hits >= share * each, (kind, hits)
    stems = {tuple(sorted(name.partition(" ")[0] for name in pair)) for pair in pairs}
    wrong = {(a, b) for a, b in stems if a != b} - SEEN
    assert len(wrong) <= 0.02 * len(pairs), wrong
