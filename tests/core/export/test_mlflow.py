"""The tracking folder of MLflow: its files as its own store writes them."""

import json
import re

import pytest

from core.cli.app import main
from core.runs.actions import rename_run


def meta(folder):
    """Its values, which are JSON: YAML but for a pair of escapes that is one character."""
    text = (folder / "meta.yaml").read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)\\ud[89ab]", text)
    lines = text.splitlines()
    return {name: json.loads(value) for name, _, value in (line.partition(": ") for line in lines)}


def test_a_run_is_in_the_layout_of_mlruns(tiny_run, tmp_path):
    rename_run(tiny_run, "a: <b>\nname: x 🎨 \\ud83c")
    assert main(["runs", "export-mlflow", tiny_run.id, "--to", str(tmp_path / "mlruns")]) == 0
    (experiment,) = (tmp_path / "mlruns").iterdir()
    (run,) = (path for path in experiment.iterdir() if path.is_dir())
    assert meta(experiment)["name"] == "colours" and meta(experiment)["experiment_id"] == experiment.name
    found = meta(run)
    assert (
        found["run_name"]
        == "a: <b> name: x 🎨 \\ud83c"
        == (run / "tags" / "mlflow.runName").read_text(encoding="utf-8")
    )
    assert found["run_id"] == found["run_uuid"] == run.name and found["status"] == 3
    assert found["start_time"] <= found["end_time"]
    assert (run / "params" / "train.epochs").read_text() == str(tiny_run.config.train.epochs)
    lines = [line.split() for line in (run / "metrics" / "train_loss").read_text().splitlines()]
    assert [float(value) for _, value, _ in lines] == [row.train_loss for row in tiny_run.epochs()]
    assert [int(step) for *_, step in lines] == [row.step for row in tiny_run.epochs()]
    (last,) = (run / "metrics" / "final_test_accuracy").read_text().splitlines()
    assert float(last.split()[1]) == tiny_run.evaluation("test").accuracy


def test_what_is_there_is_kept(tiny_run, tmp_path, capsys):
    command = ["runs", "export-mlflow", tiny_run.id, "--to", str(tmp_path)]
    assert main(command) == 0 and main(command) == 2
    assert "is in" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["queued"])
def test_a_run_without_rows_is_told(new_run, tmp_path, capsys, state):
    assert main(["runs", "export-mlflow", new_run.id, "--to", str(tmp_path / "to")]) == 2
    assert "no rows yet" in capsys.readouterr().err and not (tmp_path / "to").exists()
