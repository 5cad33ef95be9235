"""Published weights: downloaded, or from a file, checked and kept; what is something else changes nothing."""

import hashlib
import io
import json
import pickle
import warnings

import pytest
import safetensors.torch
import torch

from core.backbones.catalogue import PUBLISHED, TORCHVISION, Published
from core.backbones.registry import backbone_path, check_weights, list_backbones, normalisation_of, read_backbone
from core.cli.app import main
from core.config import ModelConfig
from core.download import RetryPolicy
from core.errors import UserMistake
from core.models.transfer import published_network
from core.models.weights import add_weights, load_backbone
from core.settings import downloads_root
from tests.backbones import SMALL, published_file, put_weights
from tests.broken_server import serve

HASTE = RetryPolicy(connect=1.0, read=0.3, tries=3, pause=0.01)


@pytest.fixture(scope="module")
def content():
    return published_file()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def published_at(monkeypatch):
    """Let the small network be published at an address, under the checksum of some content."""

    def publish(url: str, content: bytes):
        host, _, _ = url.rpartition("/")
        digits = hashlib.sha256(content).hexdigest()[:8]
        known = Published(f"small-{digits}.pth", 10.0, 0.5, 1)
        monkeypatch.setattr("core.backbones.catalogue.HOST", f"{host}/")
        monkeypatch.setitem(PUBLISHED, SMALL, known)

    return publish


def saved(state, path):
    torch.save(state, path)
    return path


def test_what_is_said_of_the_published_networks_is_what_torchvision_says():
    from torchvision.models import get_model_weights

    for name, known in TORCHVISION.items():
        weights = get_model_weights(name).DEFAULT
        assert known.url == weights.url and known.parameters == weights.meta["num_params"]
        assert known.accuracy == pytest.approx(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
        assert known.megabytes == weights.meta["_file_size"]
        own = weights.transforms()
        assert [known.side] == own.crop_size and known.smallest >= max(32, weights.meta["min_size"][0])
        mean, std = normalisation_of(ModelConfig(name="pretrained", backbone=name))
        assert (list(mean), list(std)) == (own.mean, own.std)
        assert "license" not in weights.meta and len(known.digits) in (8, 10) and int(known.digits, 16)


def test_every_network_of_torchvision_is_there_but_those_that_may_not_be_used_commercially():
    import torchvision

    known = set(torchvision.models.list_models(module=torchvision.models))
    assert known - set(TORCHVISION) == {"regnet_y_128gf", "vit_h_14"}


def test_weights_are_downloaded_checked_and_kept_without_the_last_layer(home, content, published_at):
    with serve(content, "half") as server:
        published_at(server.url, content)
        steps = list(add_weights(SMALL, retry=HASTE))
    assert (steps[-1].phase, server.ranges[0]) == ("done", None) and server.ranges[1]  # it went on where it broke off
    assert read_backbone(SMALL).origin == "download" and SMALL in list_backbones()
    kept, given = load_backbone(SMALL), torch.load(io.BytesIO(content), weights_only=True)
    assert set(given) - set(kept) == {"classifier.3.weight", "classifier.3.bias"}
    assert all(torch.equal(kept[key], given[key]) for key in kept)
    assert not list(downloads_root().glob("*.pth"))


def test_a_download_with_another_checksum_is_refused(home, content, published_at):
    with serve(content, "flip") as server:
        published_at(server.url, content)
        with pytest.raises(UserMistake, match=r"checksum is another one.*weights add mobilenet_v3_small --from small-"):
            list(add_weights(SMALL, retry=HASTE))
    assert read_backbone(SMALL) is None


def test_without_a_network_one_sentence_says_what_to_put_where(home, published_at):
    published_at("http://127.0.0.1:9/file.bin", b"")
    with pytest.raises(UserMistake, match=r"cannot be reached.*Or bring http.*--from small-"):
        list(add_weights(SMALL, retry=HASTE))
    with pytest.raises(UserMistake, match=r"are not here yet .10 MB.. With internet: .*Without: bring http"):
        check_weights(ModelConfig(name="pretrained", backbone=SMALL))


def test_ones_own_file_may_have_other_classes_another_shell_and_another_format(home):
    own = published_network(SMALL)
    own.classifier[3] = torch.nn.Linear(own.classifier[3].in_features, 7)
    for path in (
        saved(own.state_dict(), home / "mine.pth"),
        saved({"state_dict": {f"module.{key}": value for key, value in own.state_dict().items()}}, home / "ddp.pt"),
    ):
        list(add_weights(SMALL, path))
        assert torch.equal(load_backbone(SMALL)["features.0.0.weight"], own.features[0][0].weight)
    safetensors.torch.save_file(own.state_dict(), home / "mine.safetensors")
    list(add_weights(SMALL, home / "mine.safetensors"))
    assert read_backbone(SMALL).origin == "file"


def prefixed(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


SAVED_AS = {
    "plain": lambda state: state,
    "DataParallel": lambda state: prefixed(state, "module."),
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "compiled DDP": lambda state: prefixed(state, "module._orig_mod."),
    "compiled layer": lambda state: {key.replace("features.0.", "features.0._orig_mod."): state[key] for key in state},
    "Lightning": lambda state: {"state_dict": prefixed(state, "model."), "epoch": 3, "loops": {"fit": {}}},
    "Lightning with its loss": lambda state: (
        {"state_dict": {"criterion.weight": torch.ones(10)} | prefixed(state, "net._orig_mod.")}
    ),
    "torchvision references": lambda state: {"model": state, "model_ema": prefixed(state, "module."), "epoch": 3},
    "PyTorch's tutorial": lambda state: {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {"state": {}}},
    "AveragedModel": lambda state: {"n_averaged": torch.tensor(5)} | prefixed(state, "module."),
    "container in a container": lambda state: {"model": {"state_dict": prefixed(state, "module.")}, "epoch": 1},
    "before torch 1.6": lambda state: state,
}


@pytest.mark.parametrize("form", SAVED_AS)
def test_weights_are_taken_as_programs_save_them_and_torch_warns_of_nothing(home, form, recwarn):
    own = published_network(SMALL)
    own.classifier[3] = torch.nn.Linear(own.classifier[3].in_features, 10)
    path, is_new = home / "mine.pth", form != "before torch 1.6"
    torch.save(SAVED_AS[form](own.state_dict()), path, _use_new_zipfile_serialization=is_new)
    recwarn.clear()
    list(add_weights(SMALL, path))
    kept, expected = load_backbone(SMALL), own.state_dict()
    assert kept and all(torch.equal(kept[key], expected[key]) for key in kept)
    assert len(kept) == len(expected) - 2 and not recwarn.list


def test_what_torch_warns_of_while_it_reads_a_file_does_not_reach_the_user(home, monkeypatch, recwarn):
    real = torch.load

    def load(*given, **more):
        warnings.warn("deprecated", stacklevel=2)
        return real(*given, **more)

    monkeypatch.setattr(torch, "load", load)
    list(add_weights(SMALL, saved(published_network(SMALL).state_dict(), home / "mine.pth")))
    assert read_backbone(SMALL) is not None and not recwarn.list


def test_weights_of_another_network_are_refused_with_what_differs(home, content):
    put_weights(home)
    before = backbone_path(SMALL).read_bytes()
    state = torch.load(io.BytesIO(content), weights_only=True)
    wrong = {
        "are missing .features.0.0.weight..": {
            "module." + k: v for k, v in state.items() if k != "features.0.0.weight"
        },
        "are missing .features.0.0.weight.": {k: v for k, v in state.items() if k != "features.0.0.weight"},
        "are not its own .layer9.": state | {"layer9": torch.zeros(2)},
        "features.0.0.weight": state | {"features.0.0.weight": torch.zeros(16, 3, 5, 5)},
        "not finite": state | {"features.0.0.weight": torch.full((16, 3, 3, 3), torch.nan)},
    }
    for message, other in wrong.items():
        with pytest.raises(UserMistake, match=message):
            list(add_weights(SMALL, saved(other, home / "other.pth")))
    assert backbone_path(SMALL).read_bytes() == before


class Touch:
    """What a file of weights must never be able to do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_file_that_holds_code_is_refused_and_none_of_it_runs(home):
    torch.save({"weight": Touch(home / "ran")}, home / "code.pth")
    (home / "plain.pth").write_bytes(pickle.dumps(Touch(home / "ran")))
    for name in ("code.pth", "plain.pth"):
        with pytest.raises(UserMistake, match=r"more than weights|cannot be read"):
            list(add_weights(SMALL, home / name))
    assert not (home / "ran").exists()


def test_an_old_torch_reads_no_file_that_could_hold_code(home, monkeypatch):
    torch.save({"weight": Touch(home / "ran")}, home / "mine.pth")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(UserMistake, match=r"Please update PyTorch: 2\.9\.1"):
        list(add_weights(SMALL, home / "mine.pth"))
    assert not (home / "ran").exists()


@pytest.mark.parametrize("written", [b"", b"PK\x03\x04rubbish", b"<html>", b"\x00" * 5000])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_file_that_is_none_of_weights_has_its_sentence(home, written, ending):
    path = home / f"no.{ending}"
    path.write_bytes(written)
    with pytest.raises(UserMistake, match=r"no\.(pth|safetensors)"):
        list(add_weights(SMALL, path))


def test_a_state_that_is_no_state_dict_and_a_file_that_is_not_there(home):
    for other in ([1, 2], {"a": 3}, torch.zeros(2), {}):
        with pytest.raises(UserMistake, match="no state dict"):
            list(add_weights(SMALL, saved(other, home / "other.pth")))
    with pytest.raises(UserMistake, match="There is no file"):
        list(add_weights(SMALL, home / "nowhere.pth"))


def test_an_unknown_network_is_refused_with_the_known_ones(home):
    with pytest.raises(UserMistake, match=r"unknown pretrained network 'vgg99'\. There are vgg19"):
        list(add_weights("vgg99"))


def test_kept_weights_that_changed_are_refused(home):
    put_weights(home)
    kept = bytearray(backbone_path(SMALL).read_bytes())
    kept[-1] ^= 1
    backbone_path(SMALL).write_bytes(kept)
    with pytest.raises(UserMistake, match="checksum differs"):
        load_backbone(SMALL)


def test_the_command_line_adds_lists_and_removes(home, content, capsys):
    (home / "mine.pth").write_bytes(content)
    assert main(["weights", "add", SMALL, "--from", str(home / "mine.pth"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["origin"] == "file"
    assert main(["weights", "list", "--json"]) == 0
    listed = {known["name"]: known for known in json.loads(capsys.readouterr().out)["published"]}
    assert listed[SMALL]["here"] and not listed["googlenet"]["here"] and listed["googlenet"]["megabytes"] == 49.731
    assert main(["weights", "remove", SMALL]) == 0 and read_backbone(SMALL) is None
    assert main(["weights", "remove", SMALL]) == 2 and "there are: " in capsys.readouterr().err
    assert main(["weights", "list"]) == 0
