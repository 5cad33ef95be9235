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
        st.text_input(key=_typed(field, say(held(form)[field]), form), **common)
    elif is_trunk(field):
        draw_trunk(common, form)
    else:
        _draw_choice(field, common | {"key": shown_as(key_of(field, form), held(form)[field])})
    for remark in remarks:
        if field in remark.fields:
            draw_remark(remark)


def draw_remark(remark: Remark) -> None:
    icon = ":red[:material/block:]" if remark.stops else ":material/info:"
    st.caption(f"{icon} {escape(remark.text, 400)}")


def _draw_choice(field: str, common: dict[str, Any]) -> None:
    annotation = all_fields()[field].annotation
    if is_switch(field):
        st.toggle(**common)
    elif get_origin(annotation) is tuple:
        choices = get_args(get_args(annotation)[0])
        st.pills(options=choices, selection_mode="multi", format_func=lambda name: say([name]), **common)
    elif len(get_args(annotation)) <= 3:
        st.segmented_control(options=get_args(annotation), required=True, format_func=say, width="stretch", **common)
    else:
        st.selectbox(options=get_args(annotation), format_func=say, **common)


def _draw_number(field: str, base: RunConfig, common: dict[str, Any], form: str) -> None:
    """A slider in steps that suit the field, and beside it the number itself to type; a seed has only the number."""
    value = held(form)[field]
    key = shown_as(key_of(field, form), value)
    if is_wide(field):
        low, high = bounds(all_fields()[field])
        st.number_input(min_value=low, max_value=high, step=1, key=key, **common)
        return
    options = sorted({*steps_of(field), value_of(base, field), value})
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=f"number.{form}.{field}"):
        st.select_slider(options=options, format_func=exactly, key=key, **common)
        st.text_input(
            f"{title_of(field)}, typed",
            key=_typed(field, exactly(value), form),
            label_visibility="collapsed",
            width=BOX,
        )


def _typed(field: str, words: str, form: str) -> str:
    """The key of the box to type in; what is wrong stays in it as it was typed, so that it can be corrected."""
    base = typed_key(field, form)
    return shown_as(base, said_in(base) if field in wrong_in(form) else words)


def differs(field: str, base: RunConfig, form: str = TRAIN) -> bool:
    value = held(form).get(field)
    return value is not None and not same(value, value_of(base, field))
