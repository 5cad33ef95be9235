"""predict with thousands of pictures: the CSV that is gone on with, folders of copies, zips, Ctrl-C, flat memory."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.cli.answers_file import HEAD, AnswersFile
from core.cli.app import main
from core.cli.many_answers import _pieces
from core.cli.sorting import NONE, Sorter
from core.data.datasets.dataset import delete_dataset
from core.data.sources.picture_files import GivenFile, list_pictures, open_given
from core.disk import write_json
from core.inference.novelty import read_novelty
from core.settings import atelier_home
from tests import tiny
from tests.pictures import NAMES_LIKE_PATHS, encoded, noise, write_folder, write_zip
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def many(tmp_path) -> Path:
    """A folder of 12 pictures of each colour, one that is broken and a note."""
    files = {name: content for name, _, _, content in tiny.colour_pictures(12)}
    files |= {"blue/broken.jpg": b"no picture", "orange/notes.txt": b"no picture either"}
    files["no_ending"] = files["blue/00.png"]
    return write_folder(tmp_path / "many", files)


def predict(capsys, run, *arguments):
    code = main(["predict", run.id, *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def lines_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def test_json_says_whether_it_is_none_of_these_and_how_unlike(tiny_run, many, capsys):
    code, out, _ = predict(capsys, tiny_run, many / "blue" / "00.png", many / "blue" / "broken.jpg", "--json")
    good, broken = json.loads(out)
    assert code == 1 and good["classes"][0]["class"] == "blue" and isinstance(good["none_of_these"], bool)
    assert 0 <= good["unlike"] <= 1 and 0 < good["classes"][0]["calibrated"] <= 1
    assert (broken["none_of_these"], broken["unlike"], broken["classes"]) == (False, None, [])
    novelty = read_novelty(tiny_run)
    assert novelty is not None and good["none_of_these"] == (good["unlike"] > 0.95)


def test_without_validation_pictures_unlike_is_null_and_it_says_why(trained_home, many, capsys):
    run = tiny.train_tiny_run(data__val_fraction=0.0, train__epochs=1)
    code, out, err = predict(capsys, run, many / "no_ending", "--json")
    (row,) = json.loads(out)
    assert code == 0 and row["unlike"] is None and not row["none_of_these"]
    assert row["classes"][0]["calibrated"] is None and err.count("has no validation pictures") == 2


def test_without_the_training_pictures_it_answers_and_says_what_it_cannot(tiny_run, many, capsys):
    delete_dataset("colours")
    code, out, err = predict(capsys, tiny_run, many / "no_ending", "--json")
    (row,) = json.loads(out)
    assert code == 0 and row["classes"][0]["class"] == "blue" and row["unlike"] is None
    assert err.startswith("Pictures that are none of the classes are not told: unknown dataset 'colours'")


def test_a_csv_has_a_line_a_picture_and_is_gone_on_with(tiny_run, many, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("core.cli.many_answers.PICTURES_AT_ONCE", 5)
    target = tmp_path / "answers.csv"
    code, out, err = predict(capsys, tiny_run, many, "--csv", target)
    rows = lines_of(target)
    assert code == 1 and [row["file"] for row in rows] == [str(path) for path in list_pictures(many)]
    assert tuple(rows[0]) == HEAD and len(rows) == 26 and {row["run"] for row in rows} == {tiny_run.id}
    assert rows[0]["answer"] == "blue" and 0.5 < float(rows[0]["probability"]) <= 1 and rows[0]["error"] == ""
    assert [row["answer"] for row in rows if row["error"]] == [""] and "1 of 26 pictures could not be read" in err
    assert "26 pictures in" in out and "a second" in out
    (many / "new.png").write_bytes((many / "no_ending").read_bytes())
    code, out, err = predict(capsys, tiny_run, many, "--csv", target, "--json")
    assert code == 0 and [row["file"] for row in json.loads(out)] == [str(many / "new.png")]
    assert "26 of 27 pictures are in the file already." in err
    assert len(lines_of(target)) == 27
    code, out, err = predict(capsys, tiny_run, many, "--csv", target, "--json")
    assert code == 0 and json.loads(out) == [] and len(lines_of(target)) == 27


@pytest.mark.parametrize("cut", [1, 2, 3, 20, 40, 90])
def test_a_line_that_a_kill_left_unfinished_is_written_again(tiny_run, many, tmp_path, capsys, cut):
    target = tmp_path / "answers.csv"
    odd = many / 'a "quoted",\nname.png'
    odd.write_bytes((many / "no_ending").read_bytes())
    given = [many / "blue" / "00.png", many / "=1+1.png", odd]
    given[1].write_bytes((many / "no_ending").read_bytes())
    assert predict(capsys, tiny_run, *given, "--csv", target)[0] == 0
    whole = target.read_bytes()
    target.write_bytes(whole[:-cut])
    assert predict(capsys, tiny_run, *given, "--csv", target)[0] == 0
    assert [row["file"] for row in lines_of(target)] == [str(path) for path in given]
    assert target.read_bytes().splitlines()[:2] == whole.splitlines()[:2] and target.stat().st_size >= len(whole) - 9
    assert lines_of(target)[1]["file"] == str(given[1])  # a path begins with no "=", so nothing had to be disarmed


def test_names_are_data_in_the_csv(tiny_run, many, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(many)
    content = (many / "no_ending").read_bytes()
    names = ["=cmd()", "+1", "@x", os.fsdecode(b"bad\xff.png"), "<b>.png"]
    for name in names:
        Path(name).write_bytes(content)
    for _ in range(2):
        assert predict(capsys, tiny_run, *names, "--csv", tmp_path / "a.csv")[0] == 0
    files = [row["file"] for row in lines_of(tmp_path / "a.csv")]
    assert files == ["'=cmd()", "'+1", "'@x", "bad\\udcff.png", "<b>.png"]


def test_a_file_that_is_another_one_is_kept(tiny_run, many, tmp_path, capsys):
    picture = many / "no_ending"
    for content in (b"", b"my,own,table\n1,2,3\n", b'"never closed', os.urandom(300)):
        (tmp_path / "mine.csv").write_bytes(content)
        code, _, err = predict(capsys, tiny_run, picture, "--csv", tmp_path / "mine.csv")
        assert code == 2 and "holds no answers of this command; it was kept" in err
        assert (tmp_path / "mine.csv").read_bytes() == content
    assert [path.name for path in tmp_path.glob("mine*")] == ["mine.csv"]
    other = AnswersFile(tmp_path / "other.csv", "another", "0" * 16)
    other.add([{"file": "x", "classes": [], "none_of_these": False, "unlike": None, "error": "is empty"}])
    other.close()
    code, _, err = predict(capsys, tiny_run, picture, "--csv", tmp_path / "other.csv")
    assert code == 2 and "holds answers of run 'another' with other weights" in err
    code, _, err = predict(capsys, tiny_run, picture, "--csv", tmp_path / "no" / "folder.csv")
    assert code == 2 and "cannot be written (No such file or directory)" in err


def test_pictures_are_copied_into_a_folder_for_each_answer(tiny_run, many, tmp_path, capsys):
    target = many / "sorted"  # inside: what lies there is not asked the next time
    before = {path: path.read_bytes() for path in many.rglob("*") if path.is_file()}
    for _ in range(2):
        code, out, _ = predict(capsys, tiny_run, many, "--sort-into", target, "--json")
        rows = json.loads(out)
        assert code == 1 and len(rows) == 26
        copies = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
        assert len(copies) == len({(Path(row["file"]).read_bytes()) for row in rows if not row["error"]}) + 1
    assert {path.name for path in target.iterdir()} <= {"blue", "orange", NONE}
    for row in rows:
        folder = NONE if row["none_of_these"] else row["classes"] and row["classes"][0]["class"]
        if not row["error"]:
            content, stem = Path(row["file"]).read_bytes(), Path(row["file"]).stem
            assert any(p.stem.startswith(stem) and c == content for p, c in copies.items() if p.parent.name == folder)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_nothing_in_the_folder_is_overwritten(tmp_path):
    sorter = Sorter(tmp_path, ["cat"])
    first, second, again = (sorter.put("cat", "a/b.png", content) for content in (b"1", b"2", b"1"))
    assert (first.name, second.name, again.name) == ("b.png", "b (2).png", "b.png")
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
    assert sorted(path.name for path in (tmp_path / "cat").iterdir()) == ["b (2).png", "b.png"]


def test_without_links_nothing_is_overwritten_either(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "not supported")

    monkeypatch.setattr("core.cli.sorting.os.link", refuse)
    test_nothing_in_the_folder_is_overwritten(tmp_path)


def test_names_that_lead_elsewhere_stay_in_the_folder(tmp_path):
    names = [*NAMES_LIKE_PATHS, NONE, NONE.upper()]
    sorter = Sorter(tmp_path / "in", names)
    for name in names:
        sorter.put(name, name, name.encode())
    sorter.put(None, "../../x.png", b"none")
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    folders = list((tmp_path / "in").iterdir())
    assert len(folders) == len(names) + 1 and all(len(list(folder.iterdir())) == 1 for folder in folders)
    assert (tmp_path / "in" / sorter.none / "x.png").read_bytes() == b"none"


def test_a_folder_that_cannot_be_written_is_a_sentence(tiny_run, many, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    code, _, err = predict(capsys, tiny_run, many / "no_ending", "--sort-into", tmp_path / "file")
    assert code == 2 and "cannot be written: Not a directory" in err


def test_a_zip_stands_for_the_pictures_in_it_whatever_it_is_called(tiny_run, many, tmp_path, capsys):
    files = {name: content for name, _, _, content in tiny.colour_pictures(2)}
    files |= {"deep/er/x": files["blue/00.png"], "readme.txt": b"hello", "__MACOSX/._a.png": b"junk", "bad.png": b"?"}
    packed = write_zip(tmp_path / "pictures.bin", files)
    code, out, _ = predict(capsys, tiny_run, packed, "--json")
    rows = json.loads(out)
    names = ["bad.png", "blue/00.png", "blue/01.png", "deep/er/x", "orange/00.png", "orange/01.png"]
    assert code == 1 and [row["file"] for row in rows] == [str(packed / name) for name in names]
    assert [row["classes"][0]["class"] for row in rows[1:]] == ["blue", "blue", "blue", "orange", "orange"]
    assert predict(capsys, tiny_run, packed, "--csv", tmp_path / "z.csv", "--sort-into", tmp_path / "s")[0] == 1
    assert len(lines_of(tmp_path / "z.csv")) == 6 and len([p for p in (tmp_path / "s").rglob("*") if p.is_file()]) == 5


def test_zips_that_are_none_or_mean_harm_are_rows_with_their_reason(many, tmp_path):
    evil = write_zip(tmp_path / "evil.zip", {"../../evil.png": b"x"})
    empty = write_zip(tmp_path / "empty.zip", {"notes.txt": b"x"})
    damaged = write_zip(tmp_path / "damaged.zip", {"a.png": encoded(noise())})
    content = bytearray(damaged.read_bytes())
    content[60] ^= 255
    damaged.write_bytes(content)
    with open_given([evil, empty, damaged, many / "no_ending"]) as given:
        read = [(one.name, one.read()) for one in given]
    assert read[0][0] == str(evil) and "a path that points outside the archive" in read[0][1]
    assert "nothing was imported" not in read[0][1] and read[1] == (str(empty), "is a zip without pictures")
    assert read[2] == (str(damaged / "a.png"), "is damaged in the zip")
    assert read[3] == (str(many / "no_ending"), (many / "no_ending").read_bytes())


def test_a_zip_bomb_costs_its_own_row_only(home, tmp_path):
    home.mkdir()
    write_json(atelier_home() / "limits.json", {"picture_bytes": 10**6})
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(2 * 10**6))
        archive.writestr("good.png", encoded(noise()))
    with open_given([bomb]) as given:
        read = {Path(one.name).name: one.read() for one in given}
    assert "larger than" in read["bomb.png"] and read["good.png"] == encoded(noise())


def test_pieces_hold_no_more_than_they_may(monkeypatch):
    monkeypatch.setattr("core.cli.many_answers.PICTURES_AT_ONCE", 4)
    monkeypatch.setattr("core.cli.many_answers.BYTES_AT_ONCE", 1000)
    sizes = [10] * 6 + [2000, 10, 600, 600, 10]
    given = [GivenFile(str(i), lambda size=size: bytes(size)) for i, size in enumerate(sizes)]
    assert [len(piece) for piece in _pieces(given)] == [4, 3, 3, 1]


def test_answers_in_a_file_are_those_of_each_picture_alone(tiny_run, many, tmp_path, capsys):
    predict(capsys, tiny_run, many, "--csv", tmp_path / "a.csv")
    for row in [row for row in lines_of(tmp_path / "a.csv") if not row["error"]][::6]:
        (alone,) = json.loads(predict(capsys, tiny_run, row["file"], "--json")[1])
        assert row["answer"] == alone["classes"][0]["class"]
        assert float(row["probability"]) == pytest.approx(alone["classes"][0]["probability"], abs=1e-5)
        assert float(row["unlike"]) == pytest.approx(alone["unlike"], abs=0.11)  # of ten held-out pictures
        assert (row["none_of_these"] == "True") == alone["none_of_these"]


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on(tiny_run, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    content = encoded(Image.fromarray(np.kron(tiny.colour_picture("blue", 0), np.ones((40, 40, 1), np.uint8))))
    for i in range(1500):
        (folder / f"{i:04}.png").write_bytes(content)
    command = [sys.executable, "-m", "core", "predict", tiny_run.id, folder, "--csv", tmp_path / "a.csv", "--json"]
    command += ["--sort-into", tmp_path / "sorted"]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    table = tmp_path / "a.csv"
    wait_until(lambda: first.poll() is not None or (table.exists() and table.stat().st_size >= 5000))
    assert first.poll() is None
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=PATIENCE)
    done = len(lines_of(tmp_path / "a.csv"))
    assert first.returncode == 1 and "Broken off by Ctrl-C" in err and 0 < done < 1500
    assert len(json.loads(out)) == done
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert second.returncode == 0 and len(json.loads(second.stdout)) == 1500 - done
    assert f"{done:,} of 1,500 pictures are in the file already" in second.stderr
    files = [row["file"] for row in lines_of(tmp_path / "a.csv")]
    assert len(files) == len(set(files)) == 1500
    assert len([path for path in (tmp_path / "sorted").rglob("*") if path.is_file()]) == 1500
