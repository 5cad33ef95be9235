"""measure_leak: learnt by heart and tested on it, against a split that keeps copies together."""

import numpy as np
import pytest
from PIL import Image

from core.data.dataset import import_pictures
from core.experiments.leak import Leak, measure_leak
from tests.pictures import encoded, finish


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))


@pytest.mark.slow
def test_a_leak_shows_where_only_learning_by_heart_can_help():
    # blotches without any meaning in random classes: chance on new ones, and on copies of what was learnt more
    random, entries = np.random.default_rng(0), []
    for i in range(120):
        blotches = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((64, 64), 3)
        for n, content in enumerate((encoded(blotches), encoded(blotches, "JPEG", quality=80))):
            entries.append((f"{i:03}-{n}", ("cat", "dog")[i % 2], None, content))
    finish(import_pictures("noise", entries, "folder", False))
    settings = {"train.epochs": 30, "train.batch_size": 32, "train.learning_rate": 0.05}
    *steps, leak = measure_leak("noise", seeds=2, settings=settings)
    assert isinstance(leak, Leak) and len(steps) == 4
    assert all(25 <= leaked <= 48 for leaked in leak.leaked)  # of 48 test pictures most have their copy in train
    assert leak.accuracy.difference > 0.1 and leak.accuracy.n == 48
    assert np.mean(leak.on_leaked) > 0.75 > np.mean(leak.accuracy.baseline)
    assert leak.to_json()["dataset"] == "noise"
