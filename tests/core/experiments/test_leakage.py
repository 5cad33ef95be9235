"""Leakage: tested on duplicates of training pictures, against a split that keeps duplicates together."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.data.imports.pipeline import import_pictures
from core.disk import write_json
from core.experiments.audits.leakage import VERSION, Leakage, measure_leakage, read_leakage, store_leakage
from core.experiments.paired_comparison import compare
from core.progress import Progress
from tests.pictures import encoded, finish
from tests.tiny import add_colours

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.slow
def test_leakage_shows_where_only_learning_by_heart_can_help():
    # blotches without any meaning in random classes: chance on new ones, and more on duplicates of training pictures
    random, entries = np.random.default_rng(0), []
    for i in range(120):
        blotches = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((64, 64), 3)
        for n, content in enumerate((encoded(blotches), encoded(blotches, "JPEG", quality=80))):
            entries.append((f"{i:03}-{n}", ("cat", "dog")[i % 2], None, content))
    finish(import_pictures("noise", entries, "folder", False))
    settings = {"train.epochs": 30, "train.batch_size": 32, "train.learning_rate": 0.05}
    *steps, leakage = measure_leakage("noise", seeds=2, settings=settings)
    assert isinstance(leakage, Leakage) and {step.phase for step in steps} == {
        f"seed {seed}, duplicates {arm}" for seed in (0, 1) for arm in ("together", "ignored")
    }
    assert steps[-1].done == steps[-1].total == 400
    assert all(
        25 <= leaked <= 48 for leaked in leakage.leaked
    )  # of 48 test pictures most have their duplicate in train
    assert leakage.accuracy.difference > 0.1 and leakage.accuracy.n == 48
    assert np.mean(leakage.on_leaked) > 0.75 > np.mean(leakage.accuracy.baseline)
    assert leakage.to_json()["dataset"] == "noise"
    (of_duplicates, n), (of_others, others) = leakage.right_on
    assert n == sum(leakage.leaked) and n + others == 96 and of_duplicates / n > 0.75 > of_others / others


def test_what_was_measured_is_kept_and_read_back_only_for_the_same_pictures(monkeypatch):
    dataset = add_colours()
    measured = Leakage("colours", "quick", compare(12, [0.5, 0.6], [0.7, 0.9]), (0, 3), (math.nan, 1.0), (0.7, 0.8))
    monkeypatch.setattr(
        "core.experiments.audits.leakage.measure_leakage", lambda name: iter([Progress("x", 1, 2, None), measured])
    )
    assert read_leakage(dataset) is None
    assert [step.phase for step in store_leakage(dataset)] == ["x"]
    found = read_leakage(dataset)
    assert found.accuracy == measured.accuracy and found.leaked == (0, 3)
    assert math.isnan(found.on_leaked[0]) and found.right_on == ((3, 3), (15, 21))  # 0.7 of 12 and 0.8 of 9
    assert list(store_leakage(dataset)) == []  # it is known
    assert read_leakage(replace(dataset, content_hash="0" * 64)) is None


def test_a_file_of_version_0_1_0_is_read_until_there_is_a_newer_one(monkeypatch):
    dataset = add_colours()
    former, newer = (
        Leakage("colours", "quick", compare(12, [0.5], [right]), (1,), (1.0,), (0.7,)) for right in (0.7, 0.8)
    )
    head = {"version": VERSION, "content_hash": dataset.content_hash}
    write_json(dataset.folder / "leak.json", head | {"leak": former.to_json()})
    assert read_leakage(dataset) == former and list(store_leakage(dataset)) == []
    write_json(dataset.folder / "leakage.json", head | {"leakage": newer.to_json()})
    assert read_leakage(dataset) == newer
