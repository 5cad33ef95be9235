"""Copy as command: settings as the line that trains with them on the command line."""

import streamlit as st

from core.config import RunConfig
from core.runs.command import train_command


def draw_command(config: RunConfig, key: str) -> None:
    """key: prefix of the widget's key, of the page."""
    with st.popover("As command", icon=":material/terminal:", type="tertiary", key=f"{key}.command"):
        st.caption("Trains with the same settings on the command line; the button in the corner copies it.")
        st.code(train_command(config), language=None, wrap_lines=True)
