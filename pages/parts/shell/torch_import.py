"""Importing torch, which takes seconds: begun in the background, and never by two threads at once."""

import importlib
import sys
import threading

import streamlit as st


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Thread:
    """Begin to import torch and what predicts with it, once a server."""
    thread = threading.Thread(target=_import, daemon=True)
    thread.start()
    return thread


def _import() -> None:
    for module in ("core.models.summary", "core.inference.predictor"):
        importlib.import_module(module)


def is_imported() -> bool:
    """Whether torch is here already, so that what needs it takes no seconds."""
    return "torch" in sys.modules and not warm_up().is_alive()


def wait_for_torch() -> None:
    """Before a page imports torch: a second thread would find modules that are half imported."""
    warm_up().join()
