"""Range: where a sweep searches one setting, as RunConfig defines it or narrowed by a person. No torch."""

from typing import Any, Literal, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator
from pydantic.fields import FieldInfo

from core.config import DataConfig, ModelConfig, RunConfig, TrainConfig, change_config
from core.errors import UserMistake
from core.setting_names import current_field

SECTIONS: dict[str, type[BaseModel]] = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig}
# what would make two trials differ in the pictures that they are judged by, or in luck
FIXED = {"data.dataset", "data.balance", "data.split", "data.test_fraction", "data.val_fraction", "data.duplicates"}
FIXED |= {"data.seed", "train.seed", "train.epochs", "train.patience"}
NARROWER = {  # than what is allowed: a trial further out would be lost
    "train.learning_rate": (1e-4, 1.0),
    "train.weight_decay": (1e-6, 0.05),
    "train.batch_size": (16, 512),
    "train.label_smoothing": (0.0, 0.2),
    "data.image_size": (16, 64),
}
LOGARITHMIC = {"train.learning_rate", "train.weight_decay", "train.batch_size"}


class Range(BaseModel):
    """The values of one setting: from low to high, or among choices as the command line writes them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    field: str
    low: float | None = None
    high: float | None = None
    integer: bool = Field(False, validation_alias=AliasChoices("integer", "whole"))  # "whole" in version 0.1.0
    log: bool = False
    choices: tuple[str, ...] = ()

    @field_validator("field")
    @classmethod
    def _read_former_name(cls, field: str) -> str:
        return current_field(field)

    @property
    def text(self) -> str:
        return ", ".join(self.choices) if self.choices else f"{self.low:g} to {self.high:g}"


def range_for(field: str, narrowed: str = "") -> Range:
    """The range of a field as RunConfig defines it, or a part of it: "0.001..0.1", or names with "|" between them
    (a comma will do where no value has one itself). UserMistake for a field that cannot be swept or values that it does
    not take."""
    field = current_field(field)
    info = _definition(field)
    if not narrowed:
        return _full_range(field, info)
    if ".." in narrowed:
        return _narrowed_range(field, _full_range(field, info), narrowed)
    values = tuple(word.strip() for word in narrowed.split("|" if "|" in narrowed or _is_tuple(info) else ","))
    for value in values:
        change_config(RunConfig(), {field: value})
    return Range(field=field, choices=values)


def can_sweep(field: str) -> bool:
    try:
        range_for(field)
    except UserMistake:
        return False
    return True


def _narrowed_range(field: str, full: Range, narrowed: str) -> Range:
    """`full` between the two ends in `narrowed`, e.g. "0.001..0.1"."""
    if full.low is None:
        raise UserMistake(f"{field} is no number; write its values with | between them, e.g. {full.text}")
    low, _, high = narrowed.partition("..")
    try:
        ends = float(low), float(high)
    except ValueError as error:
        raise UserMistake(f"{narrowed!r} is no range for {field}; write it as 0.001..0.1") from error
    for end in ends:
        change_config(RunConfig(), {field: str(int(end)) if full.integer and end == int(end) else str(end)})
    if ends[0] >= ends[1]:
        raise UserMistake(f"{narrowed!r} is no range for {field}: it ends before it begins")
    return full.model_copy(update={"low": ends[0], "high": ends[1], "log": full.log and ends[0] > 0})


def _definition(field: str) -> FieldInfo:
    section, _, name = field.partition(".")
    known = [f"{one}.{leaf}" for one, model in SECTIONS.items() for leaf in model.model_fields]
    if field not in known:
        raise UserMistake(f"unknown setting {field!r}; known: {', '.join(known)}")
    if field in FIXED:
        raise UserMistake(f"{field} cannot be swept: trials would not be judged alike")
    return SECTIONS[section].model_fields[name]


def _full_range(field: str, info: FieldInfo) -> Range:
    kind: Any = info.annotation
    if get_origin(kind) is Literal:
        return Range(field=field, choices=get_args(kind))
    if kind is bool:
        return Range(field=field, choices=("true", "false"))
    if _is_tuple(info):
        names = get_args(get_args(kind)[0])
        if not names or not all(isinstance(name, str) for name in names):
            raise UserMistake(f"{field} needs its values, with | between them, e.g. {field}='6,16|16,32'")
        return Range(field=field, choices=("none", *names, "+".join(names[:2])))
    if kind not in (int, float):
        raise UserMistake(f"{field} needs its values, with | between them, e.g. {field}='one|two'")
    low, high = NARROWER.get(field) or _allowed_ends(info)
    return Range(field=field, low=low, high=high, integer=kind is int, log=field in LOGARITHMIC)


def _allowed_ends(info: FieldInfo) -> tuple[float, float]:
    """(lowest, highest) allowed value; just below a limit that is not allowed itself."""
    ends = {"low": 0.0, "high": 1.0}
    for rule in info.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(rule, name, None) is not None:
                end = float(getattr(rule, name)) * (0.99 if name == "lt" else 1)
                ends["low" if name in ("ge", "gt") else "high"] = end
    return ends["low"], ends["high"]


def _is_tuple(info: FieldInfo) -> bool:
    return get_origin(info.annotation) is tuple
