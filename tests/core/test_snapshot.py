"""Snapshot: a network in training, to bytes and back."""

import numpy as np
import pytest

from core.snapshot import Snapshot


def snapshot(step: int = 7, pictures: int = 3, classes: int = 2) -> Snapshot:
    shares = np.random.default_rng(step).dirichlet(np.ones(classes), pictures).astype(np.float32)
    filters = np.random.default_rng(step).normal(size=(6, 3, 3, 3)).astype(np.float32)
    labels = np.arange(pictures) % classes
    return Snapshot("val", 2, step, np.arange(pictures) * 5, labels, shares, filters, filters - 1)


def test_a_snapshot_comes_back_from_its_bytes():
    one = snapshot()
    other = Snapshot.from_bytes(one.to_bytes())
    assert (other.part, other.epoch, other.step) == ("val", 2, 7)
    for name in ("indices", "labels", "probabilities", "filters", "first_filters"):
        assert np.array_equal(getattr(other, name), getattr(one, name))
        assert getattr(other, name).dtype == getattr(one, name).dtype


def test_five_hundred_classes_and_no_convolution_are_kept_too():
    nothing = np.zeros((0, 0, 0, 0), np.float32)
    one = Snapshot("test", 1, 0, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 500)), nothing, nothing)
    assert Snapshot.from_bytes(one.to_bytes()).probabilities.shape == (0, 500)
    assert len(snapshot(pictures=12, classes=500).to_bytes()) < 40_000  # rewritten every two seconds


def test_a_pickle_is_not_opened():
    import io

    buffer = io.BytesIO()
    np.savez(buffer, part=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        Snapshot.from_bytes(buffer.getvalue())
