"""The fields of RunConfig as a form shows them: groups, slider steps, summaries, typed numbers and lists."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.config import DataConfig, ModelConfig, TrainConfig
from core.display_names import display_name
from core.errors import UserMistake
from core.fields import acts, acts_with

SECTIONS: dict[str, type[BaseModel]] = {"train": TrainConfig, "model": ModelConfig, "data": DataConfig}
CHOSEN_APART = ("data.dataset",)  # picked above the form
FRONT = ("train.learning_rate", "train.epochs", "train.batch_size")
GROUPS: dict[str, tuple[str, ...]] = {
    "Training": (
        "train.optimizer",
        "train.filter_rate",
        "train.momentum",
        "train.weight_decay",
        "train.seed",
        "train.precision",
    ),
    "Schedule": (
        "train.schedule",
        "train.warmup",
        "train.ema",
        "train.lookahead",
        "train.progressive",
        "train.freeze_first",
        "train.patience",
    ),
    "Loss": (
        *("train.teacher", "train.distill_share", "train.temperature"),
        *("train.label_smoothing", "train.class_weights"),
    ),
    "Augmentation": ("train.augment", "train.flips"),
    "Data": (),
    "Network": (),
}
GROUP_OF_SECTION = {"train": "Training", "data": "Data", "model": "Network"}  # where a field goes that no group names
DOUBLING = ("train.batch_size",)  # goes in powers of two
SIZES = ("data.image_size", "model.width")  # powers of two and halfway between them
FROM_ZERO = (
    "train.filter_rate",
    "train.weight_decay",
    "train.lookahead",
    "train.patience",
)  # a logarithmic slider that also has a zero
HALVES = ("train.temperature",)  # a number with a range of a few units, in steps of a half
FEW = 20  # whole numbers that a slider can hold one by one
DIGITS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)  # ten steps a decade, each about a quarter more than the one before

Values = Mapping[str, Any]  # dotted field -> value


@cache
def all_fields() -> dict[str, FieldInfo]:
    """Dotted name -> definition of every field that the form can show, in the order of the definition."""
    fields = {
        f"{section}.{name}": info for section, model in SECTIONS.items() for name, info in model.model_fields.items()
    }
    return {field: info for field, info in fields.items() if field not in CHOSEN_APART}


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Title -> fields; every field that is not in front is in one group, a new one in that of its section."""
    placed = {field for fields in GROUPS.values() for field in fields} | set(FRONT)
    rest = [field for field in all_fields() if field not in placed]
    return {
        title: (*fields, *(field for field in rest if GROUP_OF_SECTION[field.partition(".")[0]] == title))
        for title, fields in GROUPS.items()
    }


def title_of(field: str) -> str:
    return all_fields()[field].title or field


def is_relevant(field: str, values: Values, given: frozenset[int] = frozenset()) -> bool:
    """Whether a field has an effect with the other values; one that has none is left out of the form.

    given: the parts that the dataset brings along, 1 val, 2 test (see split_indices).
    """
    if field == "train.warmup":
        return bool(values["train.schedule"] == "one_cycle")
    if field in ("data.seed", "data.duplicates"):
        return bool(values["data.split"] == "stratified")
    if field == "data.test_fraction":
        return not given & {1, 2}  # a given val part is the test part where there is no other
    if field == "data.val_fraction":
        return not given >= {1, 2}
    if not _acts(field, values):
        return False
    return len(get_args(all_fields()[field].annotation)) != 1  # a choice of one is none


def same_value(value: Any, other: Any) -> bool:
    """Equal as settings: the order counts in a list of numbers, and not in a set of names."""
    if isinstance(other, (tuple, list)):
        named = all(isinstance(one, str) for one in (*value, *other))
        return set(value) == set(other) if named else tuple(value) == tuple(other)
    return bool(value == other)


# --------------------------------------------------------------------------------------------- summaries


def summarize_group(title: str, values: Values) -> str:
    """What a group is set to, in a few words that fit after its title."""
    words = [word for word in _SUMMARIES[title](values) if word] if title in _SUMMARIES else []
    return ", ".join(words) or ("Cross-entropy" if title == "Loss" else "")


def _name(field: str, values: Values) -> str:
    return display_name(field, values[field])


def _training_summary(values: Values) -> list[str]:
    momentum, seed = _name("train.momentum", values), values["train.seed"]
    return [_name("train.optimizer", values), f"momentum {momentum}", f"seed {seed}"]


def _schedule_summary(values: Values) -> list[str]:
    patience, mean = values["train.patience"], values["train.ema"]
    ends = f"early stopping after {patience}" if patience else ""
    grows = values["train.progressive"] < 1 and _acts("train.progressive", values)
    words = [_name("train.schedule", values), f"averaging {format_exact(mean)}" if mean else ""]
    words += [f"lookahead {values['train.lookahead']}" if values["train.lookahead"] else ""]
    words += [f"growing from {format_exact(values['train.progressive'])}" if grows else ""]
    freezes = values["train.freeze_first"] < 1 and _acts("train.freeze_first", values)
    return [*words, "first layer frozen" if freezes else "", ends]


def _loss_summary(values: Values) -> list[str]:
    smoothing, weights = values["train.label_smoothing"], values["train.class_weights"]
    teacher = f"teacher {_name('train.teacher', values)}" if values["train.teacher"] else ""
    smoothed = f"label smoothing {format_exact(smoothing)}" if smoothing else ""
    return [teacher, smoothed, "weighted" if weights != "none" else ""]


def _augmentation_summary(values: Values) -> list[str]:
    alternate = values["train.flips"] == "alternating" and _acts("train.flips", values)
    return [_name("train.augment", values), "alternating flips" if alternate else ""]


def _data_summary(values: Values) -> list[str]:
    balanced = values["data.balance"] != "none"
    return [f"{values['data.image_size']} px", _name("data.fit", values), "balanced" if balanced else ""]


def _network_summary(values: Values) -> list[str]:
    words, model = [_name("model.name", values)], _section("model.", values)
    if model["name"] == "cnn":
        blocks, linear = _name("model.channels", values), _name("model.linear", values)
        words += [f"blocks {blocks}", f"linear {linear}", _name("model.activation", values)]
    if model["name"] == "pretrained":
        words.append(_name("model.backbone", values))
    if acts("trainable", model):
        words.append(_name("model.trainable", values))
    return words


_SUMMARIES: dict[str, Callable[[Values], list[str]]] = {
    "Training": _training_summary,
    "Schedule": _schedule_summary,
    "Loss": _loss_summary,
    "Augmentation": _augmentation_summary,
    "Data": _data_summary,
    "Network": _network_summary,
}


def _acts(field: str, values: Values) -> bool:
    return acts_with(field, _section("model.", values), _section("train.", values))


def _section(prefix: str, values: Values) -> dict[str, Any]:
    return {field.removeprefix(prefix): value for field, value in values.items() if field.startswith(prefix)}


# ------------------------------------------------------------------------------------------------ numbers


def is_number(field: str) -> bool:
    return all_fields()[field].annotation in (int, float)


def is_backbone(field: str) -> bool:
    """Whether it is the pretrained backbone, which is chosen from what there is."""
    return field == "model.backbone"


def is_teacher(field: str) -> bool:
    """Whether it is the teacher, which is chosen from the runs that fit."""
    return field == "train.teacher"


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
    if field in HALVES:
        return tuple(low + half / 2 for half in range(round(2 * (high - low)) + 1))
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


def format_exact(value: Any) -> str:
    """A number as text from which read_number gives the same number again."""
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
    example = display_name(field, all_fields()[field].default)
    return f"{max(1, fewest)} to {most} whole numbers from {low} to {high}{none}, e.g. {example}"


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
    highest = format_exact(high) if below is None else f"less than {format_exact(below)}"
    return f"from {format_exact(low)} to {highest}"
