"""One widget a field of RunConfig, drawn from the field's own title, help and range."""

from collections.abc import Sequence
from functools import partial
from typing import Any, get_args, get_origin

import streamlit as st

from core.config import RunConfig
from core.display_names import display_name, format_value
from core.fields import value_of
from pages.parts.form.fields import (
    all_fields,
    bounds,
    format_exact,
    is_backbone,
    is_list,
    is_number,
    is_switch,
    is_teacher,
    is_wide,
    list_in_words,
    range_in_words,
    same_value,
    steps_of,
    title_of,
)
from pages.parts.form.pretrained import draw_backbone
from pages.parts.form.state import TRAIN, form_values, invalid_input, key_and_default, key_of, last_input, typed_key
from pages.parts.form.teacher import draw_teacher
from pages.parts.form.validation import Remark
from pages.parts.shell.escape import escape

BOX = 84  # pixels; room for 0.00123


def draw_field(
    field: str, base: RunConfig, remarks: Sequence[Remark], base_name: str, form: str = TRAIN, dots: bool = True
) -> None:
    """base_name: what `base` is, such as "Preset quick"; with `dots`, the label says where a value differs from it."""
    info = all_fields()[field]
    default = f"{base_name}: {display_name(field, value_of(base, field))}."
    if is_number(field):
        default += f" Takes {range_in_words(field)}."
    if is_list(field):
        default += f" Takes {list_in_words(field)}."
    common: dict[str, Any] = {
        "label": f"{info.title} · changed" if dots and differs(field, base, form) else info.title,
        "help": "\n\n".join([info.description or "", default]),
    }
    if is_number(field):
        _draw_number(field, base, common, form)
    elif is_list(field):
        key, default = _typed(field, format_value(form_values(form)[field]), form)
        st.text_input(key=key, value=default, **common)
    elif is_backbone(field):
        draw_backbone(common, form)
    elif is_teacher(field):
        draw_teacher(common, base.data.dataset, form)
    else:
        _draw_choice(field, common, form)
    for remark in remarks:
        if field in remark.fields:
            draw_remark(remark)


def draw_remark(remark: Remark) -> None:
    icon = ":red[:material/block:]" if remark.stops else ":material/info:"
    st.caption(f"{icon} {escape(remark.text, 400)}")


def _draw_choice(field: str, common: dict[str, Any], form: str) -> None:
    key, default = key_and_default(key_of(field, form), form_values(form)[field])
    annotation = all_fields()[field].annotation
    options = get_args(annotation)
    name = partial(display_name, field)
    if is_switch(field):
        st.toggle(value=default, key=key, **common)
    elif get_origin(annotation) is tuple:
        each = get_args(options[0])
        st.pills(options=each, selection_mode="multi", default=default, format_func=name, key=key, **common)
    elif len(options) <= 3:
        st.segmented_control(
            options=options, default=default, required=True, format_func=name, width="stretch", key=key, **common
        )
    else:
        st.selectbox(options=options, index=options.index(default), format_func=name, key=key, **common)


def _draw_number(field: str, base: RunConfig, common: dict[str, Any], form: str) -> None:
    """A slider in steps that suit the field, and next to it the number itself to type; a seed has only the number."""
    value = form_values(form)[field]
    key, default = key_and_default(key_of(field, form), value)
    if is_wide(field):
        low, high = bounds(all_fields()[field])
        st.number_input(min_value=low, max_value=high, value=default, step=1, key=key, **common)
        return
    options = sorted({*steps_of(field), value_of(base, field), default, value})
    typed, text = _typed(field, format_exact(value), form)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=f"number.{form}.{field}"):
        st.select_slider(options=options, value=default, format_func=format_exact, key=key, **common)
        st.text_input(
            f"{title_of(field)}, typed",
            value=text,
            key=typed,
            label_visibility="collapsed",
            width=BOX,
        )


def _typed(field: str, text: str, form: str) -> tuple[str, str]:
    """Key and default of the box to type in; invalid input stays in it, so that it can be corrected."""
    base = typed_key(field, form)
    return key_and_default(base, last_input(base) if field in invalid_input(form) else text)


def differs(field: str, base: RunConfig, form: str = TRAIN) -> bool:
    value = form_values(form).get(field)
    return value is not None and not same_value(value, value_of(base, field))
