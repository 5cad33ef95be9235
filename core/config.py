"""RunConfig: all settings of a run; the form, the command line and the JSON documents come from its fields."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, ValidationError, field_validator

from core.errors import UserMistake, wrong_fields
from core.setting_names import FORMER_NAMES, Section, current_field

# in the order in which they act: those that move a picture before those that change its colours, and the one that needs
# a whole batch last
Augmentation = Literal["flip", "shift_crop", "rotate", "colour", "cutout", "mixup"]
Flips = Literal["random", "alternating"]

Widths = tuple[Annotated[int, Field(ge=1, le=4096)], ...]  # channels of blocks, or numbers of linear layers

LOWEST_RATE = 1e-7
LARGEST_SIDE = 512  # pixels, of any image size
OF_TEACHER = ("teacher", "distill_share", "temperature")  # fields of TrainConfig that act with a teacher alone


class DataConfig(Section):
    """Which dataset, how its pictures become squares, and how they are split into parts."""

    former_names: ClassVar[dict[str, str]] = FORMER_NAMES["data"]

    dataset: str = Field("sample-artworks", title="Dataset", description="The dataset to train on, by name.")
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
        description="How a picture becomes a square. Centre crop: the shorter side to the image size, then the centre "
        "(the paper's way). Squash: both sides, so the aspect ratio is lost. Pad: the longer side, white bars fill the "
        "rest.",
    )
    balance: Literal["none", "smallest"] = Field(
        "none",
        title="Balance",
        description="Smallest class: every class is cut to the size of the smallest one, in name order (the paper's "
        "way).",
    )
    split: Literal["stratified", "paper"] = Field(
        "stratified",
        title="Split",
        description="Stratified: drawn by the seed, the same share of each class. Name order: the first pictures of "
        "each class are for training, the rest is the test part (the paper's way). A test part that the dataset brings "
        "along is always kept.",
    )
    test_fraction: float = Field(
        0.2, ge=0.02, le=0.8, title="Test share", description="Share of each class that is kept for the final test."
    )
    val_fraction: float = Field(
        0.1,
        ge=0.0,
        le=0.5,
        title="Validation share",
        description="Share of the pictures left after the test part that measures the training without being part of "
        "it.",
    )
    duplicates: Literal["ignore", "together"] = Field(
        "ignore",  # what a config.json without this field meant
        title="Duplicates",
        description="Keep together: pictures that are nearly the same (re-encoded, resized, mirrored, slightly "
        "cropped) are drawn into the same part, so that no test picture was seen in training. Ignore: each is drawn by "
        "itself. A split in name order and a test part that the dataset brings along stay as they are.",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, title="Split seed", description="Draws the stratified split.")


class ModelConfig(Section):
    """Which network, and its options; ACTING says which of them act for which network."""

    @property
    def newer(self) -> tuple[str, ...]:
        return ("crop_tta", "tta_below")

    former_names: ClassVar[dict[str, str]] = FORMER_NAMES["model"]

    name: Literal["paper_cnn", "cnn", "resnet", "compact", "pretrained", "transfer"] = Field(
        "paper_cnn",
        title="Network",
        description="Paper CNN: two convolutions and three linear layers, about 81,000 parameters. CNN (own layers): "
        "the same kind of network with every part to choose; with the defaults it is the paper's. ResNet: a residual "
        "network of about 2 million parameters, the strongest one here for small pictures. Compact: a narrow residual "
        "network; with width 32 it has fewer than 100,000 parameters. Pretrained (ImageNet): a "
        "torchvision network with its published weights. Transfer (from a run): the network of a finished run.",
    )
    backbone: str = Field(
        "googlenet",
        pattern=r"^[a-z0-9_-]{1,40}$",
        title="Pretrained backbone",
        description="A network that has been trained already, without its last layer: a torchvision network with its "
        "weights from ImageNet, or that of a finished run.",
    )
    trainable: Literal["head", "all"] = Field(
        "head",
        title="Trainable layers",
        description="Last layer only: the backbone is frozen, so the features of each picture are computed once and "
        "all epochs take seconds. All layers: the backbone is fine-tuned too; choose a small learning rate.",
    )
    channels: Widths = Field(
        (6, 16),
        min_length=1,
        max_length=6,
        title="Channels of the blocks",
        description="One number a block: how many filters its convolutions have. Each block halves the feature maps, "
        "so later blocks have a larger receptive field and can afford more channels.",
    )
    convolutions: int = Field(
        1,
        ge=1,
        le=4,
        title="Convolutions per block",
        description="Convolutions, each with its activation, before the block makes the map smaller. Two of 3 x 3 have "
        "the receptive field of one of 5 x 5, with fewer parameters and one more activation.",
    )
    kernel: int = Field(3, ge=1, le=11, title="Kernel", description="Side in pixels of a convolution's window.")
    padding: Literal["none", "same"] = Field(
        "none",
        title="Padding",
        description="Same: zeros around the map, so that a convolution keeps its size. None: the map loses kernel - 1 "
        "pixels (the paper's way).",
    )
    pool: Literal["max", "average", "strided", "none"] = Field(
        "max",
        title="Pooling",
        description="How a block halves its map. Max and Average: of each 2 x 2 pixels. Strided convolution: its last "
        "convolution has stride 2. None: it stays as large as it is.",
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
        description="After which convolutions each map is normalised to mean 0 and standard deviation 1: none, the "
        "last one (the paper's way) or all.",
    )
    norm_linear: Literal["none", "first", "all"] = Field(
        "first",
        title="Batch norm of linear layers",
        description="After which hidden linear layers each feature is normalised to mean 0 and standard deviation 1: "
        "none, the first one (the paper's way) or all.",
    )
    dropout_conv: float = Field(
        0.0,
        ge=0.0,
        le=0.9,
        title="Dropout2d (feature maps)",
        description="Share of each block's feature maps that is set to zero in every training step, so that none is "
        "relied upon.",
    )
    dropout_linear: float = Field(
        0.0,
        ge=0.0,
        le=0.9,
        title="Dropout (linear layers)",
        description="Share of each hidden linear layer's features that is set to zero in every training step.",
    )
    linear: Widths = Field(
        (120, 84),
        max_length=4,
        title="Hidden linear layers",
        description="Width of each linear layer between the last block and the output layer; none: only the output "
        "layer.",
    )
    width: int = Field(
        64,
        ge=8,
        le=256,
        title="Width",
        description="Channels of the first block; the two that follow have four times as many (Compact: one and a half "
        "times). Twice the width is four times the work.",
    )
    depth: int = Field(
        2,
        ge=1,
        le=6,
        title="Convolutions per block",
        description="Convolutions of each of the three blocks. From the second on they have a skip connection around "
        "them, and learn only what to add.",
    )
    flip_tta: bool = Field(
        False,
        title="Flip test-time augmentation",
        description="In evaluation the network predicts each picture and its horizontal flip, and the mean counts: "
        "right more often, for twice the time. Not for pictures in which left and right mean different things, such as "
        "text.",
    )
    crop_tta: bool = Field(
        False,
        title="Crops in test-time augmentation",
        description="In evaluation the network also predicts each picture shifted by a thirty-second of its side, up "
        "to the left and down to the right; the two together count as much as the picture as it is (Jordan 2024).",
    )
    tta_below: float = Field(
        1.0,
        ge=0.0,
        le=1.0,
        title="Augment only below",
        description="Flip and crops count only where the likeliest class got less than this probability: with 0.7 "
        "right about as often as with 1, where they always count, in far less time.",
    )


class TrainConfig(Section):
    """How the network is trained."""

    epochs: int = Field(50, ge=1, le=1000, title="Epochs", description="How often every training picture is used.")
    batch_size: int = Field(
        32,
        ge=1,
        le=1024,
        title="Batch size",
        description="Pictures per step. Larger is faster per epoch; each step then averages over more pictures.",
    )
    optimizer: Literal["sgd", "nesterov", "adam", "adamw", "rmsprop", "muon"] = Field(
        "sgd",
        title="Optimizer",
        description="The rule that turns gradients into steps. Muon: for the filters of convolutions a step of the "
        "same length in every direction, for all other weights Nesterov's.",
    )
    learning_rate: float = Field(
        0.001,
        ge=LOWEST_RATE,
        le=1.0,
        title="Learning rate",
        description="Length of a step, the highest one under a schedule.",
    )
    filter_rate: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        title="Muon's rate for filters",
        description="Of steps for filters, whose norms it keeps; the rest takes the learning rate. 0: filters too.",
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
    schedule: Literal["constant", "step", "linear", "cosine", "one_cycle"] = Field(
        "constant",
        title="Schedule",
        description="How the learning rate moves. Constant: not at all. Step: to a tenth after each third of the run. "
        "Linear, cosine: down to zero, evenly or along half a wave. One-cycle: up, then down to zero.",
    )
    warmup: float = Field(
        0.3,
        ge=0.0,
        le=0.9,
        title="Warm-up of one-cycle",
        description="Share of a one-cycle run in which the learning rate rises.",
    )
    ema: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        title="Weight averaging",
        description="The network that answers has the running mean of the weights, of which each step keeps this share "
        "(0.99: about the last 100 steps); training goes on with the weights themselves. 0: no averaging.",
    )
    lookahead: int = Field(
        0,
        ge=0,
        le=100,
        title="Lookahead",
        description="Every so many steps the weights go half of the way back to where they were the last time: long "
        "steps explore, and half of each is kept (Zhang et al. 2019, who take 5). 0: never.",
    )
    augment: tuple[Augmentation, ...] = Field(
        (),
        title="Augmentation",
        description="Random changes of each training picture in each epoch, always in this order. Horizontal flip: "
        "half of the time. Random shift: by up to a tenth. Rotation: by up to 15 degrees. Colour jitter: brightness, "
        "contrast and saturation by up to 30 %. Cutout: a square is blanked. Mixup: blended with up to half of another "
        "picture, whose class then counts by its share.",
    )
    flips: Flips = Field(
        "random",
        title="Flips",
        description="Of the augmentation Horizontal flip. Random: by chance in every epoch. Alternating: each picture "
        "in every other epoch, half of them from the first on, so that a short training sees both sides equally often "
        "(Jordan 2024, arXiv 2404.00498).",
    )
    label_smoothing: float = Field(
        0.0, ge=0.0, le=0.5, title="Label smoothing", description="Share of the target spread over all classes."
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        title="Class weights",
        description="Balanced: the fewer pictures a class has, the more each of them counts, so that a small class is "
        "learnt as well as a large one. None: every picture counts the same.",
    )
    teacher: str = Field(
        "",
        pattern=r"^[a-z0-9-]{0,40}$",
        title="Teacher",
        description="A finished run whose answers for each training picture, plain and flipped, are learnt beside the "
        "labels (knowledge distillation). It must have been trained on the same parts of the same dataset. None: the "
        "labels alone.",
    )
    distill_share: float = Field(
        0.9,
        ge=0.0,
        le=1.0,
        title="Teacher's share",
        description="Share of the loss that compares with the teacher's answers; the rest compares with the labels.",
    )
    temperature: float = Field(
        4.0,
        ge=1.0,
        le=20.0,
        title="Distillation temperature",
        description="Divides the last values of teacher and student before they are compared: the higher, the more "
        "the classes count that the teacher thinks less likely.",
    )
    progressive: float = Field(
        1.0,
        ge=0.5,
        le=1.0,
        title="Progressive resizing",
        description="Share of the image size with which training begins; pictures grow to the whole within two thirds "
        "of the epochs, and smaller ones take less time: from 0.75 on a run takes a sixth less, from 0.5 on nearly a "
        "third. 1: never smaller. For ResNet and Compact, which take pictures of any size.",
    )
    freeze_first: float = Field(
        1.0,
        ge=0.0,
        le=1.0,
        title="Freeze the first layer",
        description="Share of the epochs after which the first layer of a ResNet stays as it is: only its bias is "
        "learnt at all, and to learn on takes a fourteenth of each step. 1: it is never frozen (Jordan 2024 freezes it "
        "after three epochs).",
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
        description="Number format of the forward pass. bfloat16 keeps 3 digits of 7: with wide layers twice as fast "
        "on processors that are made for it. Where float32 was measured to be faster, the run computes in float32.",
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

    @field_validator("teacher", mode="before")
    @classmethod
    def _none_is_no_teacher(cls, teacher: Any) -> Any:
        return "" if teacher == "none" else teacher  # as a command line says it

    @property
    def newer(self) -> tuple[str, ...]:
        always = ("filter_rate", "flips", "freeze_first", "lookahead", "progressive")
        return (*always, *(OF_TEACHER if not self.teacher else ()))


class RunConfig(Section):
    """Everything that decides a run: same RunConfig, same pictures, same result."""

    preset: str = Field("paper", description="Name of the preset that this started from.")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()


def change_config(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    """A copy of `config` with some fields changed, by dotted name, e.g. {"train.epochs": 2, "data.fit": "pad"}.

    Values may be strings (command line) or typed (form). Unknown fields and values out of range raise UserMistake,
    which names the field, the value and what is allowed.
    """
    document = config.model_dump(mode="json")
    known = [f"{part}.{leaf}" for part in ("data", "model", "train") for leaf, _ in getattr(config, part)]
    for field, value in changes.items():
        field = current_field(field)
        section, _, name = field.partition(".")
        if field not in known:
            raise UserMistake(f"unknown setting {field!r}; known: {', '.join(known)}")
        if isinstance(document[section].get(name), list) and isinstance(value, str):  # "flip+cutout", "6,16", "none"
            words = (word.strip() for word in value.replace("+", ",").split(","))
            value = [word for word in words if word not in ("", "none")]
        document[section][name] = value
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        raise UserMistake(wrong_fields(error)) from error
