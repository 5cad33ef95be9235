"""A store is opened in milliseconds, found by its fingerprint, and made again where it is missing or damaged."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config import DataConfig
from core.data.datasets import dataset as datasets
from core.data.imports.pipeline import import_dataset
from core.data.storage import store_folder
from core.data.store import batches
from core.data.store.store import (
    build_store,
    count_parts,
    load_store,
    open_store,
    read_fingerprint,
    store_fingerprint,
)
from core.errors import UserMistake
from core.runs.actions import resume_run
from core.runs.run import open_run
from core.settings import stores_root
from core.train import train_rows, train_run
from tests import tiny
from tests.pictures import finish, png, two_classes, write_zip

DATA = DataConfig(dataset="animals")


@pytest.fixture(autouse=True)
def animals(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    return finish(import_dataset("animals", write_zip(tmp_path / "a.zip", two_classes(20))))


def test_the_default_store_is_there_after_the_import(animals):
    store = load_store(DATA)
    assert len(list(stores_root().glob("[0-9a-f]*"))) == 1
    assert store.images.shape == (40, 3, 32, 32) and store.images.dtype == np.uint8
    assert isinstance(store.images, np.memmap) and not store.images.flags.writeable
    assert store.classes == ("cat", "dog") and store.dataset == "animals"
    assert store.labels.dtype == np.int64 and store.groups.tolist() == list(range(40))
    assert {part: len(indices) for part, indices in store.parts.items()} == {"train": 28, "val": 4, "test": 8}


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_another_size_or_fit_is_another_store_with_the_same_pictures(animals, fit):
    store = load_store(DATA.model_copy(update={"image_size": 20, "fit": fit}))
    assert store.images.shape == (40, 3, 20, 20) and store.fingerprint != load_store(DATA).fingerprint
    for i in (0, 19, 39):
        picture = Image.open(io.BytesIO(animals.original(i)))
        assert np.array_equal(store.images[i], store.preprocess.receive(picture))


def test_one_store_serves_every_split():
    first = load_store(DATA)
    other = load_store(DATA.model_copy(update={"seed": 5, "split": "paper", "balance": "smallest"}))
    assert first.fingerprint == other.fingerprint
    assert not np.array_equal(first.parts["test"], other.parts["test"])
    assert len(list(stores_root().glob("*/images.npy"))) == 1


def test_building_reports_how_far_it_is_and_what_is_there_is_not_made_again(animals):
    data = DATA.model_copy(update={"image_size": 24})
    reports = list(build_store(animals, data))
    assert reports[0].total == 40 and reports[-1].phase == "done" and reports[-1].done == 40
    assert [report.phase for report in build_store(animals, data)] == ["done"]


@pytest.mark.parametrize("damage", ["missing", "short", "no description"])
def test_a_damaged_store_is_made_again(damage):
    store = load_store(DATA)
    expected, folder = np.array(store.images), store_folder(store.fingerprint)
    if damage == "missing":
        (folder / "images.npy").unlink()
    elif damage == "short":
        (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:-1])
    else:
        (folder / "store.json").write_text("{")
    assert np.array_equal(load_store(DATA).images, expected)


def test_a_picture_that_can_no_longer_be_read_is_left_out_by_name(animals):
    index = np.load(animals.folder / "index.npy")
    with (animals.folder / "pictures.pack").open("r+b") as pack:
        pack.seek(int(index["offset"][3]))
        pack.write(b"damage")
    data = DATA.model_copy(update={"image_size": 24})
    for store in (load_store(data), load_store(data)):
        assert len(store.images) == len(store.labels) == len(store.names) == 39
        assert store.refused[-1].name == "cat/003.png" and "cat/003.png" not in store.names
        picture = Image.open(io.BytesIO(animals.original(4)))
        assert np.array_equal(store.images[3], store.preprocess.receive(picture))


def test_closing_early_leaves_nothing_and_the_next_one_builds(animals):
    data = DATA.model_copy(update={"image_size": 24})
    building = build_store(animals, data)
    next(building)
    building.close()
    assert not list(stores_root().glob(".staging-*"))
    assert load_store(data).images.shape == (40, 3, 24, 24)


def test_two_processes_that_want_one_store_make_it_once():
    code = (
        "from core.config import DataConfig; from core.data.store.store import load_store\n"
        "store = load_store(DataConfig(dataset='animals', image_size=40)); print(store.images.sum(), store.fingerprint)"
    )
    root = Path(__file__).resolve().parents[3]
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    answers = {worker.communicate()[0] for worker in both}
    assert len(answers) == 1 and [worker.returncode for worker in both] == [0, 0]


def test_who_waits_for_another_process_says_so_and_gives_signs_of_life(animals, monkeypatch):
    monkeypatch.setattr("core.data.storage.WAITING_SECONDS", 0.05)
    data = DATA.model_copy(update={"image_size": 24})
    building, reports = build_store(animals, data), []
    next(building)  # this one is at it
    waiting = build_store(animals, data)
    reports += [next(waiting) for _ in range(3)]
    assert [report.phase for report in reports] == ["waiting"] * 3
    list(building)
    assert [report.phase for report in waiting] == ["done"]  # it was made meanwhile, and not again
    assert load_store(data).images.shape == (40, 3, 24, 24)


def test_who_stops_waiting_leaves_the_lock_to_its_owner(animals, monkeypatch):
    monkeypatch.setattr("core.data.storage.WAITING_SECONDS", 0.05)
    data = DATA.model_copy(update={"image_size": 24})
    building, waiting = build_store(animals, data), build_store(animals, data)
    next(building), next(waiting)
    waiting.close()
    assert next(build_store(animals, data)).phase == "waiting"
    assert list(building)[-1].phase == "done"


def test_an_unknown_dataset_is_a_mistake():
    with pytest.raises(UserMistake, match="unknown dataset 'plants'"):
        load_store(DataConfig(dataset="plants"))


def test_opening_reads_no_names_and_decodes_nothing(animals, monkeypatch):
    monkeypatch.setattr("core.data.store.store.decode", None)
    store = load_store(DATA)
    (animals.folder / "names.jsonl").write_text("")
    with pytest.raises(UserMistake, match=r"names.jsonl in .* is damaged"):
        store.names[0]


def test_a_store_of_the_same_pictures_has_the_same_fingerprint_wherever_they_came_from(tmp_path):
    files = {"wrapper/" + name: content for name, content in two_classes(20).items()}
    finish(import_dataset("again", write_zip(tmp_path / "b.zip", files)))
    assert load_store(DATA).fingerprint == load_store(DataConfig(dataset="again")).fingerprint
    finish(import_dataset("other", write_zip(tmp_path / "c.zip", {**two_classes(20), "cat/x.png": png(1)})))
    assert load_store(DATA).fingerprint != load_store(DataConfig(dataset="other")).fingerprint


def test_pictures_that_are_cut_short_under_a_training_end_it_in_words_and_come_back(monkeypatch):
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
    run = tiny.new_run(data__dataset="animals", data__image_size=32)
    images, whole = store_folder(run.fingerprint) / "images.npy", 128 + 40 * 3 * 32 * 32
    rows = train_rows(run.folder)
    next(rows)
    os.truncate(images, 5000)
    with pytest.raises(UserMistake, match="cut short while they were read"):
        list(rows)
    state = open_run(run.folder).state
    assert state.status == "failed" and f"(5,000 of {whole:,} bytes are left)" in state.message
    train_run(resume_run(open_run(run.folder), *read_fingerprint(run.config.data)).folder)
    assert open_run(run.folder).state.status == "done" and images.stat().st_size == whole


def test_pictures_that_are_deleted_under_a_training_stay_until_it_has_ended(monkeypatch):
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
    run = tiny.new_run(data__dataset="animals", data__image_size=32)
    rows = train_rows(run.folder)
    next(rows)
    (store_folder(run.fingerprint) / "images.npy").unlink()
    assert len(list(rows)) and open_run(run.folder).state.status == "done"


def test_the_dataset_of_a_run_is_resolved_once(monkeypatch):
    run, resolved = tiny.new_run(data__dataset="animals", data__image_size=32), []
    find = datasets.find_dataset
    for module in ("core.train", "core.data.store.store", "core.data.datasets.dataset"):
        monkeypatch.setattr(f"{module}.find_dataset", lambda name: resolved.append(name) or find(name))
    listed, every = [], datasets.scan_datasets
    monkeypatch.setattr(datasets, "scan_datasets", lambda: listed.append(1) or every())
    train_run(run.folder)
    assert open_run(run.folder).state.status == "done" and resolved == ["animals"] and len(listed) == 1


def test_a_store_of_a_dataset_that_is_at_hand_does_not_search_it_again(animals, monkeypatch):
    monkeypatch.setattr(datasets, "scan_datasets", None)
    assert open_store(animals, DATA).fingerprint == store_fingerprint(animals, DATA)
    assert count_parts(animals, DATA) == {"train": 28, "val": 4, "test": 8}
