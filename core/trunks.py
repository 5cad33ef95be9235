"""Trunks: networks that have learnt already, to learn on from. Which there are, and which are here; no torch.

weights/<name>.safetensors   the weights of a trunk
weights/<name>.json          its card: checksum, where it came from and, of a run, how its network is built
A trunk is called as torchvision calls it ("googlenet"), and one of a run <id of the run>-<8 digits of its weights>.
"""

import re
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.config import LARGEST_SIDE, ModelConfig
from core.disk import read_json
from core.errors import UserMistake
from core.published import PUBLISHED, Published
from core.settings import weights_root

Triple = tuple[float, float, float]
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
HALF: Triple = (0.5, 0.5, 0.5)  # section 3 of the paper: every channel to -1 .. 1
_KEPT_RUN = re.compile(r"[a-z0-9]{12}-[0-9a-f]{8}")


class Source(BaseModel):
    """The network of a finished run, as another one learns on from it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    title: str  # may hold people's words: escape it on a page
    dataset: str
    model: ModelConfig
    classes: int
    image_size: int
    mean: Triple
    std: Triple
    source: "Source | None" = None  # of a run that had learnt on from another one itself


class Trunk(BaseModel):
    """The card of a trunk that is here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sha256: str  # of the safetensors file
    origin: str  # "download", "file" or "run"
    added: str  # ISO 8601, UTC
    source: Source | None = None  # of a run


def trunk_path(name: str) -> Path:
    """The file of a trunk's weights. Names are matched by pattern, never joined blindly."""
    assert name in PUBLISHED or is_kept_run(name), name
    return weights_root() / f"{name}.safetensors"


def is_kept_run(name: str) -> bool:
    return _KEPT_RUN.fullmatch(name) is not None


def read_trunk(name: str) -> Trunk | None:
    """The card of a trunk; None where it is not here. UserMistake for a card that cannot be read."""
    if not (name in PUBLISHED or is_kept_run(name)) or not trunk_path(name).is_file():
        return None
    try:
        return Trunk.model_validate(read_json(trunk_path(name).with_suffix(".json")))
    except FileNotFoundError:
        return None  # nobody finished adding it
    except (OSError, ValueError, ValidationError) as error:
        raise UserMistake(f"The card of the weights {name} cannot be read; add them again.") from error


def list_trunks() -> dict[str, Trunk]:
    """Name -> card of every trunk that is here."""
    found = {}
    for path in sorted(weights_root().glob("*.safetensors")):
        try:
            card = read_trunk(path.stem)
        except UserMistake:
            continue
        if card is not None:
            found[path.stem] = card
    return found


def source_of(model: ModelConfig) -> Source | None:
    """How the network is built that `transfer` learns on from; None for every other network. UserMistake where it is
    not here."""
    if model.name != "transfer":
        return None
    card = read_trunk(model.trunk)
    if card is None or card.source is None:
        raise UserMistake(
            f"There is no run {model.trunk[:40]!r} to learn on from. Choose a finished run, e.g. "
            "--set model.trunk=latest; those there are: python -m core runs list"
        )
    return card.source


def normalisation_of(model: ModelConfig) -> tuple[Triple, Triple]:
    """(mean, std) by which a network's pictures are normalised: its trunk goes on seeing what it has learnt from."""
    if model.name == "pretrained":
        return (HALF, HALF) if must_be_known(model.trunk).half else (IMAGENET_MEAN, IMAGENET_STD)
    source = source_of(model)
    return (source.mean, source.std) if source else (HALF, HALF)


def natural_side(model: ModelConfig) -> int | None:
    """The image size that a network's trunk has learnt from, None without one. UserMistake as source_of, or for a
    network that is not known."""
    if model.name == "pretrained":
        return min(must_be_known(model.trunk).side, LARGEST_SIDE)
    source = source_of(model)
    return source.image_size if source else None


def must_be_known(name: str) -> Published:
    """The published network of that name; UserMistake naming the known ones."""
    if name not in PUBLISHED:
        alike = get_close_matches(name, PUBLISHED, 4, 0.5) or list(PUBLISHED)[:6]
        raise UserMistake(
            f"unknown pretrained network {name!r}. There are {', '.join(alike)}; all {len(PUBLISHED)} of them: "
            "python -m core weights list"
        )
    return PUBLISHED[name]


def check_weights(model: ModelConfig) -> None:
    """UserMistake, with what to do, where the weights that a network begins with are not here."""
    if model.name == "transfer":
        source_of(model)
    if model.name == "pretrained":
        published = must_be_known(model.trunk)
        if read_trunk(model.trunk) is None:
            raise UserMistake(
                f"The weights of {model.trunk} are not here yet ({published.megabytes:,.0f} MB). With internet: python "
                f"-m core weights add {model.trunk}. Without: bring {published.url} here on any disk, and add "
                "--from FILE"
            )
