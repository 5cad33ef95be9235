"""What runs are called beside each other: by what a person called them, else by what differs."""

from dataclasses import replace

from core.config import RunConfig, change_config
from core.runs.naming import name_runs, with_names
from core.runs.run import Marks, Run
from core.runs.state import RunState


def run(run_id, created="2026-01-02T03:04:05+00:00", preset="quick", **changes) -> Run:
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    config = change_config(RunConfig(preset=preset), {"data.dataset": "artworks", **dotted})
    return Run(run_id, None, config, created, "f" * 64, ("a", "b"), RunState())


def names(*runs):
    return list(name_runs(runs).values())


def test_one_run_of_its_kind_is_called_after_preset_and_dataset():
    assert names(run("a" * 12), run("b" * 12, preset="better")) == ["Quick · artworks", "Better · artworks"]


def test_runs_of_a_kind_are_called_by_the_settings_that_differ_and_the_seed_last():
    one, other = run("a" * 12, train__seed=1), run("b" * 12, train__seed=2, train__epochs=1)
    assert names(one, other) == ["Quick · artworks · 50 epochs · seed 1", "Quick · artworks · 1 epoch · seed 2"]
    sgd, adam = run("a" * 12), run("b" * 12, train__optimizer="adam", train__learning_rate=0.01)
    assert names(sgd, adam)[1] == "Quick · artworks · learning rate 0.01 · Adam"


def test_runs_that_differ_in_nothing_have_their_time_and_at_last_their_id():
    earlier, later = run("a" * 12), run("b" * 12, created="2026-01-02T09:00:00+00:00")
    assert names(earlier, later) == ["Quick · artworks · 2026-01-02 03:04", "Quick · artworks · 2026-01-02 09:00"]
    twins = names(run("a" * 12), run("b" * 12))
    assert [name[-7:] for name in twins] == [" · aaaa", " · bbbb"]
    assert len(set(names(run("aaaaaaaa1111"), run("bbbbbbbb1111")))) == 2


def test_what_learns_is_said_in_plain_words():
    changes = {"model__name": "transfer", "model__backbone": "c" * 12}
    runs = [run("a" * 12, **changes), run("b" * 12, **changes, model__trainable="all")]
    assert [one.title for one in with_names(runs)] == [
        "Quick · artworks · last layer only",
        "Quick · artworks · all layers",
    ]


def test_a_title_stays_and_a_title_twice_is_told_apart():
    titled = [replace(run(run_id * 12), marks=Marks(title="mine")) for run_id in "ab"]
    assert names(titled[0], run("c" * 12)) == ["mine", "Quick · artworks"]
    assert len(set(names(*titled))) == 2
    assert name_runs([]) == {}


def test_at_most_three_differences_are_in_a_name():
    changes = {"train__epochs": 7, "train__learning_rate": 0.5, "train__batch_size": 8, "train__momentum": 0.1}
    assert names(run("a" * 12), run("b" * 12, **changes))[1].count(" · ") == 4
