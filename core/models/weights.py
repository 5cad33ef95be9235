"""The weights of trunks: fetched from torchvision's server or taken from a file, checked, kept as safetensors."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.disk import write_atomic, write_json
from core.download import DownloadProgress, Patience, download
from core.errors import UserMistake
from core.models.pretrained import cut_last, last_layer, published_network, with_versions
from core.settings import downloads_root
from core.trunks import Trunk, check_weights, must_be_known, read_trunk, trunk_path

FILE_BYTES = 2 * 2**30  # of a file with weights; the largest published one has 1.2 GB
SHOWN = 3  # names in a sentence
# before it a crafted file could get past weights_only: CVE-2025-32434 (mended in 2.6), CVE-2026-24747 (in 2.10)
SAFE_TORCH = (2, 10)
UNUSED = ("aux1.", "aux2.", "AuxLogits.")  # heads that only helped GoogLeNet and Inception v3 to learn ImageNet


def add_weights(name: str, path: Path | None = None, patience: Patience | None = None) -> Iterator[DownloadProgress]:
    """Bring the weights of a published network here: downloaded, or from a state dict in a .pth or .safetensors file.

    What is here afterwards was read back by the network itself. Raises UserMistake; what was here before stays.
    """
    published = must_be_known(name)
    origin = "download" if path is None else "file"
    if path is None:
        path = downloads_root() / published.file
        otherwise = (
            f"Or bring {published.url} here on any disk: python -m core weights add {name} --from {published.file}"
        )
        yield from download(published.url, path, published.digits, otherwise=otherwise, patience=patience)
    yield DownloadProgress("checking", 0, 0)
    network = published_network(name)
    _take_state(network, _read_file(path), name, path.name)
    trunk, _ = cut_last(network)
    _keep(name, {key: value.contiguous() for key, value in trunk.state_dict().items()}, origin)
    if origin == "download":
        path.unlink(missing_ok=True)
    size = trunk_path(name).stat().st_size
    yield DownloadProgress("done", size, size)


def load_trunk(name: str) -> dict[str, Tensor]:
    """The weights of a trunk that is here, by name. UserMistake where they are missing, damaged or changed."""
    card = read_trunk(name)
    if card is None:
        check_weights(ModelConfig(name="pretrained", trunk=name))
        raise UserMistake(f"The weights {name} are not here.")
    content = trunk_path(name).read_bytes()
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise UserMistake(f"The weights {name} were changed or damaged (their checksum differs); add them again.")
    return safetensors.torch.load(content)


def _keep(name: str, weights: dict[str, Tensor], origin: str) -> None:
    content = safetensors.torch.save(weights)
    card = Trunk(sha256=hashlib.sha256(content).hexdigest(), origin=origin, added=datetime.now(UTC).isoformat())
    path = trunk_path(name)
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
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]  # as training programs save it beside their optimizer
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UserMistake(
            f"{path.name} holds no state dict (tensors by name); save it with torch.save(network.state_dict(), FILE)"
        )
    return loaded


def _take_state(network: nn.Module, state: dict[str, Tensor], name: str, file: str) -> None:
    """Load a state dict. The last layer may be missing or have other classes, because it is replaced."""
    state = state.copy()  # a shallow one: it keeps what an OrderedDict knows of the version of each layer
    wrapped = [key for key in state if key.startswith("module.")]  # as DataParallel calls it
    for key in wrapped:
        state[key.removeprefix("module.")] = state.pop(key)
    if wrapped or not hasattr(state, "_metadata"):
        state = with_versions(state, network)
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
        told = [f"{len(missing)} are missing ({_some(missing)})"] if missing else []
        told += [f"{len(unexpected)} are not its own ({_some(unexpected)})"] if unexpected else []
        raise UserMistake(
            f"{file} holds weights of another network than {name}: {', '.join(told)}. Nothing was changed"
        )
    for key, value in network.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserMistake(f"{file} is damaged: {key} holds values that are not finite. Nothing was changed")


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")
