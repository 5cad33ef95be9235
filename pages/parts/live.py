"""One run as it is now: what it does, its curves, and what it reached once it has ended."""

import streamlit as st

from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.paper import ARTWORK, paper_numbers
from core.rows import EpochRow, IterationRow, Row
from core.runs.run import Run, RunState, read_run
from pages.parts.answers import pictures_of
from pages.parts.cached import LIVE_STATUSES, live_runs, runs
from pages.parts.curves import accuracy_options, class_options, loss_options
from pages.parts.deeds import draw_deeds, stop_asked
from pages.parts.escape import escape
from pages.parts.frame import boundary
from pages.parts.palette import PART_COLOURS
from pages.parts.planning import part_counts
from pages.parts.telling import draw_gone
from pages.parts.words import clock, interval_of, percent_of, points, share, span

STATUS = {
    "queued": ("Waiting", ":material/schedule:", "gray"),
    "starting": ("Starting", ":material/hourglass_top:", "blue"),
    "running": ("Training", ":material/model_training:", "blue"),
    "done": ("Done", ":material/check:", "green"),
    "stopped": ("Stopped", ":material/stop_circle:", "orange"),
    "failed": ("Failed", ":material/error:", "red"),
    "lost": ("Lost", ":material/power_off:", "red"),
}


def show_run(run_id: str) -> None:
    """The panel of one run; while it waits or trains it redraws itself once a second, and nothing else does."""
    live = read_run(run_id).state.status in LIVE_STATUSES

    @boundary()
    def panel() -> None:
        draw_gone(run_id)
        run = read_run(run_id)
        draw_run(run)
        if live and run.state.status not in LIVE_STATUSES:
            word, icon, _ = STATUS[run.state.status]
            st.toast(f"{escape(run.title)}: {word.lower()}", icon=icon)
            st.rerun()  # once in full, so that the clock stops and the table below has the result

    st.fragment(panel, run_every=1.0 if live else None)()


def draw_run(run: Run) -> None:
    """Head, result, progress and curves of a run, from what its folder says now."""
    rows = run.rows()
    draw_head(run)
    if run.state.status in LIVE_STATUSES:
        draw_progress(run, rows)
    elif run.state.status in ("done", "stopped"):
        draw_result(run)
    if any(isinstance(row, EpochRow | IterationRow) for row in rows):
        draw_curves(run, rows)


def draw_head(run: Run) -> None:
    word, icon, colour = STATUS[run.state.status]
    with st.container(horizontal=True, vertical_alignment="center", key="run-head"):
        st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]
        st.caption(settings_in_words(run), width="content")
    if run.state.status in ("failed", "lost"):
        st.error(escape(run.state.message or "The training ended without a word.", 600), icon=":material/error:")
    draw_deeds(run)


def settings_in_words(run: Run) -> str:
    """The settings that make one run differ from another, in one line."""
    train = run.config.train
    told = [train.optimizer, f"learning rate {train.learning_rate:g}", f"batch {train.batch_size}"]
    told += [train.schedule.replace("_", " ")] if train.schedule != "constant" else []
    told += [" + ".join(train.augment).replace("_", " ")] if train.augment else []
    return " · ".join([*told, f"seed {train.seed}"])


def draw_progress(run: Run, rows: list[Row]) -> None:
    state = run.state
    if state.status == "queued":
        st.progress(0.0, text=queue_sentence(run))
        return
    if not state.steps:
        st.progress(0.0, text=escape(state.message or "Starting: loading the pictures and the network", 200))
    else:
        # `epoch` counts the epoch at work; the bar is the whole run, because that is what one waits for
        done = min(1.0, state.step / state.steps)
        told = f"Epoch {max(1, state.epoch)} of {state.epochs} · {done:.0%}"
        if state.step >= state.steps or stop_asked(run):
            told = "Trained. Now every picture is answered once, for the result."
        st.progress(done, text=told)
    whole = [row for row in rows if isinstance(row, EpochRow)]
    fine = [row for row in rows if isinstance(row, IterationRow)]
    latest = (fine or whole)[-1] if fine or whole else None
    loss = latest.train_loss if latest else None
    last = whole[-1] if whole else None
    watched = run.config.data.val_fraction > 0
    accuracy = (last.val_accuracy if watched else last.train_accuracy) if last else None
    numbers = [
        ("Loss", "–" if loss is None else f"{loss:.3f}"),
        ("Validation accuracy" if watched else "Training accuracy", share(accuracy)),
        ("Pictures a second", f"{state.images_per_second:,.0f}" if state.images_per_second else "–"),
        ("Elapsed", clock(state.seconds)),
        ("Left", clock(time_left(state))),
    ]
    with st.grid(5, min_column_width=115, gap="small", key="run-numbers"):
        for name, value in numbers:
            st.metric(name, value)


def time_left(state: RunState) -> float | None:
    """Seconds until the end; None while so little is done that the guess would jump."""
    return state.seconds_left if state.step > state.steps / 50 else None


def queue_sentence(run: Run) -> str:
    ahead = []
    for other in live_runs():
        if other.id == run.id:
            break
        ahead.append(other)
    if not ahead:
        return "Next in line; it starts in a moment."
    return f"{len(ahead)} in front, first {escape(ahead[0].title)}. It starts by itself."


def draw_curves(run: Run, rows: list[Row]) -> None:
    epochs = run.config.train.epochs
    classes = run.classes
    whole = [row for row in rows if isinstance(row, EpochRow)]
    with st.grid(2, min_column_width=260, gap="small"):
        with st.container(border=True):
            st.markdown("**Loss**")
            st.echarts_chart(loss_options(rows, epochs), key="loss", height=260, alt=loss_in_words(whole))
        with st.container(border=True):
            st.markdown("**Accuracy**")
            options = accuracy_options(rows, epochs, len(classes))
            st.echarts_chart(options, key="accuracy", height=260, alt=accuracy_in_words(whole))
    if whole:
        draw_classes(run, whole[-1])


def draw_classes(run: Run, last: EpochRow) -> None:
    classes = run.classes
    part = "val" if last.val_per_class else "train"
    shares = last.val_per_class or last.train_per_class
    told = "validation" if part == "val" else "training"
    dataset = pictures_of(run)
    n = sum(part_counts(dataset.content_hash, run.config.data.model_dump_json(), dataset)[part]) if dataset else None
    with st.container(border=True):
        st.markdown(f"**Accuracy of each class** · {f'{n:,} ' if n else ''}{told} pictures, after epoch {last.epoch}")
        height = min(420, 30 + 26 * len(classes))
        best = max(range(len(classes)), key=lambda i: shares[i] or 0.0)
        st.echarts_chart(
            class_options(classes, shares, PART_COLOURS[part]),
            key="classes",
            height=height,
            alt=f"{classes[best]} is answered best, {share(shares[best])} of its {told} pictures",
        )


def loss_in_words(whole: list[EpochRow]) -> str:
    losses = [row.train_loss for row in whole if row.train_loss is not None]
    return f"Training loss from {losses[0]:.3f} to {losses[-1]:.3f}" if losses else "Training loss, no whole epoch yet"


def accuracy_in_words(whole: list[EpochRow]) -> str:
    if not whole:
        return "Accuracy, no whole epoch yet"
    told = f"Training accuracy {share(whole[-1].train_accuracy)}"
    value = whole[-1].val_accuracy
    return told if value is None else f"{told}, validation accuracy {share(value)} after epoch {whole[-1].epoch}"


def draw_result(run: Run) -> None:
    """What a finished run reached on its test part, against the run before it and the paper."""
    test = evaluation_or_none(run, "test")
    if run.state.status == "stopped":
        told = f"Epoch {run.state.epoch} of {run.state.epochs}. " if run.state.epoch else ""
        st.caption(told + escape(run.state.message, 300))
    if test is None:
        if run.has_model:
            st.info("This run has no answers on a test part.", icon=":material/info:")
        return
    right = int(test.correct.sum())
    train, before = evaluation_or_none(run, "train"), run_before(run)
    earlier = evaluation_or_none(before, "test") if before else None
    paper = paper_numbers(run.classes) or ARTWORK
    others = paper is ARTWORK  # nobody but the paper's authors has its artworks, whatever the classes are called
    with st.grid(5, min_column_width=125, gap="small", key="result"):
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
            st.metric("The paper's artworks" if others else "The paper", f"{100 * paper.test.mean:.2f} %")
            told = f"mean of classes, of {paper.test.counted}; ours {share(test.mean_class_accuracy)}"
            st.caption(told, help=f"Other pictures, in classes {', '.join(paper.classes)}." if others else None)
        with st.container(gap=None):
            seconds = run.state.seconds  # whole seconds up to ten minutes: more words do not fit here
            st.metric("Time", f"{seconds:.0f} s" if 10 <= seconds < 600 else span(seconds))
            st.caption(f"{len(run.epochs())} epochs")
    draw_next(run)


def draw_next(run: Run) -> None:
    side = "cifar" if run.config.data.dataset == "cifar10" else "own"
    with st.container(horizontal=True, key="next"):
        st.page_link(
            "pages/results.py", label="See the results", icon=":material/insights:", query_params={side: run.id}
        )
        st.page_link(
            "pages/try_it.py", label="Try it on a picture", icon=":material/image_search:", query_params={"run": run.id}
        )


def evaluation_or_none(run: Run, part: str, measure: str = "evaluation") -> Evaluation | None:
    """The answers of a run on one part; None where there are none, they are empty, or the file is damaged."""
    try:
        evaluation = run.evaluation(part, measure)  # type: ignore[arg-type]
    except UserMistake:
        return None
    return evaluation if evaluation is not None and evaluation.n else None


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
