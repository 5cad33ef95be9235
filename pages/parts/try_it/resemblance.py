"""Most like it: the nearest training pictures in the eyes of the network, and whether it is none of the classes."""

import streamlit as st

from core.errors import UserMistake
from core.inference.in_words import describe_neighbours
from core.jobs.dataset_job import DatasetJob
from core.runs.run import Run
from pages.parts.shell.cache import thumbnail
from pages.parts.shell.escape import escape, shown
from pages.parts.try_it.answers import answer, nearest, novelty_of
from pages.parts.try_it.given import GivenPicture
from pages.parts.widgets.job_progress import JobLabels, draw_job
from pages.parts.widgets.prediction_grid import pictures_of

MEASURES = JobLabels(
    "Compare with its training pictures",
    ":material/image_search:",
    {"features": "Looking at the training pictures", "held out": "Measuring", "intruders": "Measuring"},
    primary=False,
)


def draw_resemblance(run: Run, picture: GivenPicture) -> None:
    """The nearest training pictures with class and name, and how the verdict comes about."""
    dataset, said = pictures_of(run), answer(run, picture)
    if said.prediction.received is None:
        st.caption("There is nothing to compare: the picture could not be read.")
        return
    if dataset is None:
        st.caption("The pictures that this network learnt from are no longer there.")
        return
    novelty = novelty_of(run)
    if novelty is None:
        st.caption(
            "Which of its training pictures the network sees as most like this one, and whether this one is none of "
            "its classes, is known once it has looked at all of them."
        )
        draw_job(DatasetJob("novelty", dataset, run.id), MEASURES)
        return
    try:
        found = nearest(run, picture)
    except UserMistake as mistake:
        st.caption(escape(mistake, 400))
        return
    st.markdown(
        escape(describe_neighbours([shown(one.class_name, 40) for one in found], shown(said.ranked[0][0], 40)), 300)
    )
    if found and dataset.records["sha256"][found[0].dataset_row].tobytes() == bytes.fromhex(picture.sha256):
        st.markdown("The first of them is this very picture: the network learnt from it, so its answer proves little.")
    with st.grid(min_column_width=110, gap="small"):
        for one in found:
            with st.container(gap="xxsmall"):
                st.image(thumbnail(dataset, one.dataset_row), width="stretch", alt=one.class_name)
                st.markdown(f":small[**{escape(one.class_name, 24)}**]")
                st.caption(f"{escape(one.file.rsplit('/', 1)[-1], 24)} · distance {one.distance:.2f}")
    if said.verdict is not None:
        st.caption(
            f"It is more unlike the training pictures than {said.verdict.unlike:.0%} of {novelty.n:,} validation "
            "pictures; beyond 95 % it is called none of these."
        )
    st.caption(escape(novelty.sentence, 600))
