"""Trunks: networks that have learnt already, to learn on from. Which there are, and which are here; no torch.

weights/<name>.safetensors   the weights of a trunk
weights/<name>.json          its card: checksum, where it came from and, of a run, how its network is built
A trunk is called as torchvision calls it ("googlenet"), and one of a run <id of the run>-<8 digits of its weights>.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.config import ModelConfig
from core.disk import read_json
from core.errors import UserMistake
from core.settings import weights_root

Triple = tuple[float, float, float]
HOST = "https://download.pytorch.org/models/"
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
HALF: Triple = (0.5, 0.5, 0.5)  # section 3 of the paper: every channel to -1 .. 1
IMAGENET_SIDE = 224  # pixels, of the pictures that every network below has learnt from
SMALLEST = 32  # pixels; the networks below halve a picture five times
_KEPT_RUN = re.compile(r"[a-z0-9]{12}-[0-9a-f]{8}")


@dataclass(frozen=True)
class Published:
    """A classification network of torchvision, and its weights from ImageNet."""

    file: str  # ends with the first 8 digits of its SHA-256
    megabytes: float  # to download
    accuracy: float  # top-1 on the 1,000 classes of ImageNet, as torchvision's metadata gives it
    parameters: int  # with the last layer, which is replaced
    only_side: bool = False  # whether it takes pictures of 224 pixels and no others

    @property
    def url(self) -> str:
        return HOST + self.file

    @property
    def digits(self) -> str:
        """The SHA-256 of the file begins with these."""
        return self.file.removesuffix(".pth").rpartition("-")[2]


# a test holds these numbers against torchvision's own
PUBLISHED: dict[str, Published] = {
    "googlenet": Published("googlenet-1378be20.pth", 49.731, 0.69778, 6_624_904),
    "resnet18": Published("resnet18-f37072fd.pth", 44.661, 0.69758, 11_689_512),
    "mobilenet_v3_small": Published("mobilenet_v3_small-047dcff4.pth", 9.829, 0.67668, 2_542_856),
    "mobilenet_v3_large": Published("mobilenet_v3_large-5c1a4163.pth", 21.107, 0.75274, 5_483_032),
    "efficientnet_b0": Published("efficientnet_b0_rwightman-7f5810bc.pth", 20.451, 0.77692, 5_288_548),
    "vit_b_16": Published("vit_b_16-c867db91.pth", 330.285, 0.81072, 86_567_656, only_side=True),
}


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
        return IMAGENET_MEAN, IMAGENET_STD
    source = source_of(model)
    return (source.mean, source.std) if source else (HALF, HALF)


def natural_side(model: ModelConfig) -> int | None:
    """The image size that a network's trunk has learnt from, None without one. UserMistake as source_of."""
    if model.name == "pretrained":
        return IMAGENET_SIDE
    source = source_of(model)
    return source.image_size if source else None


def must_be_known(name: str) -> Published:
    """The published network of that name; UserMistake naming the known ones."""
    if name not in PUBLISHED:
        raise UserMistake(f"unknown pretrained network {name!r}; known: {', '.join(PUBLISHED)}")
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
