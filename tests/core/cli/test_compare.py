"""Commands about results: fields that stay, sentences, and the test parts that may be compared."""

import csv
import json
import os
import shutil

import pytest

from core.cli.app import main
from core.data.datasets.dataset import find_dataset
from core.runs.run import read_run
from tests import tiny


@pytest.fixture(scope="module")
def compared_home(home_with_a_run, tmp_path_factory):
    """A home with three runs on one test part, and one on another."""
    home = tmp_path_factory.mktemp("compared") / "home"
    shutil.copytree(home_with_a_run, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home))
        patch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
        runs = [read_run("latest").id]
        runs += [tiny.train_tiny_run(train__seed=seed, train__epochs=1).id for seed in (1, 2)]
        other = tiny.train_tiny_run(data__seed=5, train__epochs=1).id
    return home, runs, other


@pytest.fixture
def command(compared_home, monkeypatch, capsys):
    monkeypatch.setenv("ATELIER_HOME", str(compared_home[0]))

    def run(*arguments: str):
        code = main(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_three_runs_are_compared_pair_by_pair_and_in_tiers(compared_home, command):
    _, runs, _ = compared_home
    code, out, _ = command("compare", *runs, "--json")
    document = json.loads(out)
    assert code == 0 and [one["run"] for one in document["runs"]] == runs
    assert all({"run", "n", "accuracy", "interval", "tier"} == set(one) for one in document["runs"])
    assert [(pair["a"], pair["b"]) for pair in document["pairs"]] == [
        (runs[0], runs[1]),
        (runs[0], runs[2]),
        (runs[1], runs[2]),
    ]
    accuracy = {one["run"]: one["accuracy"] for one in document["runs"]}
    for pair in document["pairs"]:
        assert set(pair) == {"a", "b", "n", "only_a", "only_b", "p_value", "difference", "interval"}
        assert pair["difference"] == pytest.approx(accuracy[pair["b"]] - accuracy[pair["a"]])
        assert pair["interval"][0] <= pair["difference"] <= pair["interval"][1]
    assert "Holm" in document["correction"]
    code, out, _ = command("compare", *runs)
    assert code == 0 and out.count("exact McNemar") == 3 and "Holm" in out


def test_the_same_pictures_in_another_size_are_the_same_test_part(compared_home, command, monkeypatch):
    _, runs, _ = compared_home
    larger = tiny.train_tiny_run(data__image_size=20, train__epochs=1)
    assert command("compare", runs[0], larger.id)[0] == 0
    shutil.rmtree(larger.folder)


def test_other_test_parts_are_refused_in_a_sentence(compared_home, command):
    _, runs, other = compared_home
    code, out, error = command("compare", runs[0], other, "--json")
    assert code == 2 and not out and "other test parts" in error and error.count("\n") == 1
    for names in ([runs[0]], [runs[0], runs[0]]):
        code, _, error = command("compare", *names)
        assert code == 2 and "two or more different runs" in error


def test_the_answers_are_a_line_a_picture_and_add_up_to_the_accuracy(compared_home, command, tmp_path):
    _, runs, _ = compared_home
    path = tmp_path / "answers.csv"
    code, out, _ = command("evaluate", runs[1], "--answers", str(path), "--json")
    document = json.loads(out)
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert code == 0 and list(lines[0]) == ["file", "true", "predicted", "probability"]
    assert len(lines) == document["n"]
    assert sum(line["true"] == line["predicted"] for line in lines) == document["right"]
    assert {line["file"] for line in lines} <= set(find_dataset("colours").names)
    assert all(0.5 <= float(line["probability"]) <= 1 for line in lines)  # of two classes the predicted one has most


def test_answers_that_cannot_be_written_are_a_mistake(compared_home, command, tmp_path):
    code, _, error = command("evaluate", compared_home[1][0], "--answers", str(tmp_path))
    assert code == 2 and "cannot be written" in error and error.count("\n") == 1


def test_findings_are_sentences_with_their_rule_and_figures(compared_home, command):
    _, runs, other = compared_home
    for names in ([runs[0]], [runs[0], runs[1]], [runs[0], other]):
        code, out, _ = command("findings", *names, "--json")
        found = json.loads(out)
        assert code == 0 and 3 <= len(found) <= 7
        assert all(set(one) == {"rule", "sentence", "figures"} for one in found)
    assert "other_test_pictures" in {one["rule"] for one in found}
    code, out, _ = command("findings", runs[0])
    assert code == 0 and out.count("\n") >= 3


def test_findings_about_three_runs_are_refused(compared_home, command):
    code, _, error = command("findings", *compared_home[1])
    assert code == 2 and "one run, or two" in error


def test_cues_are_drops_with_intervals_and_a_verdict(compared_home, command):
    code, out, _ = command("cues", compared_home[1][0], "--json")
    document = json.loads(out)
    assert code == 0 and {"accuracy", "n", "cues", "verdict"} <= set(document) and len(document["cues"]) == 8
    assert all({"cue", "accuracy", "drop", "interval", "control"} == set(one) for one in document["cues"])
    code, out, _ = command("cues", compared_home[1][0])
    assert code == 0 and document["verdict"] in out


TINY = ["--set", "train.epochs=1", "--set", "train.batch_size=8", "--set", "data.image_size=16"]


def test_cross_validation_has_its_folds_and_interval(compared_home, command):
    code, out, _ = command("cross-validate", "--data", "colours", "--folds", "3", *TINY, "--json")
    document = json.loads(out)
    assert code == 0 and set(document) == {"folds", "accuracy", "interval"}
    assert [set(fold) for fold in document["folds"]] == [{"n", "accuracy"}] * 3
    assert sum(fold["n"] for fold in document["folds"]) == 48
    code, out, _ = command("cross-validate", "--data", "colours", "--folds", "3", *TINY)
    assert code == 0 and "Nadeau and Bengio" in out
    code, _, error = command("cross-validate", "--data", "colours", "--folds", "1")
    assert code == 2 and "2 to 20" in error and error.count("\n") == 1


def test_a_curve_has_points_and_what_comes_next(compared_home, command):
    arguments = ("curve", "--data", "colours", "--seeds", "1", *TINY)
    code, out, _ = command(*arguments, "--json")
    document = json.loads(out)
    assert code == 0 and set(document) == {"points", "next"}
    assert all(set(point) == {"pictures", "accuracy", "interval"} for point in document["points"])
    assert set(document["next"]) == {"pictures", "gain", "interval"}
    code, out, _ = command(*arguments)
    assert code == 0 and "are worth about" in out
