"""The network of a run is loaded once, whoever asks for it and whatever is computed of it."""

import streamlit as st

import core.inference.predictor
from pages.parts.widgets.loaded_network import explainer_of, predictor_of


def test_answers_and_maps_load_the_network_once(tiny_run, monkeypatch):
    st.cache_resource.clear()  # of tests before this one, whose run was a copy of the same
    loaded, load = [], core.inference.predictor.load_predictor
    monkeypatch.setattr(core.inference.predictor, "load_predictor", lambda run: loaded.append(run.id) or load(run))
    explainer, predictor = explainer_of(tiny_run), predictor_of(tiny_run)
    assert explainer is explainer_of(tiny_run) and predictor is predictor_of(tiny_run)
    assert explainer.preprocess is predictor.preprocess and loaded == [tiny_run.id]
