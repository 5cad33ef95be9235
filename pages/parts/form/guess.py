"""A guess before a run or an experiment: one line, kept in the notebook and scored when there is an outcome."""

from collections.abc import Sequence

import streamlit as st

from core.errors import UserMistake
from core.experiments.ablation.components import Variant
from core.glossary import TERMS
from core.notebook.guess import MOST_LETTERS
from core.notebook.notebook import check_experiment_guess, check_run_guess
from pages.parts.form.validation import Remark


def ask_guess(dataset: str, prefix: str) -> tuple[str, Remark | None]:
    """The guess about the next run on a dataset, "" for none; and why it cannot be kept. prefix: of the page's keys."""
    text = _ask(prefix, "+2 points, slower")
    try:
        if text:
            check_run_guess(text, dataset)
    except UserMistake as mistake:
        return text, Remark(f"The guess: {mistake}", stops=True)
    return text, None


def ask_component_guess(variants: Sequence[Variant], prefix: str) -> tuple[str, str]:
    """The same about a component of an experiment; the second is a sentence, "" where nothing is wrong."""
    text = _ask(prefix, "dropout: +2 points, slower")
    try:
        if text:
            check_experiment_guess(text, variants)
    except UserMistake as mistake:
        return text, f"The guess: {mistake}"
    return text, ""


def forget_guess(prefix: str) -> None:
    """The field is empty when it is drawn next."""
    st.session_state[f"{prefix}.guesses"] = st.session_state.get(f"{prefix}.guesses", 0) + 1


def _ask(prefix: str, example: str) -> str:
    number = st.session_state.setdefault(f"{prefix}.guesses", 0)
    text = st.text_input(
        "Your guess (optional)",
        key=f"{prefix}.guess.{number}",
        max_chars=MOST_LETTERS,
        placeholder=f"Your guess (optional): {example}",
        label_visibility="collapsed",
        icon=":material/psychology_alt:",
        help=TERMS["Guess"],
    )
    return text.strip()
