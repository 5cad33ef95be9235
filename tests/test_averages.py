"""Averages: against numpy on everything at once, and on pictures whose mean is known by eye."""

import numpy as np

from core.data import averages
from core.data.averages import measure_averages


def test_means_and_deviations_are_those_of_all_pixels():
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 8, 8), np.uint8)
    labels = np.arange(50) % 3
    found = measure_averages(images, labels, 3)
    for label in range(3):
        np.testing.assert_allclose(found.pictures[label], images[labels == label].mean(axis=0) / 255)
        np.testing.assert_allclose(found.colours[label], images[labels == label].mean(axis=(0, 2, 3)) / 255)
    np.testing.assert_allclose(found.mean, images.mean(axis=(0, 2, 3)) / 255)
    np.testing.assert_allclose(found.std, images.std(axis=(0, 2, 3)) / 255)
    assert found.counts.tolist() == [17, 17, 16] and found.n == 50


def test_one_colour_has_no_deviation_and_an_empty_class_no_picture():
    images = np.full((4, 3, 8, 8), 255, np.uint8)
    found = measure_averages(images, np.zeros(4, np.int64), 2)
    assert found.mean.tolist() == [1, 1, 1] and found.std.tolist() == [0, 0, 0]
    assert found.colours.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_of_very_many_pictures_evenly_spaced_ones_are_looked_at(monkeypatch):
    monkeypatch.setattr(averages, "MOST", 10)
    images = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), np.uint8)
    found = measure_averages(images, np.zeros(100, np.int64), 1)
    assert found.n == 10 and abs(found.mean[0] * 255 - 49.5) < 1
