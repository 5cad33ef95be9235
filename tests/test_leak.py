"""measure_leak: learnt by heart and tested on it, against a split that keeps copies together."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.data.dataset import Progress, import_pictures
from core.experiments.leak import Leak, keep_leak, measure_leak, read_leak
from core.experiments.pairs import compare
from tests.pictures import encoded, finish
from tests.tiny import add_colours


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
    assert isinstance(leak, Leak) and {step.phase for step in steps} == {
        f"seed {seed}, copies {told}" for seed in (0, 1) for told in ("together", "ignored")
    }
    assert steps[-1].done == steps[-1].total == 400
    assert all(25 <= leaked <= 48 for leaked in leak.leaked)  # of 48 test pictures most have their copy in train
    assert leak.accuracy.difference > 0.1 and leak.accuracy.n == 48
    assert np.mean(leak.on_leaked) > 0.75 > np.mean(leak.accuracy.baseline)
    assert leak.to_json()["dataset"] == "noise"
    (of_copies, n), (of_others, others) = leak.right_on
    assert n == sum(leak.leaked) and n + others == 96 and of_copies / n > 0.75 > of_others / others


def test_what_was_measured_is_kept_and_read_back_only_for_the_same_pictures(monkeypatch):
    dataset = add_colours()
    measured = Leak("colours", "quick", compare(12, [0.5, 0.6], [0.7, 0.9]), (0, 3), (math.nan, 1.0), (0.7, 0.8))
    monkeypatch.setattr("core.experiments.leak.measure_leak", lambda name: iter([Progress("x", 1, 2, None), measured]))
    assert read_leak(dataset) is None
    assert [step.phase for step in keep_leak(dataset)] == ["x"]
    found = read_leak(dataset)
    assert found.accuracy == measured.accuracy and found.leaked == (0, 3)
    assert math.isnan(found.on_leaked[0]) and found.right_on == ((3, 3), (15, 21))  # 0.7 of 12 and 0.8 of 9
    assert list(keep_leak(dataset)) == []  # it is known
    assert read_leak(replace(dataset, content_hash="0" * 64)) is None
