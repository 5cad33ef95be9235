"""What people do to runs: marks of their own, the trash and the way back, the next attempt. Without training."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.cli.app import main
from core.config import RunConfig
from core.disk import write_json
from core.errors import UserMistake
from core.locks import give_back
from core.runs.actions import (
    ask_to_stop,
    clone_config,
    create_run,
    delete_run,
    empty_trash,
    hide_run,
    list_deleted,
    note_run,
    rename_run,
    restore_run,
    resume_run,
    star_run,
    trash_bytes,
)
from core.runs.checkpoint import read_checkpoint, write_checkpoint
from core.runs.process import ProcessMark, read_launch, work_lock, write_launch
from core.runs.queue import submit
from core.runs.queue_entries import waiting_ids
from core.runs.run import list_runs, open_run, read_run
from core.runs.writer import RunWriter, mark_ended
from core.settings import calibrations_root, novelty_root, runs_root, trash_root
from tests.core.runs.test_run import card, evaluation, row

pytestmark = pytest.mark.usefixtures("home")

ROOT = Path(__file__).resolve().parents[3]
FINGERPRINT = "f" * 64


def ended(run, status: str = "stopped"):
    """The run with a model, answers and a checkpoint of 3 steps, ended as `status`."""
    writer = RunWriter(run.folder)
    writer.starting()
    writer.running(epoch=1, step=3)
    writer.append(row(3))
    writer.save_model({"w": np.ones(2, np.float32)}, card())
    writer.save_checkpoint(3, {"epoch": 1, "pictures": 10}, {"w": np.ones(2, np.float32)})
    writer.save_evaluation(evaluation())
    if status in ("done", "stopped"):
        writer.finish(status)
    elif status == "lost":
        write_launch(run.folder, ProcessMark(1, "gone"), role="worker", attempt=1)
        give_back(work_lock(run.folder))  # as the end of its process does
    else:
        mark_ended(run.folder, status, "The reason.")
    return open_run(run.folder)


def test_people_name_star_note_and_hide_runs(run):
    assert rename_run(run, "  The  one\nwith noise ").title == "The one with noise"
    star_run(run)
    note_run(run, "line one  \n\x1b[31mline two")
    again = hide_run(run)
    assert again.marks.model_dump() == {
        "title": "The one with noise",
        "star": True,
        "note": "line one\n [31mline two",
        "hidden": True,
    }
    assert list_runs() == [again]  # hiding is for the lists of pages and commands
    star_run(run, False), hide_run(run, False), note_run(run, "")
    assert rename_run(run, "") == run


@pytest.mark.parametrize(
    "name", ["../x", "<img src=x onerror=alert(1)>", "\u202egnp.exe", "日" * 80, "=1+1", "a\0b", "🎨"]
)
def test_any_title_is_kept_as_text_on_one_line(run, name):
    title = rename_run(run, name).title
    assert "\u202e" not in title and "\0" not in title and len(title) <= 80
    assert read_run(run.id).title == title and [path.name for path in runs_root().iterdir()] == [run.id]


def test_titles_and_notes_have_their_limits(run):
    with pytest.raises(UserMistake, match="may have 80 characters; this one has 81"):
        rename_run(run, "x" * 81)
    with pytest.raises(UserMistake, match="may have 10,000 characters"):
        note_run(run, "x" * 10_001)
    assert read_run(run.id) == run


def test_damaged_marks_do_not_hide_the_run(run):
    rename_run(run, "a name")
    (run.folder / "marks.json").write_text('{"title": ')
    assert read_run(run.id) == run
    assert star_run(run).marks.star


@pytest.mark.parametrize("status", ["done", "stopped", "failed", "lost"])
def test_a_run_that_ended_is_deleted_and_restored_whole(run, status):
    before = ended(run, status)
    files = {path.name: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    delete_run(before)
    assert list_runs() == [] and not run.folder.exists() and [gone.id for gone in list_deleted()] == [run.id]
    with pytest.raises(UserMistake, match="No such run"):
        read_run(run.id)
    back = restore_run(run.id[-4:])
    assert back == before and back.state.status == status and back.weights() and list_deleted() == []
    assert files == {path.name: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}


def test_a_waiting_run_is_cancelled_with_its_deletion(run):
    submit(run)
    delete_run(run)
    assert waiting_ids() == [] and restore_run("latest").state.message == "Cancelled before it started."


def test_a_run_that_trains_is_not_deleted(run):
    writer = RunWriter(run.folder)
    for begin in (writer.starting, writer.running):
        begin()
        with pytest.raises(UserMistake, match=r"is training\. Stop it first"):
            delete_run(run)
    writer.finish("done")
    delete_run(run)


def test_a_run_that_the_supervisor_has_just_taken_is_not_deleted(run):
    RunWriter(run.folder)
    write_launch(run.folder, read_launch(run.folder).process, "worker", 1)
    with pytest.raises(UserMistake, match="is training"):
        delete_run(run)


def test_nothing_is_overwritten_on_the_way_to_the_trash_or_back(run):
    ended(run)
    shutil.copytree(run.folder, trash_root() / run.id)
    with pytest.raises(UserMistake, match="in the trash already"):
        delete_run(run)
    with pytest.raises(UserMistake, match="is there already"):
        restore_run(run.id)
    assert run.folder.exists() and (trash_root() / run.id).exists()


def test_the_trash_is_emptied_for_good_and_nothing_else_with_it(run, home):
    assert empty_trash() == 0
    delete_run(ended(run))
    other = create_run(RunConfig(), FINGERPRINT, ("a", "b"))
    (trash_root() / "keep.txt").write_text("not a run")
    (trash_root() / ".emptied-mwua8a9l871n").mkdir()  # one that was killed while it emptied
    assert empty_trash() == 2
    assert [path.name for path in trash_root().iterdir()] == ["keep.txt"] and read_run(other.id)
    with pytest.raises(UserMistake, match="No such deleted run"):
        restore_run(run.id)


def test_what_was_measured_of_a_run_goes_with_it_for_good_and_of_no_other(run, home):
    kept = [novelty_root() / f"{run.id}-{16 * '0'}", calibrations_root() / f"{run.id}-last.json"]
    others = [novelty_root() / f"{12 * 'z'}-{16 * '0'}", calibrations_root() / f"{12 * 'z'}-last.json"]
    for path in (kept[0], others[0]):
        path.mkdir(parents=True)
        (path / "features.npy").write_bytes(b"0")
    for path in (kept[1], others[1]):
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    delete_run(ended(run))
    assert all(path.exists() for path in kept)  # it may be restored
    empty_trash()
    assert not any(path.exists() for path in kept) and all(path.exists() for path in others)


def test_of_the_trash_what_is_old_enough_goes(run, capsys):
    delete_run(ended(run))
    assert trash_bytes() > 1000 and main(["runs", "empty-trash", "--days", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"emptied": 0, "bytes": 0} and len(list_deleted()) == 1
    assert main(["runs", "empty-trash", "--days", "0"]) == 0
    assert capsys.readouterr().out == "1 run deleted for good; 0.0 MB are free again.\n"
    assert trash_bytes() == 0 and list_deleted() == []


DELETER = """
import sys
from core.runs.actions import delete_run, empty_trash, restore_run
from core.runs.run import read_run
while True:
    delete_run(read_run(sys.argv[1])); print("deleted", flush=True)
    if sys.argv[2] == "empty": empty_trash()
    restore_run(sys.argv[1])
"""


@pytest.mark.parametrize("status", ["done", "lost", "queued"])
def test_killed_while_it_is_deleted_a_run_is_whole_here_or_there(run, status):
    chance = random.Random(status)
    before = ended(run, status) if status != "queued" else run
    names = {path.name for path in run.folder.iterdir()} | {"manifest.lock"}
    for _ in range(2):
        deleter = subprocess.Popen([sys.executable, "-c", DELETER, run.id, ""], cwd=ROOT, stdout=subprocess.PIPE)
        assert deleter.stdout.readline() == b"deleted\n"
        time.sleep(chance.random() * 0.05)
        deleter.kill()
        deleter.wait()
        here, there = (root / run.id for root in (runs_root(), trash_root()))
        assert here.exists() is not there.exists()
        assert {path.name for path in (here if here.exists() else there).iterdir()} | {"manifest.lock"} == names
        if there.exists():
            restore_run(run.id)
    assert read_run(run.id).marks == before.marks and read_run(run.id).has_model == before.has_model


def test_killed_while_the_trash_is_emptied_a_run_is_gone_for_good(run):
    ended(run)
    deleter = subprocess.Popen([sys.executable, "-c", DELETER, run.id, "empty"], cwd=ROOT, stdout=subprocess.PIPE)
    assert deleter.stdout.readline() == b"deleted\n"
    deleter.kill()
    deleter.wait()
    whole = [found for found in list_deleted() if found.id == run.id]
    assert list_runs() == [] and all(found.weights() for found in whole)
    empty_trash()
    assert trash_bytes() == 0


@pytest.mark.parametrize("name", ["", "..", "../runs", "zzzz", "latest", "/etc"])
def test_a_name_that_is_not_in_the_trash_is_refused(name):
    with pytest.raises(UserMistake, match="No such deleted run"):
        restore_run(name)


@pytest.mark.parametrize("status", ["done", "stopped", "failed", "lost"])
def test_a_run_that_ended_begins_its_next_attempt(run, status):
    before = ended(run, status)
    again = resume_run(before, FINGERPRINT, 10, epochs=60, queue=True)
    assert (again.state.status, again.state.attempt, again.state.step) == ("queued", 2, 3)
    assert again.config.train.epochs == again.state.epochs == 60 and waiting_ids() == [run.id]
    assert read_run(run.id) == again and again.weights() and again.evaluation("test")
    ask_to_stop(again)
    assert resume_run(read_run(run.id), FINGERPRINT, 10).state.attempt == 3


def test_an_end_that_comes_late_does_not_end_the_next_attempt(run):
    again = resume_run(ended(run), FINGERPRINT, 10)
    assert not mark_ended(run.folder, "lost", "The supervisor reads the exit code.", attempt=1)
    assert read_run(run.id) == again


def test_a_full_line_leaves_the_run_as_it_ended(run, home):
    before = ended(run, "failed")
    write_json(home / "limits.json", {"queue_length": 1})
    submit(create_run(RunConfig(), FINGERPRINT, ("a", "b")))
    with pytest.raises(UserMistake, match="The queue is full"):
        resume_run(before, FINGERPRINT, 10, queue=True)
    assert read_run(run.id) == before and before.weights()
    with pytest.raises(UserMistake, match="The queue is full"):
        submit(resume_run(before, FINGERPRINT, 10))
    assert read_run(run.id).weights()


def test_a_stop_of_before_does_not_stop_the_next_attempt(run):
    (run.folder / "stop").touch()
    resume_run(ended(run), FINGERPRINT, 10)
    assert not RunWriter(run.folder).stop_requested()


def test_a_clone_has_the_settings_with_the_changed_ones(run):
    config = clone_config(run, {"train.epochs": "7"})
    assert config.train.epochs == 7 and config.data == run.config.data
    with pytest.raises(UserMistake, match="unknown setting"):
        clone_config(run, {"train.epoch": 7})


def test_every_damaged_byte_of_a_checkpoint_is_found(run):
    (run.folder / "checkpoint").mkdir()
    write_checkpoint(run.folder, 1, {"epoch": 1}, {"w": np.arange(3)})
    write_checkpoint(run.folder, 2, {"epoch": 1}, {"w": np.arange(4)})
    for path in sorted((run.folder / "checkpoint").glob("*2.*")):
        content = path.read_bytes()
        for place in range(len(content)):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert read_checkpoint(run.folder).step == 1, (path.name, place)
            path.write_bytes(content[: min(place, len(content) - 2)])  # the last newline may be missing
            assert read_checkpoint(run.folder).step == 1, (path.name, place)
        path.write_bytes(content)
    assert read_checkpoint(run.folder).step == 2


def test_killed_between_two_checkpoints_of_one_step_the_first_one_is_whole(run, monkeypatch):
    """The last iteration of an epoch and its end are the same step."""
    for number in range(1, 4):
        write_checkpoint(run.folder, 7, {"epoch": number}, {"w": np.full(3, number)})
        with monkeypatch.context() as patch:
            patch.setattr("core.runs.checkpoint.write_json", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                write_checkpoint(run.folder, 7, {"epoch": 9}, {"w": np.full(3, 9)})
        kept = read_checkpoint(run.folder)
        assert (kept.numbers["epoch"], kept.damaged, kept.arrays["w"].tolist()) == (number, 0, 3 * [number])
    write_checkpoint(run.folder, 8, {"epoch": 4}, {"w": np.full(3, 4)})
    write_checkpoint(run.folder, 9, {"epoch": 4}, {"w": np.full(3, 4)})
    assert {path.name.partition(".")[0] for path in (run.folder / "checkpoint").iterdir()} == {f"{8:012}", f"{9:012}"}


def test_two_checkpoints_are_kept(run):
    for step in (5, 10, 15, 20):
        write_checkpoint(run.folder, step, {}, {"w": np.arange(step)})
    assert sorted({path.stem for path in (run.folder / "checkpoint").iterdir()}) == ["000000000015", "000000000020"]


def test_the_command_line_does_the_same(run, capsys):
    def command(*arguments: str):
        assert main(["runs", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert command("rename", run.id, "my run")["title"] == "my run"
    assert command("star", run.id)["star"] and not command("star", run.id, "--off")["star"]
    assert command("note", run.id[-4:], "a thought")["note"] == "a thought"
    assert command("hide", run.id)["hidden"] and command("list") == [] and len(command("list", "--all")) == 1
    assert command("delete", run.id) == {"run": run.id, "deleted": True}
    assert [gone["run"] for gone in command("list", "--deleted")] == [run.id] and command("list", "--all") == []
    assert command("restore", run.id) == {"run": run.id, "status": "stopped"}
    assert command("list", "--all")[0]["note"] == "a thought"
    assert main(["runs", "restore", run.id]) == 2 and "No such deleted run" in capsys.readouterr().err
