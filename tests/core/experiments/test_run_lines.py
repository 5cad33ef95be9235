"""What a table of runs says: fields that differ, seeds together, best and last value, size and speed."""

import json

import pytest

from core.config import change_config
from core.experiments.run_lines import differing, group_seeds, measure_run, setting_of
from core.runs.actions import create_run


def other(run, **changes):
    return create_run(change_config(run.config, changes), run.fingerprint, run.classes)


def test_only_fields_that_differ_and_act_are_columns(tiny_run):
    assert differing([tiny_run]) == []
    runs = [tiny_run, other(tiny_run, **{"train.learning_rate": 0.2, "model.channels": "8,8"})]
    assert differing(runs) == ["train.learning_rate"]  # the paper's network has channels of its own
    family = [other(tiny_run, **{"model.name": "cnn", "model.channels": one}) for one in ("6,16", "8,8")]
    assert differing([tiny_run, *family]) == ["model.name", "model.channels"]
    assert setting_of(tiny_run, "model.channels") is None and setting_of(family[1], "model.channels") == (8, 8)


def test_runs_that_differ_in_the_seed_alone_are_one_group(tiny_run):
    seeds = [tiny_run, *(other(tiny_run, **{"train.seed": seed}) for seed in (1, 2))]
    others = [other(tiny_run, **{"train.epochs": 9})]
    scores = dict(zip([run.id for run in seeds], [(6, 10), (8, 10), (0, 0)], strict=True))
    three, one = group_seeds([*seeds, *others], scores)
    assert three.runs == tuple(seeds) and three.mean == pytest.approx(0.7)
    assert three.spread == pytest.approx(0.02**0.5)  # of 0.6 and 0.8
    assert (one.mean, one.spread) == (None, None)


def test_best_and_last_value_speed_and_size_come_from_the_files(tiny_run):
    found = measure_run(tiny_run)
    epochs = tiny_run.epochs()
    assert found.last == epochs[-1].val_accuracy
    assert found.best == max(row.val_accuracy for row in epochs)
    assert found.best_epoch == next(row.epoch for row in epochs if row.val_accuracy == found.best)
    assert found.parameters == sum(
        value.size
        for name, value in tiny_run.weights(tiny_run.used_model).items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    )
    assert found.pictures_a_second == sorted(row.images_per_second for row in epochs)[1]
    assert found.seconds == tiny_run.state.process_seconds > 0


def test_without_rows_or_with_damaged_ones_there_is_nothing_to_say(tiny_run):
    (tiny_run.folder / "rows.jsonl").write_text('{"train_accuracy": 0.5\n' + json.dumps({"train_accuracy": "x"}) + "\n")
    (tiny_run.folder / "model.safetensors").write_bytes(b"no model")
    found = measure_run(tiny_run)
    assert (found.best, found.last, found.pictures_a_second) == (None, None, None)
