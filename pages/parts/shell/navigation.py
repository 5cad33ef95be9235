"""How one page leads to another; what is handed over stands in the address or in the session."""

from typing import NoReturn

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx


def go_to(page: str, **query: str) -> NoReturn:
    """Lead to a page, e.g. go_to("pages/results.py", own=run.id); the address then holds `query` and nothing else.

    A parameter that a widget of the page left behind is bound to cannot be handed over.
    """
    _forget_fragments()
    # a dict, also an empty one: without one Streamlit clears the address, and refuses where a widget is bound to it
    st.switch_page(page, query_params=query)


def _forget_fragments() -> None:
    """Let no timed fragment of this page be answered any more.

    It goes on ticking until the browser hears of the next page. Streamlit would answer such a tick after the next page,
    in the name of this one, and the browser would then clear the page that is there.
    """
    context = get_script_run_ctx()
    if context is not None:
        context.fragment_storage.clear()
