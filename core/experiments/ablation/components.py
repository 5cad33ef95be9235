"""Components: what an experiment can switch in a base, each a named set of changed fields. No torch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from core.config import RunConfig, change_config
from core.display_names import DISPLAY_NAMES
from core.errors import UserMistake
from core.fields import acts_in, settings_of
from core.runs.teachers import pin_teacher

Changes = dict[str, Any]
ANOTHER_SEED = 100_000  # added to the seed where nothing but chance is to differ
# what suits the rule at any batch size of ours; the rate of the base suits the base's own rule alone
RATES = {"adam": 0.003, "adamw": 0.003, "rmsprop": 0.001, "muon": 0.02}
FALLING_RATE = 0.05  # of SGD and Nesterov where the base has none of them


class Variant(BaseModel):
    """One arm of a comparison: a RunConfig with its name. The base is a variant too."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    title: str  # e.g. "Batch norm", "Adam instead of Nesterov": the subject of the sentence
    # what was changed in the base: "train.augment: none -> flip"; "told" in version 0.1.0
    changed: str = Field("", validation_alias=AliasChoices("changed", "told"))
    sign: Literal[1, -1] = 1  # -1: the base has the component and this variant lacks it
    config: RunConfig
    # added to every seed; "apart" in version 0.1.0
    seed_offset: int = Field(0, validation_alias=AliasChoices("seed_offset", "apart"))


@dataclass(frozen=True)
class Component:
    """Something that a network or its training can have or lack; without `off`, an alternative to what the base has."""

    key: str
    title: str
    group: str
    on: Callable[[RunConfig], Changes]
    off: Callable[[RunConfig], Changes] | None = None
    description: str = ""  # for a person who chooses
    seed_offset: int = 0


def _same(changes: Changes) -> Callable[[RunConfig], Changes]:
    return lambda _: changes


def _switch(
    key: str,
    title: str,
    group: str,
    on: Changes,
    off: Changes | None = None,
    description: str = "",
    seed_offset: int = 0,
) -> Component:
    without = None if off is None else _same(off)
    return Component(key, title, group, _same(on), without, description, seed_offset)


def _one(key: str, title: str, group: str, field: str, on: Any, off: Any, description: str = "") -> Component:
    return _switch(key, title, group, {field: on}, {field: off}, description)


def _augmented(name: str, base: RunConfig) -> Changes:
    return {"train.augment": [*base.train.augment, *([name] if name not in base.train.augment else [])]}


def _not_augmented(name: str, base: RunConfig) -> Changes:
    return {"train.augment": [other for other in base.train.augment if other != name]}


def _augmentation(name: str, title: str) -> Component:
    group = "Augmentation"
    return Component(name, title, group, partial(_augmented, name), partial(_not_augmented, name))


def _optimizer(name: str, base: RunConfig) -> Changes:
    """The rule at a rate that suits it."""
    falls = base.train.optimizer in ("sgd", "nesterov")
    rate = RATES.get(name, base.train.learning_rate if falls else FALLING_RATE)
    return {"train.optimizer": name, "train.learning_rate": rate}


def _batch(factor: float, base: RunConfig) -> Changes:
    """The rate goes with the batch (Goyal et al. 2017)."""
    size = min(1024, max(2, round(base.train.batch_size * factor)))
    rate = base.train.learning_rate * size / base.train.batch_size
    return {"train.batch_size": size, "train.learning_rate": min(1.0, float(f"{rate:.6g}"))}


def _image_size(factor: float, base: RunConfig) -> Changes:
    return {"data.image_size": min(512, max(10, 2 * round(base.data.image_size * factor / 2)))}


def _wider(base: RunConfig) -> Changes:
    return {"model.channels": [2 * channels for channels in base.model.channels]}


def _alternative(key: str, title: str, group: str, field: str, value: str, description: str = "") -> Component:
    return _switch(key, title, group, {field: value}, description=description)


ACTIVATIONS, OPTIMIZERS = DISPLAY_NAMES["model.activation"], DISPLAY_NAMES["train.optimizer"]
SCHEDULES = {name: f"{title} schedule" for name, title in DISPLAY_NAMES["train.schedule"].items()}
NETWORK, LOSS, SIZES, ANSWERS = "Network", "Loss and decay", "Batch and size", "Answers"
_EVERY = (
    _switch(
        "batch_norm",
        "Batch norm",
        NETWORK,
        {"model.norm_conv": "last", "model.norm_linear": "first"},
        {"model.norm_conv": "none", "model.norm_linear": "none"},
        "At the paper's places, against none at all.",
    ),
    _one("norm_conv", "Batch norm of convolutions", NETWORK, "model.norm_conv", "last", "none"),
    _one("norm_linear", "Batch norm of linear layers", NETWORK, "model.norm_linear", "first", "none"),
    _one("dropout_conv", "Dropout2d (feature maps)", NETWORK, "model.dropout_conv", 0.1, 0.0, "A tenth of the maps."),
    _one(
        "dropout_linear",
        "Dropout (linear layers)",
        NETWORK,
        "model.dropout_linear",
        0.25,
        0.0,
        "A quarter of each hidden linear layer.",
    ),
    _one("stacked", "Stacked convolutions", NETWORK, "model.convolutions", 2, 1, "Two convolutions a block."),
    _one("padding", "Padding", NETWORK, "model.padding", "same", "none"),
    Component("wider", "Twice the channels", NETWORK, _wider),
    _alternative("pool_average", "Average pooling", "Pooling", "model.pool", "average"),
    _alternative("pool_max", "Max pooling", "Pooling", "model.pool", "max"),
    _alternative("pool_strided", "Strided convolutions", "Pooling", "model.pool", "strided"),
    *(
        _alternative(f"activation_{name}", title, "Activation", "model.activation", name)
        for name, title in ACTIVATIONS.items()
    ),
    *(
        Component(
            f"optimizer_{name}", title, "Optimizer", partial(_optimizer, name), description="At a rate that suits it."
        )
        for name, title in OPTIMIZERS.items()
    ),
    *(
        _alternative(f"schedule_{name}", title, "Schedule", "train.schedule", name, "At the same highest rate.")
        for name, title in SCHEDULES.items()
    ),
    Component("batch_half", "Half the batch", SIZES, partial(_batch, 0.5), description="At half the rate."),
    Component("batch_double", "Twice the batch", SIZES, partial(_batch, 2.0), description="At twice the rate."),
    Component(
        "image_smaller",
        "Smaller pictures",
        SIZES,
        partial(_image_size, 0.75),
        description="Three quarters of the side.",
    ),
    Component(
        "image_larger",
        "Larger pictures",
        SIZES,
        partial(_image_size, 1.5),
        description="One and a half times the side.",
    ),
    *(_augmentation(name, title) for name, title in DISPLAY_NAMES["train.augment"].items()),
    _one(
        "alternating_flips",
        "Alternating flips",
        "Augmentation",
        "train.flips",
        "alternating",
        "random",
        "Both sides of a picture in turn, instead of by chance.",
    ),
    _one("ema", "Weight averaging", LOSS, "train.ema", 0.99, 0.0, "A running mean of about the last 100 steps."),
    _one("lookahead", "Lookahead", LOSS, "train.lookahead", 5, 0, "Every fifth step half of the way is taken back."),
    _one(
        "progressive",
        "Progressive resizing",
        SIZES,
        "train.progressive",
        0.75,
        1.0,
        "Pictures grow from three quarters of their side.",
    ),
    _one(
        "freeze_first",
        "Frozen first layer",
        LOSS,
        "train.freeze_first",
        0.3,
        1.0,
        "It stays as it is after three tenths of the epochs.",
    ),
    _one("label_smoothing", "Label smoothing", LOSS, "train.label_smoothing", 0.1, 0.0, "A tenth of the target."),
    _one("class_weights", "Class weights", LOSS, "train.class_weights", "balanced", "none"),
    _one("weight_decay", "Weight decay", LOSS, "train.weight_decay", 5e-4, 0.0),
    _one("bfloat16", "Number format bfloat16", LOSS, "train.precision", "bfloat16", "float32"),
    _one("flip_tta", "Flip test-time augmentation", ANSWERS, "model.flip_tta", True, False, "Both sides are asked."),
    _one(
        "crop_tta",
        "Crops in test-time augmentation",
        ANSWERS,
        "model.crop_tta",
        True,
        False,
        "Also shifted by a thirty-second of the side.",
    ),
    _switch(
        "nothing",
        "A/A control (seeds only)",
        "Control",
        {},
        description="The base against itself with other seeds: what is seen here is chance alone.",
        seed_offset=ANOTHER_SEED,
    ),
)
COMPONENTS: Mapping[str, Component] = {component.key: component for component in _EVERY}


def base_for(base: RunConfig, components: Iterable[Component]) -> RunConfig:
    """The base as the components can switch it: paper_cnn is written as the cnn that it is where they need that."""
    if base.model.name != "paper_cnn":
        return base
    family = change_config(base, {"model.name": "cnn", "model.activation": "leaky_relu"})
    return family if any(_needs_family(component, base) for component in components) else base


def variants_for(base: RunConfig, components: Iterable[Component]) -> list[Variant]:
    """The variant of the base that each component makes. `base` comes from base_for.

    UserMistake for a component that changes nothing here, e.g. because the base has it already.
    """
    return [_variant_for(base, component) for component in components]


def find_components(keys: Iterable[str]) -> list[Component]:
    """Components by key, each once; UserMistake for an unknown one, with the known ones."""
    found = {}
    for key in keys:
        if key not in COMPONENTS:
            raise UserMistake(f"unknown component {key!r}; known: {', '.join(COMPONENTS)}")
        found[key] = COMPONENTS[key]
    return list(found.values())


def own_component(changes: Changes, number: int) -> Component:
    """A comparison of a person's own: dotted field -> value."""
    title = ", ".join(f"{field} = {value}" for field, value in changes.items())
    return _switch(f"own_{number}", title, "Own", changes)


def can_switch(base: RunConfig, component: Component) -> bool:
    """Whether there is something to compare: a change that acts in the base."""
    try:
        _variant_for(base_for(base, [component]), component)
    except UserMistake:
        return False
    return True


def differences(base: RunConfig, other: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Dotted field -> (value in base, value in other) of all that differs and acts."""
    ours, theirs = settings_of(base), settings_of(other)
    return {
        field: (value, theirs[field])
        for field, value in ours.items()
        if value != theirs[field] and acts_in(other, field)
    }


def _variant_for(base: RunConfig, component: Component) -> Variant:
    sign: Literal[1, -1] = 1
    config = pin_teacher(change_config(base, component.on(base)))
    changed = differences(base, config)
    if not changed and component.off is not None:
        sign, config = -1, pin_teacher(change_config(base, component.off(base)))
        changed = differences(base, config)
    if not changed and not component.seed_offset:
        raise UserMistake(
            f"{component.title} changes nothing in this base: it is there already, or does not act in its network"
        )
    title = component.title
    if component.off is None and component.group in _INSTEAD and len(changed) <= 2:
        before = next(iter(changed.values()))[0]
        title = f"{component.title} instead of {_INSTEAD[component.group].get(before, before)}"
    text = ", ".join(f"{field}: {_text(before)} -> {_text(after)}" for field, (before, after) in changed.items())
    return Variant(
        key=component.key, title=title, changed=text, sign=sign, config=config, seed_offset=component.seed_offset
    )


_INSTEAD: dict[str, Mapping[str, str]] = {
    "Activation": ACTIVATIONS,
    "Optimizer": OPTIMIZERS,
    "Schedule": {name: title[:1].lower() + title[1:] for name, title in SCHEDULES.items()},
    "Pooling": {
        "max": "max pooling",
        "average": "average pooling",
        "strided": "strided convolutions",
        "none": "no pooling",
    },
}


def _needs_family(component: Component, base: RunConfig) -> bool:
    changes = component.on(base) | (component.off(base) if component.off else {})
    return any(field.startswith("model.") and field not in ("model.name", "model.negative_slope") for field in changes)


def _text(value: Any) -> str:
    return ("+".join(map(str, value)) if isinstance(value, list) else str(value)) or "none"
