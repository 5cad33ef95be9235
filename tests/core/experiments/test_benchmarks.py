"""The benches' own arithmetic: runs an hour, and the table of two worlds; what they measure takes minutes."""

from dataclasses import replace

import pytest

from core.config import change_config
from core.errors import UserMistake
from core.experiments.benchmarks import transfer
from core.experiments.benchmarks.parallel_runs import ParallelRuns, bench_parallel_runs
from core.experiments.benchmarks.transfer import Reached, collect, to_markdown, ways
from core.probes.at_once import AtOnce


def test_runs_an_hour_are_worked_out_by_hand():
    found = ParallelRuns(2, 2, (100.0, 140.0), (60.0, 60.0), (0.1, 0.2), AtOnce(2, 1.9, 2))
    assert found.ratio == 2.0
    assert found.to_json()["runs_an_hour"] == pytest.approx(60.0)  # 4 runs in 240 s
    assert found.to_json()["runs_an_hour_at_once"] == pytest.approx(120.0)


def test_on_one_core_there_is_nothing_to_compare(tiny_run):
    with pytest.raises(UserMistake, match="one core"):
        next(bench_parallel_runs(tiny_run.config))


def test_each_world_learns_from_scratch_from_the_other_and_from_pretrained_networks():
    titles = [f"{way.dataset}: {way.title}" for way in ways(["a", "b"], ["squeezenet1_0"])]
    assert titles == [
        "a: quick, from scratch",
        "a: quick of b, frozen",
        "a: quick of b, fine-tuned",
        "a: SqueezeNet 1.0 (ImageNet), frozen",
        "b: quick, from scratch",
        "b: quick of a, frozen",
        "b: quick of a, fine-tuned",
        "b: SqueezeNet 1.0 (ImageNet), frozen",
    ]
    assert ways(["a"], ["squeezenet1_0"], fine_tune=True)[-1].title == "SqueezeNet 1.0 (ImageNet), fine-tuned"


def test_what_was_not_trained_is_said_and_what_was_stands_with_its_difference(tiny_run, monkeypatch):
    scratch, frozen = ways(["colours"], ["squeezenet1_0"])
    assert "| quick, from scratch | 0 | not measured |" in to_markdown(collect([scratch], 2))
    monkeypatch.setattr(transfer, "seconds_of", lambda run: 12.0)
    table = to_markdown([Reached(scratch, (tiny_run,)), Reached(frozen, (tiny_run, tiny_run))])
    accuracy = 100 * tiny_run.evaluation("test").accuracy
    assert f"| quick, from scratch | 1 | {accuracy:.2f} |  | 12.0 |  |" in table
    assert f"| SqueezeNet 1.0 (ImageNet), frozen | 2 | {accuracy:.2f} ± 0.00 | +0.00 | 12.0 ± 0.0 |  |" in table
    assert "### colours, 12 test pictures" in table


def test_the_pass_that_the_first_seed_makes_for_all_is_told_apart(tiny_run, monkeypatch):
    (scratch,) = ways(["colours"], [])
    first = replace(tiny_run, state=tiny_run.state.model_copy(update={"backbone_seconds": 500.0}))
    monkeypatch.setattr(transfer, "seconds_of", lambda run: 12.0 + run.state.backbone_seconds)
    assert "| 12.0 ± 0.0 | 500.0 (once) |" in to_markdown([Reached(scratch, (first, tiny_run))])


def test_only_a_run_with_these_very_settings_counts(tiny_run, monkeypatch):
    monkeypatch.setattr(transfer, "_config", lambda way, seed: change_config(tiny_run.config, {"train.seed": seed}))
    (found,) = collect(ways(["colours"], [])[:1], 3)
    assert [run.id for run in found.runs] == [tiny_run.id]
