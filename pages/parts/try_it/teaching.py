"""Teach it: a picture with its right class goes into a new version of the dataset, and the network learns again."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.config import change_config
from core.data.datasets.dataset import Dataset
from core.data.duplicates.copies import find_copies
from core.data.store.store import split_dataset
from core.data.versions.extending import teach_pictures
from core.data.versions.versions import newest_version
from core.experiments.taught import compare_taught
from core.inference.in_words import in_percent
from core.runs.queue import submit
from core.runs.run import Run
from core.submit import create_checked_run
from pages.parts.form.start_run import supervisor
from pages.parts.shell.cache import datasets, runs
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.frame import boundary
from pages.parts.shell.session import requester
from pages.parts.try_it.answers import answer, predict
from pages.parts.try_it.given import GivenPicture, preview
from pages.parts.widgets.prediction_grid import pictures_of
from pages.parts.widgets.run_progress import describe_queue_position, share_done

NONE = "none of these"  # the class of what is none of the others
LESSONS, TAUGHT, REFUSED = "teach.lessons", "teach.taught", "teach.refused"
FOLDER = "taught in Try-It"  # above the names of the pictures


@dataclass(frozen=True)
class Lesson:
    """A picture and what it is."""

    picture: GivenPicture
    class_name: str


@dataclass(frozen=True)
class Taught:
    """What came of teaching: the run that learns again, and the one that was wrong."""

    before: str
    after: str
    dataset: str
    lessons: tuple[Lesson, ...]


def draw_teaching(run: Run, picture: GivenPicture) -> None:
    """The right class of this picture, what is to be learnt so far, and what came of it."""
    dataset = pictures_of(run)
    if dataset is None:
        st.caption("The pictures that this network learnt from are no longer there, so it cannot be taught.")
        return
    dataset = newest_version(dataset, datasets())
    for sentence in st.session_state.pop(REFUSED, []):
        st.warning(sentence, icon=":material/content_copy:")
    _draw_question(run, dataset, picture)
    _draw_lessons(run, dataset)
    _draw_taught()


def _draw_question(run: Run, dataset: Dataset, picture: GivenPicture) -> None:
    if picture.place is not None:
        st.caption(
            "This is a test picture. The network may not learn it, or the test part would no longer measure anything. "
            "Drop one of your own to teach it; a wrong label is corrected on the page Data."
        )
        return
    prediction = predict(run, picture)
    if prediction.error is not None:
        st.caption("This picture could not be read, so nothing can be learnt from it.")
        return
    st.markdown(f"It says **{escape(prediction.classes[0][0], 40)}**. What is it really?")
    others = [name for name in dataset.classes if name != NONE]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Right class",
            [*others, NONE],
            index=None,
            placeholder="Choose its class",
            format_func=lambda one: shown(one, 60),
            label_visibility="collapsed",
            key=f"teach.class.{picture.sha256[:12]}",
        )
        arguments = (Lesson(picture, str(name)),)
        st.button(
            "Remember", key="teach.add", icon=":material/add:", disabled=name is None, on_click=_add, args=arguments
        )


def _lessons() -> dict[str, Lesson]:
    """SHA-256 of the picture -> what it is."""
    lessons: dict[str, Lesson] = st.session_state.setdefault(LESSONS, {})
    return lessons


def _add(lesson: Lesson) -> None:
    _lessons()[lesson.picture.sha256] = lesson


def _remove(sha256: str) -> None:
    _lessons().pop(sha256, None)


def _draw_lessons(run: Run, dataset: Dataset) -> None:
    lessons = list(_lessons().values())
    if not lessons:
        return
    with st.grid(min_column_width=120, gap="small"):
        for place, lesson in enumerate(lessons):
            with st.container(gap="xxsmall"):
                st.image(preview(lesson.picture, 160), width="stretch", alt=shown(lesson.picture.name, 60))
                label, sha256 = f"{escape(lesson.class_name, 24)} :material/close:", lesson.picture.sha256
                st.button(label, key=f"teach.drop.{place}", width="stretch", on_click=_remove, args=(sha256,))
    few = _too_few(dataset, lessons)
    count = len(lessons)
    label = "Learn this picture" if count == 1 else f"Learn these {count} pictures"
    if st.button(label, type="primary", icon=":material/school:", key="teach.learn", disabled=bool(few)):
        with boundary():
            _learn(run, dataset, lessons)
    st.caption(
        few
        or f"They become a new version of {escape(dataset.name, 60)}, and a run with the settings of this one learns "
        "from it. Everything that is there now stays."
    )


def _too_few(dataset: Dataset, lessons: list[Lesson]) -> str:
    """Why a class that is not there yet cannot be learnt; "" where nothing stands against it."""
    new = [lesson.class_name for lesson in lessons if lesson.class_name not in dataset.classes]
    alone = [name for name in dict.fromkeys(new) if new.count(name) < 2]
    return f"“{escape(alone[0])}” would be a new class, and needs at least two pictures." if alone else ""


def _learn(run: Run, dataset: Dataset, lessons: list[Lesson]) -> None:
    """Make the version and start the run, unless a picture is a copy of a test picture."""
    with st.spinner("Looking for copies of test pictures …", show_time=False):
        tests = split_dataset(dataset, run.config.data)["test"]
        kept = [lesson for lesson in lessons if not _is_copy_of_test(dataset, lesson, tests)]
    if not kept or _too_few(dataset, kept):
        st.rerun()
    given = [(f"{FOLDER}/{one.picture.name}", one.class_name, one.picture.content) for one in kept]
    made = None
    with st.spinner("Making the new version …", show_time=False):
        for step in teach_pictures(dataset, given):
            made = step.dataset or made
    assert made is not None, dataset.name
    new = create_checked_run(change_config(run.config, {"data.dataset": made.name}), requester())
    submit(new)
    supervisor()
    st.session_state[TAUGHT] = Taught(run.id, new.id, made.name, tuple(kept))
    st.session_state.pop(LESSONS)
    st.rerun()


def _is_copy_of_test(dataset: Dataset, lesson: Lesson, tests: np.ndarray) -> bool:
    """Whether it is, which is said when the page is drawn next, and it is no longer to be learnt."""
    copies = find_copies(dataset, lesson.picture.content, tests)
    if len(copies):
        _remove(lesson.picture.sha256)
        st.session_state.setdefault(REFUSED, []).append(
            f"**{escape(lesson.picture.name, 60)}** is a copy of the test picture "
            f"{escape(dataset.names[int(copies[0])], 60)}. It stays on the test side: a network that learnt it would "
            "be tested on what it knows."
        )
    return bool(len(copies))


def _draw_taught() -> None:
    """How far the run is that learns again, and then whether it knows better."""
    taught: Taught | None = st.session_state.get(TAUGHT)
    known = {run.id: run for run in runs(hidden=True)}
    if taught is None or taught.before not in known or taught.after not in known:
        return
    live = known[taught.after].state.is_live
    st.fragment(_follow_taught, run_every=1 if live else None)(taught, live)


@boundary()
def _follow_taught(taught: Taught, was_live: bool) -> None:
    known = {run.id: run for run in runs(hidden=True)}
    before, after = known.get(taught.before), known.get(taught.after)
    if before is None or after is None:
        return
    if after.state.is_live:
        waits = after.state.status == "queued"
        text = describe_queue_position(after) if waits else f"Learning {escape(taught.dataset, 60)}"
        st.progress(share_done(after.state), text=text)
        return
    if was_live:
        st.rerun()  # the new network can be chosen now
    if not after.state.is_finished or not after.has_model:
        st.warning(f"It did not learn to its end. {escape(after.state.message, 300)}", icon=":material/info:")
        return
    with st.container(border=True, key="taught"):
        st.markdown("**Does it know better now?**")
        for lesson in taught.lessons:
            _draw_change(lesson, before, after)
        with boundary():
            st.markdown(escape(compare_taught(before, after).summary, 600))
        if st.button("Answer with the new network", icon=":material/arrow_forward:", key="teach.use"):
            st.session_state["run.wanted"] = after.id
            st.session_state.pop(TAUGHT)
            st.rerun()


def _draw_change(lesson: Lesson, before: Run, after: Run) -> None:
    (was, sure_was), (now, sure_now) = (answer(run, lesson.picture).ranked[0] for run in (before, after))
    mark = ":green[:material/check:]" if now == lesson.class_name else ":red[:material/close:]"
    st.markdown(
        f"{mark} {escape(lesson.picture.name, 60)}: {escape(was, 40)} {escape(in_percent(sure_was))} "
        f":material/arrow_forward: **{escape(now, 40)}** {escape(in_percent(sure_now))}"
    )
