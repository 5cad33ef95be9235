"""Try-It: drag in an artwork, and see what a trained network says about it, why, and whether to believe it."""

import streamlit as st

from core.runs.run import Run
from pages.parts.shell.cache import runs
from pages.parts.shell.frame import boundary, frame
from pages.parts.try_it.answer_card import draw_answers, draw_overview, focused
from pages.parts.try_it.changes import draw_changes
from pages.parts.try_it.explanation import draw_explanation
from pages.parts.try_it.given import AT_ONCE, GivenPicture, draw_drop_area, draw_other_ways, draw_test_pictures, opened
from pages.parts.try_it.layout import HEADING, STYLE
from pages.parts.try_it.many import draw_folder_here, draw_many, draw_offer
from pages.parts.try_it.networks import pick_networks
from pages.parts.try_it.resemblance import draw_resemblance
from pages.parts.try_it.take_away import draw_take_away
from pages.parts.try_it.teaching import draw_teaching
from pages.parts.widgets.next_step import draw_next_step
from pages.parts.widgets.run_picker import visible

TABS = {
    "Why": draw_explanation,
    "Most like it": draw_resemblance,
    "What turns it": draw_changes,
    "Teach it": draw_teaching,
}


def draw_closer(run: Run, picture: GivenPicture) -> None:
    """Why it answered so, what would change the answer, and what it resembles."""
    tabs = st.tabs(list(TABS), on_change="rerun", key="closer")
    for tab, draw in zip(tabs, TABS.values(), strict=True):
        if tab.open:
            with tab, boundary():
                draw(run, picture)


with frame("Try-It", "Drag in a picture and see what the network predicts."):
    finished = visible([run for run in runs(hidden=True) if run.has_model and run.state.ended], "run")
    if not finished:
        st.info("No network has been trained yet.", icon=":material/image_search:")
        draw_next_step()
        st.stop()
    st.html(STYLE)
    with st.container(key="try-layout"):
        drop, answers, tests = (st.container(key=f"try-{area}") for area in ("drop", "answer", "tests"))
    with drop:
        uploads = draw_drop_area()
    with answers:
        networks = pick_networks(finished)
    with tests:
        uploads += draw_other_ways(lambda: draw_folder_here(networks[0]))
        given, offered = list(opened(uploads)), draw_test_pictures(networks[0])
    pictures = [offered] if offered and not (given and offered.is_example) else given[:AT_ONCE]
    picture = focused(pictures) if pictures else None
    with answers, boundary():
        st.html(HEADING)
        many = draw_many()
        if picture is None:
            st.caption("The answer appears here.")
        else:
            draw_answers(networks, picture)
            if len(given) > AT_ONCE and not many:
                draw_offer(networks[0], uploads, max(len(uploads), len(given)))
            if len(pictures) > 1:
                draw_overview(networks[0], pictures)
            draw_closer(networks[0], picture)
        draw_take_away(networks[0])
