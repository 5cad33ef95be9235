"""explain and bench explanations: their JSON, the picture that they write, and one sentence for each mistake."""

import json

import numpy as np
import pytest
from PIL import Image

from core.cli.app import main
from tests import tiny


@pytest.fixture
def picture(tmp_path):
    """A file of 60 x 40 pixels in one of the two colours."""
    path = tmp_path / "mine.png"
    Image.new("RGB", (60, 40), tiny.COLOURS["blue"]).save(path)
    return path


def test_explain_prints_the_map_and_writes_it_over_the_picture(tiny_run, picture, tmp_path, capsys):
    out = tmp_path / "why.png"
    assert main(["explain", tiny_run.id, str(picture), "--method", "occlusion", "--out", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["method"] == "occlusion" and document["class"] == "blue"
    heat = np.array(document["map"])
    assert heat.shape == (16, 16) and heat.min() >= 0 and heat.max() <= 1
    with Image.open(out) as drawn:
        assert drawn.format == "PNG" and drawn.size == (60, 40)


def test_another_class_is_explained_where_it_is_named(tiny_run, picture, tmp_path, capsys):
    arguments = ["explain", tiny_run.id, str(picture), "--class", "orange", "--out", str(tmp_path / "a.png"), "--json"]
    assert main([*arguments, "--method", "grad_cam"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["class"], document["method"]) == ("orange", "grad_cam")
    assert (document["layer"], document["resolution"]) == ("conv1", [14, 14])  # of 16 pixels conv2 leaves 5 x 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--class", "green"], "knows no class 'green'; it knows blue, orange"),
        (["--method", "lime"], "no method 'lime'; there are grad_cam, integrated_gradients, occlusion"),
    ],
)
def test_an_unknown_class_or_method_is_refused_with_the_known_ones(
    arguments, sentence, tiny_run, picture, tmp_path, capsys
):
    out = tmp_path / "why.png"
    assert main(["explain", tiny_run.id, str(picture), "--out", str(out), *arguments]) == 2
    assert sentence in capsys.readouterr().err and not out.exists()


def test_what_is_no_picture_and_what_cannot_be_written_are_told_in_a_sentence(tiny_run, picture, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert main(["explain", tiny_run.id, str(broken), "--out", str(tmp_path / "why.png")]) == 2
    assert "broken.png' is not a picture" in capsys.readouterr().err
    assert main(["explain", tiny_run.id, str(tmp_path / "gone.png"), "--out", "why.png"]) == 2
    assert "gone.png' is not there" in capsys.readouterr().err
    assert main(["explain", tiny_run.id, str(picture), "--out", str(broken / "why.png")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_bench_explanations_prints_the_measured_table(tiny_run, capsys):
    assert main(["bench", "explanations", tiny_run.id, "--pictures", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["run"], document["part"], document["n"]) == (tiny_run.id, "val", 3)
    methods = [row["method"] for row in document["methods"]]
    assert methods == ["grad_cam", "integrated_gradients", "occlusion", "random"] and document["best"] in methods[:3]
    assert main(["bench", "explanations", tiny_run.id, "--pictures", "3"]) == 0
    assert document["verdict"] in capsys.readouterr().out
