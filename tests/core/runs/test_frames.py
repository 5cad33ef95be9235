"""Runs as DataFrames and as commands: every setting, every row, and the same settings again."""

import shlex

import pytest

from core.cli.app import main
from core.config import change_config
from core.fields import parse_settings
from core.presets import PRESETS
from core.runs.command import train_command
from core.runs.frames import FACTS, rows_frame, runs_frame
from core.submit import choose_config
from tests.tiny import add_colours


def test_every_run_and_every_setting_is_a_line(tiny_run):
    frame = runs_frame()
    (line,) = frame.to_dict("records")
    test = tiny_run.evaluation("test")
    assert line["run"] == tiny_run.id and line["test_accuracy"] == test.accuracy and line["test_n"] == test.n
    assert line["train.learning_rate"] == tiny_run.config.train.learning_rate and line["data.dataset"] == "colours"
    assert str(frame["created"].dtype).startswith("datetime64")


def test_every_row_is_a_line(tiny_run):
    frame = rows_frame([tiny_run])
    assert len(frame) == len(tiny_run.rows())
    epochs = frame[frame.kind == "epoch"]
    assert epochs.train_loss.tolist() == [row.train_loss for row in tiny_run.epochs()]


def test_a_home_without_runs_has_empty_frames(home):
    assert list(runs_frame().columns) == list(FACTS) and not len(rows_frame())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train.augment": ["flip", "cutout"], "model.linear": [], "train.learning_rate": 1e-05, "train.seed": 7},
        {"model.flip_tta": True, "data.test_fraction": 0.3, "train.epochs": 3},
    ],
)
def test_a_command_means_the_same_settings(changes, home):
    add_colours('it\'s <b>"$(x)"</b> 🎨')
    for preset in ("quick", "better", "paper"):
        config = change_config(PRESETS[preset], {"data.dataset": 'it\'s <b>"$(x)"</b> 🎨', **changes})
        words = shlex.split(train_command(config))
        settings = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
        again = choose_config(
            words[words.index("--preset") + 1], words[words.index("--data") + 1], parse_settings(settings)
        )
        assert again == config


def test_a_command_of_a_preset_that_is_gone(home):
    config = PRESETS["quick"].model_copy(update={"preset": "mine"})
    assert "--preset paper" in train_command(config)


def test_the_command_line_prints_it(tiny_run, capsys):
    assert main(["runs", "command", tiny_run.id]) == 0
    assert capsys.readouterr().out.strip() == train_command(tiny_run.config)
