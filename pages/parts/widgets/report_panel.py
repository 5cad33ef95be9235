"""A report to be handed in: its sections, own words, title and name are chosen, then it is made and downloaded."""

from collections.abc import Sequence

import streamlit as st

from core.errors import UserMistake
from core.reports.outline import MOST_IN_A_LINE, MOST_LETTERS, SECTIONS, Outline, make_outline
from pages.parts.shell.escape import escape

FORMATS = {"HTML": ("html", "text/html"), "Markdown": ("zip", "application/zip")}
HELP = (
    "HTML is one file that opens offline and prints on A4. Markdown comes with its pictures in a zip. "
    "Making it takes a few seconds."
)


def offer_report(names: Sequence[str], key: str) -> None:
    """names: ids of runs and experiments, names of datasets. key: prefix of the widgets' keys, of the page."""
    with st.popover("Report", icon=":material/description:", key=f"{key}.report"):
        st.text_input(
            "Title",
            key=f"{key}.report.title",
            max_chars=MOST_IN_A_LINE,
            placeholder="made of the names",
            persist_state="session",
        )
        with st.container(horizontal=True):
            for field, label, placeholder in (("author", "Your name", ""), ("date", "Date", "today")):
                st.text_input(
                    label,
                    key=f"{key}.report.{field}",
                    max_chars=MOST_IN_A_LINE,
                    placeholder=placeholder,
                    persist_state="session",
                )
        chosen = st.multiselect(
            "Sections",
            list(SECTIONS),
            default=list(SECTIONS),
            format_func=SECTIONS.__getitem__,
            key=f"{key}.report.sections",
            persist_state="session",
        )
        _draw_words(chosen, key)
        kind = st.segmented_control(
            "Format", list(FORMATS), default="HTML", required=True, key=f"{key}.report.format", help=HELP
        )
        _draw_download(names, chosen, str(kind), key)


def _draw_words(chosen: Sequence[str], key: str) -> None:
    """One text area, of the section that is picked; what was written for the others is kept."""
    if not chosen:
        return
    about = st.selectbox("Own words in", chosen, format_func=SECTIONS.__getitem__, key=f"{key}.report.about")
    st.text_area(
        f"Own words in {SECTIONS[about]}",
        key=f"{key}.report.words.{about}",
        max_chars=MOST_LETTERS,
        height=110,
        label_visibility="collapsed",
        placeholder="Markdown: **bold**, lists, tables, links",
        on_change=_keep_words,
        args=(key, about),
        persist_state="session",
    )
    if written := [SECTIONS[name] for name in chosen if _words(key).get(name, "").strip()]:
        st.caption(f"Words are in {', '.join(written)}.")


def _keep_words(key: str, name: str) -> None:
    _words(key)[name] = st.session_state[f"{key}.report.words.{name}"]


def _words(key: str) -> dict[str, str]:
    words: dict[str, str] = st.session_state.setdefault(f"{key}.report.kept", {})
    return words


def _draw_download(names: Sequence[str], chosen: Sequence[str], kind: str, key: str) -> None:
    state = st.session_state
    try:
        if not chosen:
            raise UserMistake("choose at least one section")
        outline = make_outline(
            state[f"{key}.report.title"],
            state[f"{key}.report.author"],
            state[f"{key}.report.date"],
            chosen,
            {name: text for name, text in _words(key).items() if name in chosen},
        )
    except UserMistake as mistake:
        st.caption(f":red[:material/block:] {escape(str(mistake).capitalize(), 300)}.")
        return
    ending, media_type = FORMATS[kind]
    st.download_button(
        "Make the report",
        lambda: _made(names, outline, ending),
        file_name=f"report.{ending}",
        mime=media_type,
        type="primary",
        icon=":material/download:",
        key=f"{key}.report.make",
        on_click="ignore",
    )


def _made(names: Sequence[str], outline: Outline, ending: str) -> bytes:
    from core.reports.writing import find_subject, make_report, to_html, to_zip  # brings torch, for this click only

    report = make_report([find_subject(name) for name in names], outline)
    return to_html(report).encode() if ending == "html" else to_zip(report)
