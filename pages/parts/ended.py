"""How a run ended: what happened, what was kept, what it reached, against the run before it and the paper."""

import numpy as np
import pandas as pd
import streamlit as st

from core.config import RunConfig
from core.evaluation import Evaluation
from core.experiments.paper import ARTWORK, paper_numbers
from core.runs.checkpoint import newest_place
from core.runs.course import Course
from core.runs.run import NEVER_STARTED, Run
from core.runs.trunks import learns_on_from
from pages.parts.answers import evaluation_or_none
from pages.parts.cached import runs
from pages.parts.deeds import has_diverged
from pages.parts.escape import escape
from pages.parts.fields import all_fields, matters, same, say, title_of, value_of
from pages.parts.words import clock, interval_of, percent_of, points, share, span


def draw_ending(run: Run) -> None:
    """What happened to a run that does not simply train or is done; the buttons of the next step follow it."""
    status, message = run.state.status, escape(run.state.message, 600)
    if run.state.silent:
        st.warning(message, title="Training does not respond", icon=":material/hourglass_disabled:")
    elif has_diverged(run):
        st.error(_with_kept(message, run), title="The training diverged", icon=":material/trending_up:")
    elif status == "failed":
        st.error(
            _with_kept(message or "It ended without a word.", run), title="The training failed", icon=":material/error:"
        )
    elif status == "lost" and run.state.message == NEVER_STARTED:
        st.warning(message, title="It was never started", icon=":material/power_off:")
    elif status == "lost":
        st.error(_with_kept(message, run), title="The training was lost", icon=":material/power_off:")
    elif status == "stopped":
        epochs = f"Epoch {run.state.epoch} of {run.state.epochs}. " if run.state.epoch else ""
        st.info(epochs + message, icon=":material/stop_circle:")
    elif status == "done" and message:  # e.g. that it ended early
        st.info(message, icon=":material/info:")
    if run.state.retry:
        st.caption(f":material/replay: {escape(run.state.retry, 600)}")


def _with_kept(message: str, run: Run) -> str:
    return f"{message}\n\n{kept_in_words(run)}"


def kept_in_words(run: Run) -> str:
    """What is left of a run that did not end well."""
    place = newest_place(run.folder)
    if place and not has_diverged(run):  # that one is not resumed, and its sentence says which model was kept
        return f"Kept: the curves, and everything up to {place}. Resuming goes on from there."
    if run.has_model:
        return "Kept: the curves and the model as it was saved last."
    if has_diverged(run):
        return "Kept: the curves."
    return "Nothing had been saved yet: resuming begins again."


def draw_result(run: Run, rows: Course) -> None:
    """What a finished run reached on its test part, and what led there."""
    test = evaluation_or_none(run, "test")
    if test is None:
        if run.has_model:
            st.info("This run has no answers on a test part.", icon=":material/info:")
        return
    before = run_before(run)
    earlier = evaluation_or_none(before, "test") if before else None
    draw_scores(run, test, earlier)
    if told := best_in_words(rows, run.state.epoch):
        st.caption(told)
    draw_next(run)
    if before is not None and earlier is not None:
        draw_changes(run, before, test, earlier)


def draw_scores(run: Run, test: Evaluation, earlier: Evaluation | None) -> None:
    right, train = int(test.correct.sum()), evaluation_or_none(run, "train")
    paper = paper_numbers(run.classes) or ARTWORK
    others = paper is ARTWORK  # nobody but the paper's authors has its artworks, whatever the classes are called
    with st.grid(5, min_column_width=108, gap="small", key="result"):
        with st.container(gap=None):
            st.metric("Test accuracy", share(test.accuracy))
            st.caption(f"{right:,} of {test.n:,}; 95 % interval {interval_of(right, test.n)}")
        if train is not None:
            with st.container(gap=None):
                st.metric("Training accuracy", share(train.accuracy))
                gap = points(train.accuracy - test.accuracy)
                st.caption(f"{int(train.correct.sum()):,} of {train.n:,}; {gap} against test")
        if earlier is not None:
            with st.container(gap=None):
                st.metric("Since the run before", f"{100 * (test.accuracy - earlier.accuracy):+.1f}")
                st.caption(f"points; that had {percent_of(int(earlier.correct.sum()), earlier.n)}")
        with st.container(gap=None):
            st.metric("The paper", f"{100 * paper.test.mean:.2f} %")  # more words do not fit here
            told = f"mean of classes, of {paper.test.counted}; ours {share(test.mean_class_accuracy)}"
            told = f"with its own artworks: {told}" if others else told
            st.caption(told, help=f"Other pictures, in classes {', '.join(paper.classes)}." if others else None)
        with st.container(gap=None):
            seconds = run.state.seconds  # more words do not fit here
            told = span(seconds) if seconds < 60 else f"{seconds:.0f} s" if seconds < 600 else clock(seconds)
            st.metric("Time", told)
            st.caption(f"{run.state.epoch} epochs")


def best_in_words(rows: Course, reached: int = 0) -> str:
    """The last epoch and the best one, each by its name; "" without a validation part.

    `reached` is the epoch in which the run stopped: its model is newer than the last epoch that was validated.
    """
    last, best = rows.last, rows.best
    if last is None or best is None or last.val_loss is None or best.val_loss is None:
        return ""
    if reached > last.epoch:
        return (
            f"The model that answers here is from within epoch {reached}. **Last** whole epoch "
            f"{last.epoch}: validation loss {last.val_loss:.3f}, accuracy {share(last.val_accuracy)}. **Best** epoch "
            f"{best.epoch}: validation loss {best.val_loss:.3f}, accuracy {share(best.val_accuracy)}; also kept."
        )
    if best.epoch == last.epoch:
        return (
            f"The last epoch, {last.epoch}, was also the best: validation loss {last.val_loss:.3f}, accuracy "
            f"{share(last.val_accuracy)}. Its model is the one that answers here, on Results and in Try-It."
        )
    return (
        f"**Last** epoch {last.epoch}: validation loss {last.val_loss:.3f}, accuracy {share(last.val_accuracy)}; its "
        f"model is the one that answers here, on Results and in Try-It. **Best** epoch {best.epoch}: validation loss "
        f"{best.val_loss:.3f}, accuracy {share(best.val_accuracy)}; its model is kept too."
    )


def draw_changes(run: Run, before: Run, test: Evaluation, earlier: Evaluation) -> None:
    """Which settings differ from those of the run before, and whether the two numbers tell the runs apart."""
    rows = changes(before.config, run.config)
    with st.container(border=True, gap="xsmall", key="changes-since"):
        st.markdown(f"**What changed since the run before** · {escape(before.title, 60)}")
        if rows:
            st.dataframe(
                pd.DataFrame(rows, columns=["Setting", "Before", "Now"]),
                hide_index=True,
                height="content",
                key="changed",
                alt="Settings that differ from those of the run before",
            )
        st.caption(verdict(run, before, test, earlier, bool(rows)))


def changes(before: RunConfig, now: RunConfig) -> list[tuple[str, str, str]]:
    """(title of the field, value before, value now) of every setting that differs and acts in one of the two."""
    told = []
    for field in all_fields():
        one, other = value_of(before, field), value_of(now, field)
        if not same(one, other) and any(matters(field, _values(config)) for config in (before, now)):
            told.append((title_of(field), _say_in(before, field), _say_in(now, field)))
    return told


def _say_in(config: RunConfig, field: str) -> str:
    """The value in words; that of a network's part which another network has not is none."""
    if field.startswith("model.") and not matters(field, _values(config)):
        return "–"
    if field == "model.trunk" and (run_id := learns_on_from(config.model)):
        return f"run {run_id[-4:]}"
    return say(value_of(config, field))


def verdict(run: Run, before: Run, test: Evaluation, earlier: Evaluation, changed: bool) -> str:
    """One sentence: how far the two are apart, in accuracy and in time, and whether that means anything."""
    (low, high), (low_before, high_before) = test.interval, earlier.interval
    apart = 100 * (test.accuracy - earlier.accuracy)
    clear = low > high_before or high < low_before
    told = [f"{apart:+.1f} points"]
    told.append("more than chance explains." if clear else "within what chance explains: the intervals overlap.")
    seconds = run.state.seconds - before.state.seconds
    cost = f" It took {span(run.state.seconds)}, {span(abs(seconds))} {'more' if seconds > 0 else 'less'}."
    other = _other_pictures(run, before, test, earlier)
    if other:
        return f"{told[0]}, but {other}: the two numbers are about different pictures.{cost}"
    if not changed:
        return f"No setting changed. {told[0]}, {told[1]}{cost}"
    return f"{told[0]}, {told[1]}{cost}"


def _other_pictures(run: Run, before: Run, test: Evaluation, earlier: Evaluation) -> str:
    if run.fingerprint != before.fingerprint and run.config.data.image_size == before.config.data.image_size:
        return "the dataset is not the same"
    if not np.array_equal(np.sort(test.indices), np.sort(earlier.indices)):
        return "the test part was drawn differently"
    return ""


def _values(config: RunConfig) -> dict[str, object]:
    return {field: value_of(config, field) for field in all_fields()}


def draw_next(run: Run) -> None:
    side = "cifar" if run.config.data.dataset == "cifar10" else "own"
    with st.container(horizontal=True, key="next"):
        if st.button("See the results", icon=":material/insights:", key="to_results", type="primary"):
            st.switch_page("pages/results.py", query_params={side: run.id})
        if st.button("Try it on a picture", icon=":material/image_search:", key="to_try_it"):
            st.switch_page("pages/try_it.py", query_params={"run": run.id})


def run_before(run: Run) -> Run | None:
    """The finished run of the same dataset that was created last before this one."""
    earlier = [
        other
        for other in runs()
        if other.state.status == "done"
        and other.config.data.dataset == run.config.data.dataset
        and other.created < run.created
    ]
    return earlier[0] if earlier else None
