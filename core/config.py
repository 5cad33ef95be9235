"""RunConfig: the whole of what a person chooses before a run; form, command line and JSON all come from here."""

import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.errors import UserMistake

# in the order in which they act: those that move a picture before those that change its colours, and the one that needs
# a whole batch last
Augmentation = Literal["flip", "shift_crop", "rotate", "colour", "cutout", "mixup"]

Widths = tuple[Annotated[int, Field(ge=1, le=4096)], ...]  # channels of blocks, or numbers of linear layers

LOWEST_RATE = 1e-7
LARGEST_SIDE = 512  # pixels, of any image size


class _Choices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(_Choices):
    """Which pictures, how they are cut to a square, and which part each of them is in."""

    dataset: str = Field("sample-artworks", title="Dataset", description="The pictures to learn from, by name.")
    image_size: int = Field(
        32,
        ge=10,
        le=LARGEST_SIDE,
        title="Image size",
        description="Side in pixels of the square that the network receives.",
    )
    fit: Literal["crop", "squash", "pad"] = Field(
        "crop",
        title="Fit",
        description="crop: shorter side to the image size, then the centre (the paper's way). squash: both sides, the "
        "shape is lost. pad: longer side, white bars fill the rest.",
    )
    balance: Literal["none", "smallest"] = Field(
        "none",
        title="Balance",
        description="smallest: every class is cut to the size of the smallest one, in name order (the paper's way).",
    )
    split: Literal["stratified", "paper"] = Field(
        "stratified",
        title="Split",
        description="stratified: drawn by the seed, the same share of each class. paper: the first pictures of each "
        "class in name order train, the rest tests. A test part that the dataset brings along is always kept.",
    )
    test_fraction: float = Field(
        0.2, ge=0.02, le=0.8, title="Test share", description="Share of each class that is kept for the final test."
    )
    val_fraction: float = Field(
        0.1,
        ge=0.0,
        le=0.5,
        title="Validation share",
        description="Share of what is left after the test part that watches the training without taking part in it.",
    )
    copies: Literal["ignore", "together"] = Field(
        "ignore",  # what a config.json without this field meant
        title="Copies",
        description="together: pictures that are copies of one another (re-encoded, resized, mirrored, slightly "
        "cropped) are drawn into one part, so that the test asks about pictures that were never seen. ignore: each "
        "is drawn by itself. The paper's split and a test part that the dataset brings along stay as they are.",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, title="Split seed", description="Draws the stratified split.")


class ModelConfig(_Choices):
    """Which network, and its options; ACTING says which of them act for which network."""

    name: Literal["paper_cnn", "cnn", "resnet", "pretrained", "transfer"] = Field(
        "paper_cnn",
        title="Network",
        description="paper_cnn: two convolutions and three linear layers, about 81,000 parameters. cnn: the same kind "
        "of network with every part to choose; as it is given here it is the paper's. resnet: a residual network of "
        "about 2 million parameters, the strongest one here for small pictures. pretrained: one that has learnt "
        "ImageNet. transfer: that of a finished run, to learn on from.",
    )
    trunk: str = Field(
        "googlenet",
        pattern=r"^[a-z0-9_-]{1,40}$",
        title="Learns on from",
        description="The network that has learnt already, without its last layer: a torchvision network with its "
        "weights from ImageNet, or a finished run.",
    )
    trainable: Literal["head", "all"] = Field(
        "head",
        title="What learns",
        description="head: only a new last layer; the rest stays as it came, so it sees each picture once and all "
        "epochs take seconds. all: every layer goes on learning, from a good start, with small steps.",
    )
    channels: Widths = Field(
        (6, 16),
        min_length=1,
        max_length=6,
        title="Channels of the blocks",
        description="One number a block: how many patterns its convolutions look for. Each block halves the picture, "
        "so later blocks see larger things and can afford more channels.",
    )
    convolutions: int = Field(
        1,
        ge=1,
        le=4,
        title="Convolutions per block",
        description="Convolutions, each with its activation, before the block makes the map smaller. Two 3 x 3 see as "
        "much of the picture as one 5 x 5, with fewer parameters and one more activation.",
    )
    kernel: int = Field(
        3, ge=1, le=11, title="Kernel", description="Side in pixels of the window that a convolution looks through."
    )
    padding: Literal["none", "same"] = Field(
        "none",
        title="Padding",
        description="same: zeros around the map, so that a convolution keeps its size. none: the map loses kernel - 1 "
        "pixels (the paper's way).",
    )
    pool: Literal["max", "average", "strided", "none"] = Field(
        "max",
        title="Pooling",
        description="How a block halves its map: max and average of each 2 x 2 pixels; strided: its last convolution "
        "takes steps of 2; none: it stays as large as it is.",
    )
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"] = Field(
        "leaky_relu",
        title="Activation",
        description="What follows every layer but the last. Without one, all layers together could do no more than a "
        "single one.",
    )
    negative_slope: float = Field(
        0.01, ge=0.0, lt=1.0, title="Leaky slope", description="Slope of the leaky ReLU below zero; 0 is plain ReLU."
    )
    norm_conv: Literal["none", "last", "all"] = Field(
        "last",
        title="Batch norm of convolutions",
        description="After which convolutions each map is brought to mean 0 and spread 1: none, the last one (the "
        "paper's way) or all.",
    )
    norm_linear: Literal["none", "first", "all"] = Field(
        "first",
        title="Batch norm of linear layers",
        description="After which hidden linear layers each number is brought to mean 0 and spread 1: none, the first "
        "one (the paper's way) or all.",
    )
    dropout_conv: float = Field(
        0.0,
        ge=0.0,
        le=0.9,
        title="Dropout of maps",
        description="Share of each block's maps that is blanked in every training step, so that none is relied upon.",
    )
    dropout_linear: float = Field(
        0.0,
        ge=0.0,
        le=0.9,
        title="Dropout of numbers",
        description="Share of each hidden linear layer's numbers that is blanked in every training step.",
    )
    linear: Widths = Field(
        (120, 84),
        max_length=4,
        title="Hidden linear layers",
        description="Width of each linear layer between the last block and the answer; none: straight to the answer.",
    )
    width: int = Field(
        64,
        ge=8,
        le=256,
        title="Width",
        description="Channels of the first block; the two that follow have four times as many. Twice the width is four "
        "times the work.",
    )
    depth: int = Field(
        2,
        ge=1,
        le=6,
        title="Convolutions per block",
        description="Convolutions of each of the three blocks. From the second on they stand beside a shortcut, and "
        "only learn what to add.",
    )
    mirror: bool = Field(
        False,
        title="Answer for both sides",
        description="A finished network answers for the picture and for its mirror image, and the mean counts: right "
        "more often, for twice the time. Not for pictures in which left and right mean different things, such as text.",
    )


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
ON_TRUNK = ("trunk", "trainable")
# name of a network -> the fields of ModelConfig that act for it, in the order in which a form shows them
ACTING: dict[str, tuple[str, ...]] = {
    "paper_cnn": ("negative_slope",),
    "cnn": FAMILY,
    "resnet": RESIDUAL,
    "pretrained": ON_TRUNK,
    "transfer": ON_TRUNK,
}


def acts(field: str, model: Mapping[str, Any]) -> bool:
    """Whether a field of ModelConfig (name -> value) changes anything beside the others."""
    if field in ("name", "mirror"):
        return True
    if field not in ACTING[model["name"]]:
        return False
    if model["name"] == "cnn" and field == "negative_slope":
        return bool(model["activation"] == "leaky_relu")
    if field in ("norm_linear", "dropout_linear"):
        return bool(model["linear"])
    return True


class TrainConfig(_Choices):
    """How the network is trained."""

    epochs: int = Field(50, ge=1, le=1000, title="Epochs", description="How often every training picture is seen.")
    batch_size: int = Field(
        32,
        ge=1,
        le=1024,
        title="Batch size",
        description="Pictures per step. Larger is faster per epoch; each step then averages over more pictures.",
    )
    optimizer: Literal["sgd", "nesterov", "adam", "adamw", "rmsprop"] = Field(
        "sgd", title="Optimizer", description="The rule that turns gradients into steps."
    )
    learning_rate: float = Field(
        0.001,
        ge=LOWEST_RATE,
        le=1.0,
        title="Learning rate",
        description="Length of a step, the highest one under a schedule.",
    )
    momentum: float = Field(
        0.9,
        ge=0.0,
        lt=1.0,
        title="Momentum",
        description="How much of the last step is kept in the next (SGD, "
        "Nesterov, RMSprop; first beta of Adam and AdamW).",
    )
    weight_decay: float = Field(
        0.0, ge=0.0, le=1.0, title="Weight decay", description="Pull of every weight towards zero."
    )
    schedule: Literal["constant", "step", "cosine", "one_cycle"] = Field(
        "constant",
        title="Schedule",
        description="How the learning rate moves: constant; step: a tenth after each "
        "third of the run; cosine: down to zero; one_cycle: up, then down to zero.",
    )
    warmup: float = Field(
        0.3, ge=0.0, le=0.9, title="Rise of one-cycle", description="Share of a one-cycle run in which the rate rises."
    )
    augment: tuple[Augmentation, ...] = Field(
        (),
        title="Augmentation",
        description="Changes drawn anew for each training picture in each epoch, always in this order. flip: mirrored "
        "left to right, half of the time. shift_crop: moved by up to a tenth. rotate: turned by up to 15 degrees. "
        "colour: brightness, contrast and saturation by up to 30 %. cutout: a square is blanked. mixup: blended with "
        "up to half of another picture, whose class then counts by its share.",
    )
    label_smoothing: float = Field(
        0.0, ge=0.0, le=0.5, title="Label smoothing", description="Share of the target spread over all classes."
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        title="Class weights",
        description="balanced: the fewer pictures a class has, the more each of them counts, so that a small class is "
        "learnt as well as a large one. none: every picture counts the same.",
    )
    patience: int = Field(
        0,
        ge=0,
        le=1000,
        title="Early stopping",
        description="Epochs without a lower validation loss after which the run ends; 0: never. A schedule is laid out "
        "over all epochs, so a run that ends early has not come to its smallest steps.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        title="Precision",
        description="Number format of the forward pass. bfloat16 keeps 3 digits of 7: with wide layers twice as fast, "
        "where the processor has it; where it has not, the run computes in float32.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**32 - 1,
        title="Seed",
        description="Draws the first weights, the order of the "
        "pictures and the augmentation. Same seed, same result on the CPU.",
    )

    @field_validator("augment")
    @classmethod
    def _augment_is_a_set_in_order(cls, augment: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
        if len(set(augment)) != len(augment):
            raise ValueError("an augmentation is named twice")
        return tuple(name for name in get_args(Augmentation) if name in augment)


class RunConfig(_Choices):
    """Everything that decides a run: same RunConfig, same pictures, same result."""

    preset: str = Field("paper", description="Name of the preset that this started from.")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()


def check_with_data(config: TrainConfig, pictures: dict[str, int], processes: int = 1) -> None:
    """Raise UserMistake where choices do not go with the number of `pictures` in "train" and "val"."""
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


def change_config(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    """A copy of `config` with dotted fields changed, e.g. {"train.epochs": 2, "data.fit": "pad"}.

    Values may be strings (command line) or typed (form). Unknown fields and values out of range raise UserMistake,
    which names the field, the value and what is allowed.
    """
    document = config.model_dump(mode="json")
    for field, value in changes.items():
        room, _, name = field.partition(".")
        known = [f"{part}.{leaf}" for part in ("data", "model", "train") for leaf in document[part]]
        if field not in known:
            raise UserMistake(f"unknown setting {field!r}; known: {', '.join(known)}")
        if isinstance(document[room][name], list) and isinstance(value, str):  # "flip+cutout", "6,16", "none"
            words = (word.strip() for word in value.replace("+", ",").split(","))
            value = [word for word in words if word not in ("", "none")]
        document[room][name] = value
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        raise UserMistake(wrong_fields(error)) from error


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """["train.epochs=2"] -> {"train.epochs": "2"}; a setting without '=' raises UserMistake."""
    pairs = {}
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not equals:
            raise UserMistake(f"{setting!r} is not a setting; write it as train.epochs=2")
        pairs[field.strip()] = value.strip()
    return pairs


def wrong_fields(error: ValidationError) -> str:
    """Each wrong field, its value and what is allowed, in one line: "train.epochs = 0: input should be ..."."""
    told = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        why = problem["msg"].removeprefix("Value error, ")
        told.append(f"{field} = {reprlib.repr(problem['input'])}: {why[:1].lower()}{why[1:]}")
    return "; ".join(told)
