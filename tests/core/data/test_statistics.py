"""Dataset statistics: against numpy on everything at once, and on pictures whose mean is known by eye."""

import numpy as np
import psutil

from core.data.quality import statistics
from core.data.quality.statistics import measure_statistics
from core.data.storage import copy_rows


def test_means_and_deviations_are_those_of_all_pixels():
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 8, 8), np.uint8)
    labels = np.arange(50) % 3
    found = measure_statistics(images, labels, 3)
    for label in range(3):
        np.testing.assert_allclose(found.mean_pictures[label], images[labels == label].mean(axis=0) / 255)
        np.testing.assert_allclose(found.mean_colours[label], images[labels == label].mean(axis=(0, 2, 3)) / 255)
    np.testing.assert_allclose(found.mean, images.mean(axis=(0, 2, 3)) / 255)
    np.testing.assert_allclose(found.std, images.std(axis=(0, 2, 3)) / 255)
    assert found.counts.tolist() == [17, 17, 16] and found.n == 50


def test_one_colour_has_no_deviation_and_an_empty_class_no_picture():
    images = np.full((4, 3, 8, 8), 255, np.uint8)
    found = measure_statistics(images, np.zeros(4, np.int64), 2)
    assert found.mean.tolist() == [1, 1, 1] and found.std.tolist() == [0, 0, 0]
    assert found.mean_colours.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_of_very_many_pictures_evenly_spaced_ones_are_measured(monkeypatch):
    monkeypatch.setattr(statistics, "MOST", 10)
    images = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), np.uint8)
    found = measure_statistics(images, np.zeros(100, np.int64), 1)
    assert found.n == 10 and abs(found.mean[0] * 255 - 49.5) < 1


def test_a_store_that_was_measured_does_not_stay_in_memory(tmp_path):
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (20_000, 3, 32, 32))
    images.flush()
    del images
    mapped, process = np.load(tmp_path / "images.npy", mmap_mode="r"), psutil.Process()
    before = process.memory_info().rss
    measure_statistics(mapped, np.arange(20_000) % 2, 2)
    assert process.memory_info().rss - before < 30 * 2**20  # of 59 MB; one piece is 6


def test_rows_of_a_map_are_those_of_the_array(tmp_path):
    for array in (np.arange(500 * 192, dtype=np.uint8).reshape(500, 3, 8, 8), np.ones((500, 7), np.float32).cumsum(0)):
        np.save(tmp_path / "array.npy", array)
        mapped = np.load(tmp_path / "array.npy", mmap_mode="r")
        for rows in ([], [499], [0, 1, 2], [7, 8, 3, 3, 4, 499, 0], list(range(500))):
            chosen = np.array(rows, np.int64)
            np.testing.assert_array_equal(copy_rows(mapped, chosen), array[chosen])
