"""Replay: what Try-It's way answers from the files of a part is what Results has, picture for picture."""

import json

import numpy as np
import pytest
from PIL import Image

from core.cli.app import main
from core.data.datasets.dataset import delete_dataset
from core.data.imports.pipeline import import_pictures
from core.disk import write_json
from core.errors import UserMistake
from core.inference.predictor import load_predictor
from core.inference.replay import replay_part
from core.progress import Progress
from core.runs.writer import RunWriter
from core.settings import atelier_home
from tests import tiny
from tests.pictures import encoded, finish


def odd_files(colour: str, seed: int) -> dict[str, bytes]:
    """The same colour in every odd form that a picture file may have."""
    small = Image.fromarray(tiny.colour_picture(colour, seed))
    wide = small.resize((40, 20), Image.Resampling.NEAREST)
    faded = wide.convert("RGBA")
    faded.putalpha(Image.linear_gradient("L").resize(wide.size))
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = np.asarray(wide.convert("L")).astype(np.uint16) * 257
    return {
        "alpha.png": encoded(faded),
        "palette.png": encoded(wide.convert("P", palette=Image.Palette.ADAPTIVE)),
        "clear.gif": encoded(wide.convert("P"), "GIF", transparency=0),
        "cmyk.jpg": encoded(wide.convert("CMYK"), "JPEG"),
        "deep.png": encoded(Image.fromarray(deep)),
        "turned.jpg": encoded(wide, "JPEG", exif=turned),
        "thin.png": encoded(small.resize((1, 24))),
        "large.jpg": encoded(small.resize((5000, 3600)), "JPEG"),
        "noending": encoded(wide, "WEBP"),
    }


@pytest.fixture
def odd_run(home):
    """A run on two colours in odd forms; a picture of 1 pixel width is allowed."""
    home.mkdir()
    write_json(atelier_home() / "limits.json", {"picture_min_side": 1})
    entries = [
        (f"{colour}/{i}-{name}", colour, None, content)
        for k, colour in enumerate(tiny.COLOURS)
        for i in range(2)
        for name, content in odd_files(colour, 100 * k + i).items()
    ]
    finish(import_pictures("odd", iter(entries), "zip", False))
    return tiny.train_tiny_run(data__dataset="odd", data__test_fraction=0.4, data__val_fraction=0.0)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_every_picture_of_a_small_run_is_answered_as_results_has_it(tiny_run, part):
    *steps, found = replay_part(tiny_run, part)
    stored = tiny_run.evaluation(part)
    assert all(isinstance(step, Progress) for step in steps) and steps[-1].done == steps[-1].total == stored.n
    assert (found.n, found.equal, found.accuracy) == (stored.n, stored.n, stored.accuracy)
    assert found.different == () and found.largest_difference < 1e-6 and found.expected == stored.accuracy


def test_odd_files_are_answered_as_results_has_them(odd_run):
    asked = 0
    for part in ("train", "test"):
        *_, found = replay_part(odd_run, part)
        stored = odd_run.evaluation(part)
        assert (found.equal, found.accuracy) == (stored.n, stored.accuracy) and found.largest_difference < 1e-6
        asked += found.n
    assert asked == 36  # nine forms of two colours twice: every one of them is in one of the parts


def test_in_pieces_the_answers_are_the_same(tiny_run, monkeypatch):
    *_, at_once = replay_part(tiny_run)
    monkeypatch.setattr("core.inference.replay.PICTURES_AT_ONCE", 3)
    *steps, found = replay_part(tiny_run)
    assert (found.equal, found.correct) == (at_once.equal, at_once.correct)
    assert [step.done for step in steps] == [0, 3, 6, 9, 12][: len(steps)]
    monkeypatch.setattr("core.inference.replay.BYTES_AT_ONCE", 1)
    assert [step.done for step in replay_part(tiny_run) if isinstance(step, Progress)] == list(range(found.n + 1))


def test_an_answer_that_is_another_one_is_named(tiny_run, capsys):
    stored, wrong = tiny_run.evaluation("test"), 0
    stored.probabilities[wrong] = stored.probabilities[wrong][::-1]
    RunWriter(tiny_run.folder).save_evaluation(stored)
    *_, found = replay_part(tiny_run)
    assert found.equal == found.n - 1 and len(found.different) == 1 and found.largest_difference > 0.01
    assert main(["replay", tiny_run.id]) == 1
    assert f"another answer: {found.different[0]}" in capsys.readouterr().out


def test_a_picture_that_can_no_longer_be_read_is_wrong_and_named_with_its_reason(tiny_run):
    write_json(atelier_home() / "limits.json", {"picture_min_side": 17})
    *_, found = replay_part(tiny_run)
    assert (found.equal, found.correct) == (0, 0) and len(found.different) == found.n
    assert "too small to learn from" in found.different[0]


def test_the_command_prints_n_equal_and_accuracy(tiny_run, capsys):
    assert main(["replay", tiny_run.id, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    stored = tiny_run.evaluation("test")
    assert (document["n"], document["equal"], document["accuracy"]) == (stored.n, stored.n, stored.accuracy)
    assert document["interval"] == list(stored.interval) and document["different"] == []
    assert main(["replay", tiny_run.id, "--part", "val"]) == 0
    assert f"of {tiny_run.evaluation('val').n} pictures right (95 % interval" in capsys.readouterr().out


def test_what_cannot_be_replayed_is_told_in_a_sentence(tiny_run, capsys):
    assert main(["replay", tiny_run.id, "--part", "tset"]) == 2
    assert "no evaluation 'tset'" in capsys.readouterr().err
    delete_dataset("colours")
    with pytest.raises(UserMistake, match="unknown dataset 'colours'"):
        next(iter(replay_part(tiny_run)))
    finish(import_pictures("colours", iter(tiny.colour_pictures(12)), "zip", False))
    with pytest.raises(UserMistake, match="changed since run"):
        next(iter(replay_part(tiny_run)))


def test_a_thin_picture_that_the_limits_refuse_says_so_in_try_it_too(tiny_run):
    (answer,) = load_predictor(tiny_run).predict([("thin.png", odd_files("blue", 0)["thin.png"])])
    assert answer.error == "has 1 x 24 pixels, too small to learn from (shortest side at least 16)"
