"""The panel of one run: progress, metrics, curves and predictions, and its result once it has ended."""

import time
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import streamlit as st

from core.display_names import display_name, format_value
from core.engine.schedule import learning_rate
from core.fields import acts_in
from core.intervals import wilson
from core.rows import EpochRow, IterationRow, iterations_a_row
from core.runs.expected_accuracy import expected_accuracy
from core.runs.history import MetricHistory
from core.runs.run import Run, read_run
from pages.parts.form.split_counts import part_counts
from pages.parts.shell.cache import history, live_runs, runs
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import STATUS, clock, share, span
from pages.parts.shell.frame import boundary
from pages.parts.shell.notifications import rerun_if_deleted
from pages.parts.shell.theme import PART_COLOURS
from pages.parts.train.browser_notification import draw_browser_notification
from pages.parts.train.run_actions import draw_run_actions
from pages.parts.train.run_outcome import draw_ending, draw_result
from pages.parts.train.run_overlay import pick_overlaid
from pages.parts.widgets.prediction_grid import pictures_of
from pages.parts.widgets.run_progress import describe_queue_position, share_done, time_left
from pages.parts.widgets.snapshots import draw_filters, draw_sheet, draw_snapshots
from pages.parts.widgets.training_curves import Overlaid, accuracy_options, class_options, loss_options, rate_options

SECONDS = 1.0  # between two updates of a run that waits or trains
SECONDS_AT_START = 0.25  # until there is a first loss: somebody waits for it, and there is little to draw
FEW_CLASSES = 12  # that are all drawn; of more, the best and the worst
RATES_DRAWN = 120


def show_run(run_id: str) -> None:
    """The panel of one run. While it waits or trains, what moves is drawn anew once a second, and nothing else is."""
    rerun_if_deleted(run_id)
    run = read_run(run_id)
    live, drawn = run.state.is_live, _version(run)
    draw_head(run)
    finished = run.state.is_finished
    above = st.container() if finished else None  # then the accuracy and the curves come first, and actions after them
    if finished:
        draw_run_actions(run)
    draw_sheet(run)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="panel-options"):
        draw_browser_notification(run)
        overlays = pick_overlaid(run)

    @boundary()
    def panel() -> None:
        rerun_if_deleted(run_id)
        now = read_run(run_id)
        if _version(now) != drawn and not _is_just_starting(now):
            if live and not now.state.is_live:
                word, icon, _ = STATUS[now.state.status]
                st.toast(f"{escape(now.title)}: {word.lower()}", icon=icon)
            st.rerun()  # once in full: the head has other actions now, and the table below has the result
        draw_run(now, overlays)

    with above or nullcontext():
        st.fragment(panel, run_every=_interval(run))()


def _interval(run: Run) -> float | None:
    """Seconds between two updates; None for a run that has ended."""
    if not run.state.is_live:
        return None
    first = next((other.id for other in live_runs()), run.id)
    waits = run.state.status == "queued" and first != run.id  # one that is next starts in a moment
    return SECONDS if waits or run.has_rows else SECONDS_AT_START


def _is_just_starting(run: Run) -> bool:
    """Whether the first loss is about to come: then the page is drawn once for that, and not before it as well."""
    if not run.state.is_training or run.has_rows or run.started_at is None:
        return False
    return time.time() - run.started_at < SECONDS


def _version(run: Run) -> tuple[object, ...]:
    """What the parts of the panel outside of its timed fragment depend on, and its interval."""
    state = run.state
    files = run.stop_requested, run.has_snapshot, run.has_rows
    return state.status, state.attempt, state.unresponsive_seconds > 0, *files


def draw_head(run: Run) -> None:
    """Status and settings, how it ended, and the actions where it has not finished."""
    word, icon, colour = STATUS[run.state.status]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="run-head"):
        if run.state.unresponsive_seconds:
            word, icon, colour = "Not responding", ":material/hourglass_disabled:", "orange"
        st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]
        st.caption(settings_in_words(run), width="content")
    draw_ending(run)
    if not run.state.is_finished:
        draw_run_actions(run)


def settings_in_words(run: Run) -> str:
    """The settings that make one run differ from another, in one line."""
    train = run.config.train
    optimizer = display_name("train.optimizer", train.optimizer)
    words = [optimizer, f"learning rate {format_value(train.learning_rate)}", f"batch {train.batch_size}"]
    words += [display_name("train.schedule", train.schedule)] if train.schedule != "constant" else []
    words += [display_name("train.augment", train.augment)] if train.augment else []
    alternate = acts_in(run.config, "train.flips") and train.flips == "alternating"
    grow = acts_in(run.config, "train.progressive") and train.progressive < 1
    words += ["alternating flips"] * alternate + [f"growing from {format_value(train.progressive)}"] * grow
    words += [f"teacher {display_name('train.teacher', train.teacher)}"] if train.teacher else []
    return " · ".join([*words, f"seed {train.seed}"])


def draw_run(run: Run, overlays: Sequence[Overlaid] = ()) -> None:
    """Progress or result, curves and predictions of a run, from what its folder holds now."""
    rows = history(run)
    if run.state.is_live:
        draw_progress(run, rows)
    elif run.state.is_finished:
        draw_result(run, rows)
    if not rows.is_empty or overlays:
        draw_curves(run, rows, overlays)
    snapshot = run.snapshot()
    if snapshot is not None:
        draw_snapshots(run, snapshot)
    if rows.last is None and snapshot is None:
        return
    with st.grid(2, min_column_width=300, gap="small", key="below"):
        with st.container(gap="small"):
            if rows.last is not None:
                draw_classes(run, rows.last)
            if run.state.is_live and run.state.steps:
                draw_rate(run, rows)
        if snapshot is not None:
            draw_filters(snapshot, run.config.model.name)


def draw_progress(run: Run, rows: MetricHistory) -> None:
    state = run.state
    if state.status == "queued":
        st.progress(0.0, text=describe_queue_position(run))
        return
    if not state.steps:
        st.progress(0.0, text=escape(state.message or "Starting: loading the dataset and the network", 200))
    else:
        # `epoch` is the epoch that is being trained; the bar is the whole run, because that is what one waits for
        done = share_done(state)
        text = f"Epoch {max(1, state.epoch)} of {state.epochs} · {done:.0%}"
        if state.message and not state.unresponsive_seconds:
            text += f" · {escape(state.message, 120)}"
        if state.machine:
            text += f" · on {escape(state.machine, 60)}"
        if state.step >= state.steps or run.stop_requested:
            text = "Trained. Every picture is being evaluated once."
        st.progress(done, text=text)
    draw_numbers(run, rows)
    if state.steps:
        st.caption(escape(_expected(run.id, rows.last.epoch if rows.last else 0, run), 300))


@st.cache_data(max_entries=32, ttl=600, show_spinner=False)
def _expected(run_id: str, epoch: int, _run: Run) -> str:
    """What accuracy it will end with, as far as that is known; asked once an epoch."""
    found = expected_accuracy(_run, runs(hidden=True))
    return f"{found.sentence}." if found else "No run with these settings has ended yet: its accuracy is open."


def draw_numbers(run: Run, rows: MetricHistory) -> None:
    state = run.state
    loss = rows.last_fine.train_loss if rows.last_fine else rows.last.train_loss if rows.last else None
    has_val = run.config.data.val_fraction > 0
    part = "val" if has_val else "train"
    accuracy = (rows.last.val_accuracy if has_val else rows.last.train_accuracy) if rows.last else None
    elapsed, left = max(state.process_seconds, state.whole_seconds), time_left(state)
    numbers = [
        ("Loss", "–" if loss is None else f"{loss:.3f}", _iterations(rows.last_fine)),
        ("Validation accuracy" if has_val else "Training accuracy", share(accuracy), span_of(run, part, accuracy)),
        (
            "Pictures a second",
            f"{state.images_per_second:,.0f}" if state.images_per_second else "–",
            f"epoch of {span(rows.last.seconds)}" if rows.last else "",
        ),
        ("Elapsed", clock(elapsed), ""),
        ("Left", clock(left), "" if left is None else f"{span(elapsed + left)} in all"),
    ]
    st.html(numbers_html(numbers))


def _iterations(row: IterationRow | None) -> str:
    """Over how many iterations the newest loss is the mean: those of a row, at the end of an epoch what is left."""
    if row is None:
        return ""
    whole = iterations_a_row(row.iterations)
    return f"last {row.iteration % whole or whole} iterations"


def numbers_html(numbers: Sequence[tuple[str, str, str]]) -> str:
    """HTML of (name, value, note) in a row: one message a second to the browser, not one for each."""
    cells = [
        f'<div style="min-width:0"><div style="font-size:0.875rem">{name}</div>'
        f'<div style="font-size:1.75rem;line-height:1.5;font-variant-numeric:tabular-nums">{value}</div>'
        # an empty one keeps its line, so that nothing below moves when a number comes
        f'<div style="font-size:0.8rem;opacity:0.75;white-space:nowrap">{note or "&nbsp;"}</div></div>'
        for name, value, note in numbers
    ]
    style = "display:grid;grid-template-columns:repeat(auto-fit,minmax(115px,1fr));gap:0.5rem 1rem"
    return f'<div style="{style}">{"".join(cells)}</div>'


def span_of(run: Run, part: str, accuracy: float | None) -> str:
    """'of 856 · 61 to 66 %': the pictures of a part and the 95 % interval of a share of them; "" if not known."""
    counts = counts_of(run, part)
    if accuracy is None or not counts:
        return ""
    n = sum(counts)
    low, high = wilson(round(accuracy * n), n)
    return f"of {n:,} · {100 * low:.0f} to {100 * high:.0f} %"


def counts_of(run: Run, part: str) -> list[int] | None:
    """Pictures of each class in a part; None where the dataset is no longer the one that the run was trained on."""
    dataset = pictures_of(run)
    if dataset is None:
        return None
    return part_counts(dataset.content_hash, run.config.data.model_dump_json(), dataset)[part]


def draw_curves(run: Run, rows: MetricHistory, overlays: Sequence[Overlaid]) -> None:
    epochs = run.config.train.epochs
    with st.grid(2, min_column_width=260, gap="small", key="curves"):
        with st.container(border=True, gap=None):
            best = f" · lowest for validation in epoch {rows.best.epoch}" if rows.best else ""
            st.markdown(f"**Loss**{best}")
            options = loss_options(rows, epochs, over=overlays)
            st.echarts_chart(options, key="loss", height=270, alt=loss_in_words(rows))
        with st.container(border=True, gap=None):
            st.markdown("**Accuracy**")
            options = accuracy_options(rows, epochs, len(run.classes), over=overlays)
            st.echarts_chart(options, key="accuracy", height=270, alt=accuracy_in_words(rows))


def draw_rate(run: Run, rows: MetricHistory) -> None:
    """The learning rate now, and its schedule so far and ahead."""
    train, state = run.config.train, run.state
    iterations = state.steps / train.epochs
    with st.container(border=True, gap="xsmall"):
        # the step that is taken next; after the last one, the last one
        rate = learning_rate(train, min(state.step, state.steps - 1), state.steps)
        st.markdown(f"**Learning rate** · {float(f'{rate:.3g}'):g} now")
        if train.schedule == "constant":
            st.caption("It stays the same for the whole run.")
            return
        last = RATES_DRAWN - 1
        rates = [learning_rate(train, round(i * (state.steps - 1) / last), state.steps) for i in range(RATES_DRAWN)]
        options = rate_options(rates, train.epochs, rows, state.step / iterations)
        alt = f"Learning rate: {rate:.3g} now, at most {max(rates):.3g}, at the end {rates[-1]:.3g}"
        st.echarts_chart(options, key="rate", height=110, alt=alt)


def draw_classes(run: Run, last: EpochRow) -> None:
    part = "val" if last.val_per_class else "train"
    shares = last.val_per_class or last.train_per_class
    label = "validation" if part == "val" else "training"
    counts = counts_of(run, part)
    n = f"{sum(counts):,} " if counts else ""
    order = list(range(len(shares)))
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**Accuracy of each class** · {n}{label} pictures, after epoch {last.epoch}")
        if len(order) <= FEW_CLASSES:
            _draw_bars(run, "classes", order, shares, counts, part)
            return
        ranked = sorted((i for i in order if shares[i] is not None), key=lambda i: (-(shares[i] or 0.0), i))
        half = FEW_CLASSES // 2
        middle = [shares[i] or 0.0 for i in ranked[half:-half]]
        _draw_bars(run, "classes", ranked[:half], shares, counts, part)
        if middle:
            between = f"{len(middle)} classes between them, from {share(max(middle))} to {share(min(middle))}"
            st.caption(f"↕ {between}, half of them above {share(float(np.median(middle)))}")
        _draw_bars(run, "weakest", ranked[half:][-half:], shares, counts, part)


def _draw_bars(
    run: Run,
    key: str,
    chosen: Sequence[int],
    shares: Sequence[float | None],
    counts: Sequence[int] | None,
    part: str,
) -> None:
    names, values = [run.classes[i] for i in chosen], [shares[i] for i in chosen]
    best = max(chosen, key=lambda i: shares[i] or 0.0)
    st.echarts_chart(
        class_options(names, values, PART_COLOURS[part], [counts[i] for i in chosen] if counts else None),
        key=key,
        height=16 + 26 * len(chosen),
        alt=f"{run.classes[best]} is the best of these, {share(shares[best])}",
    )


def loss_in_words(rows: MetricHistory) -> str:
    losses = rows.train_loss[np.isfinite(rows.train_loss)]
    return f"Training loss from {losses[0]:.3f} to {losses[-1]:.3f}" if len(losses) else "Training loss, no epoch yet"


def accuracy_in_words(rows: MetricHistory) -> str:
    if rows.last is None:
        return "Accuracy, no whole epoch yet"
    text = f"Training accuracy {share(rows.last.train_accuracy)}"
    value = rows.last.val_accuracy
    return text if value is None else f"{text}, validation accuracy {share(value)} after epoch {rows.last.epoch}"
