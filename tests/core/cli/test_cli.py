"""The command line: stable JSON fields, exit codes, one sentence for each mistake. Real pictures, a real training."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from core.cli.app import app, main
from core.cli.output import counted
from core.config import RunConfig
from core.probes.probes import next_probe
from core.probes.worker import answer_probe
from core.runs.actions import create_run
from core.runs.queue_entries import add_queue_entry
from core.runs.run import list_runs, read_run
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = typer.main.get_command(app)
COLOURS = {"red": (200, 40, 30), "blue": (30, 40, 200)}
QUICK = ["--set", "train.epochs=4", "--set", "train.batch_size=8", "--set", "train.learning_rate=0.01"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """48 pictures of two colours, and one that is none."""
    folder = tmp_path_factory.mktemp("two")
    for name, (red, green, blue) in COLOURS.items():
        (folder / name).mkdir()
        for i in range(24):
            Image.new("RGB", (36, 34), (red + i, green + i, blue + i)).save(folder / name / f"{i:02d}.png")
    (folder / "red" / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def atelier(tmp_path_factory):
    """A home of its own for the whole module."""
    home = tmp_path_factory.mktemp("home")
    before = os.environ.get("ATELIER_HOME")
    os.environ["ATELIER_HOME"] = str(home)
    yield home
    os.environ.pop("ATELIER_HOME") if before is None else os.environ.update(ATELIER_HOME=before)


@pytest.fixture(scope="module")
def colours(atelier, pictures):
    """The name of the dataset, added with the command."""
    assert main(["data", "add", "colours", "--from", str(pictures)]) == 0
    return "colours"


@pytest.fixture(scope="module")
def trained(colours):
    """The id of a run, trained with the command in the foreground."""
    assert main(["train", "--data", colours, "--preset", "quick", *QUICK, "--json"]) == 0
    return list_runs()[0].id


@pytest.fixture
def command(atelier, capsys):
    """Run a command; (exit code, its JSON document or None, stderr)."""

    def run(*arguments: str):
        code = main(list(arguments))
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if "--json" in arguments and printed.out else None, printed.err

    return run


def test_help_names_every_command_and_comes_without_torch(atelier):
    code = "import sys; from core.cli.app import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    for arguments in (["--help"], ["runs", "list"], ["data", "list"], ["presets", "list"]):
        ended = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        if arguments == ["--help"]:
            assert all(words[0] in ended.stdout for words in commands())


def commands(group: typer.core.TyperGroup = PROGRAM) -> dict[tuple[str, ...], typer.core.TyperCommand]:
    """The words of every command that is not hidden -> the command."""
    found = {}
    for name, one in group.commands.items():
        below = commands(one) if isinstance(one, typer.core.TyperGroup) else {(): one}
        found |= {(name, *words): command for words, command in below.items() if not one.hidden}
    return found


def readme_lines() -> list[str]:
    section = (ROOT / "README.md").read_text().partition("## Command line")[2].partition("\n## ")[0]
    return [line.strip() for line in section.splitlines() if line.startswith("    python -m core ")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_the_readme_names_every_command(words):
    lines = [line.removeprefix("python -m core ") for line in readme_lines()]
    of_group = [line for line in lines if len(words) == 1 or line.startswith(f"{words[0]} ")]
    assert any(re.search(rf"(?<![\w-]){words[-1]}(?![\w-])", line) for line in of_group), words


@pytest.mark.parametrize("line", readme_lines())
def test_every_line_of_the_readme_is_a_command_with_its_options(line):
    words = shlex.split(line, comments=True)[3:]
    (command,) = (one for path, one in commands().items() if words[: len(path)] == list(path))
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_former_names_of_commands_work_and_are_hidden(command, trained, colours, capsys):
    for group, former, name in (
        ("data", "copies", "duplicates"),
        ("data", "doubtful", "label-issues"),
        ("data", "ledger", "import-log"),
    ):
        assert command(group, former, colours, "--json") == command(group, name, colours, "--json")
        assert (group, name) in commands() and (group, former) not in commands()
    former = command("data", "doubtful", colours, "--unseen", "--json")
    assert former == command("data", "label-issues", colours, "--cross-validated", "--json") and former[1]["unseen"]
    assert main(["bench", "copies", "--help"]) == main(["bench", "duplicates", "--help"]) == 0
    assert ("bench", "duplicates") in commands() and ("bench", "copies") not in commands()


def test_data_duplicates_names_pairs_conflicts_and_leaks(command, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    random = np.random.default_rng(0)
    for part, class_name, count in (("train", "red", 6), ("train", "blue", 6), ("test", "red", 2), ("test", "blue", 2)):
        (tmp_path / "twice" / part / class_name).mkdir(parents=True)
        for i in range(count):
            noise = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            noise.resize((120, 120), Image.Resampling.BICUBIC).save(tmp_path / "twice" / part / class_name / f"{i}.png")
    first = Image.open(tmp_path / "twice" / "train" / "red" / "0.png")
    first.save(tmp_path / "twice" / "train" / "blue" / "conflict.jpg", quality=60)
    first.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "twice" / "test" / "red" / "leak.png")
    assert command("data", "add", "twice", "--from", str(tmp_path / "twice"))[0] == 0
    code, document, _ = command("data", "duplicates", "twice", "--json")
    assert code == 0 and (document["name"], document["pictures"]) == ("twice", 18)
    (group,) = document["groups"]
    assert {name.rsplit("/", 1)[-1] for name in group} == {"0.png", "conflict.jpg", "leak.png"}
    kinds = {pair["kind"] for pair in document["pairs"]}
    assert kinds == {"near", "mirrored"} and set(document["pairs"][0]) == {"first", "second", "kind", "distance"}
    assert {pair["second"]["class"] for pair in document["conflicts"]} | {
        pair["first"]["class"] for pair in document["conflicts"]
    } == {"red", "blue"}
    assert document["leaks"] and all(
        {pair["first"]["part"], pair["second"]["part"]} == {"train", "test"} for pair in document["leaks"]
    )
    assert document["split"]["ignore"] == {"test": 5, "copies_of_train": 1}  # a given test part stays as it is
    assert main(["data", "copies", "twice"]) == 0
    text = capsys.readouterr().out
    assert "in another class" in text and "in another given part" in text


def test_data_show_has_its_stable_fields(command, colours):
    code, document, _ = command("data", "show", colours, "--json")
    assert code == 0 and document["name"] == "colours" and document["classes"] == {"blue": 24, "red": 24}
    assert (document["given"], document["used"], len(document["refused"])) == (49, 48, 1)
    assert document["refused"][0]["name"].endswith("broken.png") and document["refused"][0]["reason"]
    assert sum(document["parts"].values()) == 48 and set(document["parts"]) == {"train", "val", "test"}
    assert len(document["fingerprint"]) == 64
    assert {finding["level"] for finding in document["readiness"]} <= {"blocks", "warns", "fine"}
    assert any("1 of 49 files that were given was refused" in finding["text"] for finding in document["readiness"])


def test_data_shortcuts_prints_scores_with_intervals_and_warns(command, trained, colours, capsys):
    code, document, _ = command("data", "shortcuts", colours, "--json")
    assert code == 0 and [score["name"] for score in document["scores"]] == ["colour", "brightness", "size"]
    assert document["warning"] in ("colour", "brightness") and document["chance"] == 0.5
    assert document["majority"]["n"] == document["of_test"] and len(document["majority"]["interval"]) == 2
    assert document["network"]["run"] == trained
    assert main(["data", "shortcuts", colours]) == 0
    assert "alone tells the classes apart" in capsys.readouterr().out


def test_data_label_issues_names_the_run_and_its_issues(command, trained, colours):
    code, document, _ = command("data", "label-issues", colours, "--json")
    assert code == 0 and document["run"] == trained and document["dataset"] == "colours"
    assert all(row["given class"] != row["suggested class"] for row in document["doubtful"])


def test_data_list_and_adding_the_same_again(command, colours, pictures):
    code, document, _ = command("data", "add", "colours", "--from", str(pictures), "--json")
    assert code == 0 and document["used"] == 48
    code, document, _ = command("data", "list", "--json")
    assert code == 0 and [dataset["name"] for dataset in document] == ["colours"]


def test_train_evaluate_and_runs_show_agree(command, trained):
    code, document, _ = command("evaluate", trained, "--json")
    assert code == 0 and {"run", "model", "part", "measure", "n", "accuracy", "mean_class_accuracy"} <= set(document)
    assert (
        document["run"] == trained and document["n"] == 10 and document["accuracy"] == 1.0
    )  # two colours: learnt or broken
    assert document["interval"] == pytest.approx([0.7225, 1.0], abs=1e-4)  # 10 of 10, Wilson
    same = {"accuracy": 1.0, "n": 5, "right": 5, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert {name: one | {"interval": None} for name, one in document["per_class"].items()} == {
        name: same | {"interval": None} for name in ("blue", "red")
    }
    code, shown, _ = command("runs", "show", trained[-4:], "--json")
    assert code == 0 and shown["run"] == trained and shown["status"] == "done" and len(shown["epochs_done"]) == 4
    assert document in shown["evaluations"]


def test_train_prints_one_document_and_keeps_progress_off_stdout(command, colours):
    code, document, _ = command("train", "--data", colours, *QUICK, "--set", "train.epochs=1", "--json")
    assert code == 0 and set(document) == {"run", "status", "seconds"}
    assert (
        document["status"] == "done" and document["seconds"] > 0 and read_run(document["run"]).config.train.epochs == 1
    )


def test_before_a_run_its_time_and_a_learning_rate_can_be_asked_for(command, colours, monkeypatch):
    """The supervisor is stood for by this process; test_probe.py has the real one."""
    monkeypatch.setattr("core.runs.queue.ensure_supervisor", lambda: answer_probe(next_probe()))
    monkeypatch.setattr("core.engine.estimate.TIMED_SECONDS", 0.2)
    code, document, _ = command("estimate", "--data", colours, *QUICK, "--set", "train.epochs=7", "--json")
    assert code == 0 and document["parameters"] > 50_000 and document["memory_bytes"] > 0
    assert document["seconds"] == pytest.approx(
        document["start_seconds"] + 7 * document["seconds_per_epoch"] + document["evaluation_seconds"]
    )
    code, document, _ = command("find-rate", "--data", colours, *QUICK, "--json")
    assert code == 0 and document["low"] <= document["suggestion"] <= document["high"]
    assert command("estimate", "--data", colours, *QUICK)[0] == command("find-rate", "--data", colours, *QUICK)[0] == 0


def test_a_question_that_cannot_be_answered_is_a_sentence_and_exit_code_1(command, colours, monkeypatch):
    monkeypatch.setattr("core.runs.queue.ensure_supervisor", lambda: answer_probe(next_probe()))
    code, document, stderr = command("find-rate", "--data", colours, "--set", "train.batch_size=1", "--json")
    assert code == 1 and document is None and "too small" in stderr and "Traceback" not in stderr


def test_an_evaluation_that_is_missing_is_computed_and_kept(command, trained):
    run = read_run(trained)
    before = run.evaluation("test", "paper")
    (run.folder / "evaluation-test-paper.npz").unlink()
    code, document, _ = command(
        "evaluate", "latest" if list_runs()[0].id == trained else trained, "--measure", "paper", "--json"
    )
    assert code == 0 and document["measure"] == "paper" and document["n"] == before.n
    assert (read_run(trained).evaluation("test", "paper").predictions == before.predictions).all()


def test_runs_list_has_the_test_accuracy(command, trained, capsys, monkeypatch):
    (row,) = (row for row in command("runs", "list", "--all", "--json")[1] if row["run"] == trained)
    assert row["accuracy"] == read_run(trained).evaluation("test").accuracy == 1.0
    assert main(["runs", "list", "--all"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert "test" in head and any(trained in line and "100.00%" in line for line in lines)


@pytest.mark.parametrize("pasted", ["{}", "\u2060{}\u2060", "{}\u200b", "\ufeff{} ", "col\u2060ours"])
def test_invisible_characters_in_names_are_forgiven(command, trained, colours, pasted):
    assert command("data", "show", pasted.format(colours))[0] == 0
    assert command("runs", "show", pasted.replace("col\u2060ours", "\u2060{}").format(trained))[0] == 0


def test_predict_ranks_the_classes_and_names_a_broken_picture_in_its_row(command, trained, pictures):
    files = [str(pictures / "red" / "03.png"), str(pictures / "red" / "broken.png"), "/no/such.png"]
    code, document, stderr = command("predict", trained, *files, "--json")
    assert code == 1 and stderr.endswith("2 of 3 pictures could not be read.\n")  # progress may stand before it
    assert [row["file"] for row in document] == files
    shares = [answer["probability"] for answer in document[0]["classes"]]
    assert document[0]["classes"][0]["class"] == "red" and shares == sorted(shares, reverse=True)
    assert abs(sum(shares) - 1) < 1e-5 and document[0]["error"] is None
    assert all(row["error"] and row["classes"] == [] for row in document[1:])
    code, document, stderr = command("predict", trained, *files[1:], "--json")
    assert code == 2 and len(document) == 2 and "None of the 2" in stderr
    assert command("predict", trained, files[0])[0] == 0


def test_predict_takes_a_folder_for_the_pictures_in_it(command, trained, pictures, tmp_path):
    red, inner = pictures / "red" / "03.png", tmp_path / "new" / "inner"
    (inner / ".hidden").mkdir(parents=True)
    for name in ("b.png", "a.png", "no_ending", ".hidden/x.png", "Thumbs.db"):
        shutil.copy(red, inner / name)
    (tmp_path / "new" / "notes.txt").write_text("no picture")
    (inner / "loop").symlink_to(tmp_path / "new")
    code, document, _ = command("predict", trained, str(tmp_path / "new"), str(red), "--json")
    assert code == 0 and [row["file"] for row in document] == [
        *(str(inner / name) for name in ("a.png", "b.png", "no_ending")),
        str(red),
    ]
    (inner / "broken.jpg").write_bytes(b"no picture")
    code, document, stderr = command("predict", trained, str(inner), "--json")
    assert code == 1 and "1 of 4" in stderr and [row["error"] is None for row in document].count(False) == 1
    (tmp_path / "empty").mkdir()
    code, document, _ = command("predict", trained, str(tmp_path / "empty"), "--json")
    assert code == 2 and document[0]["error"] == "is a folder without pictures"


def test_predict_reads_no_device_and_many_files_in_pieces(command, trained, pictures, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")  # reading it would never end
    files = [str(path) for path in sorted((pictures / "red").glob("*.png"))[:5]]
    at_once = command("predict", trained, *files, "--json")[1]
    monkeypatch.setattr("core.cli.many_answers.PICTURES_AT_ONCE", 2)
    document = command("predict", trained, *files[:3], str(tmp_path / "pipe.png"), *files[3:], "--json")[1]
    assert "device or a pipe" in document.pop(3)["error"] and [row["file"] for row in document] == files
    for row, same in zip(document, at_once, strict=True):  # floats sum in another order in another batch
        assert row["classes"][0]["probability"] == pytest.approx(same["classes"][0]["probability"], abs=1e-6)


def test_a_class_without_pictures_has_no_accuracy(command, trained, monkeypatch):
    run = read_run(trained)
    answers = run.evaluation("test")
    none = replace(answers, **{f: getattr(answers, f)[:0] for f in ("indices", "labels", "probabilities")})
    monkeypatch.setattr("core.runs.run.Run.evaluation", lambda *_: none)
    assert command("evaluate", trained)[0] == command("runs", "show", trained)[0] == 0
    code, document, _ = command("evaluate", trained, "--json")
    assert code == 0 and document["accuracy"] is None
    assert {"accuracy": None, "n": 0, "precision": None}.items() <= document["per_class"]["red"].items()


def test_stop_is_a_sentence_and_may_be_repeated(command, colours):
    run = create_run(RunConfig(), "f" * 64, ("a", "b"))
    add_queue_entry(run.id)
    assert command("runs", "stop", run.id, "--json")[1]["status"] == "stopped"
    code, document, _ = command("runs", "stop", run.id, "--json")
    assert code == 0 and "already ended" in document["message"]


def test_a_dataset_in_use_is_not_deleted(command, colours, pictures):
    assert command("data", "add", "spare", "--from", str(pictures), "--twice")[0] == 0
    config = RunConfig.model_validate({"data": {"dataset": "spare"}})
    run = create_run(config, "f" * 64, ("a", "b"))
    code, _, stderr = command("data", "delete", "spare")
    assert code == 2 and run.id in stderr
    command("runs", "stop", run.id)
    assert command("data", "delete", "spare", "--json")[1] == {"deleted": "spare"}
    assert command("data", "show", "spare")[0] == 2 and command("data", "show", colours)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("data add nothing", "'nothing' needs --from"),
        ("data add x --from /no/such/folder", "'/no/such/folder' is not there"),
        ("data show nothing", "unknown dataset 'nothing'; known: colours"),
        ("data shortcuts nothing", "unknown dataset 'nothing'"),
        ("data label-issues colours --run nothing", "No such run: 'nothing'"),
        ("train --data nothing", "unknown dataset 'nothing'"),
        ("train --data colours --preset vgg", "unknown preset 'vgg'; known: paper"),
        ("train --data colours --set train.epochs", "is not a setting"),
        ("train --data colours --set train.epoch=3", "unknown setting 'train.epoch'"),
        ("train --data colours --set train.learning_rate=nan", "train.learning_rate"),
        ("runs show nothing", "No such run: 'nothing'"),
        ("runs show ../../etc/passwd", "No such run"),
        ("evaluate latest --part middle", "parts: train, val, test"),
        ("evaluate latest --measure best", "measures: evaluation, paper"),
        ("predict nothing x.png", "No such run"),
        ("nonsense", "No such command"),
        ("train", "Missing option '--data'. See python -m core train --help"),
        ("reproduce --seeds x", "Invalid value for '--seeds'"),
        ("runs --json list", "write --json behind list"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(command, trained, arguments, sentence):
    code, _, stderr = command(*arguments.split())
    assert code == 2 and sentence in stderr and stderr.count("\n") == 1


def test_a_home_where_no_folder_can_be_made_is_a_mistake(command, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "file" / "home"))
    for arguments in (["runs", "stop", "latest"], ["data", "add", "sample-objects"], ["runs", "list"]):
        code, _, stderr = command(*arguments)
        assert code in (0, 2) and stderr.count("\n") == (code == 2), arguments
    assert "name another folder in ATELIER_HOME" in command("data", "add", "sample-objects")[2]


def test_a_home_that_is_no_path_is_a_mistake(command, tmp_path, monkeypatch):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for home in ("~nosuchuser/x", str(tmp_path / "a" / "x"), "x" * 5000):
        monkeypatch.setenv("ATELIER_HOME", home)
        code, _, stderr = command("runs", "list")
        assert code == 2 and stderr.endswith("name another folder in ATELIER_HOME\n") and stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("sweep run --data colours --field train.learning_rate --budget nan", "nan is no number"),
        ("sweep run --data colours --field train.learning_rate --budget 1e309", "inf is no number"),
        ("experiment run --data colours --switch flip --budget inf", "inf is no number"),
        ("runs empty-trash --days nan", "--days"),
        ("bench features colours --backbone BAD", "unknown pretrained network 'BAD'"),
        (f"data plan {'x' * 5000}", "is no path on this machine: file name too long"),
        (f"data export colours {'y' * 300}.zip", "is no path on this machine"),
        ("data add x --from a\0b", "embedded null byte"),
    ],
)
def test_what_is_no_number_or_no_path_is_one_sentence(command, colours, arguments, sentence):
    code, _, stderr = command(*arguments.split(" "))
    assert code == 2 and sentence in stderr and stderr.count("\n") == 1 and len(stderr) < 300


def test_a_name_of_sixty_emoji_is_exported(command, tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    name = "\U0001f98a" * 60
    for folder, red in ((name, 200), (name[:-1] + "x", 20)):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (36, 34), (red, i, 9)).save(tmp_path / "in" / folder / f"{i}.png")
    assert command("data", "add", name, "--from", str(tmp_path / "in"))[0] == 0
    code, document, stderr = command("data", "export", name, str(tmp_path / f"{name}.zip"), "--json")
    assert code == 0 and document["pictures"] == 4 and (tmp_path / f"{name}.zip").exists(), stderr


def test_a_full_disk_is_reported_even_where_the_log_is_on_it(command, trained, atelier, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.cli.runs.scan_runs", full)
    code, _, stderr = command("runs", "list")
    assert code == 2 and stderr.startswith("The disk is full") and stderr.count("\n") == 1
    monkeypatch.setattr("core.cli.runs.scan_runs", lambda folders: 1 / 0)
    monkeypatch.setattr("core.incidents.append_line", full)
    code, _, stderr = command("runs", "list")
    assert code == 1 and "division by zero" in stderr and "No space left" in stderr


def test_ctrl_c_is_exit_code_1_and_a_sentence(command, trained, monkeypatch):
    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("core.cli.runs.scan_runs", press)
    code, _, stderr = command("runs", "list")
    assert code == 1 and "Broken off by Ctrl-C" in stderr and stderr.count("\n") == 1


def test_a_fault_is_an_incident_number_and_exit_code_1(command, trained, atelier, monkeypatch):
    monkeypatch.setattr("core.cli.runs.scan_runs", lambda folders: 1 / 0)
    code, _, stderr = command("runs", "list")
    number = stderr.partition("Incident ")[2][:6]
    assert code == 1 and "Traceback" not in stderr
    assert "ZeroDivisionError" in (atelier / "log" / "incidents.jsonl").read_text().partition(number)[2]


def test_sigterm_ends_the_training_with_a_sentence_and_keeps_the_model(command, colours):
    def end_it():
        wait_until(lambda: any(run.state.status == "running" and run.state.step for run in list_runs()))
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_it, daemon=True).start()
    code, _, stderr = command("train", "--data", colours, "--set", "train.epochs=1000")
    run = read_run("latest")
    assert code == 1 and run.state.status == "stopped" and run.weights() and run.evaluation("test").n == 10
    assert stderr.endswith(
        f"Ended by SIGTERM; run {run.id} keeps what it had learnt. To go on: python -m core runs resume {run.id}\n"
    )


@pytest.mark.slow  # imports torch in a process of its own
def test_ctrl_c_stops_the_training_and_keeps_the_model(colours, atelier):
    arguments = ["train", "--data", colours, "--set", "train.epochs=1000", "--json"]
    before = {run.id for run in list_runs()}  # the test of SIGTERM may have left one of 1,000 epochs, too
    process = subprocess.Popen([sys.executable, "-m", "core", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: process.poll() is not None or any(r.id not in before and r.state.step for r in list_runs()))
    process.send_signal(signal.SIGINT)
    document = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert process.returncode == 0 and document["status"] == "stopped"
    run = read_run(document["run"])
    assert run.weights() and run.evaluation("test").n == 10 and run.state.step > 0


def test_names_cannot_steer_the_terminal(trained, tmp_path, capsys):
    path = tmp_path / "a\x1b[31m\n.png"
    path.write_bytes(b"no picture")
    assert main(["predict", trained, str(path)]) == 2
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_names_that_the_output_lacks_end_no_command(atelier, pictures, tmp_path, monkeypatch, encoding):
    for name, of in (("\u8d64", "red"), ("\u7dd1", "blue")):
        shutil.copytree(pictures / of, tmp_path / "in" / name)
    written = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2)]
    monkeypatch.setattr("sys.stdout", written[0])
    monkeypatch.setattr("sys.stderr", written[1])
    assert main(["data", "plan", str(tmp_path / "in")]) == 0
    assert main(["data", "show", "\u8d64"]) == 2
    for stream in written:
        stream.flush()
        text = stream.buffer.getvalue().decode(encoding)
        assert ("\u8d64" if encoding == "utf-8" else r"\u8d64") in text and "Incident" not in text


def test_a_plan_shows_what_an_import_would_bring_and_imports_nothing(command, pictures, colours):
    before = len(command("data", "list", "--json")[1])
    code, plan, _ = command("data", "plan", str(pictures), "--json")
    assert code == 0 and plan["classes"] == {"blue": 24, "red": 24}
    assert (plan["given"], plan["pictures"], plan["same_as"]) == (49, 48, colours)
    assert [(skip["count"], skip["names"]) for skip in plan["skipped"]] == [(1, ["red/broken.png"])]
    assert len(command("data", "list", "--json")[1]) == before


def test_classes_are_renamed_merged_and_left_out_on_the_way_in(command, atelier, pictures, tmp_path, capsys):
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (36, 34), (i, ord(name), 9)).save(tmp_path / name / f"{i}.png")
    options = ["--merge", "a+b=ab", "--rename", "c=sea", "--leave-out", "d"]
    code, plan, _ = command("data", "plan", str(tmp_path), *options, "--json")
    assert code == 0 and plan["classes"] == {"ab": 6, "sea": 3} and plan["trouble"] is None
    code, dataset, _ = command("data", "add", "letters", "--from", str(tmp_path), *options, "--json")
    assert code == 0 and dataset["classes"] == plan["classes"] and dataset["given"] == plan["given"] == 12


def test_a_plan_says_what_is_a_guess_and_one_option_decides(command, tmp_path, capsys):
    for place, folder in enumerate(("old/a", "old/b", "new/a", "new/b")):
        (tmp_path / folder).mkdir(parents=True)
        for i in (1, 2):
            Image.new("RGB", (36, 34), (i, place, 9)).save(tmp_path / folder / f"{i}.png")
    code, plan, _ = command("data", "plan", str(tmp_path), "--json")
    assert code == 0 and plan["classes"] == {"new": 4, "old": 4} and "hold the same folders" in plan["guess"]
    assert main(["data", "plan", str(tmp_path)]) == 0 and "--class-folders inner decides" in capsys.readouterr().out
    code, dataset, _ = command("data", "add", "halves", "--from", str(tmp_path), "--class-folders", "inner", "--json")
    assert code == 0 and dataset["classes"] == {"a": 4, "b": 4}


@pytest.mark.parametrize(
    ("options", "classes"),
    [
        (["--rename", "red==1+1"], {"=1+1", "a=b", "d", "c++"}),
        (["--rename", "a=b=c=d"], {"red", "c=d", "d", "c++"}),
        (["--merge", "c+++d=x=y"], {"red", "a=b", "x=y"}),
        (["--merge", "a=b+c++=x"], {"red", "d", "x"}),
        (["--rename", "d=x"], {"red", "a=b", "c++", "x"}),
    ],
)
def test_names_may_hold_the_signs_of_the_options(command, tmp_path, options, classes):
    for name in ("red", "a=b", "c++", "d"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("RGB", (36, 34), (i, len(name), 9)).save(tmp_path / name / f"{i}.png")
    code, plan, _ = command("data", "plan", str(tmp_path), *options, "--json")
    assert code == 0 and set(plan["classes"]) == classes, plan["classes"]


def test_one_is_no_plural(command, pictures, tmp_path, capsys):
    main(["data", "plan", str(pictures), "--merge", "red+blue=x"])
    assert "Found 2 folders, one for each class" in capsys.readouterr().out
    assert counted(1, "class", "classes") == "1 class" and counted(1_200, "picture") == "1,200 pictures"
    (tmp_path / "only" / "cat").mkdir(parents=True)
    Image.new("RGB", (36, 34)).save(tmp_path / "only" / "cat" / "0.png")
    main(["data", "plan", str(tmp_path / "only")])
    out = capsys.readouterr().out
    assert "Found 1 folder, one" in out and "1 given = 1 picture (" in out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rename", "red"], "--rename 'red' should read OLD=NEW"),
        (["--merge", "red+blue"], "--merge 'red+blue' should read A+B=C"),
        (["--leave-out", "green"], "unknown class 'green'; found: blue, red"),
        (["--encoding", "x"], ""),
        (["--class-folders", "x"], "unknown --class-folders 'x'; known: auto, outer, inner"),
        (["--merge", "red+blue=x"], "only one class, 'x'"),
    ],
)
def test_a_wrong_class_mapping_is_one_sentence(command, pictures, options, sentence):
    code, _, stderr = command("data", "plan", str(pictures), *options)
    assert (code, sentence in stderr) == (2 if sentence else 0, True), stderr  # folders have no code page
