"""One widget a field of RunConfig, drawn from the field's own title, help and range."""

from collections.abc import Sequence
from typing import Any, get_args, get_origin

import streamlit as st

from core.config import RunConfig
from core.errors import UserMistake
from pages.parts.escape import escape
from pages.parts.fields import (
    all_fields,
    bounds,
    exactly,
    is_list,
    is_number,
    is_switch,
    is_trunk,
    is_wide,
    list_in_words,
    range_in_words,
    read_list,
    read_number,
    same,
    say,
    steps_of,
    title_of,
    value_of,
)
from pages.parts.form_state import TRAIN, key_of, put, write_out, wrong_in
from pages.parts.remarks import Remark
from pages.parts.trunk import draw_trunk, take_network

BOX = 84  # pixels; room for 0.00123


def draw_field(
    field: str, base: RunConfig, remarks: Sequence[Remark], usual: str, form: str = TRAIN, dots: bool = True
) -> None:
    """usual: what `base` is, such as "Preset quick"; a dot marks a value that differs from it."""
    info = all_fields()[field]
    told = [info.description or "", f"{usual}: {say(value_of(base, field))}."]
    if is_number(field):
        told[1] += f" Takes {range_in_words(field)}."
    if is_list(field):
        told[1] += f" Takes {list_in_words(field)}."
    common: dict[str, Any] = {
        "label": f"{info.title} :primary[●]" if dots and differs(field, base, form) else info.title,
        "help": "\n\n".join(told),
        "key": key_of(field, form),
        "persist_state": "session",
    }
    if field == "model.name":
        common |= {"on_change": take_network, "args": (form,)}
    if is_number(field):
        _draw_number(field, base, common, form)
    elif is_list(field):
        _draw_list(field, common, form)
    elif is_trunk(field):
        draw_trunk(common, form)
    elif is_switch(field):
        st.toggle(**common)
    elif get_origin(info.annotation) is tuple:
        choices = get_args(get_args(info.annotation)[0])
        st.pills(options=choices, selection_mode="multi", format_func=lambda name: say([name]), **common)
    else:
        _draw_choice(get_args(info.annotation), common)
    for remark in remarks:
        if field in remark.fields:
            draw_remark(remark)


def draw_remark(remark: Remark) -> None:
    icon = ":red[:material/block:]" if remark.stops else ":material/info:"
    st.caption(f"{icon} {escape(remark.text, 400)}")


def _draw_choice(choices: tuple[str, ...], common: dict[str, Any]) -> None:
    if len(choices) <= 3:
        st.segmented_control(options=choices, required=True, format_func=say, width="stretch", **common)
    else:
        st.selectbox(options=choices, format_func=say, **common)


def _draw_number(field: str, base: RunConfig, common: dict[str, Any], form: str) -> None:
    """A slider in steps that suit the field, and beside it the number itself to type; a seed has only the number."""
    if is_wide(field):
        low, high = bounds(all_fields()[field])
        st.number_input(min_value=low, max_value=high, step=1, **common)
        return
    value, typed = st.session_state[key_of(field, form)], typed_key(field, form)
    options = sorted({*steps_of(field), value_of(base, field), value})
    if field not in wrong_in(form):  # what is wrong stays as it was typed, so that it can be corrected
        write_out(typed, exactly(value))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.select_slider(
            options=options,
            format_func=exactly,
            on_change=_take_slider,
            args=(field, form),
            **common,
        )
        st.text_input(
            f"{title_of(field)}, typed",
            key=typed,
            label_visibility="collapsed",
            width=BOX,
            on_change=_take_typed,
            args=(field, form),
            persist_state="session",
        )


def _draw_list(field: str, common: dict[str, Any], form: str) -> None:
    """Numbers in a row, to type; what they are is kept beside what was typed, so that a mistake can be corrected."""
    if field not in wrong_in(form):
        write_out(typed_key(field, form), say(st.session_state[key_of(field, form)]))
    st.text_input(on_change=_take_typed, args=(field, form), **common | {"key": typed_key(field, form)})


# ------------------------------------------------------------------------------------------------------ state


def typed_key(field: str, form: str = TRAIN) -> str:
    return f"typed.{field}" if form == TRAIN else f"{form}.typed.{field}"


def differs(field: str, base: RunConfig, form: str = TRAIN) -> bool:
    value = st.session_state.get(key_of(field, form))
    return value is not None and not same(value, value_of(base, field))


def _take_slider(field: str, form: str) -> None:
    wrong_in(form).pop(field, None)


def _take_typed(field: str, form: str) -> None:
    read = read_list if is_list(field) else read_number
    try:
        put(field, read(field, st.session_state[typed_key(field, form)]), form)
    except UserMistake as mistake:
        wrong_in(form)[field] = str(mistake)
