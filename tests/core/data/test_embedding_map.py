"""The map: like pictures near each other, by whatever they are compared; kept, and made anew when it must be."""

import numpy as np
import pytest
from PIL import Image

from core.data.datasets.dataset import find_dataset
from core.data.imports.pipeline import import_pictures
from core.data.pictures.preprocess import Preprocess
from core.data.quality.embedding_map import FEWEST, NEAR, describe_appearance, make_map, read_map
from tests.pictures import encoded, finish
from tests.tiny import add_colours, train_tiny_run

pytestmark = pytest.mark.usefixtures("home")


def drawn(dataset, *arguments):
    phases = [progress.phase for progress in make_map(dataset, *arguments)]
    found = read_map(dataset, *arguments[2:])
    assert found is not None
    return found, phases


def test_two_colours_are_two_heaps_and_every_neighbour_is_of_the_same():
    dataset = add_colours()
    found, phases = drawn(dataset)
    assert phases == ["reading", "placing", "placing", "placing", "placing"]
    labels = dataset.labels[found.rows]
    assert found.places.shape == (48, 2) and found.places.min() == 0 and found.places.max() == 1
    assert found.near.shape == (48, NEAR) and found.count_same_class(labels) == (48 * NEAR, 48 * NEAR)
    middles = np.stack([found.places[labels == label].mean(axis=0) for label in (0, 1)])
    away = np.linalg.norm(found.places[:, None] - middles, axis=2)
    assert (away.argmin(axis=1) == labels).all()


def test_it_is_made_once_and_again_where_the_file_is_damaged():
    dataset = add_colours()
    first, _ = drawn(dataset)
    assert list(make_map(dataset)) == []
    path = dataset.folder / "map-looks.npz"
    path.write_bytes(path.read_bytes()[:-200])
    assert read_map(dataset) is None
    again, _ = drawn(dataset)
    assert np.array_equal(first.near, again.near)


def test_of_many_a_sample_is_laid_out_the_same_one_every_time(monkeypatch):
    monkeypatch.setattr("core.data.quality.embedding_map.MOST", 20)
    dataset = add_colours()
    rows = drawn(dataset)[0].rows
    (dataset.folder / "map-looks.npz").unlink()
    assert len(rows) == 20 and np.array_equal(rows, drawn(dataset)[0].rows)


@pytest.mark.parametrize("count", [4, FEWEST - 1, FEWEST])
def test_few_pictures_have_a_map_too(count):
    entries = [
        (f"{i}.png", "ab"[i % 2], None, encoded(Image.new("RGB", (20, 20), (20 * i, 0, 0)))) for i in range(count)
    ]
    found, _ = drawn(finish(import_pictures("few", iter(entries), "zip", False)))
    assert len(found.rows) == count and np.isfinite(found.places).all()


def test_looks_weigh_colours_and_shapes_alike():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), np.uint8)
    features = describe_appearance(images)
    assert features.shape == (5, 256)
    for part in (features[:, :64], features[:, 64:]):
        assert np.allclose(np.linalg.norm(part, axis=1), 1)


def test_a_run_has_a_map_of_its_own_of_what_its_last_layer_is_given():
    from core.inference.features import load_features

    add_colours()
    run = train_tiny_run()
    dataset, features = find_dataset("colours"), load_features(run)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), np.uint8)
    assert features(pictures).shape == (5, 84)  # of the paper's network: 120, 84, classes
    assert np.allclose(features(pictures)[:2], features(pictures[:2]), atol=1e-4)  # each picture by itself
    found, _ = drawn(dataset, features, Preprocess.model_validate(run.card().preprocess), run.id)
    assert (dataset.folder / f"map-{run.id}.npz").exists() and read_map(dataset) is None
    same, n = found.count_same_class(dataset.labels[found.rows])
    assert same == n == 48 * NEAR
