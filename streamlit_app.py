"""Home: what Atelier is, what is in the store, what runs, and the next step. streamlit run streamlit_app.py"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import streamlit as st

from core.data.dataset import Dataset
from core.data.versions import newest_versions
from core.evaluation import Evaluation
from core.runs.run import Run, ask_to_stop
from pages.parts.adding import draw_ended_badly, draw_progress
from pages.parts.answers import evaluation_or_none
from pages.parts.cached import (
    LIVE_STATUSES,
    course,
    dataset_named,
    datasets,
    drawn_pictures,
    live_runs,
    received_picture,
    runs,
    thumbnail,
)
from pages.parts.charts import PLOTLY_CONFIG, probability_figure
from pages.parts.curves import accuracy_options
from pages.parts.escape import escape, shown
from pages.parts.frame import boundary, frame
from pages.parts.importing import ImportJob, list_jobs, start_import
from pages.parts.live import queue_sentence, time_left
from pages.parts.palette import class_colours
from pages.parts.session import asker
from pages.parts.starting import supervisor
from pages.parts.words import STATUS, interval_of, share, span

SAMPLES = "sample-artworks"
NEWEST = 5


def main() -> None:
    with frame("Home", heading=False):
        found, journey = newest_versions(datasets()), _journey()
        _greet(found)
        if journey is not None:
            _follow_journey(journey)
        newest = next((run for run in runs() if run.state.status == "done"), None)
        if newest is not None and (journey is None or not _at_work(journey)):
            _show_answers(newest)
        if journey is None:
            _next_step(found)
        if found:
            _show_store(found)
        if runs():
            _show_runs()
        if any(run.state.status == "queued" for run in live_runs()):
            supervisor()  # a run waits in vain where the machine was restarted since


def _greet(found: Sequence[Dataset]) -> None:
    st.title("Atelier", anchor=False)
    st.markdown("Show a small neural network your pictures, watch it learn to tell them apart, and try it on new ones.")
    if found:
        strip = [(thumbnail(one, index), one.classes[one.labels[index]]) for one, index in _strip(found, 12)]
    else:
        strip = [(picture, "A sample drawn by the program") for picture in drawn_pictures(SAMPLES, 12)]
    with st.grid(12, min_column_width=72, gap="xsmall"):
        for picture, told in strip:
            st.image(picture, width="stretch", alt=shown(told))


def _next_step(found: Sequence[Dataset]) -> None:
    """The one thing to do now."""
    if not found:
        with st.container(border=True):
            st.markdown("**From nothing to a trained network in under two minutes**")
            st.caption("Draws a thousand artworks like these, trains a network to tell the styles apart, and tests it.")
            _samples_button("Start with the samples", "primary")
        st.page_link(
            "pages/data.py", label="Or bring your own pictures, or CIFAR-10", icon=":material/add_photo_alternate:"
        )
        return
    trained = {run.config.data.dataset for run in runs() if run.state.status == "done"}
    untrained = [dataset.name for dataset in found if dataset.name not in trained]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="next-step"):
        if untrained:
            label = f"Train a network on {escape(untrained[0], 40)}"
            kind: Literal["primary", "secondary"] = "secondary" if trained else "primary"
            if st.button(label, type=kind, icon=":material/model_training:", key="next_train"):
                st.session_state["train_dataset"] = untrained[0]
                st.switch_page("pages/train.py")
        if SAMPLES not in trained:
            _samples_button("Start with the samples", "secondary")
        label = "Add pictures" if dataset_named("cifar10") else "Bring your own pictures, or CIFAR-10"
        st.page_link("pages/data.py", label=label, icon=":material/add_photo_alternate:")


def _samples_button(label: str, kind: Literal["primary", "secondary"]) -> None:
    if st.button(label, type=kind, icon=":material/play_arrow:", key="start_samples"):
        start_import("sample", SAMPLES, then="quick", asker=asker())
        st.rerun()


def _journey() -> ImportJob | None:
    """The newest "start with the samples", while it draws or trains, or where it was the last thing to go wrong."""
    jobs = list_jobs()
    job = next((job for job in jobs if job.then), None)
    if job is None or job.status == "stopped":
        return None
    if job.status == "done":
        run = _run_of(job)
        return job if run is not None and run.state.status in LIVE_STATUSES else None
    return job if job.live or job is jobs[0] else None


def _at_work(job: ImportJob) -> bool:
    run = _run_of(job)
    return job.live or (run is not None and run.state.status in LIVE_STATUSES)


def _run_of(job: ImportJob) -> Run | None:
    return next((run for run in runs(hidden=True) if run.id == job.run), None)


def _follow_journey(job: ImportJob) -> None:
    live = _at_work(job)

    @boundary()
    def panel() -> None:
        now = _journey()
        if live and (now is None or not _at_work(now)):
            st.rerun()  # once in full: the clock stops, and the answers are shown
        if now is not None:
            _draw_journey(now)

    st.fragment(panel, run_every=1.0 if live else None)()


def _draw_journey(job: ImportJob) -> None:
    run = _run_of(job)
    with st.container(border=True, key="journey"):
        with st.container(horizontal=True):
            steps = ["Draw the sample pictures", "Train a network", "See what it learnt"]
            at = 0 if run is None else 1
            for number, step in enumerate(steps):
                icon = "check_circle" if number < at else "radio_button_checked" if number == at else "circle"
                text = f":material/{icon}: {step}"
                st.markdown(f"**{text}**" if number == at else f":gray[{text}]", width="content")
        if run is not None:
            _draw_training(run)
        elif job.live:
            draw_progress(job)
        else:
            draw_ended_badly(job)


def _draw_training(run: Run) -> None:
    state = run.state
    told = escape(state.message) if state.message else "Getting ready: the training process is starting"
    if state.status == "queued":
        told = queue_sentence(run)
    elif state.steps:
        told = f"Epoch {max(1, state.epoch)} of {state.epochs}"
        told += "" if (left := time_left(state)) is None else f", {span(left)} left"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(min(1.0, state.step / state.steps) if state.steps else 0.0, text=told)
        asked = (run.folder / "stop").exists()
        if st.button("Stop", key="stop_run", icon=":material/stop:", disabled=asked):
            ask_to_stop(run)
    rows = course(run)
    if not rows.is_empty:
        st.caption("Accuracy after each epoch, in per cent")  # also room for the chart's toolbar, beside no button
        options = accuracy_options(rows, run.config.train.epochs, len(run.classes))
        st.echarts_chart(options, key="home_accuracy", height=220, alt="Accuracy after each epoch, in per cent")


def _show_answers(run: Run) -> None:
    """The newest network on pictures that it had never seen: what it answered, already worked out."""
    test, dataset = evaluation_or_none(run, "test"), dataset_named(run.config.data.dataset)
    if test is None:
        return
    right = int(test.correct.sum())
    with st.container(border=True, key="answers"):
        st.markdown(
            f"**The newest network gets {share(test.accuracy)} right** · {right:,} of {test.n:,} pictures of "
            f"{escape(run.config.data.dataset, 40)} that it had never seen, after {span(run.state.seconds)} of training"
        )
        st.caption(f"95 % interval {interval_of(right, test.n)}, guessing would give {share(1 / len(test.classes))}.")
        if dataset is not None and _same_pictures(dataset, test):
            with st.grid(4, min_column_width=200, gap="medium"):
                for place in _telling(test, 4):
                    _draw_answer(run, dataset, test, place)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Try it on a picture of yours", type="primary", icon=":material/image_search:", key="try"):
                st.switch_page("pages/try_it.py", query_params={"run": run.id})
            side = "cifar" if dataset is not None and dataset.name == "cifar10" else "own"
            st.page_link(
                "pages/results.py", label="See all results", icon=":material/insights:", query_params={side: run.id}
            )


def _draw_answer(run: Run, dataset: Dataset, test: Evaluation, place: int) -> None:
    index, truth, said = int(test.indices[place]), int(test.labels[place]), int(test.predictions[place])
    with st.container(gap="xsmall"):
        left, right = st.columns(2, gap="xsmall")
        with left:
            st.image(thumbnail(dataset, index, 200), width="stretch", alt=shown(dataset.names[index]))
        with right:
            data = run.config.data
            seen = received_picture(dataset, index, data.image_size, data.fit, 200)
            st.image(seen, width="stretch", alt="What the network received of it")
        icon, colour = (":material/check:", "green") if truth == said else (":material/close:", "red")
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.badge(f"{escape(test.classes[said], 20)}", icon=icon, color=colour)  # type: ignore[arg-type]
            if truth != said:
                st.caption(f"it is {escape(test.classes[truth], 20)}", width="content")
        ranked = sorted(zip(test.classes, test.probabilities[place].tolist(), strict=True), key=lambda pair: -pair[1])
        figure = probability_figure(ranked, class_colours(test.classes), most=3)
        told = ", ".join(f"{shown(name, 20)} {share(value)}" for name, value in ranked[:3])
        st.plotly_chart(figure, config=PLOTLY_CONFIG | {"staticPlot": True}, key=f"answer_{place}", alt=told)


def _telling(test: Evaluation, most: int) -> list[int]:
    """Pictures of different classes in turn, and among them a wrong answer in its due share."""
    random = np.random.default_rng(0)  # the same pictures on every visit
    order = random.permutation(test.n)
    chosen: list[int] = []
    for label in range(len(test.classes)):
        chosen += [int(place) for place in order if test.labels[place] == label][:1]
    chosen += [int(place) for place in order if int(place) not in chosen]
    return chosen[:most]


def _same_pictures(dataset: Dataset, test: Evaluation) -> bool:
    """Whether the dataset of that name is still the one that the run learnt from."""
    return (
        dataset.classes == test.classes
        and int(test.indices.max()) < dataset.used
        and np.array_equal(dataset.labels[test.indices], test.labels)
    )


def _show_store(found: Sequence[Dataset]) -> None:
    st.subheader("In the store", anchor=False)
    with st.grid(3, min_column_width=300, gap="small"):
        for dataset in found:
            with st.container(border=True, gap="xsmall", height="stretch", key=f"dataset_{dataset.id}"):
                st.markdown(f"**{escape(dataset.name, 40)}** · {dataset.used:,} pictures")
                with st.grid(5, min_column_width=40, wrap=False, gap="xxsmall"):
                    for _, index in _strip([dataset], 5):
                        st.image(thumbnail(dataset, index), width="stretch", alt=shown(dataset.names[index]))
                names = ", ".join(escape(name, 24) for name in dataset.classes[:5])
                more = f" and {len(dataset.classes) - 5} more" if len(dataset.classes) > 5 else ""
                st.caption(f"{names}{more}")
                st.page_link(
                    "pages/data.py",
                    label="Look at them",
                    icon=":material/arrow_forward:",
                    query_params={"dataset": dataset.name},
                )


def _show_runs() -> None:
    st.subheader("Runs", anchor=False)
    for run in runs()[:NEWEST]:
        word, icon, colour = STATUS[run.state.status]
        test = evaluation_or_none(run, "test") if run.state.ended else None
        with st.container(horizontal=True, vertical_alignment="center", key=f"run_{run.id}"):
            st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]
            st.markdown(("★ " if run.marks.star else "") + escape(run.title), width="content")
            if test is not None:
                st.markdown(f"**{share(test.accuracy)}** of {test.n:,} test pictures", width="content")
            elif run.state.status in ("failed", "lost"):
                st.caption(escape(run.state.message, 160), width="content")
    st.page_link("pages/train.py", label="All runs", icon=":material/arrow_forward:")


def _strip(found: Sequence[Dataset], most: int) -> list[tuple[Dataset, int]]:
    """Pictures that stand for the datasets: their classes in turn."""
    strip = []
    for place in range(most):
        dataset = found[place % len(found)]
        turn = place // len(found)
        members = np.flatnonzero(dataset.labels == turn % len(dataset.classes))
        strip.append((dataset, int(members[(turn // len(dataset.classes)) * 7 % len(members)])))
    return strip


if __name__ == "__main__":  # a child process that imports this file again must not draw a page
    main()
