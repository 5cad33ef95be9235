"""Which model answers for a run: chosen by a person, and then everywhere."""

import json

import pytest

from core.cli.app import main
from core.errors import UserMistake
from core.inference.evaluating import answer_with, evaluate_run
from core.runs.actions import create_run
from core.runs.run import read_run


def test_the_chosen_model_answers_in_every_part_and_measure(tiny_run):
    assert tiny_run.used_model == "last" and tiny_run.has_best_model
    before = tiny_run.evaluation("test")
    steps = list(answer_with(tiny_run, "best"))
    run = read_run(tiny_run.id)
    assert run.used_model == "best" and len(steps) == 6 and run.state.status == tiny_run.state.status
    for part in ("train", "val", "test"):
        for measure in ("evaluation", "paper"):
            assert run.evaluation(part, measure).model == "best"
    test = run.evaluation("test")
    assert run.state.score == (int(test.correct.sum()), test.n)
    assert (evaluate_run(run).probabilities == test.probabilities).all()
    assert list(answer_with(run, "best")) == []  # it does already
    list(answer_with(run, "last"))
    assert (read_run(run.id).evaluation("test").probabilities == before.probabilities).all()


def test_from_the_command_line(tiny_run, capsys):
    assert main(["runs", "answer-with", tiny_run.id, "best", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "best"
    assert main(["runs", "answer-with", tiny_run.id, "worst"]) == 2
    assert "no model 'worst'" in capsys.readouterr().err


def test_a_run_that_has_not_ended_or_has_no_such_model_is_refused(tiny_run):
    waiting = create_run(tiny_run.config, tiny_run.fingerprint, tiny_run.classes)
    with pytest.raises(UserMistake, match="has not ended well"):
        next(answer_with(waiting, "best"))
    for name in ("model-best.safetensors", "model-best.json"):
        (tiny_run.folder / name).unlink()
    with pytest.raises(UserMistake, match="no validation part to judge by"):
        next(answer_with(read_run(tiny_run.id), "best"))
