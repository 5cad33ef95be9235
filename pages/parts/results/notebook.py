"""Notebook: guesses beside what came of them, and notes by day."""

from itertools import groupby

import pandas as pd
import streamlit as st

from core.errors import UserMistake
from core.notebook.notebook import MOST_LETTERS, Note, Notebook, read_notebook, write_note
from core.notebook.scoring import summarize
from pages.parts.shell.cache import scores_of
from pages.parts.shell.escape import escape, shown

MOST_NOTES = 100  # the newest that are shown
WRITTEN = "notebook.written"  # how many notes this session has written: the next one has an empty field


def draw_notebook() -> None:
    """What was expected beside what came of it; the notes below, newest day first."""
    found = read_notebook()
    _draw_guesses(found)
    _draw_new_note()
    notes = [entry for entry in found.entries if isinstance(entry, Note)]
    for day, of_day in groupby(notes[::-1][:MOST_NOTES], key=lambda note: note.at[:10]):
        st.markdown(f"**{escape(day)}**")
        for note in of_day:
            st.markdown("  \n".join(escape(line, MOST_LETTERS) for line in note.text.splitlines()))
    if len(notes) > MOST_NOTES:
        st.caption(f"The newest {MOST_NOTES} of {len(notes):,} notes; all: python -m core notebook")
    if found.damaged:
        st.caption(f":material/warning: {found.damaged:,} lines of the notebook cannot be read; they stay as they are.")


def _draw_guesses(found: Notebook) -> None:
    if not found.guesses:
        st.info(
            "No guess yet. Write one on Train before you start a run, such as “+2 points, slower”: it is scored here "
            "as soon as there is an outcome.",
            icon=":material/psychology_alt:",
        )
        return
    scores = scores_of(found)
    if text := summarize(scores):
        st.markdown(f"**{text}**")
    rows = [
        {
            "Day": score.guess.at[:10],
            "Who": shown(score.guess.owner.name, 40) if score.guess.owner else None,
            "Guess": shown(score.guess.text, 120),
            "About": shown(score.subject, 90),
            "Outcome": shown(score.outcome, 120),
            "Verdict": score.verdict,
        }
        for score in reversed(scores)
    ]
    st.dataframe(
        pd.DataFrame(rows).dropna(axis="columns", how="all"),
        hide_index=True,
        height="content" if len(rows) <= 12 else 460,
        key="notebook.guesses",
        alt="Each guess beside its outcome",
        column_config={"Outcome": st.column_config.TextColumn(help="Differences with their 95 % interval.")},
    )


def _draw_new_note() -> None:
    number = st.session_state.setdefault(WRITTEN, 0)
    text = st.text_area(
        "New note",
        key=f"notebook.note.{number}",
        height=80,
        max_chars=MOST_LETTERS,
        placeholder="What did you see, and what will you try next?",
    )
    if st.button("Write it down", icon=":material/edit_note:", key="notebook.write", disabled=not text.strip()):
        try:
            write_note(text)
        except UserMistake as mistake:
            st.error(escape(mistake, 400), icon=":material/info:")
            return
        st.session_state[WRITTEN] = number + 1
        st.rerun()
