"""Samples: drawn by the program, the same for the same seed, and not separable by their mean colour."""

import io

import numpy as np
import pytest
from PIL import Image

from core.config import change_config
from core.data.datasets.dataset import find_dataset, list_datasets
from core.data.imports import samples
from core.data.imports.samples import SAMPLES, draw_picture, import_sample
from core.data.pictures import child
from core.data.store.store import load_store
from core.errors import UserMistake
from core.presets import preset
from core.runs.actions import create_run
from core.runs.run import read_run


def picture(name: str, class_name: str, i: int) -> Image.Image:
    return Image.open(io.BytesIO(draw_picture(name, class_name, i)))


@pytest.mark.parametrize("name", SAMPLES)
def test_same_seed_same_bytes_and_another_seed_another_picture(name):
    for class_name in SAMPLES[name].counts:
        again = [draw_picture(name, class_name, 3, seed=7) for _ in range(2)]
        assert again[0] == again[1] != draw_picture(name, class_name, 3, seed=8)


def test_artworks_are_jpegs_of_400_pixels_in_unequal_classes():
    drawn = picture("sample-artworks", "noir", 0)
    assert (drawn.format, drawn.size, drawn.mode) == ("JPEG", (400, 400), "RGB")
    assert SAMPLES["sample-artworks"].counts == {"cartoon": 360, "cyberpunk": 420, "noir": 300}


def test_objects_are_pngs_of_32_pixels_in_ten_classes():
    drawn = picture("sample-objects", "star", 0)
    assert (drawn.format, drawn.size, drawn.mode) == ("PNG", (32, 32), "RGB")
    assert len(SAMPLES["sample-objects"].counts) == 10


def test_mean_colour_alone_does_not_separate_the_styles_apart():
    n, classes = 30, list(SAMPLES["sample-artworks"].counts)
    means = np.array([[np.asarray(picture("sample-artworks", c, i)).mean((0, 1)) for i in range(n)] for c in classes])
    centres = means[:, : n // 2].mean(1)  # the nearest class centre, learnt on one half and asked about the other
    distances = np.linalg.norm(means[:, n // 2 :, None] - centres, axis=-1)
    right = (distances.argmin(-1) == np.arange(3)[:, None]).mean()
    assert right < 0.75


def test_an_unknown_sample_is_refused_with_the_known_ones():
    with pytest.raises(UserMistake, match=r"unknown sample 'faces'; known: sample-artworks, sample-objects"):
        next(import_sample("faces"))


def test_an_import_brings_every_picture_and_says_that_it_was_drawn(home):
    last = list(import_sample("sample-objects"))[-1]
    dataset = find_dataset("sample-objects")
    assert last.dataset == dataset
    assert (dataset.source, dataset.drawn, dataset.given, dataset.used) == ("samples", True, 3000, 3000)
    assert dataset.class_counts == SAMPLES["sample-objects"].counts
    i = list(dataset.names).index("star/star-0007.png")
    assert dataset.original(i) == draw_picture("sample-objects", "star", 7)


def test_a_cancelled_import_leaves_neither_pictures_nor_processes(home, monkeypatch):
    started = []
    popen = child.subprocess.Popen
    monkeypatch.setattr(child.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    work = import_sample("sample-artworks")
    while next(work).done == 0:
        pass
    work.close()
    assert started and all(process.poll() is not None for process in started)
    assert list_datasets() == []
    assert not [path for path in (home / "datasets").iterdir() if path.is_dir()]


def test_a_child_that_dies_is_a_fault_and_not_an_empty_dataset(home, monkeypatch):
    monkeypatch.setattr(child.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="ended before its work was done"):
        list(samples._drawn_in_parallel("sample-objects", 0))


@pytest.mark.nightly  # a minute: both sample sets drawn whole, and learnt from
def test_the_papers_network_learns_the_styles(home):
    from core.train import train_run

    list(import_sample("sample-artworks"))
    config = change_config(
        preset("quick"), {"data.dataset": "sample-artworks", "train.epochs": 25, "train.batch_size": 64}
    )
    store = load_store(config.data)
    run = create_run(config, store.fingerprint, store.classes)
    train_run(run.folder)
    answers = read_run(run.id).evaluation("test")
    assert answers is not None and answers.n == 216  # a fifth of 1,080
    assert 0.85 <= answers.accuracy < 1.0
