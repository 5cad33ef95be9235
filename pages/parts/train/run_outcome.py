"""How a run ended: what happened, what was kept, its accuracy, and the comparison with the run before it."""

import numpy as np
import pandas as pd
import streamlit as st

from core.config import RunConfig
from core.display_names import display_name
from core.evaluation import Evaluation, Which
from core.experiments.paper import comparable_numbers
from core.fields import value_of
from core.glossary import TERMS
from core.runs.backbones import backbone_run
from core.runs.checkpoint import newest_place
from core.runs.history import MetricHistory
from core.runs.run import Run
from core.runs.state import NEVER_STARTED
from core.runs.teachers import teacher_sentence
from core.significance import PairedAnswers, compare_paired
from pages.parts.form.fields import all_fields, is_relevant, same_value, title_of
from pages.parts.shell.cache import runs
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import clock, interval_of, percent_of, points, share, span
from pages.parts.shell.navigation import go_to
from pages.parts.train.run_actions import has_diverged
from pages.parts.widgets.prediction_grid import evaluation_or_none
from pages.parts.widgets.run_picker import run_labels


def draw_ending(run: Run) -> None:
    """What happened to a run that does not simply train or is done; the buttons of the next step follow it."""
    status, message = run.state.status, escape(run.state.message, 600)
    if run.state.unresponsive_seconds:
        st.warning(message, title="Training does not respond", icon=":material/hourglass_disabled:")
    elif has_diverged(run):
        st.error(_with_kept(message, run), title="The training diverged", icon=":material/trending_up:")
    elif status == "failed":
        reason = message or "It ended without a message."
        st.error(_with_kept(reason, run), title="The training failed", icon=":material/error:")
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
    if place and not has_diverged(run):  # that one is not resumed, and its message says which model was kept
        return f"Kept: the curves, and a checkpoint of {place}. Resume continues from there."
    if run.has_model:
        return "Kept: the curves and the model as it was saved last."
    if has_diverged(run):
        return "Kept: the curves."
    return "No checkpoint had been saved yet: Resume begins again."


def draw_result(run: Run, rows: MetricHistory) -> None:
    """The accuracy of a finished run on its test part, and what changed since the run before."""
    test = evaluation_or_none(run, "test")
    if test is None:
        if run.has_model:
            st.info("This run was not evaluated on a test part.", icon=":material/info:")
        return
    before = run_before(run)
    earlier = evaluation_or_none(before, "test") if before else None
    draw_scores(run, test, earlier)
    if text := best_in_words(rows, run.state.epoch, test.model):
        st.caption(text)
    if taught := teacher_sentence(run):
        st.caption(f":material/school: {escape(taught, 300)}")
    draw_next(run)
    if before is not None and earlier is not None:
        draw_changes(run, before, test, earlier)


def draw_scores(run: Run, test: Evaluation, earlier: Evaluation | None) -> None:
    right, train = int(test.correct.sum()), evaluation_or_none(run, "train")
    paper = comparable_numbers(run.classes)
    with st.grid(5 if paper else 4, min_column_width=130, gap="small", key="result"):
        with st.container(gap=None):
            st.metric("Test accuracy", share(test.accuracy))
            of_best = f"; {run.describe_model('best')}" if test.model == "best" else ""
            st.caption(f"{right:,} of {test.n:,}; 95 % interval {interval_of(right, test.n)}{of_best}")
        if train is not None:
            with st.container(gap=None):
                st.metric("Training accuracy", share(train.accuracy))
                gap = points(train.accuracy - test.accuracy)
                st.caption(
                    f"{int(train.correct.sum()):,} of {train.n:,}; {gap} against test", help=TERMS["Overfitting"]
                )
        if earlier is not None:
            with st.container(gap=None):
                st.metric("Since the run before", f"{100 * (test.accuracy - earlier.accuracy):+.1f}")
                st.caption(f"points; that had {percent_of(int(earlier.correct.sum()), earlier.n)}")
        if paper is not None:  # its artworks were other pictures in other classes: no number to stand beside these
            with st.container(gap=None):
                st.metric("The paper", f"{100 * paper.test.mean:.2f} %")  # more words do not fit here
                st.caption(f"mean of classes, of {paper.test.counted}; ours {share(test.mean_class_accuracy)}")
        with st.container(gap=None):
            seconds = run.state.whole_seconds  # more words do not fit here
            text = span(seconds) if seconds < 60 else f"{seconds:.0f} s" if seconds < 600 else clock(seconds)
            st.metric("Time", text)
            st.caption(f"{run.state.epoch} epochs")


def best_in_words(rows: MetricHistory, reached: int = 0, which: Which = "last") -> str:
    """The last epoch and the best one, each by its name; "" without a validation part.

    `reached` is the epoch in which the run stopped: its model is newer than the last epoch that was validated;
    `which` is the model that was evaluated.
    """
    last, best = rows.last, rows.best
    if last is None or best is None or last.val_loss is None or best.val_loss is None:
        return ""
    if reached > last.epoch:
        return (
            f"The model that was evaluated here is from within epoch {reached}. **Last** whole epoch "
            f"{last.epoch}: validation loss {last.val_loss:.3f}, accuracy {share(last.val_accuracy)}. **Best** epoch "
            f"{best.epoch}: validation loss {best.val_loss:.3f}, accuracy {share(best.val_accuracy)}; also kept."
        )
    if best.epoch == last.epoch:
        return (
            f"The last epoch, {last.epoch}, was also the best: validation loss {last.val_loss:.3f}, accuracy "
            f"{share(last.val_accuracy)}. Its model is used here, on Results and in Try-It."
        )
    if which == "best":
        return (
            f"Early stopping ended this run, so it uses its best model. **Best** epoch {best.epoch}: validation loss "
            f"{best.val_loss:.3f}, accuracy {share(best.val_accuracy)}; its model is used here, on Results and in "
            f"Try-It. **Last** epoch {last.epoch}: validation loss {last.val_loss:.3f}, accuracy "
            f"{share(last.val_accuracy)}; its model is kept too."
        )
    return (
        f"**Last** epoch {last.epoch}: validation loss {last.val_loss:.3f}, accuracy {share(last.val_accuracy)}; its "
        f"model is used here, on Results and in Try-It. **Best** epoch {best.epoch}: validation loss "
        f"{best.val_loss:.3f}, accuracy {share(best.val_accuracy)}; its model is kept too."
    )


def draw_changes(run: Run, before: Run, test: Evaluation, earlier: Evaluation) -> None:
    """Which settings differ from those of the run before, and whether the accuracies differ by more than chance."""
    rows = changes(before.config, run.config)
    with st.container(border=True, gap="xsmall", key="changes-since"):
        st.markdown(f"**What changed since the run before** · {escape(run_labels([run, before])[before.id], 80)}")
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
    """(title of the field, value before, value now) of every setting that differs and is relevant in one of them."""
    found = []
    for field in all_fields():
        one, other = value_of(before, field), value_of(now, field)
        if not same_value(one, other) and any(is_relevant(field, _values(config)) for config in (before, now)):
            found.append((title_of(field), _value_in(before, field), _value_in(now, field)))
    return found


def _value_in(config: RunConfig, field: str) -> str:
    """The value as it is shown; an en dash where this network has no such setting."""
    if field.startswith("model.") and not is_relevant(field, _values(config)):
        return "–"
    if field == "model.backbone" and (run_id := backbone_run(config.model)):
        return f"run {run_id[-4:]}"
    return display_name(field, value_of(config, field))


def verdict(run: Run, before: Run, test: Evaluation, earlier: Evaluation, changed: bool) -> str:
    """One sentence: how far the two are apart, in accuracy and in time, and whether that means anything."""
    points_apart = f"{100 * (test.accuracy - earlier.accuracy):+.1f} points"
    seconds = run.state.whole_seconds - before.state.whole_seconds
    cost = f" It took {span(run.state.whole_seconds)}, {span(abs(seconds))} {'more' if seconds > 0 else 'less'}."
    other = _other_pictures(run, before, test, earlier)
    if other:
        return f"{points_apart}, but {other}: the two numbers are about different pictures.{cost}"
    unchanged = "" if changed else "No setting changed. "
    return f"{unchanged}{points_apart}, {_meaning(compare_paired(*aligned(earlier, test)))}{cost}"


def aligned(one: Evaluation, other: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """bool (n,) each: right or not, in the order of the pictures' rows, which both were asked about."""
    return one.correct[np.argsort(one.indices)], other.correct[np.argsort(other.indices)]


def _meaning(found: PairedAnswers) -> str:
    """What an exact McNemar test says, with what it counts."""
    if not found.only_a + found.only_b:
        return "and every picture is answered alike."
    p_value = f"p = {found.p_value:.2g}" if found.p_value >= 0.0001 else "p < 0.0001"
    now = "1 picture is" if found.only_b == 1 else f"{found.only_b:,} pictures are"
    before = f"{found.only_a:,} {'was' if found.only_a == 1 else 'were'}"
    counted = f"{now} right only now, {before} right only before (McNemar test, {p_value})."
    return f"{'more than chance explains' if found.differs else 'within what chance explains'}: {counted}"


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
            go_to("pages/results.py", **{side: run.id})
        if st.button("Try it on a picture", icon=":material/image_search:", key="to_try_it"):
            go_to("pages/try_it.py", run=run.id)


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
