"""Settings by their dotted names, such as train.learning_rate: the value of one, all of them, whether one acts, whether
they go with the pictures, and how people and JSON documents write them."""

from collections.abc import Mapping
from typing import Any

from core.config import ModelConfig, RunConfig, TrainConfig
from core.errors import UserMistake
from core.setting_names import FORMER_NAMES, current_field

FAMILY = (
    "channels",
    "convolutions",
    "kernel",
    "padding",
    "pool",
    "activation",
    "negative_slope",
    "norm_conv",
    "norm_linear",
    "dropout_conv",
    "dropout_linear",
    "linear",
)
RESIDUAL = ("width", "depth")
RESIDUAL_NETWORKS = ("resnet", "compact")  # they take pictures of any size, and begin with a layer that whitens
UNSURE = 0.25  # about the share of pictures of which a network that has learnt is unsure, see ModelConfig.tta_below
# inputs times outputs of a convolution that other ways than the direct one may make faster; with fewer, rearranging
# costs more
MANY = 64 * 256
RESNET_SMALLEST = 9  # pixels; three poolings halve 9 - 1, 4 and 2
ON_BACKBONE = ("backbone", "trainable")
# name of a network -> the fields of ModelConfig that act for it, in the order in which a form shows them
ACTING: dict[str, tuple[str, ...]] = {
    "paper_cnn": ("negative_slope",),
    "cnn": FAMILY,
    "resnet": RESIDUAL,
    "compact": RESIDUAL,
    "pretrained": ON_BACKBONE,
    "transfer": ON_BACKBONE,
}


def acts(field: str, model: Mapping[str, Any]) -> bool:
    """Whether a field of ModelConfig has an effect with the other values (name -> value)."""
    if field in ("name", "flip_tta", "crop_tta"):
        return True
    if field == "tta_below":
        return bool(model.get("flip_tta") or model.get("crop_tta"))  # documents leave out what is not used
    if field not in ACTING[model["name"]]:
        return False
    if model["name"] == "cnn" and field == "negative_slope":
        return bool(model["activation"] == "leaky_relu")
    if field in ("norm_linear", "dropout_linear"):
        return bool(model["linear"])
    return True


def layers_of(model: ModelConfig) -> ModelConfig:
    """The same network, whatever views of a picture it answers for: test-time augmentation changes no layer."""
    return model.model_copy(update={"flip_tta": False, "crop_tta": False, "tta_below": 1.0})


def views_a_picture(model: ModelConfig) -> float:
    """How often a network that has learnt looks at a picture that it answers for, in the mean."""
    return expected_views((2 if model.flip_tta else 1) * (3 if model.crop_tta else 1), model.tta_below)


def expected_views(views: int, below: float) -> float:
    """Of so many views those that are looked at in the mean, with ModelConfig.tta_below."""
    return 1 + UNSURE * (views - 1) if below < 1 else float(views)


def value_of(config: RunConfig, field: str) -> Any:
    section, _, name = field.partition(".")
    return getattr(getattr(config, section), name)


def settings_of(config: RunConfig) -> dict[str, Any]:
    """Dotted name -> value as JSON has it, so a list for a tuple; in the order of the definition, the data first."""
    document = config.model_dump(mode="json")
    return {
        f"{section}.{name}": document[section].get(name, value)  # what a document leaves out is a number or a word
        for section in ("data", "model", "train")
        for name, value in getattr(config, section)
    }


def acts_in(config: RunConfig, field: str) -> bool:
    """Whether a setting has an effect with the others: one of the network may have none in this kind of network, and
    those of a teacher have none without one."""
    return acts_with(field, dict(config.model), dict(config.train))


def acts_with(field: str, model: Mapping[str, Any], train: Mapping[str, Any]) -> bool:
    """acts_in for what is not a RunConfig yet; model, train: name -> value of their fields."""
    section, _, name = field.partition(".")
    if field in ("train.distill_share", "train.temperature"):
        return bool(train["teacher"])
    if field == "train.filter_rate":
        return bool(train["optimizer"] == "muon")
    if field == "train.flips":
        return "flip" in train["augment"]
    if field == "train.freeze_first":
        return bool(model["name"] == "resnet")
    if field == "train.progressive":
        return model["name"] in RESIDUAL_NETWORKS
    return section != "model" or acts(name, model)


def same_but_for_the_seed(one: RunConfig, other: RunConfig) -> bool:
    """Whether they are the same settings, whatever the seed and the preset that they began with. Asked of every run
    there is, so nothing is validated anew."""
    if (one.data, one.model) != (other.data, other.model):
        return False
    return one.train.model_copy(update={"seed": other.train.seed}) == other.train


def check_with_data(config: TrainConfig, pictures: dict[str, int], processes: int = 1) -> None:
    """Raise UserMistake where settings do not go with the number of `pictures` in "train" and "val"."""
    batch_size = min(config.batch_size, pictures["train"])  # a batch larger than the part is the whole part
    if batch_size < 2 * processes:
        raise UserMistake(
            f"A batch of {batch_size} of the {pictures['train']} training pictures is too small: batch norm needs at "
            f"least 2 pictures a step{' in each of the processes' * (processes > 1)}"
        )
    if config.patience and not pictures["val"]:
        raise UserMistake(
            "Early stopping watches the loss on the validation part, and there is none: give it a share of the "
            "pictures, e.g. 0.1, or set early stopping to 0"
        )


def config_document(config: RunConfig) -> dict[str, Any]:
    """The settings as a JSON document, with the names that fields had in version 0.1.0 beside the new ones."""
    document = config.model_dump(mode="json")
    for section, names in FORMER_NAMES.items():
        document[section] |= {former: document[section][name] for former, name in names.items()}
    return document


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """["train.epochs=2"] -> {"train.epochs": "2"}, by current names; a setting without '=' raises UserMistake."""
    pairs = {}
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not equals:
            raise UserMistake(f"{setting!r} is not a setting; write it as train.epochs=2")
        pairs[current_field(field.strip())] = value.strip()
    return pairs
