"""How files are written: whole or not at all, also when the write fails half-way."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.disk import (
    DRAFT,
    append_line,
    cut_middle,
    disk_trouble,
    draft_path,
    finite,
    former_name,
    is_on_network,
    is_read_only,
    read_json,
    read_lines,
    rotate,
    sha256_of,
    sync_folder,
    whole_folder,
    write_atomic,
    write_json,
)
from core.errors import UserMistake

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_is_made_with_its_folders_and_replaced_whole(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two" and list(path.parent.iterdir()) == [path]


def test_a_reader_never_sees_a_part(tmp_path):
    path, contents = tmp_path / "file", [bytes([k]) * 300_000 for k in (1, 2)]
    write_atomic(path, contents[0])
    writes = threading.Thread(target=lambda: [write_atomic(path, contents[k % 2]) for k in range(30)])
    writes.start()
    while writes.is_alive():
        assert path.read_bytes() in contents
    writes.join()


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, {"a": object()}, "\ud800"])
def test_what_is_no_json_changes_nothing(tmp_path, value):
    path = tmp_path / "file.json"
    write_json(path, {"loss": None})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, value)
    with pytest.raises((ValueError, TypeError)):
        append_line(path, value)
    assert read_json(path) == {"loss": None} and list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "file"
    path.mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(OSError, match="directory"):
        write_atomic(path, b"new")
    assert path.is_dir() and list(tmp_path.iterdir()) == [path]


def test_any_language_goes_into_json_as_it_is(tmp_path):
    write_json(tmp_path / "file.json", {"Büffel 🐃": "水牛"})
    assert "水牛" in (tmp_path / "file.json").read_text("utf-8")
    assert read_json(tmp_path / "file.json") == {"Büffel 🐃": "水牛"}


def test_drafts_lie_next_to_their_file_under_names_of_their_own(tmp_path):
    path = tmp_path / ("n" * 250)
    drafts = {draft_path(path) for _ in range(50)}
    assert len(drafts) == 50
    assert all(draft.parent == tmp_path and draft.name.endswith(DRAFT) and len(draft.name) < 200 for draft in drafts)


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "made" / "run"
    with pytest.raises(ValueError, match="half"), whole_folder(target) as draft:
        (draft / "rows").write_text("one")
        raise ValueError("half of it")
    assert list(target.parent.iterdir()) == []
    with whole_folder(target) as draft:
        (draft / "rows").write_text("all")
        assert not target.exists()
    assert list(target.parent.iterdir()) == [target] and (target / "rows").read_text() == "all"
    with (
        pytest.raises(UserMistake, match=r"cannot be written: .* Name another folder"),
        whole_folder(target / "rows" / "x"),
    ):
        raise AssertionError("there is no folder to write in")


def test_lines_come_back_in_order_and_an_unfinished_one_is_left_out(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert read_lines(path) == []
    for value in ({"step": 1}, [2, "a\nb"], None):
        append_line(path, value)
    whole = path.read_bytes()
    assert read_lines(path) == [{"step": 1}, [2, "a\nb"], None]
    last = len(json.dumps(None)) + 1
    for cut in range(1, last + 1):
        path.write_bytes(whole[:-cut])
        assert read_lines(path) == [{"step": 1}, [2, "a\nb"]]


def test_a_damaged_last_line_is_left_out_and_a_damaged_middle_is_reported(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"step": 1}\n\0\0\0\n')
    assert read_lines(path) == [{"step": 1}]
    path.write_bytes(b'{"step": 1}\n\0\0\0\n{"step": 2}\n')
    with pytest.raises(ValueError, match="line 1 column 1"):
        read_lines(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of a file there")
def test_a_line_that_does_not_fit_on_the_disk_leaves_the_lines_before_it(tmp_path):
    path = tmp_path / "lines.jsonl"
    # the system takes the first half of the line and refuses the second, as a full disk does
    script = (
        "import pathlib, resource, sys; from core.disk import append_line\n"
        "path = pathlib.Path(sys.argv[1]); append_line(path, 'first')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        "try: append_line(path, 'x' * 200)\n"
        "except OSError: print('refused')\n"
        "append_line(path, 'last')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n" and read_lines(path) == ["first", "last"]


def test_a_folder_that_is_not_there_need_not_be_synced(tmp_path):
    sync_folder(tmp_path / "nowhere")


def test_the_checksum_is_the_published_one(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_json_does_not_know_becomes_null():
    nan, inf = float("nan"), float("inf")
    assert finite({"a": [nan, 1.5, (inf, "x")], "b": {"c": -inf, "d": 3}}) == {
        "a": [None, 1.5, [None, "x"]],
        "b": {"c": None, "d": 3},
    }


def test_a_file_under_its_former_name_is_renamed_once(tmp_path):
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    assert former_name(new, "old.json") == new and not new.exists()  # there is neither
    old.write_text("first")
    assert former_name(new, "old.json").read_text() == "first" and not old.exists()
    old.write_text("of an old program that still runs")
    assert former_name(new, "old.json").read_text() == "first"


def test_a_former_file_on_a_read_only_disk_is_read_where_it_lies(tmp_path, monkeypatch):
    old = tmp_path / "old.json"
    old.write_text("first")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    assert former_name(tmp_path / "new.json", "old.json") == old


def test_a_disk_that_refuses_is_reported_in_one_sentence(tmp_path):
    def sentence(error):
        return str(disk_trouble(error, tmp_path, "Nothing was kept."))

    assert "MB free). Nothing was kept." in sentence(OSError(28, "No space left on device"))
    assert "read-only" in sentence(OSError(30, "Read-only file system"))
    assert "right" in sentence(PermissionError(13, "Permission denied"))
    assert disk_trouble(FileNotFoundError(2, "No such file"), tmp_path, "") is None


def test_of_a_log_that_grows_five_old_ones_stay(tmp_path):
    log = tmp_path / "a.log"
    for number in range(9):
        log.write_text(f"{number}" * 10)
        rotate(log, 5)
    assert not log.exists()
    assert [path.read_text()[0] for path in sorted(tmp_path.iterdir())] == ["8", "7", "6", "5", "4"]
    log.write_text("short")
    rotate(log, 5)
    assert log.read_text() == "short"


@pytest.mark.parametrize("line", ["a line\n", "x"])
def test_a_cut_log_keeps_its_beginning_and_its_newest_end(tmp_path, line):
    log = tmp_path / "log.txt"
    log.write_text("the first words\n" + line * 1000 + "the last words\n")
    size = log.stat().st_size
    cut_middle(log, 1000)
    text = log.read_text()
    assert text.startswith("the first words\n") and text.endswith("the last words\n") and len(text) < 900
    left_out = int(text.partition("[... ")[2].partition(" bytes")[0].replace(",", ""))
    assert size - left_out == len(text) - len(f"\n[... {left_out:,} bytes were left out here ...]\n")
    cut_middle(log, 1000)
    assert log.read_text() == text


def test_who_appends_to_a_log_while_it_is_cut_goes_on_at_its_end(tmp_path):
    log = tmp_path / "log.txt"
    with log.open("ab", buffering=0) as pen:
        pen.write(b"line\n" * 1000)
        cut_middle(log, 1000)
        pen.write(b"the next line\n")
    assert log.read_text().endswith("line\nthe next line\n") and log.stat().st_size < 900


@pytest.mark.parametrize(("kind", "shared"), [("ext4", False), ("nfs4", True), ("CIFS", True), ("fuse.sshfs", True)])
def test_a_network_drive_is_known_by_its_kind(tmp_path, monkeypatch, kind, shared):
    def parts(all):
        return [part("/", "ext4"), part(str(tmp_path), kind), part(f"{tmp_path}-beside", "nfs4")]

    def part(mountpoint, fstype):
        return SimpleNamespace(mountpoint=mountpoint, fstype=fstype, opts="rw")

    monkeypatch.setattr("psutil.disk_partitions", parts)
    assert is_on_network(tmp_path / "not" / "there" / "yet") is shared
    assert not is_on_network(tmp_path.parent)


def test_a_folder_of_the_test_can_be_written(tmp_path):
    assert not is_read_only(tmp_path / "not there yet")


def test_a_process_may_open_more_files_than_it_was_given():
    code = (
        "import resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "from core.disk import allow_more_files; allow_more_files(500); allow_more_files(100)\n"
        "files = [open('/dev/null') for _ in range(400)]; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "500\n", done.stderr
