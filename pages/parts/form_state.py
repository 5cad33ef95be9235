"""What the widgets of a form hold, in the session's state, and what was typed into them and is no value.

There is more than one form: that of Train, and the one in which a network is designed. Each keeps its values under keys
that begin with its name.
"""

from typing import Any

import streamlit as st

TRAIN = "form"  # the name of Train's form


def key_of(field: str, form: str = TRAIN) -> str:
    return f"{form}.{field}"


def put(field: str, value: Any, form: str = TRAIN) -> None:
    """Give a widget a value, before it is drawn or from a callback."""
    write_out(key_of(field, form), list(value) if isinstance(value, tuple) else value)
    wrong_in(form).pop(field, None)


def write_out(key: str, value: Any) -> None:
    """Set a widget, but not to what it has: that would throw away what somebody is typing or moving right now."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def wrong_in(form: str = TRAIN) -> dict[str, str]:
    """field -> why what was typed is no value of it."""
    wrong: dict[str, str] = st.session_state.setdefault(f"{form}.wrong", {})
    return wrong
