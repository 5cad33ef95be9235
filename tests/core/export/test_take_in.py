"""An exported network becomes a run again, and a file that is not what it says is refused in a sentence."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from core.cli.app import main
from core.errors import UserMistake
from core.export.export import facts_of
from core.export.take_in import take_in
from core.inference.predictor import load_predictor
from core.runs.run import run_ids
from tests import tiny
from tests.app import open_page
from tests.pictures import encoded


@pytest.fixture
def exported(tiny_run, tmp_path):
    """What `export --format safetensors` writes and take_in reads, without the ten seconds of the rest."""
    folder = tmp_path / "export"
    folder.mkdir()
    weights = safetensors.numpy.save(tiny_run.weights())
    facts = facts_of(tiny_run, "last", hashlib.sha256(weights).hexdigest())
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "model.json").write_text(facts.model_dump_json())
    return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another home, without pictures and runs."""
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "elsewhere"))


def change_facts(folder: Path, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def put_weights(folder: Path, content: bytes):
    """Weights with the checksum that belongs to them: what remains wrong must be found otherwise."""
    (folder / "model.safetensors").write_bytes(content)
    change_facts(folder, sha256=hashlib.sha256(content).hexdigest())


def refusal(folder: Path) -> str:
    with pytest.raises(UserMistake) as caught:
        take_in(folder)
    assert run_ids() == [], "a refused export leaves no run"
    return str(caught.value)


def test_it_answers_as_the_exported_one(tiny_run, exported, elsewhere):
    picture = ("a.png", encoded(Image.fromarray(tiny.colour_picture("blue", 5))))
    taken = take_in(exported)
    assert (taken.state.status, taken.title, taken.classes) == ("done", tiny_run.title, tiny_run.classes)
    expected, got = (load_predictor(run).predict([picture])[0].classes for run in (tiny_run, taken))
    assert got == expected
    assert taken.weights_sha256() == tiny_run.weights_sha256()


def test_the_file_itself_may_be_named(exported, elsewhere, capsys):
    assert main(["runs", "add", str(exported / "model.safetensors"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "done"


@pytest.mark.parametrize("page", ["streamlit_app.py", "pages/try_it.py", "pages/results.py", "pages/architecture.py"])
def test_pages_open_with_a_run_that_has_neither_pictures_nor_answers(exported, elsewhere, page):
    taken = take_in(exported)
    app = open_page(page, run=taken.id)
    assert not app.exception and not app.error


def test_a_file_that_was_cut_or_changed_is_not_opened(exported, elsewhere):
    path = exported / "model.safetensors"
    content = path.read_bytes()
    for cut in (0, 1, 7, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        assert "changed or damaged (its checksum differs)" in refusal(exported)
    for place in np.linspace(0, len(content) - 1, 40).astype(int):
        flipped = bytearray(content)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        assert "changed or damaged" in refusal(exported)


@pytest.mark.parametrize("content", [b"", b"just text", bytes(8), (2**60).to_bytes(8, "little") + b"{}", b"\xff" * 300])
def test_what_is_no_model_file_is_said_to_be_none(exported, elsewhere, content):
    put_weights(exported, content)
    assert "not a model file" in refusal(exported)


def test_a_header_that_lies_about_its_tensors_is_refused(exported, elsewhere):
    for offsets in ([0, 2**40], [4, 0], [-4, 4]):
        header = json.dumps({"fc3.bias": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": offsets}}).encode()
        put_weights(exported, len(header).to_bytes(8, "little") + header + bytes(8))
        assert "not a model file" in refusal(exported)


def test_another_network_or_other_classes_than_it_says_are_refused(exported, elsewhere):
    change_facts(exported, classes=["a", "b", "c"])
    assert "does not fit paper_cnn with 3 classes" in refusal(exported)
    facts = json.loads((exported / "model.json").read_text())
    facts["config"]["model"] |= {"name": "resnet"}
    change_facts(exported, classes=["a", "b"], config=facts["config"])
    assert "does not fit resnet with 2 classes" in refusal(exported)


def test_a_network_that_would_fill_the_memory_is_not_built(exported, elsewhere):
    facts = json.loads((exported / "model.json").read_text())
    facts["config"]["model"] |= {"name": "cnn", "channels": [4096] * 3, "linear": [4096] * 3}
    change_facts(exported, config=facts["config"])
    assert "151,113,728 parameters, 100,000,000 may be" in refusal(exported)


def test_numbers_of_another_kind_and_numbers_that_are_none_are_refused(tiny_run, exported, elsewhere, monkeypatch):
    weights = safetensors.numpy.load((exported / "model.safetensors").read_bytes())
    broken = weights | {"fc3.bias": np.full_like(weights["fc3.bias"], np.nan)}
    put_weights(exported, safetensors.numpy.save(broken))
    assert "fc3.bias holds values that are not finite" in refusal(exported)
    half = weights | {"fc3.bias": weights["fc3.bias"].astype(np.float16)}
    put_weights(exported, safetensors.numpy.save(half))
    assert "fc3.bias as float16" in refusal(exported)
    missing = {name: value for name, value in weights.items() if name != "fc3.bias"}
    put_weights(exported, safetensors.numpy.save(missing))
    assert "fc3.bias differs" in refusal(exported)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.PT2", "model.onnx", "pytorch_model.bin"])
def test_a_file_that_can_hold_code_is_not_opened(elsewhere, tmp_path, name):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (marker.touch, ())

    (tmp_path / name).write_bytes(pickle.dumps(Evil()))
    assert "can hold program code" in refusal(tmp_path / name)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not the one of an export"),
        (b'{"kind": "something"}', "not the one of an export"),
        (b'{"kind": "atelier-export", "schema_version": 99}', "newer version of Atelier"),
        (b'{"kind": "atelier-export", "schema_version": 1}', "cannot be used"),
        (b" " * (2**20 + 1), "bytes"),
    ],
)
def test_facts_that_cannot_be_used_are_named(exported, elsewhere, content, said):
    (exported / "model.json").write_bytes(content)
    assert said in refusal(exported)


def test_what_is_missing_is_named(exported, elsewhere, tmp_path):
    (exported / "model.json").unlink()
    assert "no model.json in" in refusal(exported)
    assert "no model.json and no model.safetensors in" in refusal(tmp_path / "nowhere")
