"""Copies: what is found among small real pictures, what is not, and what is kept of it on the disk."""

import io
import os
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.config import DataConfig
from core.data.datasets.dataset import delete_dataset, find_dataset
from core.data.duplicates import duplicates as duplicates
from core.data.duplicates.duplicates import KINDS, find_duplicates, group_pairs, read_duplicates
from core.data.imports.pipeline import import_pictures
from core.data.pictures.preprocess import Preprocess
from core.data.storage import fingerprint_of, store_folder
from core.data.store.store import find_duplicates_of, load_store
from core.errors import UserMistake
from core.settings import datasets_root, stores_root
from tests.pictures import encoded, finish

pytestmark = pytest.mark.usefixtures("home")


def scene(seed, side=120):
    """A picture with things in it: forty shapes in colours on a ground."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (side, side), tuple(random.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(picture)
    for _ in range(40):
        x, y, wide, high = (random.random(4) * (side, side, side / 3, side / 3)).tolist()
        shape = pen.ellipse if random.random() < 0.5 else pen.rectangle
        shape((x, y, x + wide, y + high), fill=tuple(random.integers(0, 256, 3).tolist()))
    return picture


def mirrored(picture):
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def cropped(picture, share=0.9, right=1.0, down=0.3):
    side = round(picture.width * share)
    x, y = round((picture.width - side) * right), round((picture.height - side) * down)
    return picture.crop((x, y, x + side, y + side))


def add(pictures, name="scenes"):
    """Import [(name, class, part, picture or bytes)] and search duplicates; the dataset."""
    entries = [
        (result, class_name, part, picture if isinstance(picture, bytes) else encoded(picture))
        for result, class_name, part, picture in pictures
    ]
    dataset = finish(import_pictures(name, entries, "folder", False))
    for _ in find_duplicates_of(dataset):
        pass
    return dataset


def scenes(count=20):
    """[(name, class, part, picture)]: as many different pictures of each of two classes."""
    return [
        (f"{name}/{i:02}", name, None, scene(100 * k + i))
        for k, name in enumerate(("cat", "dog"))
        for i in range(count)
    ]


def found(dataset):
    """{(name, name): kind} of the pairs."""
    result = read_duplicates(dataset)
    pairs = zip(result.pairs.tolist(), result.kinds.tolist(), strict=True)
    return {tuple(dataset.names[row] for row in pair): KINDS[kind] for pair, kind in pairs}


COPIES = {  # how it is made of a picture, and what it is called
    "bytes": (encoded, "bytes"),
    "the same pixels": (lambda picture: encoded(picture, "BMP"), "pixels"),
    "a JPEG of quality 30": (lambda picture: encoded(picture, "JPEG", quality=30), "near"),
    "half the size": (lambda picture: picture.resize((60, 60), Image.Resampling.LANCZOS), "near"),
    "twice the size": (lambda picture: picture.resize((240, 240), Image.Resampling.BICUBIC), "near"),
    "mirrored": (lambda picture: encoded(mirrored(picture), "JPEG", quality=80), "mirrored"),
    "a tenth cut off": (cropped, "cropped"),
    "a tenth cut off each side": (lambda picture: cropped(picture, 0.8, 0.5, 0.5), "cropped"),
    "cut and mirrored": (lambda picture: mirrored(cropped(picture)), "mirrored"),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """(dataset, pairs): forty scenes and a copy of each kind of another one of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(tmp_path_factory.mktemp("planted")))
        copies_of = [(f"cat/{case}", "cat", None, make(scene(i))) for i, (case, (make, _)) in enumerate(COPIES.items())]
        dataset = add([*scenes(), *copies_of])
        yield dataset, found(dataset)


@pytest.mark.parametrize("case", COPIES)
def test_a_copy_is_found_with_its_kind(planted, case):
    dataset, pairs = planted
    source, copy = f"cat/{list(COPIES).index(case):02}", f"cat/{case}"
    assert pairs[source, copy] == COPIES[case][1]
    groups, names = read_duplicates(dataset).groups, list(dataset.names)
    assert groups[names.index(copy)] == groups[names.index(source)] == names.index(source)


def test_nothing_but_the_duplicates_is_found(planted):
    dataset, pairs = planted
    groups = read_duplicates(dataset).groups
    assert len(pairs) == len(COPIES) and len(np.unique(groups)) == 40


def test_drawings_of_the_same_thing_are_not_duplicates():
    """Circles on white, alike in all but where they are."""
    pictures = []
    for i in range(24):
        picture = Image.new("RGB", (120, 120), "white")
        x, y = (i % 4) * 12, (i // 4) * 16  # mirrored, none of them lies where another one does
        ImageDraw.Draw(picture).ellipse((x, y, x + 40, y + 40), outline="black", width=3)
        name = ("cat", "dog")[i % 2]
        pictures.append((f"{name}/{i:02}", name, None, picture))
    assert found(add(pictures)) == {}


def test_flat_pictures_are_duplicates_only_where_they_are_the_same():
    flat = [(f"cat/{i:02}", "cat", None, Image.new("RGB", (40, 40), (i * 9, 200, 255 - i * 9))) for i in range(20)]
    same = Image.new("RGB", (90, 90), (63, 200, 192))
    dataset = add([*flat, *scenes(1), *((f"dog/x{i:03}", "dog", None, same) for i in range(150))])
    result = read_duplicates(dataset)
    assert found(dataset)["cat/07", "dog/x000"] == "pixels" and found(dataset)["dog/x000", "dog/x149"] == "bytes"
    assert len(result.pairs) == 150  # of 150 that are the same, each is result once and not with each
    assert len(np.unique(result.groups)) == 22


def test_a_chain_of_duplicates_is_one_group():
    # the crop of a crop is too far from the first one, and hangs together with it by way of the second
    picture = scene(500, 240)
    once = cropped(picture, 0.8, 0.5, 0.5)
    twice = cropped(once, 0.8, 0.5, 0.5)
    dataset = add(
        [*scenes(), ("cat/a", "cat", None, picture), ("cat/b", "cat", None, once), ("cat/c", "cat", None, twice)]
    )
    groups = read_duplicates(dataset).groups[[20, 21, 22]]
    assert groups.tolist() == [20, 20, 20] and ("cat/a", "cat/c") not in found(dataset)


def test_conflicts_are_duplicates_across_classes_and_leakage_duplicates_across_given_parts():
    parts = [
        (name, class_name, "train" if int(name[-2:]) < 15 else "test", picture)
        for name, class_name, _, picture in scenes()
    ]
    dataset = add(
        [
            *parts,
            ("dog/conflict", "dog", "train", cropped(scene(3))),
            ("cat/leak", "cat", "test", mirrored(scene(4))),
            ("cat/harmless", "cat", "train", scene(5).resize((90, 90))),
        ]
    )
    result = read_duplicates(dataset)

    def named(indices):
        return [{dataset.names[row] for row in pair} for pair in result.pairs[indices]]

    assert named(result.across(dataset.labels)) == [{"cat/03", "dog/conflict"}]
    assert named(result.across(dataset.given_parts)) == [{"cat/04", "cat/leak"}]
    assert len(result.pairs) == 3


def test_groups_of_pairs_are_what_hangs_together():
    assert group_pairs(6, np.array([[4, 5], [1, 4], [0, 2]])).tolist() == [0, 1, 0, 3, 1, 1]
    assert group_pairs(3, np.zeros((0, 2), np.int64)).tolist() == [0, 1, 2]
    chain = np.random.default_rng(0).permutation(np.stack([np.arange(999), np.arange(1, 1000)], axis=1))
    assert (group_pairs(1000, chain) == 0).all()


@pytest.fixture(scope="module")
def home_with_duplicates(tmp_path_factory):
    """A home with forty scenes and a copy of one of them, searched; never changed, only copied."""
    home = tmp_path_factory.mktemp("copies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home))
        add([*scenes(), ("cat/copy", "cat", None, cropped(scene(3)))])
    return home


@pytest.fixture
def dataset(home_with_duplicates, tmp_path):
    shutil.copytree(home_with_duplicates, tmp_path / "home")
    return find_dataset("scenes")


def images_of(dataset):
    return store_folder(fingerprint_of(dataset.content_hash, Preprocess())) / "images.npy"


def test_what_is_known_is_not_searched_again(dataset):
    before = (dataset.folder / "duplicates.npz").stat().st_mtime_ns
    assert list(find_duplicates_of(dataset)) == []
    assert list(find_duplicates(dataset, images_of(dataset), np.arange(41))) == []
    assert (dataset.folder / "duplicates.npz").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "damage", ["gone", "cut", "garbage", "of other pictures", "of another version", "too short", "flipped"]
)
def test_a_wrong_or_damaged_file_counts_as_none_and_is_made_again(dataset, damage, monkeypatch):
    path, expected = dataset.folder / "duplicates.npz", found(dataset)
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "garbage":
        path.write_bytes(b"PK\x03\x04" + bytes(100))
    elif damage == "of another version":
        monkeypatch.setattr(duplicates, "VERSION", duplicates.VERSION + 1)
    elif damage == "flipped":
        middle = content.index(b"groups.npy") + 200
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        arrays = dict(np.load(path))
        if damage == "too short":
            arrays["groups"] = arrays["groups"][:-1]
        else:
            arrays["content_hash"] = np.array("0" * 64)
        np.savez(path, **arrays)
    assert read_duplicates(dataset) is None
    if damage in ("gone", "cut"):
        phases = {progress.phase for progress in find_duplicates_of(dataset)}
        assert phases == {"comparing"} and found(dataset) == expected


def test_what_version_0_1_0_has_found_is_read_and_renamed(dataset):
    path, expected = dataset.folder / "duplicates.npz", found(dataset)
    path.rename(dataset.folder / "copies.npz")
    assert found(dataset) == expected and list(find_duplicates_of(dataset)) == []
    assert path.exists() and not (dataset.folder / "copies.npz").exists()


def test_a_file_that_would_run_code_is_never_opened(dataset):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        array = io.BytesIO()
        np.save(array, np.array([print], dtype=object), allow_pickle=True)
        archive.writestr("groups.npy", array.getvalue())
        archive.writestr("content_hash.npy", array.getvalue())
    (dataset.folder / "duplicates.npz").write_bytes(buffer.getvalue())
    assert read_duplicates(dataset) is None


def test_breaking_off_leaves_nothing_and_the_next_one_finds_it(dataset):
    (dataset.folder / "duplicates.npz").unlink()
    search = find_duplicates_of(dataset)
    next(search)
    next(search)
    search.close()
    assert not list(stores_root().glob(".staging-*")) and read_duplicates(dataset) is None
    assert list(find_duplicates_of(dataset)) and read_duplicates(dataset) is not None


def test_a_dataset_that_is_deleted_meanwhile_stays_deleted(dataset):
    (dataset.folder / "duplicates.npz").unlink()
    search = find_duplicates_of(dataset)
    next(search)
    delete_dataset("scenes")
    with pytest.raises((RuntimeError, OSError, UserMistake)):  # its pictures are gone
        list(search)
    assert not (datasets_root() / dataset.id).exists()


def test_a_picture_that_can_no_longer_be_read_finely_is_judged_by_what_is_known(dataset):
    (dataset.folder / "duplicates.npz").unlink()
    offset, length = dataset.places[3]
    with (dataset.folder / "pictures.pack").open("r+b") as pack:
        pack.seek(int(offset))
        pack.write(bytes(int(length)))
    list(find_duplicates_of(dataset))
    assert found(dataset) == {("cat/03", "cat/copy"): "cropped"}


def test_the_store_knows_the_groups_and_the_split_keeps_them_together(dataset):
    data = DataConfig(dataset="scenes", duplicates="together")
    first, copy = 3, list(dataset.names).index("cat/copy")
    apart = 0
    for seed in range(12):
        store = load_store(data.model_copy(update={"seed": seed}))
        assert store.groups[copy] == store.groups[first] == 3
        assert sum({first, copy} <= set(rows.tolist()) for rows in store.parts.values()) == 1
        ignored = load_store(data.model_copy(update={"seed": seed, "duplicates": "ignore"}))
        apart += not any({first, copy} <= set(rows.tolist()) for rows in ignored.parts.values())
    assert apart > 0


def test_duplicates_are_searched_only_where_the_split_asks_for_it():
    entries = [(name, class_name, part, encoded(picture)) for name, class_name, part, picture in scenes(5)]
    dataset = finish(import_pictures("scenes", entries, "folder", False))
    load_store(DataConfig(dataset="scenes"))
    load_store(DataConfig(dataset="scenes", duplicates="together", split="paper"))
    assert read_duplicates(dataset) is None
    load_store(DataConfig(dataset="scenes", duplicates="together"))
    assert read_duplicates(find_dataset("scenes")) is not None


def test_more_children_find_the_same(dataset, monkeypatch):
    expected = found(dataset)
    (dataset.folder / "duplicates.npz").unlink()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(duplicates, "BLOCK", 4)  # of the parent alone: work enough for two
    list(find_duplicates_of(dataset))
    assert found(dataset) == expected
