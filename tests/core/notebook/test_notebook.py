"""Notes and guesses are kept line by line; a guess is scored beside the interval; damage costs its own line."""

import json

import numpy as np
import pytest

from core.cli.app import main
from core.errors import UserMistake
from core.experiments.ablation.actions import create_experiment
from core.experiments.ablation.components import find_components
from core.experiments.ablation.spec import plan_experiment
from core.notebook.notebook import (
    check_experiment_guess,
    notebook_path,
    read_notebook,
    write_experiment_guess,
    write_note,
    write_run_guess,
)
from core.notebook.scoring import count_guesses, score_guess, summarize
from core.runs.run import open_run
from core.runs.state import replace_state, write_state
from tests.tiny import new_run


def finished(run, like, seconds):
    """The run with the answers of another one, and a time."""
    for name in ("evaluation-test.npz", "manifest.json"):
        (run.folder / name).write_bytes((like.folder / name).read_bytes())
    write_state(run.folder, replace_state(run.state, status="starting"))
    write_state(run.folder, replace_state(run.state, status="done", seconds=seconds))
    return open_run(run.folder)


def test_a_guess_is_scored_beside_the_interval(tiny_run):
    run = new_run()
    waiting = score_guess(write_run_guess(run, "+2 points, slower"))
    assert (waiting.outcome, waiting.is_open, count_guesses([waiting])) == ("not known yet", True, "1 open")
    write_run_guess(run, "no difference, as fast")
    write_run_guess(run, "100 %")
    write_run_guess(run, "3 %")
    finished(run, tiny_run, tiny_run.state.seconds + 60)
    more, same, all_right, few = map(score_guess, read_notebook().about(run.id))
    low, high = more.interval
    assert more.difference == 0 and low < 0 < high
    assert (more.is_right, more.is_inside, more.is_time_right) == (None, low <= 2 <= high, True)
    assert (same.is_right, same.is_inside, same.is_time_right) == (True, None, False)
    test = open_run(run.folder).evaluation("test")
    assert all_right.is_inside == (test.interval[1] >= 1) and few.is_inside is (test.interval[0] <= 0.03)
    assert summarize([more, same]).startswith("1 of 1 directions right")
    assert (more.came_true, same.came_true, few.came_true) == (None, True, few.is_inside) and not more.is_open
    assert count_guesses([more]) == "1, none of them decided" and count_guesses([more, same]) == "1 of 1 right"


def test_a_guess_after_the_outcome_is_refused_and_one_with_nothing_to_compare_too(tiny_run, home):
    with pytest.raises(UserMistake, match="before the outcome"):
        write_run_guess(tiny_run, "+2 points")


def test_the_same_guess_is_kept_once(tiny_run):
    run = new_run()
    write_run_guess(run, "+2 points")
    write_run_guess(run, "+2 points")
    assert len(read_notebook().guesses) == 1


def test_a_guess_about_a_component(tiny_run):
    plan = plan_experiment(tiny_run.config, find_components(["flip", "label_smoothing"]), 1)
    assert check_experiment_guess("Flip: worse", plan.variants)[1] == "flip"
    with pytest.raises(UserMistake, match="which component"):
        check_experiment_guess("worse", plan.variants)
    with pytest.raises(UserMistake, match="a difference is guessed"):
        check_experiment_guess("flip: 70 %", plan.variants)
    guess = write_experiment_guess(create_experiment(plan), "label smoothing: +1 point, as fast")
    assert (guess.component, guess.points, guess.pace) == ("label_smoothing", 1.0, "same")
    assert score_guess(guess).verdict == "no outcome yet"


def test_what_is_damaged_costs_its_own_lines_only(home):
    home.mkdir()
    write_note("one")
    with notebook_path().open("ab") as file:
        file.write(b'\xff\xfe\n{"kind": "guess"}\n[1]\n{"kind": "note", "at": "never", "text": "x"}\n')
        file.write(b"[" * 50_000 + b"\n" + b'{"kind": "note", "at": "2026-01-01T00:00:00", "te')  # cut off
    write_note("two <script> العربية 🎨")
    found = read_notebook()
    assert [entry.text for entry in found.entries] == ["one", "two <script> العربية 🎨"] and found.damaged == 6


def test_what_is_no_note_is_told(home):
    for text in (" ", "x" * 5_001):
        with pytest.raises(UserMistake):
            write_note(text)
    assert not notebook_path().exists()


def test_a_guess_about_what_is_gone_has_no_outcome(tiny_run):
    guess = write_run_guess(new_run(), "+2 points").model_copy(update={"about": "zzzz"})
    assert "is gone" in score_guess(guess).outcome


def test_the_command_line_keeps_and_scores(tiny_run, capsys):
    settings = [
        f"--set=data.{field}={getattr(tiny_run.config.data, field)}" for field in ("image_size", "test_fraction")
    ]
    command = ["train", "--data", "colours", "--preset", "quick", "--set=train.epochs=1", *settings]
    assert main([*command, "--guess", "rubbish"]) == 2
    assert main([*command, "--guess", "-50 points, faster"]) == 0
    assert main(["notebook", "note", "first day"]) == 0
    capsys.readouterr()
    assert main(["notebook", "show", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (guess,) = document["guesses"]
    assert document["notes"][0]["text"] == "first day" and guess["points"] == -50 and np.isfinite(guess["difference"])
    assert main(["notebook"]) == 0
    assert "first day" in capsys.readouterr().out
