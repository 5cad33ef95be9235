"""The whole of CIFAR-10 through its own door, where $ATELIER_REAL_DATA names the folder of cifar10.zip."""

import os
from pathlib import Path

import numpy as np
import pytest

from core.config import DataConfig
from core.data.cifar import import_cifar10
from core.data.store import load_store

HERE = Path(os.environ.get("ATELIER_REAL_DATA", "nowhere"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HERE.is_dir(), reason="ATELIER_REAL_DATA is not set")]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))


def test_all_of_cifar10_is_used_and_its_test_part_is_kept():
    dataset = list(import_cifar10(HERE / "cifar10.zip"))[-1].dataset
    assert (dataset.given, dataset.used, dataset.refused) == (60_000, 60_000, ())
    assert set(dataset.class_counts.values()) == {6_000}
    store = load_store(DataConfig(dataset="cifar10", val_fraction=0.1))
    assert {part: len(rows) for part, rows in store.parts.items()} == {"train": 45_000, "val": 5_000, "test": 10_000}
    test = store.parts["test"]
    assert (np.bincount(store.labels[test]) == 1_000).all()
    # the mean colour of all training pictures, as published for CIFAR-10: 0.4914, 0.4822, 0.4465
    learnt = np.concatenate([store.parts["train"], store.parts["val"]])
    assert np.allclose(store.images[learnt].mean((0, 2, 3)) / 255, [0.4914, 0.4822, 0.4465], atol=2e-4)
