"""Run: what a reader makes of a run folder, whole, half-written, killed or damaged."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
import safetensors.numpy

from core.config import ModelConfig, RunConfig
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.rows import IterationRow
from core.runs.actions import ask_to_stop, create_run
from core.runs.process import Launch, mark_process, read_launch
from core.runs.run import ModelCard, list_runs, open_run, read_run
from core.runs.state import STATUSES, RunState
from core.runs.writer import RunWriter
from tests.core.test_snapshot import snapshot
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def finished(run):
    writer = RunWriter(run.folder)
    writer.starting()
    writer.running(epoch=1, epochs=1)
    writer.save_model({"conv.weight": np.ones((2, 3), np.float32)}, card())
    writer.save_evaluation(evaluation())
    writer.finish("done")
    return read_run(run.id)


def card() -> ModelCard:
    return ModelCard(
        classes=("noir", "cartoon"),
        preprocess={"image_size": 32},
        model=ModelConfig(),
        image_size=32,
        dataset="artworks",
        fingerprint="f" * 64,
    )


def evaluation(part: str = "test") -> Evaluation:
    return Evaluation(
        part=part,
        measure="evaluation",
        classes=("noir", "cartoon"),
        indices=np.array([4, 7]),
        labels=np.array([0, 1]),
        probabilities=np.array([[0.9, 0.1], [0.6, 0.4]], np.float32),
    )


def row(step: int, loss: float | None = 1.0) -> IterationRow:
    return IterationRow(
        epoch=1,
        iteration=step,
        iterations=9,
        step=step,
        train_loss=loss,
        learning_rate=0.1,
        seconds=1.0,
        images_per_second=5.0,
    )


def test_a_new_run_is_queued_and_is_read_as_it_was_asked_for(run):
    again = read_run(run.id)
    assert again == run
    assert (run.state.status, run.state.epochs, run.classes) == ("queued", 50, ("noir", "cartoon"))
    assert run.id.isalnum() and len(run.id) == 12 and run.title == f"paper · sample-artworks · {run.id[-4:]}"


def test_runs_are_listed_newest_first_and_damaged_ones_are_left_out(home):
    runs = [create_run(RunConfig(), "f", ("a", "b")) for _ in range(3)]
    (home / "runs" / "0123456789ab").mkdir()
    (runs[1].folder / "config.json").write_text('{"schema_version": 1, "crea')
    assert [run.id for run in list_runs()] == [runs[2].id, runs[0].id]
    with pytest.raises(UserMistake, match="damaged"):
        read_run(runs[1].id)


def test_an_id_may_be_shortened_at_either_end_while_it_is_unique(run):
    assert read_run(run.id[-4:]).id == read_run(run.id[:11]).id == read_run("latest").id == run.id
    other = create_run(RunConfig(), "f", ("a", "b"))
    with pytest.raises(UserMistake, match="2 runs match"):
        read_run(run.id[:4])
    assert read_run("latest").id == other.id


@pytest.mark.parametrize("name", ["", ".", "../secret", "/etc/passwd", "#/../", "zzzz", "A" * 500, "a\0b"])
def test_a_name_that_is_no_id_is_refused_without_touching_the_disk(run, home, name):
    (home / "secret").mkdir()
    with pytest.raises(UserMistake, match="No such run"):
        read_run(name)


def test_latest_without_a_run_says_how_to_start_one():
    with pytest.raises(UserMistake, match="no run yet"):
        read_run("latest")


def test_a_run_of_a_newer_version_is_refused_by_name(run):
    write_json(run.folder / "config.json", read_json(run.folder / "config.json") | {"schema_version": 9})
    with pytest.raises(UserMistake, match=r"newer version .* \(schema 9; this one knows 1\)"):
        read_run(run.id)


def test_rows_without_their_end_are_ignored_at_every_cut(run):
    writer = RunWriter(run.folder)
    writer.starting()
    writer.append(row(1))
    whole = (run.folder / "rows.jsonl").stat().st_size
    writer.append(row(2))
    content = (run.folder / "rows.jsonl").read_bytes()
    for cut in range(whole, len(content)):
        (run.folder / "rows.jsonl").write_bytes(content[:cut])
        assert [r.step for r in run.rows()] == [1]


def test_rows_differ_by_kind_and_a_damaged_line_costs_only_itself(run):
    lines = [row(1).model_dump_json(), "\0\0\0", '{"kind": "of a later version"}', row(2).model_dump_json()]
    (run.folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    assert [r.step for r in run.iterations()] == [1, 2] and run.epochs() == []


def test_weights_come_back_bit_for_bit(finished):
    assert finished.weights()["conv.weight"].tobytes() == np.ones((2, 3), np.float32).tobytes()
    assert finished.card() == card()
    assert finished.evaluation("test").accuracy == 0.5 and finished.evaluation("train") is None
    assert finished.evaluation("test", "paper") is None


def test_every_flipped_or_missing_byte_of_the_weights_is_noticed(finished):
    path = finished.folder / "model.safetensors"
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(UserMistake, match="changed or damaged"):
            finished.weights()
    path.write_bytes(content[:-1])
    with pytest.raises(UserMistake, match="changed or damaged"):
        finished.weights()


@pytest.mark.parametrize("name", ["model.json", "evaluation-test.npz"])
def test_the_card_and_the_evaluations_are_checked_as_well(finished, name):
    path = finished.folder / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserMistake, match="changed or damaged"):
        finished.card() if name == "model.json" else finished.evaluation("test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (safetensors.numpy.save({"a": np.array([1.0, np.nan], np.float32)}), "not finite"),
        (b"PK\x03\x04 a pickle in a zip", "header is too long"),
        (b"", "not a model file"),
        (b"\x08\0\0\0\0\0\0\0notjson!", "not a model file"),
    ],
)
def test_a_foreign_or_broken_model_is_refused_in_words(finished, content, message):
    writer = RunWriter(finished.folder)
    writer._publish("model.safetensors", content)  # as if its checksum were right
    with pytest.raises(UserMistake, match=message):
        finished.weights()


def test_without_a_model_the_reason_is_said(run):
    with pytest.raises(UserMistake, match="still training"):
        run.weights()
    RunWriter(run.folder).fail("The dataset is gone.")
    with pytest.raises(UserMistake, match="ended as failed"):
        read_run(run.id).card()


WORKER = """
import sys, time
from pathlib import Path
from core.runs.writer import RunWriter
writer = RunWriter(Path(sys.argv[1]))
writer.starting(); writer.running(epoch=2); print("ready", flush=True); time.sleep(60)
"""


def test_a_run_whose_process_was_killed_reads_as_lost_and_a_stranger_with_its_id_does_not_count(run):
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(run.folder)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "ready\n"
    assert read_run(run.id).state.status == "running"
    worker.send_signal(signal.SIGKILL)
    # this process has not waited for it yet
    wait_until(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_ZOMBIE)
    assert read_run(run.id).state.status == "lost"
    worker.wait()
    assert read_run(run.id).state.status == "lost" and read_run(run.id).state.epoch == 2
    launch = read_json(run.folder / "launch.json")
    write_json(run.folder / "launch.json", launch | {"pid": os.getpid()})  # the id, but not the start time
    assert read_run(run.id).state.status == "lost"


def test_stopping_says_what_came_of_it_however_often_it_is_asked(run):
    assert "cancelled before it started" in ask_to_stop(run)
    assert "already ended (stopped)" in ask_to_stop(run)
    assert read_run(run.id).state.status == "stopped"
    other = create_run(RunConfig(), "f", ("a", "b"))
    writer = RunWriter(other.folder)
    writer.starting()
    assert not writer.stop_requested()
    assert "asked to stop" in ask_to_stop(other) and "asked to stop" in ask_to_stop(other)
    assert writer.stop_requested()
    writer.finish("stopped")
    assert "already ended" in ask_to_stop(other)


def test_a_run_can_be_opened_wherever_its_folder_lies(run, tmp_path):
    moved = run.folder.rename(tmp_path / "elsewhere")
    assert open_run(moved).classes == run.classes
    with pytest.raises(UserMistake, match="gone from disk"):
        open_run(run.folder)


def test_listing_runs_opens_neither_their_rows_nor_their_models_nor_their_answers(finished, home):
    files = {name: (finished.folder / name).read_bytes() for name in ("config.json", "state.json")}
    for number in range(1000):
        folder = home / "runs" / f"m{number:011d}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        for name in ("rows.jsonl", "model.safetensors", "manifest.json", "evaluation-test.npz"):
            (folder / name).mkdir()  # whoever opens it gets an error, and the run would be missing
    assert len(list_runs()) == 1001


@pytest.mark.parametrize("left", [b"", b'{"status": "runn', b"\0" * 300])
def test_a_state_that_a_power_cut_damaged_does_not_hide_the_run(finished, left):
    (finished.folder / "state.json").write_bytes(left)
    run = read_run(finished.id)
    assert run.state.status == "lost" and "its state.json is damaged" in run.state.message and run.state.attempt == 1
    assert run.weights() and run.evaluation("test").n == 2 and [found.id for found in list_runs()] == [run.id]


def test_a_worker_that_does_not_respond_is_noticed_by_every_reader(run, home):
    writer = RunWriter(run.folder)
    writer.starting()
    writer.running(epoch=2)
    assert read_run(run.id).state.unresponsive_seconds == 0.0
    state = read_json(run.folder / "state.json")
    minutes_ago = (datetime.now(UTC) - timedelta(seconds=90)).isoformat()
    write_json(run.folder / "state.json", state | {"updated": minutes_ago})
    state = read_run(run.id).state
    assert 89 < state.unresponsive_seconds < 99 and state.epoch == 2
    assert state.message.startswith("Training has not responded for 9")
    write_json(home / "limits.json", {"silence_seconds": 600})
    assert read_run(run.id).state.unresponsive_seconds == 0.0
    writer.finish("done")
    assert "silent" not in read_json(run.folder / "state.json")


def test_a_sign_of_life_is_written_when_the_last_write_is_old(run, monkeypatch):
    writer = RunWriter(run.folder)
    writer.beat()  # nothing to say before it has the run
    writer.starting()
    before = read_json(run.folder / "state.json")["updated"]
    writer.beat()
    assert read_json(run.folder / "state.json")["updated"] == before
    monkeypatch.setattr("core.runs.writer._SECONDS_BETWEEN_BEATS", 0.0)
    time.sleep(0.002)
    writer.beat()
    assert read_json(run.folder / "state.json")["updated"] > before
    writer.finish("done")
    writer.beat()
    assert read_run(run.id).state.status == "done"


def test_a_run_needs_room_on_the_disk_to_start(run, home):
    writer = RunWriter(run.folder)
    write_json(home / "limits.json", {"free_bytes": 2**60})
    for action in (lambda: create_run(RunConfig(), "f", ("a", "b")), writer.starting):
        with pytest.raises(UserMistake, match=r"The disk has only [\d,]+ MB free; a run needs 1,099,511,627,776 MB"):
            action()
    assert [found.id for found in list_runs()] == [run.id] and read_run(run.id).state.status == "queued"


def test_the_files_of_a_run_are_strict_json(finished):
    def refuse(constant):
        raise AssertionError(constant)

    for name in ("config.json", "state.json", "launch.json", "model.json", "manifest.json"):
        json.loads((finished.folder / name).read_text(), parse_constant=refuse)


@pytest.mark.parametrize("content", [b"", b"not one of ours", None], ids=["empty", "text", "cut"])
def test_a_damaged_snapshot_is_as_good_as_none(run, content):
    (run.folder / "snapshot.npz").write_bytes(snapshot().to_bytes()[:-300] if content is None else content)
    assert run.snapshot() is None and run.has_snapshot


def test_the_snapshot_of_version_0_1_0_is_read_until_the_next_one_replaces_it(run):
    (run.folder / "watch.npz").write_bytes(snapshot(step=7).to_bytes())
    assert run.has_snapshot and run.snapshot().step == 7
    writer = RunWriter(run.folder)
    writer.starting()
    writer.save_snapshot(snapshot(step=8))
    assert run.snapshot().step == 8
    assert not (run.folder / "watch.npz").exists() and (run.folder / "snapshot.npz").exists()


def test_a_run_that_version_0_1_0_left_waiting_for_its_process_is_read(run):
    launch = read_json(run.folder / "launch.json")
    assert launch["role"] == "requester"
    write_json(run.folder / "launch.json", launch | {"role": "asker"})
    assert read_launch(run.folder) == Launch("requester", mark_process(), attempt=1)
    assert read_run(run.id).state.status == "queued"
    RunWriter(run.folder).starting()
    assert read_json(run.folder / "launch.json")["role"] == "worker"


def test_a_run_says_what_pages_ask_of_its_folder(run):
    assert not (run.stop_requested or run.has_rows or run.has_checkpoint or run.has_snapshot or run.has_model)
    assert run.started_at == (run.folder / "launch.json").stat().st_mtime
    writer = RunWriter(run.folder)
    writer.starting()
    writer.append(row(1))
    writer.save_checkpoint(1, {"epoch": 1, "iteration": 1}, {"w": np.ones(2)})
    ask_to_stop(run)
    assert run.stop_requested and run.has_rows and run.has_checkpoint
    (run.folder / "launch.json").unlink()
    assert run.started_at is None


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_is_live_or_ended_and_an_end_is_a_finish_or_a_failure(status):
    state = RunState(status=status)
    assert state.is_live is not state.ended
    assert state.is_live + state.is_finished + state.has_failed == 1
    assert state.is_training is (status in ("starting", "running"))


def test_no_page_names_a_file_of_a_run_folder():
    """Their names stand in core/runs only: a page asks the Run."""
    written = r"config|launch|state|marks|model|manifest|rows|watch|snapshot|evaluation|checkpoint|log|stop|reserve"
    named = re.compile(rf"""folder\s*/\s*f?["'](?:{written})\b""")
    pages = [ROOT / "streamlit_app.py", *(ROOT / "pages").rglob("*.py")]
    assert [str(path) for path in pages if named.search(path.read_text(encoding="utf-8"))] == []
    assert named.search('(run.folder / "watch.npz").exists()') and named.search("run.folder / 'stop'")
