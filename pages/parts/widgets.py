"""One widget a field of RunConfig, drawn from the field's own title, help and range."""

from collections.abc import Sequence
from typing import Any, get_args, get_origin

import streamlit as st

from core.config import RunConfig
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
    same,
    say,
    steps_of,
    title_of,
    value_of,
)
from pages.parts.form_state import TRAIN, held, key_of, said_in, shown_as, typed_key, wrong_in
from pages.parts.remarks import Remark
from pages.parts.trunk import draw_trunk

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
    }
    if is_number(field):
        _draw_number(field, base, common, form)
    elif is_list(field):
        key, begin = _typed(field, say(held(form)[field]), form)
        st.text_input(key=key, value=begin, **common)
    elif is_trunk(field):
        draw_trunk(common, form)
    else:
        _draw_choice(field, common, form)
    for remark in remarks:
        if field in remark.fields:
            draw_remark(remark)


def draw_remark(remark: Remark) -> None:
    icon = ":red[:material/block:]" if remark.stops else ":material/info:"
    st.caption(f"{icon} {escape(remark.text, 400)}")


def _draw_choice(field: str, common: dict[str, Any], form: str) -> None:
    key, begin = shown_as(key_of(field, form), held(form)[field])
    annotation = all_fields()[field].annotation
    choices = get_args(annotation)
    if is_switch(field):
        st.toggle(value=begin, key=key, **common)
    elif get_origin(annotation) is tuple:
        each = get_args(choices[0])
        st.pills(
            options=each,
            selection_mode="multi",
            default=begin,
            format_func=lambda name: say([name]),
            key=key,
            **common,
        )
    elif len(choices) <= 3:
        st.segmented_control(
            options=choices, default=begin, required=True, format_func=say, width="stretch", key=key, **common
        )
    else:
        st.selectbox(options=choices, index=choices.index(begin), format_func=say, key=key, **common)


def _draw_number(field: str, base: RunConfig, common: dict[str, Any], form: str) -> None:
    """A slider in steps that suit the field, and beside it the number itself to type; a seed has only the number."""
    value = held(form)[field]
    key, begin = shown_as(key_of(field, form), value)
    if is_wide(field):
        low, high = bounds(all_fields()[field])
        st.number_input(min_value=low, max_value=high, value=begin, step=1, key=key, **common)
        return
    options = sorted({*steps_of(field), value_of(base, field), begin, value})
    typed, words = _typed(field, exactly(value), form)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=f"number.{form}.{field}"):
        st.select_slider(options=options, value=begin, format_func=exactly, key=key, **common)
        st.text_input(
            f"{title_of(field)}, typed",
            value=words,
            key=typed,
            label_visibility="collapsed",
            width=BOX,
        )


def _typed(field: str, words: str, form: str) -> tuple[str, str]:
    """Of the box to type in, as shown_as(); what is wrong stays in it as it was typed, so that it can be corrected."""
    base = typed_key(field, form)
    return shown_as(base, said_in(base) if field in wrong_in(form) else words)


def differs(field: str, base: RunConfig, form: str = TRAIN) -> bool:
    value = held(form).get(field)
    return value is not None and not same(value, value_of(base, field))
