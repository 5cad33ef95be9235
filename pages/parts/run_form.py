"""The form of a run: one widget a field of RunConfig, drawn from the field's own title, help and range."""

from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.config import DataConfig, ModelConfig, RunConfig, TrainConfig, change_config
from core.data.dataset import Dataset
from core.errors import UserMistake
from core.presets import PRESETS, preset
from pages.parts.planning import part_counts

ROOMS: dict[str, type[BaseModel]] = {"train": TrainConfig, "model": ModelConfig, "data": DataConfig}
FRONT = ("train.learning_rate", "train.momentum", "train.batch_size", "train.epochs", "train.seed")
DOUBLING = ("train.batch_size", "data.image_size")  # sizes go in powers of two
FROM_ZERO = ("train.weight_decay",)  # a logarithmic slider that also has a zero
CHOSEN_APART = ("data.dataset",)  # picked above the form

FILLED = "form.filled"  # the RunConfig that the form was filled from

USUAL = "quick"  # the preset that a newcomer finds: it ends in seconds
PRESET_SAYS = {
    "paper": "The settings of the paper: plain SGD for 50 epochs.",
    "quick": "The same network in the shortest time.",
    "better": "The same network with augmentation, for the best result.",
}


def key_of(field: str) -> str:
    return f"form.{field}"


def all_fields() -> dict[str, FieldInfo]:
    """Dotted name -> definition of every field that the form can show, in the order of the definition."""
    fields = {f"{room}.{name}": info for room, model in ROOMS.items() for name, info in model.model_fields.items()}
    return {field: info for field, info in fields.items() if field not in CHOSEN_APART}


def value_of(config: RunConfig, field: str) -> Any:
    room, _, name = field.partition(".")
    return getattr(getattr(config, room), name)


def matters(field: str, values: dict[str, Any]) -> bool:
    """Whether a field acts at all beside the others; one that does not is left out of the form."""
    if field == "train.warmup":
        return values["train.schedule"] == "one_cycle"
    if field == "data.seed":
        return values["data.split"] == "stratified"
    return len(get_args(all_fields()[field].annotation)) != 1  # a choice of one is none


def draw_form(dataset: Dataset) -> tuple[RunConfig, Any]:
    """Preset, front sliders and the rest in an expander; returns the RunConfig as it stands.

    With it comes the container between the front and the rest, for what depends on all of them and must stay in
    sight: the plan and the start. What a person changes stays over reruns, page switches and another dataset; all
    else follows the preset, fitted to the dataset. Raises UserMistake for values that do not go together.
    """
    st.session_state.setdefault("form.preset", USUAL)
    name = st.segmented_control(
        "Preset",
        list(PRESETS),
        required=True,
        key="form.preset",
        persist_state="session",
        on_change=_take_preset,
        help="\n\n".join(f"**{preset_name}** {told}" for preset_name, told in PRESET_SAYS.items()),
        width="stretch",
    )
    base = fitted(name or USUAL, dataset)
    _follow(base)
    if base.train != preset(base.preset).train:
        st.caption("Fitted to this small set: more epochs, in smaller batches.")
    _draw_field(FRONT[0], base)
    with st.grid(2, min_column_width=140, gap="small"):
        for field in FRONT[1:]:
            _draw_field(field, base)
    middle = st.container()
    values = _values(base)
    rest = [field for field in all_fields() if field not in FRONT and matters(field, values)]
    changed = [field for field in rest if _differs(field, base)]
    with st.expander(f"More settings · {len(changed)} changed" if changed else "More settings", key="form.more"):
        for field in rest:
            _draw_field(field, base)
    values = _values(base)
    with middle:
        _draw_changes(base, values)
    # a field that is out of sight is back at its preset, so that nothing hidden decides
    shown = {field: value for field, value in values.items() if matters(field, values)}
    return change_config(base, shown), middle


def fitted(name: str, dataset: Dataset) -> RunConfig:
    """The preset of that name as it suits the number of training pictures of a dataset."""
    asked = change_config(preset(name), {"data.dataset": dataset.name})
    try:
        counts = part_counts(dataset.content_hash, asked.data.model_dump_json(), dataset)
    except UserMistake:
        return asked  # too few pictures for this split: the page says so beside the start
    return change_config(preset(name, sum(counts["train"])), {"data.dataset": dataset.name})


def _follow(base: RunConfig) -> None:
    """Every field that a person has not changed takes its value from `base`; the first time, and from a preset, all."""
    told = st.session_state.get(FILLED)
    before = RunConfig.model_validate_json(told) if told else None
    for field in all_fields():
        if before is None or key_of(field) not in st.session_state or not _differs(field, before):
            _reset(field, value_of(base, field))
    st.session_state[FILLED] = base.model_dump_json()


def _take_preset() -> None:
    st.session_state.pop(FILLED, None)


def _reset(field: str, value: Any) -> None:
    st.session_state[key_of(field)] = list(value) if isinstance(value, tuple) else value


def _values(base: RunConfig) -> dict[str, Any]:
    return {field: st.session_state.get(key_of(field), value_of(base, field)) for field in all_fields()}


def _differs(field: str, base: RunConfig) -> bool:
    value, usual = st.session_state.get(key_of(field)), value_of(base, field)
    return value is not None and (set(value) != set(usual) if isinstance(usual, tuple) else value != usual)


def _draw_changes(base: RunConfig, values: dict[str, Any]) -> None:
    changed = [field for field in all_fields() if matters(field, values) and _differs(field, base)]
    if not changed:
        return
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="changes"):
        st.caption(f"Changed from {base.preset}:", width="content")
        for field in changed:
            usual = value_of(base, field)
            st.button(
                all_fields()[field].title or field,
                key=f"reset.{field}",
                icon=":material/undo:",
                type="tertiary",
                help=f"Back to {say(usual)}",
                on_click=_reset,
                args=(field, usual),
            )


def say(value: Any) -> str:
    """A setting's value as a person reads it: 0.001, 5e-04, flip + cutout, one cycle."""
    if isinstance(value, (tuple, list)):
        return " + ".join(word.replace("_", "-") for word in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).replace("_", " ")


def _draw_field(field: str, base: RunConfig) -> None:
    info = all_fields()[field]
    usual = value_of(base, field)
    differs = _differs(field, base)
    common: dict[str, Any] = {
        "label": f"{info.title} :primary[●]" if differs else info.title,
        "help": f"{info.description}\n\nPreset {base.preset}: {say(usual)}",
        "key": key_of(field),
        "persist_state": "session",
    }
    kind = get_origin(info.annotation)
    if kind is tuple:
        choices = get_args(get_args(info.annotation)[0])
        st.pills(options=choices, selection_mode="multi", format_func=say, **common)
    elif kind is Literal:
        _draw_choice(get_args(info.annotation), common)
    else:
        _draw_number(field, info, usual, common)


def _draw_choice(choices: tuple[str, ...], common: dict[str, Any]) -> None:
    if len(choices) <= 3:
        st.segmented_control(options=choices, required=True, format_func=say, width="stretch", **common)
    else:
        st.selectbox(options=choices, format_func=say, **common)


def _draw_number(field: str, info: FieldInfo, usual: Any, common: dict[str, Any]) -> None:
    low, high = bounds(info)
    if isinstance(usual, int) and high - low > 10_000:
        st.number_input(min_value=low, max_value=high, step=1, **common)
    elif isinstance(usual, int) or field in FROM_ZERO or (low > 0 and high / low >= 1000):
        steps = logarithmic(low, high, doubling=field in DOUBLING)
        steps = [0.0, *steps] if field in FROM_ZERO else steps
        options = sorted({*steps, usual, st.session_state.get(key_of(field), usual)})
        st.select_slider(options=options, format_func=say, **common)
    else:
        st.slider(min_value=low, max_value=high, step=0.01, format="%.2f", **common)


def bounds(info: FieldInfo) -> tuple[Any, Any]:
    """The smallest and the largest value that a field allows, from its own ge, gt, le and lt."""
    low = high = None
    for rule in info.metadata:
        low = getattr(rule, "ge", low)
        high = getattr(rule, "le", high)
        if (below := getattr(rule, "lt", None)) is not None:
            high = round(below - 0.01, 6)  # a slider has hundredths
    assert low is not None and high is not None, f"{info.title} has no range; a form cannot draw it"
    return low, high


def logarithmic(low: float, high: float, doubling: bool = False) -> list[Any]:
    """Steps from low to high: 1-2-5 a decade, or doubling; ints where both ends are. From 1e-6 where low is 0."""
    if doubling:
        steps = [2**power for power in range(20)]
    else:
        steps = [digit * 10**power for power in range(4) for digit in (1, 2, 5)]
        if not isinstance(low, int):
            steps = [float(f"{digit}e{power}") for power in range(-8, 4) for digit in (1, 2, 5)]
    return [step for step in steps if max(low, 1e-6 if low == 0 else low) <= step <= high]
