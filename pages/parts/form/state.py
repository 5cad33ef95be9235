"""The values of a form, and the input of its widgets.

There is more than one form: that of Train, and the one in which a network is designed. A form's values are not those of
its widgets: a browser that has not yet received a change sends the old value with its next message, and whichever
fragment's message that is, it would undo the change. So a widget counts as changed only where its value is not the one
that it was drawn with, and one that is to show something else becomes a new widget, whose old values nobody reads.
"""

from typing import Any

import streamlit as st

from core.errors import UserMistake
from pages.parts.form.fields import is_list, read_list, read_number

TRAIN = "form"  # the name of Train's form


def form_values(form: str = TRAIN) -> dict[str, Any]:
    """field -> its value."""
    values: dict[str, Any] = st.session_state.setdefault(f"{form}.values", {})
    return values


def invalid_input(form: str = TRAIN) -> dict[str, str]:
    """field -> why what was typed is no value of it."""
    invalid: dict[str, str] = st.session_state.setdefault(f"{form}.invalid", {})
    return invalid


def set_value(field: str, value: Any, form: str = TRAIN) -> None:
    """Give a field a value, before it is drawn or from a callback; it takes precedence over its widgets."""
    form_values(form)[field] = list(value) if isinstance(value, tuple) else value
    invalid_input(form).pop(field, None)
    for base in (key_of(field, form), typed_key(field, form)):
        _new_input(base)


def apply_input(form: str = TRAIN) -> set[str]:
    """Put what was chosen or typed since the form was drawn last into its values; returns those fields."""
    taken = {field: chosen for field in form_values(form) if (chosen := _new_input(key_of(field, form))) is not None}
    for field in form_values(form):
        if (typed := _new_input(typed_key(field, form))) is not None:  # only lists and numbers have a box
            try:
                taken[field] = (read_list if is_list(field) else read_number)(field, typed)
            except UserMistake as mistake:
                invalid_input(form)[field] = str(mistake)
    for field, value in taken.items():
        set_value(field, value, form)
    return set(taken)


def key_and_default(base: str, value: Any) -> tuple[str, Any]:
    """Key and default of the widget that shows `value`.

    It is the widget that was there, unless that was drawn with another value. Its default stays the same for as long as
    it lives, and nothing is written into the session's state for it: Streamlit sends what is written there once, and
    where that message is dropped the browser shows, and sends, the first of the options.
    """
    drawn, defaults = _drawn(), st.session_state.setdefault("widgets.defaults", {})
    key = _current(base)
    if key in drawn and (drawn[key] != value or (key not in st.session_state and defaults[key] != value)):
        del drawn[key], defaults[key]
        count = st.session_state.setdefault("widgets.count", {})
        count[base] = count.get(base, 0) + 1
        key = _current(base)
    drawn[key] = value
    return key, defaults.setdefault(key, value)


def last_input(base: str) -> Any:
    """What the widget was drawn with, or what was chosen or typed there since."""
    return _drawn().get(_current(base))


def key_of(field: str, form: str = TRAIN) -> str:
    """What the keys of the field's widget begin with."""
    return f"{form}.{field}"


def typed_key(field: str, form: str = TRAIN) -> str:
    """What the keys of the box to type in begin with."""
    return f"typed.{field}" if form == TRAIN else f"{form}.typed.{field}"


def _new_input(base: str) -> Any:
    """The widget's value where it is not the one that it was drawn with, once; else None."""
    key, drawn = _current(base), _drawn()
    if key not in drawn or key not in st.session_state or st.session_state[key] == drawn[key]:
        return None
    drawn[key] = st.session_state[key]
    return drawn[key]


def _current(base: str) -> str:
    count = st.session_state.get("widgets.count", {}).get(base, 0)
    return f"{base}~{count}" if count else base


def _drawn() -> dict[str, Any]:
    """key -> what the widget was drawn with, or what was chosen or typed there since."""
    drawn: dict[str, Any] = st.session_state.setdefault("widgets.drawn", {})
    return drawn
