"""The fields of RunConfig as a form shows them: groups, steps of sliders, words, typed numbers."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.config import DataConfig, ModelConfig, RunConfig, TrainConfig, acts
from core.errors import UserMistake

ROOMS: dict[str, type[BaseModel]] = {"train": TrainConfig, "model": ModelConfig, "data": DataConfig}
CHOSEN_APART = ("data.dataset",)  # picked above the form
FRONT = ("train.learning_rate", "train.epochs", "train.batch_size")
GROUPS: dict[str, tuple[str, ...]] = {
    "Training": ("train.optimizer", "train.momentum", "train.weight_decay", "train.seed", "train.precision"),
    "Schedule": ("train.schedule", "train.warmup", "train.patience"),
    "Loss": ("train.label_smoothing", "train.class_weights"),
    "Augmentation": ("train.augment",),
    "Pictures": (),
    "Network": (),
}
REST_OF = {"train": "Training", "data": "Pictures", "model": "Network"}  # where a field goes that no group names
DOUBLING = ("train.batch_size",)  # goes in powers of two
SIZES = ("data.image_size", "model.width")  # powers of two and halfway between them
FROM_ZERO = ("train.weight_decay", "train.patience")  # a logarithmic slider that also has a zero
FEW = 20  # whole numbers that a slider can hold one by one
DIGITS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)  # ten steps a decade, each about a quarter more than the one before

Values = Mapping[str, Any]  # dotted field -> value


@cache
def all_fields() -> dict[str, FieldInfo]:
    """Dotted name -> definition of every field that the form can show, in the order of the definition."""
    fields = {f"{room}.{name}": info for room, model in ROOMS.items() for name, info in model.model_fields.items()}
    return {field: info for field, info in fields.items() if field not in CHOSEN_APART}


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Title -> its fields; every field that is not in front is in one, a new one in that of its room."""
    placed = {field for fields in GROUPS.values() for field in fields} | set(FRONT)
    rest = [field for field in all_fields() if field not in placed]
    return {
        title: (*fields, *(field for field in rest if REST_OF[field.partition(".")[0]] == title))
        for title, fields in GROUPS.items()
    }


def title_of(field: str) -> str:
    return all_fields()[field].title or field


def value_of(config: RunConfig, field: str) -> Any:
    room, _, name = field.partition(".")
    return getattr(getattr(config, room), name)


def matters(field: str, values: Values, given: frozenset[int] = frozenset()) -> bool:
    """Whether a field acts at all beside the others; one that does not is left out of the form.

    given: the parts that the dataset brings along, 1 val, 2 test (see split_indices).
    """
    if field == "train.warmup":
        return bool(values["train.schedule"] == "one_cycle")
    if field in ("data.seed", "data.copies"):
        return bool(values["data.split"] == "stratified")
    if field == "data.test_fraction":
        return not given & {1, 2}  # a given val part is the test part where there is no other
    if field == "data.val_fraction":
        return not given >= {1, 2}
    room, _, name = field.partition(".")
    if room == "model" and not acts(name, _below("model.", values)):
        return False
    return len(get_args(all_fields()[field].annotation)) != 1  # a choice of one is none


def same(value: Any, other: Any) -> bool:
    """Equal as settings; the order of a set of names is none, that of numbers is one."""
    if isinstance(other, (tuple, list)):
        named = all(isinstance(one, str) for one in (*value, *other))
        return set(value) == set(other) if named else tuple(value) == tuple(other)
    return bool(value == other)


# ------------------------------------------------------------------------------------------------- words


def say(value: Any) -> str:
    """A setting's value as a person reads it: 0.001, 5e-5, flip + cutout, one cycle, on."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (tuple, list)):
        if any(isinstance(one, int) for one in value):
            return ", ".join(map(str, value))
        return " + ".join(word.replace("_", "-") for word in value) or "none"
    if isinstance(value, float):
        return _short(f"{value:.6g}")
    return str(value).replace("_", " ")


def summary(title: str, values: Values) -> str:
    """What a group is set to, in a few words that fit beside its title."""
    train, data, model = (_below(room, values) for room in ("train.", "data.", "model."))
    told = {
        "Schedule": [say(train["schedule"]), f"stops after {train['patience']}" if train["patience"] else ""],
        "Training": [train["optimizer"], f"momentum {say(train['momentum'])}", f"seed {train['seed']}"],
        "Loss": [
            f"smoothing {say(train['label_smoothing'])}" if train["label_smoothing"] else "",
            "weighted" if train["class_weights"] != "none" else "",
        ],
        "Augmentation": [say(train["augment"])],
        "Pictures": [f"{data['image_size']} px", data["fit"], "balanced" if data["balance"] != "none" else ""],
        "Network": [
            say(model["name"]),
            *(
                [f"blocks {say(model['channels'])}", f"linear {say(model['linear'])}", say(model["activation"])]
                if model["name"] == "cnn"
                else []
            ),
            *(
                [model["trunk"] if model["name"] == "pretrained" else "", f"learns: {say(model['trainable'])}"]
                if acts("trunk", model)
                else []
            ),
        ],
    }
    words = [word for word in told.get(title, []) if word]
    return ", ".join(words) or {"Loss": "cross-entropy"}.get(title, "")


def _below(room: str, values: Values) -> dict[str, Any]:
    return {field.removeprefix(room): value for field, value in values.items() if field.startswith(room)}


# ------------------------------------------------------------------------------------------------ numbers


def is_number(field: str) -> bool:
    return all_fields()[field].annotation in (int, float)


def is_trunk(field: str) -> bool:
    """The network that another one learns on from: chosen from what there is."""
    return field == "model.trunk"


def is_switch(field: str) -> bool:
    return all_fields()[field].annotation is bool


def is_list(field: str) -> bool:
    """Several whole numbers in a row, such as the channels of the blocks; typed as 6, 16."""
    annotation = all_fields()[field].annotation
    return get_origin(annotation) is tuple and get_origin(get_args(annotation)[0]) is not Literal


def is_wide(field: str) -> bool:
    """A number that no slider can hold, such as a seed."""
    low, high = bounds(all_fields()[field])
    return isinstance(low, int) and high - low > 10_000


def bounds(info: FieldInfo) -> tuple[Any, Any]:
    """The smallest and the largest value of a field's slider, from its own ge, gt, le and lt."""
    low = high = None
    for rule in info.metadata:
        low = getattr(rule, "ge", low)
        high = getattr(rule, "le", high)
        if (below := getattr(rule, "lt", None)) is not None:
            high = round(below - 0.01, 6)  # a slider has hundredths
    assert low is not None and high is not None, f"{info.title} has no range; a form cannot draw it"
    return low, high


@cache
def steps_of(field: str) -> tuple[Any, ...]:
    """The values that a field's slider stops at, ascending."""
    low, high = bounds(all_fields()[field])
    if field in DOUBLING:
        return tuple(size for size in doubled() if low <= size <= high)
    if field in SIZES:
        halfway = (size + size // 2 for size in doubled() if size > 1)
        return tuple(sorted(size for size in {low, *doubled(), *halfway} if low <= size <= high))
    if isinstance(low, int) and high - low <= FEW:
        return tuple(range(low, high + 1))
    if field in FROM_ZERO:
        return (low, *logarithmic(low or (1 if isinstance(low, int) else 1e-6), high))
    if isinstance(low, int) or (low > 0 and high / low >= 1000):
        return tuple(logarithmic(low, high))
    return tuple(round(low + hundredth / 100, 6) for hundredth in range(round(100 * (high - low)) + 1))


def doubled() -> list[int]:
    return [2**power for power in range(20)]


def logarithmic(low: float, high: float) -> list[Any]:
    """Ten steps a decade from low to high; whole numbers where both ends are."""
    whole = isinstance(low, int)
    steps = [float(f"{digit}e{power}") for power in range(-8, 4) for digit in DIGITS]
    steps = [step for step in steps if low <= step <= high and not (whole and step % 1)]
    return [int(step) for step in steps] if whole else steps


def exactly(value: Any) -> str:
    """A number as it is typed: reading it again gives the same number."""
    return (
        str(value) if isinstance(value, int) else _short(f"{value:g}" if float(f"{value:g}") == value else repr(value))
    )


def _short(number: str) -> str:
    """1e-07 as people write it: 1e-7."""
    return number.replace("e-0", "e-")


def read_number(field: str, text: str) -> Any:
    """The number that somebody typed, with a point or a comma; UserMistake says what the field takes."""
    typed = text.strip().replace(",", ".")
    whole = isinstance(bounds(all_fields()[field])[0], int)
    # not float() alone: it also takes "nan", "1_000" and digits of other scripts
    written = r"[+-]?[0-9]+" if whole else r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?"
    if re.fullmatch(written, typed, re.ASCII) and len(typed) < 40:
        value = int(typed) if whole else float(typed)
        if allows(field, value):
            return value
    kind = "a whole number " if whole else "a number "
    raise UserMistake(f"{title_of(field)} must be {kind}{range_in_words(field)}.")


def read_list(field: str, text: str) -> list[int]:
    """The whole numbers that somebody typed, commas or spaces between them; UserMistake says what the field takes."""
    words = [word for word in re.split(r"[\s,;+]+", text.strip()) if word not in ("", "none")]
    (low, high), (fewest, most) = _range_of_each(field), _count_range(field)
    numbers = [int(word) for word in words if re.fullmatch(r"[0-9]{1,6}", word, re.ASCII)]
    if len(numbers) != len(words) or not fewest <= len(numbers) <= most or any(not low <= n <= high for n in numbers):
        raise UserMistake(f"{title_of(field)} must be {list_in_words(field)}.")
    return numbers


def list_in_words(field: str) -> str:
    """'1 to 6 whole numbers from 1 to 4096, e.g. 6, 16'."""
    (low, high), (fewest, most) = _range_of_each(field), _count_range(field)
    none = ", or none" if fewest == 0 else ""
    usual = say(all_fields()[field].default)
    return f"{max(1, fewest)} to {most} whole numbers from {low} to {high}{none}, e.g. {usual}"


def _range_of_each(field: str) -> tuple[int, int]:
    rules = get_args(get_args(all_fields()[field].annotation)[0])[1].metadata
    return next(rule.ge for rule in rules if hasattr(rule, "ge")), next(r.le for r in rules if hasattr(r, "le"))


def _count_range(field: str) -> tuple[int, int]:
    rules = all_fields()[field].metadata
    fewest = next((rule.min_length for rule in rules if hasattr(rule, "min_length")), 0)
    return fewest, next(rule.max_length for rule in rules if hasattr(rule, "max_length"))


def allows(field: str, value: float) -> bool:
    """Whether a number is in the range of the field's definition."""
    for rule in all_fields()[field].metadata:
        if (low := getattr(rule, "ge", None)) is not None and not value >= low:
            return False
        if (high := getattr(rule, "le", None)) is not None and not value <= high:
            return False
        if (below := getattr(rule, "lt", None)) is not None and not value < below:
            return False
    return True


def range_in_words(field: str) -> str:
    """'from 1 to 1000', 'from 0 to less than 1'."""
    low, high = bounds(all_fields()[field])
    below = next((rule.lt for rule in all_fields()[field].metadata if hasattr(rule, "lt")), None)
    return f"from {exactly(low)} to {f'less than {exactly(below)}' if below is not None else exactly(high)}"
