"""What a form holds, and what its widgets are told and tell.

There is more than one form: that of Train, and the one in which a network is designed. What a form holds is no widget's
value: a browser that has not yet heard of a change sends the old value with its next message, and whichever fragment's
message that is, it would undo the change. So a widget counts as moved only where it says something else than it was
drawn with, and one that is to show something else becomes a new widget, whose old values nobody reads.
"""

from typing import Any

import streamlit as st

from core.errors import UserMistake
from pages.parts.fields import is_list, read_list, read_number

TRAIN = "form"  # the name of Train's form


def held(form: str = TRAIN) -> dict[str, Any]:
    """field -> its value."""
    values: dict[str, Any] = st.session_state.setdefault(f"{form}.values", {})
    return values


def wrong_in(form: str = TRAIN) -> dict[str, str]:
    """field -> why what was typed is no value of it."""
    wrong: dict[str, str] = st.session_state.setdefault(f"{form}.wrong", {})
    return wrong


def put(field: str, value: Any, form: str = TRAIN) -> None:
    """Give a field a value, before it is drawn or from a callback; it counts for more than what its widgets say."""
    held(form)[field] = list(value) if isinstance(value, tuple) else value
    wrong_in(form).pop(field, None)
    for base in (key_of(field, form), typed_key(field, form)):
        _moved(base)


def take(form: str = TRAIN) -> set[str]:
    """Take over what somebody has chosen or typed since the form was drawn last; which fields that concerns."""
    taken = {field: chosen for field in held(form) if (chosen := _moved(key_of(field, form))) is not None}
    for field in held(form):
        if (typed := _moved(typed_key(field, form))) is not None:  # only lists and numbers have a box
            try:
                taken[field] = (read_list if is_list(field) else read_number)(field, typed)
            except UserMistake as mistake:
                wrong_in(form)[field] = str(mistake)
    for field, value in taken.items():
        put(field, value, form)
    return set(taken)


def shown_as(base: str, value: Any) -> tuple[str, Any]:
    """The key for the widget that shows `value`, and the value that it is to begin with.

    It is the widget that was there, unless that was drawn with something else. A widget begins with the same value for
    as long as it lives, and nothing is written into the session's state for it: Streamlit sends what is written there
    once, and where that message is dropped the browser shows, and says, the first of the choices.
    """
    drawn, begun = _drawn(), st.session_state.setdefault("widgets.begun", {})
    key = _current(base)
    if key in drawn and (drawn[key] != value or (key not in st.session_state and begun[key] != value)):
        del drawn[key], begun[key]
        count = st.session_state.setdefault("widgets.count", {})
        count[base] = count.get(base, 0) + 1
        key = _current(base)
    drawn[key] = value
    return key, begun.setdefault(key, value)


def said_in(base: str) -> Any:
    """What the widget was drawn with, or has said since."""
    return _drawn().get(_current(base))


def key_of(field: str, form: str = TRAIN) -> str:
    """What the keys of the field's widget begin with."""
    return f"{form}.{field}"


def typed_key(field: str, form: str = TRAIN) -> str:
    """What the keys of the box beside it begin with."""
    return f"typed.{field}" if form == TRAIN else f"{form}.typed.{field}"


def _moved(base: str) -> Any:
    """What the widget says, if that is something else than it was drawn with; said once."""
    key, drawn = _current(base), _drawn()
    if key not in drawn or key not in st.session_state or st.session_state[key] == drawn[key]:
        return None
    drawn[key] = st.session_state[key]
    return drawn[key]


def _current(base: str) -> str:
    count = st.session_state.get("widgets.count", {}).get(base, 0)
    return f"{base}~{count}" if count else base


def _drawn() -> dict[str, Any]:
    """key -> what the widget was drawn with, or has said since."""
    drawn: dict[str, Any] = st.session_state.setdefault("widgets.drawn", {})
    return drawn
