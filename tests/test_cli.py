"""The command line: stable JSON fields, exit codes, one sentence for each mistake. Real pictures, a real training."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.__main__ import main
from core.config import RunConfig
from core.probe import answer_probe
from core.runs.probes import next_probe
from core.runs.run import create_run, list_runs, read_run
from core.runs.tickets import add_ticket

ROOT = Path(__file__).resolve().parent.parent
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
        told = capsys.readouterr()
        return code, json.loads(told.out) if "--json" in arguments and told.out else None, told.err

    return run


def test_help_names_every_command_and_comes_without_torch(atelier):
    code = "import sys; from core.__main__ import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    for arguments in (["--help"], ["runs", "list"], ["data", "list"], ["presets", "list"]):
        told = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
        if arguments == ["--help"]:
            words = ("data", "train", "estimate", "find-rate", "runs", "evaluate", "predict", "bench", "presets")
            assert all(word in told.stdout for word in words)


def test_data_copies_names_pairs_conflicts_and_leaks(command, capsys, tmp_path, monkeypatch):
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
    code, told, _ = command("data", "copies", "twice", "--json")
    assert code == 0 and (told["name"], told["pictures"]) == ("twice", 18)
    (group,) = told["groups"]
    assert {name.rsplit("/", 1)[-1] for name in group} == {"0.png", "conflict.jpg", "leak.png"}
    kinds = {pair["kind"] for pair in told["pairs"]}
    assert kinds == {"near", "mirrored"} and set(told["pairs"][0]) == {"first", "second", "kind", "distance"}
    assert {pair["second"]["class"] for pair in told["conflicts"]} | {
        pair["first"]["class"] for pair in told["conflicts"]
    } == {"red", "blue"}
    assert told["leaks"] and all(
        {pair["first"]["part"], pair["second"]["part"]} == {"train", "test"} for pair in told["leaks"]
    )
    assert told["split"]["ignore"] == {"test": 5, "copies_of_train": 1}  # a given test part stays as it is
    assert main(["data", "copies", "twice"]) == 0
    text = capsys.readouterr().out
    assert "in another class" in text and "in another given part" in text


def test_data_show_has_its_stable_fields(command, colours):
    code, told, _ = command("data", "show", colours, "--json")
    assert code == 0 and told["name"] == "colours" and told["classes"] == {"blue": 24, "red": 24}
    assert (told["given"], told["used"], len(told["refused"])) == (49, 48, 1)
    assert told["refused"][0]["name"].endswith("broken.png") and told["refused"][0]["reason"]
    assert sum(told["parts"].values()) == 48 and set(told["parts"]) == {"train", "val", "test"}
    assert len(told["fingerprint"]) == 64
    assert {finding["level"] for finding in told["readiness"]} <= {"blocks", "warns", "fine"}
    assert any("1 of 49 files that were given was refused" in finding["text"] for finding in told["readiness"])


def test_data_shortcuts_tells_scores_with_intervals_and_warns(command, trained, colours, capsys):
    code, told, _ = command("data", "shortcuts", colours, "--json")
    assert code == 0 and [score["name"] for score in told["scores"]] == ["colour", "brightness", "size"]
    assert told["warning"] in ("colour", "brightness") and told["chance"] == 0.5
    assert told["majority"]["n"] == told["of_test"] and len(told["majority"]["interval"]) == 2
    assert told["network"]["run"] == trained
    assert main(["data", "shortcuts", colours]) == 0
    assert "alone tells the classes apart" in capsys.readouterr().out


def test_data_doubtful_names_the_run_and_its_doubts(command, trained, colours):
    code, told, _ = command("data", "doubtful", colours, "--json")
    assert code == 0 and told["run"] == trained and told["dataset"] == "colours"
    assert all(row["given class"] != row["suggested class"] for row in told["doubtful"])


def test_data_list_and_adding_the_same_again(command, colours, pictures):
    code, told, _ = command("data", "add", "colours", "--from", str(pictures), "--json")
    assert code == 0 and told["used"] == 48
    code, told, _ = command("data", "list", "--json")
    assert code == 0 and [dataset["name"] for dataset in told] == ["colours"]


def test_train_evaluate_and_runs_show_agree(command, trained):
    code, told, _ = command("evaluate", trained, "--json")
    assert code == 0 and set(told) == {
        "run",
        "part",
        "measure",
        "n",
        "accuracy",
        "mean_class_accuracy",
        "per_class",
    }
    assert told["run"] == trained and told["n"] == 10 and told["accuracy"] == 1.0  # two colours: learnt or broken
    assert told["per_class"] == {"blue": {"accuracy": 1.0, "n": 5}, "red": {"accuracy": 1.0, "n": 5}}
    code, shown, _ = command("runs", "show", trained[-4:], "--json")
    assert code == 0 and shown["run"] == trained and shown["status"] == "done" and len(shown["epochs_done"]) == 4
    assert told in shown["evaluations"]


def test_train_prints_one_document_and_keeps_progress_off_stdout(command, colours):
    code, told, _ = command("train", "--data", colours, *QUICK, "--set", "train.epochs=1", "--json")
    assert code == 0 and set(told) == {"run", "status", "seconds"}
    assert told["status"] == "done" and told["seconds"] > 0 and read_run(told["run"]).config.train.epochs == 1


def test_before_a_run_its_time_and_a_learning_rate_can_be_asked_for(command, colours, monkeypatch):
    """The supervisor is stood for by this process; test_probe.py has the real one."""
    monkeypatch.setattr("core.runs.queue.ensure_supervisor", lambda: answer_probe(next_probe()))
    monkeypatch.setattr("core.engine.estimate.TIMED_SECONDS", 0.2)
    code, told, _ = command("estimate", "--data", colours, *QUICK, "--set", "train.epochs=7", "--json")
    assert code == 0 and told["parameters"] > 50_000 and told["memory_bytes"] > 0
    assert told["seconds"] == pytest.approx(
        told["start_seconds"] + 7 * told["seconds_per_epoch"] + told["evaluation_seconds"]
    )
    code, told, _ = command("find-rate", "--data", colours, *QUICK, "--json")
    assert code == 0 and told["low"] <= told["suggestion"] <= told["high"]
    assert command("estimate", "--data", colours, *QUICK)[0] == command("find-rate", "--data", colours, *QUICK)[0] == 0


def test_a_question_that_cannot_be_answered_is_a_sentence_and_exit_code_1(command, colours, monkeypatch):
    monkeypatch.setattr("core.runs.queue.ensure_supervisor", lambda: answer_probe(next_probe()))
    code, told, stderr = command("find-rate", "--data", colours, "--set", "train.batch_size=1", "--json")
    assert code == 1 and told is None and "too small" in stderr and "Traceback" not in stderr


def test_an_evaluation_that_is_missing_is_computed_and_kept(command, trained):
    run = read_run(trained)
    before = run.evaluation("test", "paper")
    (run.folder / "evaluation-test-paper.npz").unlink()
    code, told, _ = command(
        "evaluate", "latest" if list_runs()[0].id == trained else trained, "--measure", "paper", "--json"
    )
    assert code == 0 and told["measure"] == "paper" and told["n"] == before.n
    assert (read_run(trained).evaluation("test", "paper").predictions == before.predictions).all()


def test_predict_ranks_the_classes_and_tells_of_a_broken_picture_in_its_row(command, trained, pictures):
    files = [str(pictures / "red" / "03.png"), str(pictures / "red" / "broken.png"), "/no/such.png", str(pictures)]
    code, told, _ = command("predict", trained, *files, "--json")
    assert code == 0 and [row["file"] for row in told] == files
    shares = [answer["probability"] for answer in told[0]["classes"]]
    assert told[0]["classes"][0]["class"] == "red" and shares == sorted(shares, reverse=True)
    assert abs(sum(shares) - 1) < 1e-5 and told[0]["error"] is None
    assert all(row["error"] and row["classes"] == [] for row in told[1:])
    code, told, stderr = command("predict", trained, *files[1:], "--json")
    assert code == 2 and len(told) == 3 and "None of the 3" in stderr


def test_predict_reads_no_device_and_many_files_in_pieces(command, trained, pictures, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")  # reading it would never end
    files = [str(path) for path in sorted((pictures / "red").glob("*.png"))[:5]]
    whole = command("predict", trained, *files, "--json")[1]
    monkeypatch.setattr("core.__main__.PICTURES_AT_ONCE", 2)
    told = command("predict", trained, *files[:3], str(tmp_path / "pipe.png"), *files[3:], "--json")[1]
    assert "device or a pipe" in told.pop(3)["error"] and [row["file"] for row in told] == files
    for row, same in zip(told, whole, strict=True):  # floats sum in another order in another batch
        assert row["classes"][0]["probability"] == pytest.approx(same["classes"][0]["probability"], abs=1e-6)


def test_a_class_without_pictures_has_no_accuracy(command, trained, monkeypatch):
    run = read_run(trained)
    answers = run.evaluation("test")
    none = replace(answers, **{f: getattr(answers, f)[:0] for f in ("indices", "labels", "probabilities")})
    monkeypatch.setattr("core.runs.run.Run.evaluation", lambda *_: none)
    assert command("evaluate", trained)[0] == command("runs", "show", trained)[0] == 0
    code, told, _ = command("evaluate", trained, "--json")
    assert code == 0 and told["accuracy"] is None and told["per_class"]["red"] == {"accuracy": None, "n": 0}


def test_stop_is_said_in_words_and_may_be_repeated(command, colours):
    run = create_run(RunConfig(), "f" * 64, ("a", "b"))
    add_ticket(run.id)
    assert command("runs", "stop", run.id, "--json")[1]["status"] == "stopped"
    code, told, _ = command("runs", "stop", run.id, "--json")
    assert code == 0 and "already ended" in told["message"]


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
        ("data doubtful colours --run nothing", "No such run: 'nothing'"),
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


def test_a_full_disk_is_told_even_where_the_log_is_on_it(command, trained, atelier, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.__main__.list_runs", full)
    code, _, stderr = command("runs", "list")
    assert code == 2 and stderr.startswith("The disk is full") and stderr.count("\n") == 1
    monkeypatch.setattr("core.__main__.list_runs", lambda: 1 / 0)
    monkeypatch.setattr("core.incidents.append_line", full)
    code, _, stderr = command("runs", "list")
    assert code == 1 and "division by zero" in stderr and "No space left" in stderr


def test_ctrl_c_is_exit_code_1_and_a_sentence(command, trained, monkeypatch):
    def press():
        raise KeyboardInterrupt

    monkeypatch.setattr("core.__main__.list_runs", press)
    code, _, stderr = command("runs", "list")
    assert code == 1 and "Broken off by Ctrl-C" in stderr and stderr.count("\n") == 1


def test_a_fault_is_an_incident_number_and_exit_code_1(command, trained, atelier, monkeypatch):
    monkeypatch.setattr("core.__main__.list_runs", lambda: 1 / 0)
    code, _, stderr = command("runs", "list")
    number = stderr.partition("Incident ")[2][:6]
    assert code == 1 and "Traceback" not in stderr
    assert "ZeroDivisionError" in (atelier / "log" / "incidents.jsonl").read_text().partition(number)[2]


def test_sigterm_ends_the_training_in_words_and_keeps_the_model(command, colours):
    def end_it():
        while not any(run.state.status == "running" and run.state.step for run in list_runs()):
            time.sleep(0.02)
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
    process = subprocess.Popen([sys.executable, "-m", "core", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(run.config.train.epochs == 1000 and run.state.step for run in list_runs()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    told = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0 and told["status"] == "stopped"
    run = read_run(told["run"])
    assert run.weights() and run.evaluation("test").n == 10 and run.state.step > 0


def test_names_cannot_steer_the_terminal(trained, tmp_path, capsys):
    path = tmp_path / "a\x1b[31m\n.png"
    path.write_bytes(b"no picture")
    assert main(["predict", trained, str(path)]) == 2
    assert "\x1b" not in capsys.readouterr().out


def test_a_plan_tells_what_an_import_would_bring_and_imports_nothing(command, pictures, colours):
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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rename", "red"], "--rename 'red' should read OLD=NEW"),
        (["--merge", "red+blue"], "--merge 'red+blue' should read A+B=C"),
        (["--leave-out", "green"], "unknown class 'green'; found: blue, red"),
        (["--encoding", "x"], ""),
        (["--merge", "red+blue=x"], "only one class, 'x'"),
    ],
)
def test_a_wrong_choice_is_one_sentence(command, pictures, options, words):
    code, _, said = command("data", "plan", str(pictures), *options)
    assert (code, words in said) == (2 if words else 0, True), said  # folders have no code page
