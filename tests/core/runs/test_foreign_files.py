"""Files that are not what they say: code instead of weights, bombs, other networks, other versions, other machines.

Each is put into its place with the right checksum, as somebody could who may write in the folder.
"""

import io
import json
import mmap
import pickle
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from core.data.datasets.dataset import find_dataset
from core.data.duplicates.duplicates import read_duplicates
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.inference.predictor import load_predictor
from core.runs.actions import resume_run
from core.runs.checkpoint import _own_sha256, read_checkpoint
from core.runs.run import open_run
from core.runs.writer import RunWriter
from core.train import train_run
from tests import tiny
from tests.core.test_resume import resumed

ROOT = Path(__file__).resolve().parents[3]


class Code:
    """Whoever unpickles this writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def torch_saved(content, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def numpy_saved(code: Code) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([code], object), allow_pickle=True)
    return buffer.getvalue()


def arrays_saved(code: Code) -> bytes:
    buffer = io.BytesIO()
    named = {name: np.array([code], object) for name in ("labels", "groups", "content_hash", "part", "filters")}
    np.savez(buffer, allow_pickle=True, **named)
    return buffer.getvalue()


KINDS = {
    "pickle": pickle.dumps,
    "torch": torch_saved,
    "torch of before": lambda code: torch_saved(code, _use_new_zipfile_serialization=False),
    "npy": numpy_saved,
    "npz": arrays_saved,
}


@pytest.fixture(params=KINDS)
def code(request, tmp_path) -> bytes:
    """A file that would write tmp_path/"it ran" if it were opened by a door that runs code."""
    return KINDS[request.param](Code(tmp_path / "it ran"))


@pytest.fixture(autouse=True)
def no_code_ran(tmp_path):
    yield
    assert not (tmp_path / "it ran").exists()


def publish(run, name: str, content: bytes) -> None:
    RunWriter(run.folder)._publish(name, content)  # with its checksum


def test_the_code_would_run_through_another_door(tmp_path):
    pickle.loads(KINDS["pickle"](Code(tmp_path / "it ran")))  # noqa: S301 - ours, to see that it would
    (tmp_path / "it ran").unlink()


def test_code_in_place_of_a_model_is_refused_and_no_other_way_is_advised(tiny_run, code):
    publish(tiny_run, "model.safetensors", code)
    for opened in (tiny_run.weights, lambda: load_predictor(tiny_run)):
        with pytest.raises(UserMistake, match=r"model file of run \w+ is not") as refused:
            opened()
        assert "weights_only" not in str(refused.value)


def test_code_in_place_of_answers_is_refused(tiny_run, code):
    publish(tiny_run, "evaluation-test.npz", code)
    with pytest.raises(UserMistake, match="cannot be read; evaluate the run again"):
        tiny_run.evaluation("test")


def test_code_in_place_of_a_snapshot_or_of_duplicates_is_as_good_as_none(tiny_run, code):
    (tiny_run.folder / "snapshot.npz").write_bytes(code)
    assert tiny_run.snapshot() is None
    dataset = find_dataset("colours")
    (dataset.folder / "copies.npz").write_bytes(code)
    assert read_duplicates(dataset) is None


def test_code_in_place_of_an_index_is_refused(trained_home, code):
    dataset = find_dataset("colours")
    (dataset.folder / "index.npy").write_bytes(code)
    with pytest.raises((UserMistake, ValueError, KeyError)):
        dataset.labels  # noqa: B018


def test_code_in_place_of_a_checkpoint_counts_as_damage(tiny_run, code):
    for path in (tiny_run.folder / "checkpoint").glob("*.json"):
        forge_checkpoint(path, code)
    with pytest.raises(UserMistake, match=r"Every checkpoint of run \w+ is damaged"):
        resumed(tiny_run, epochs=9)


def forge_checkpoint(path: Path, content: bytes) -> None:
    """Other content with the right checksums."""
    import hashlib

    document = read_json(path)
    document.pop("own_sha256")
    document["sha256"] = hashlib.sha256(content).hexdigest()
    write_json(path, document | {"own_sha256": _own_sha256(document)})
    path.with_suffix(".safetensors").write_bytes(content)


def claimed(shape, kind: str = "F32", data: bytes = b"\0" * 8) -> bytes:
    """A safetensors file whose header claims more than there is."""
    header = json.dumps({"conv1.weight": {"dtype": kind, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


BOMBS = {
    "a tensor of 10^12 from one number": torch_saved(torch.zeros(1).expand(10**6, 10**6)),
    "a sparse tensor": torch_saved(torch.eye(3).to_sparse()),
    "a header that claims 4 TB": claimed([10**6, 10**6]),
    "a shape that overflows": claimed([2**40, 2**40]),
    "data behind the end": claimed([2], data=b"\0" * 8)[:-4],
    "data that nobody names": claimed([2]) + b"\0" * 64,
    "a kind that there is not": claimed([1], kind="OBJECT"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_model_file_that_claims_more_than_it_has_is_refused(tiny_run, bomb):
    publish(tiny_run, "model.safetensors", BOMBS[bomb])
    with pytest.raises(UserMistake, match=r"model file of run \w+ is not"):
        tiny_run.weights()


def test_answers_that_claim_more_than_they_have_are_refused(tiny_run):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in np.load(tiny_run.folder / "evaluation-test.npz").files:
            archive.writestr(f"{name}.npy", head.getvalue())
    publish(tiny_run, "evaluation-test.npz", content.getvalue())
    with pytest.raises(UserMistake, match="cannot be read"):
        tiny_run.evaluation("test")


@pytest.mark.parametrize("change", ["other names", "another number of classes", "one is missing"])
def test_weights_of_another_network_are_never_loaded_in_part(tiny_run, change):
    weights = tiny_run.weights()
    if change == "other names":  # of which a loader that is not strict would load nothing, and say nothing
        weights = {f"module.{name}": values for name, values in weights.items()}
    elif change == "another number of classes":
        weights["fc3.weight"] = np.zeros((5, *weights["fc3.weight"].shape[1:]), np.float32)
    else:
        del weights["fc3.bias"]
    publish(tiny_run, "model.safetensors", safetensors.numpy.save(weights))
    with pytest.raises(UserMistake, match=r"do not fit paper_cnn with 2 classes: .* differ"):
        load_predictor(open_run(tiny_run.folder))


def test_a_checkpoint_of_another_network_is_refused_and_the_model_stays(tiny_run):
    before = tiny_run.weights()
    for path in (tiny_run.folder / "checkpoint").glob("*.json"):
        arrays = safetensors.numpy.load(path.with_suffix(".safetensors").read_bytes())
        arrays["weights.fc3.bias"] = np.zeros(5, np.float32)
        forge_checkpoint(path, safetensors.numpy.save(arrays))
    run = resumed(tiny_run, epochs=9)
    with pytest.raises(UserMistake, match=r"saved state is of another network: fc3\.bias differ"):
        train_run(run.folder)
    run = open_run(run.folder)
    assert run.state.status == "failed" and "Clone the run" in run.state.message
    assert all(np.array_equal(values, before[name]) for name, values in run.weights().items())


def test_what_a_newer_version_made_is_refused_by_its_number(tiny_run):
    card = read_json(tiny_run.folder / "model.json") | {"schema_version": 9}
    publish(tiny_run, "model.json", json.dumps(card).encode())
    with pytest.raises(UserMistake, match=r"newer version of Atelier \(schema 9; this one knows 1\)"):
        tiny_run.card()
    for path in (tiny_run.folder / "checkpoint").glob("*.json"):
        document = read_json(path) | {"schema_version": 9}
        document.pop("own_sha256")
        write_json(path, document | {"own_sha256": _own_sha256(document)})
    with pytest.raises(UserMistake, match=r"newer version of Atelier \(schema 9; this one knows 1\)"):
        read_checkpoint(tiny_run.folder)
    with pytest.raises(UserMistake, match="newer version"):
        resume_run(tiny_run, tiny_run.fingerprint, 48, epochs=9)


def test_a_run_of_the_first_version_is_read(tiny_run):
    """As the first version wrote it: no requester, no marks, no answers but those that it asked for, few settings."""
    first = {
        "schema_version": 1,
        "created": "2026-01-02T03:04:05.678+00:00",
        "fingerprint": tiny_run.fingerprint,
        "classes": ["blue", "orange"],
        "config": {
            "preset": "paper",
            "data": {"dataset": "colours", "image_size": 16},
            "model": {"name": "paper_cnn"},
            "train": {"epochs": 3, "batch_size": 8, "learning_rate": 0.05},
        },
    }
    state = {"status": "done", "message": "", "epoch": 3, "epochs": 3, "step": 12, "steps": 12, "seconds": 1.0}
    write_json(tiny_run.folder / "config.json", first)
    write_json(tiny_run.folder / "state.json", state)
    card = read_json(tiny_run.folder / "model.json")
    for later in ("schema_version", "epoch", "val_loss"):
        del card[later]
    publish(tiny_run, "model.json", json.dumps(card).encode())
    run = open_run(tiny_run.folder)
    assert (run.state.status, run.state.attempt, run.requester, run.config.train.epochs) == ("done", 1, None, 3)
    assert run.card().classes == ("blue", "orange") and load_predictor(run).predict([]) == []


def test_a_model_names_no_device_so_that_any_machine_opens_it(tiny_run):
    content = (tiny_run.folder / "model.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert all(set(entry) == {"dtype", "shape", "data_offsets"} for entry in header.values())
    assert {parameter.device.type for parameter in load_predictor(tiny_run).model.parameters()} == {"cpu"}


def test_whoever_has_the_old_model_mapped_keeps_it_while_the_next_is_saved(trained_home):
    run = tiny.new_run()
    writer = RunWriter(run.folder)
    writer.starting()
    card = open_run(max(path for path in run.folder.parent.iterdir() if path != run.folder)).card()
    writer.save_model({"w": np.ones(20_000, np.float32)}, card)
    with (run.folder / "model.safetensors").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as old:
        before = old[:]
        writer.save_model({"w": np.zeros(20_000, np.float32)}, card)
        assert old[:] == before and not run.weights()["w"].any()


def test_what_is_pinned_has_no_known_hole():
    floors = {"torch": (2, 10), "pillow": (13, 0), "streamlit": (1, 54), "filelock": (4, 2, 1), "safetensors": (0, 8)}
    for name, floor in floors.items():
        pinned = re.search(rf"^{name}==([0-9.]+)", (ROOT / "requirements.txt").read_text(), re.M)
        assert pinned and tuple(map(int, pinned[1].split("."))) >= floor, name
