"""Exporting a run: what lies in the folder, that it answers as the program does, and what is refused."""

import hashlib
import json
import os

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from core.cli.app import main
from core.config import change_config
from core.errors import UserMistake
from core.export.agreement import WITH_SCRIPT, ask_script, measure_agreement
from core.export.card import model_card
from core.export.export import FILES, WRITTEN, check_target, export_run, facts_of
from core.export.facts import read_facts
from core.inference.predictor import load_predictor
from core.runs.run import open_run
from tests import tiny
from tests.core.export.clean import OWN, only, run_only
from tests.pictures import encoded


@pytest.fixture(scope="module")
def exported(home_with_a_run, tmp_path_factory):
    """(run, folder): everything of the tiny run, exported once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home_with_a_run))
        patch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
        (folder,) = (home_with_a_run / "runs").iterdir()
        run, target = open_run(folder), tmp_path_factory.mktemp("export") / "take away"
        phases = [step.phase for step in export_run(run, target)]
    assert phases[-1] == "done" and len(phases) == len(set(phases)) > 4
    return run, target


@pytest.mark.slow
def test_an_export_holds_its_files_and_nothing_else(exported):
    _, folder = exported
    names = {name for written in WRITTEN.values() for name in written}
    assert tiny.files_of(folder) == names | {"model.json", "README.md"}
    assert tiny.files_of(folder.parent) == {folder.name}


@pytest.mark.slow
def test_an_onnx_file_says_what_goes_in_and_out(exported):
    run, folder = exported
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    (image,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["height", "width", 3])
    assert (answer.name, answer.type, answer.shape) == ("probabilities", "tensor(float)", [2])
    facts = session.get_modelmeta().custom_metadata_map
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert json.loads(facts["classes"]) == list(run.classes)
    assert facts["sha256"] == digest == run.weights_sha256() == read_facts(folder).sha256


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "safetensors", "torch"])
def test_a_script_needs_only_its_own_packages_and_answers_as_the_program(exported, name, tmp_path):
    run, folder = exported
    python = only(OWN[name], tmp_path / "packages")
    assert run_only(python, "-c", "import pydantic").returncode == 1, "the environment is not clean"
    files = odd_files(tmp_path)
    predictions = load_predictor(run).predict([(str(file), file.read_bytes()) for file in files])
    answers = ask_script(folder, name, files, python)
    for file, prediction, answer in zip(files, predictions, answers, strict=True):
        assert max(answer, key=answer.get) == prediction.classes[0][0], file
        for label, probability in prediction.classes:
            assert answer[label] == pytest.approx(probability, abs=1e-4), file


def odd_files(folder):
    """Forms that a picture file may have, each of blue pixels that are not all equal."""
    small = Image.fromarray(tiny.colour_picture("blue", 3))
    wide = small.resize((60, 24), Image.Resampling.BICUBIC)
    faded, turned = wide.convert("RGBA"), Image.Exif()
    faded.putalpha(Image.linear_gradient("L").resize(wide.size))
    turned[0x0112] = 6
    deep = np.asarray(wide.convert("L")).astype(np.uint16) * 257
    contents = {
        "plain.png": encoded(wide),
        "alpha.png": encoded(faded),
        "palette.png": encoded(wide.convert("P", palette=Image.Palette.ADAPTIVE)),
        "turned.jpg": encoded(wide, "JPEG", exif=turned),
        "cmyk.jpg": encoded(wide.convert("CMYK"), "JPEG"),
        "deep.png": encoded(Image.fromarray(deep)),
        "large.jpg": encoded(small.resize((2400, 1700)), "JPEG"),
        "large.png": encoded(small.resize((1400, 1300))),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


@pytest.mark.slow
def test_every_test_picture_is_answered_alike(exported, home_with_a_run, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(home_with_a_run))
    run, _ = exported
    *_, found = measure_agreement(run)
    assert [one.format for one in found] == list(WITH_SCRIPT)
    assert all(one.n == 12 and one.same == 12 and one.probability < 1e-4 for one in found)
    assert found[0].logit < 1e-4


def test_scripts_are_short():
    scripts = list(FILES.glob("predict_*.txt"))
    assert len(scripts) == 3
    assert all(len(path.read_text().splitlines()) < 40 for path in scripts)


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.slow
def test_an_earlier_export_is_replaced_as_a_whole(exported, tmp_path):
    run, _ = exported
    target = tmp_path / "export"
    for formats in (["torch"], ["safetensors"]):
        list(export_run(run, target, formats))
    assert tiny.files_of(target) == {*WRITTEN["safetensors"], "model.json", "README.md"}
    (target / "notes.txt").write_text("mine")
    with pytest.raises(UserMistake, match=r"notes\.txt"):
        check_target(target)


def test_what_breaks_half_way_leaves_nothing(tiny_run, tmp_path):
    steps = export_run(tiny_run, tmp_path / "out" / "export")
    assert next(steps).phase == "loading the network"
    assert next(steps).phase == "tracing the network"
    assert tiny.files_of(tmp_path / "out") != set()
    steps.close()
    assert tiny.files_of(tmp_path / "out") == set()


def test_a_folder_that_holds_something_else_is_kept(tiny_run, tmp_path, capsys):
    (tmp_path / "picture.jpg").write_bytes(b"mine")
    assert main(["export", tiny_run.id, "--to", str(tmp_path)]) == 2
    assert "is not empty and holds no earlier export" in capsys.readouterr().err
    assert main(["export", tiny_run.id, "--to", str(tmp_path / "picture.jpg")]) == 2
    assert "is a file" in capsys.readouterr().err
    assert tiny.files_of(tmp_path) >= {"picture.jpg"}


def test_an_unknown_format_and_a_run_without_a_model_are_refused(new_run, tmp_path, capsys):
    assert main(["export", new_run.id, "--to", str(tmp_path / "a"), "--format", "coreml"]) == 2
    assert "'coreml'; there are onnx, safetensors, torch, web" in capsys.readouterr().err
    assert main(["export", new_run.id, "--to", str(tmp_path / "a")]) == 2
    assert "has no model" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


# ----------------------------------------------------------------------------------------------------------- card


def test_a_card_says_n_and_intervals_and_of_each_class(tiny_run):
    card = model_card(tiny_run, facts_of(tiny_run, "last", "0" * 64), ["model.onnx"])
    test = tiny_run.evaluation("test")
    low, high = test.interval
    assert f"{test.accuracy:.1%}** of 12 test pictures" in card
    assert f"95 % interval {low:.1%} to {high:.1%}" in card
    assert "| blue | 13 | 6 |" in card and "| orange | 13 | 6 |" in card
    assert "## What it is not for" in card and "12 test pictures tell little" in card
    assert "`model.onnx`" in card and "`model.pt2`" not in card


def test_names_in_a_card_are_no_markup(tiny_run):
    facts = facts_of(tiny_run, "last", "0" * 64)
    evil = "<img src=x onerror=alert(1)> | **a** [b](http://c)\n# d"
    config = change_config(facts.config, {"data.dataset": evil})
    card = model_card(tiny_run, facts.model_copy(update={"classes": (evil, "blue"), "config": config}), [])
    assert "<img" not in card.replace("\\<img", "")
    assert "\\[b\\]" in card and "\n# d" not in card
