"""One run as it is now: what it does, its curves, what it answers, and what it reached once it has ended."""

import time
from collections.abc import Sequence

import numpy as np
import streamlit as st

from core.engine.schedule import learning_rate
from core.evaluation import wilson
from core.rows import EpochRow, IterationRow
from core.runs.course import Course
from core.runs.run import Run, RunState, read_run
from pages.parts.answers import pictures_of
from pages.parts.cached import LIVE_STATUSES, course, live_runs
from pages.parts.curves import Overlaid, accuracy_options, class_options, loss_options, rate_options
from pages.parts.deeds import draw_deeds, stop_asked
from pages.parts.ended import draw_ending, draw_result
from pages.parts.escape import escape
from pages.parts.fields import say
from pages.parts.frame import boundary
from pages.parts.notice import draw_notice
from pages.parts.overlay import pick_overlaid
from pages.parts.palette import PART_COLOURS
from pages.parts.planning import part_counts
from pages.parts.telling import draw_gone
from pages.parts.watching import draw_filters, draw_sheet, draw_watched
from pages.parts.words import STATUS, clock, share, span

SECONDS = 1.0  # between two looks at a run that waits or trains
SECONDS_AT_START = 0.25  # until the first loss is there: somebody waits for it, and there is little to draw
FEW_CLASSES = 12  # that are all drawn; of more, the best and the worst
RATES_DRAWN = 120
ROW_ITERATIONS = 200  # of one row, as the paper prints its loss


def show_run(run_id: str) -> None:
    """The panel of one run. While it waits or trains, what moves is drawn anew once a second, and nothing else is."""
    draw_gone(run_id)
    run = read_run(run_id)
    live, drawn = run.state.status in LIVE_STATUSES, _moment(run)
    draw_head(run)
    draw_sheet(run)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="beside"):
        draw_notice(run)
        over = pick_overlaid(run)

    @boundary()
    def panel() -> None:
        draw_gone(run_id)
        now = read_run(run_id)
        if _moment(now) != drawn and not _is_just_starting(now):
            if live and now.state.status not in LIVE_STATUSES:
                word, icon, _ = STATUS[now.state.status]
                st.toast(f"{escape(now.title)}: {word.lower()}", icon=icon)
            st.rerun()  # once in full: the head says what can be done now, and the table below has the result
        draw_run(now, over)

    st.fragment(panel, run_every=_interval(run))()


def _interval(run: Run) -> float | None:
    """Seconds between two looks; None for a run that has ended."""
    if run.state.status not in LIVE_STATUSES:
        return None
    first = next((other.id for other in live_runs()), run.id)
    waits = run.state.status == "queued" and first != run.id  # one that is next starts in a moment
    return SECONDS if waits or _has_rows(run) else SECONDS_AT_START


def _is_just_starting(run: Run) -> bool:
    """Whether the first loss is about to come: the still part is drawn once for that, and not before it as well."""
    if run.state.status not in ("starting", "running") or _has_rows(run):
        return False
    try:
        return time.time() - (run.folder / "launch.json").stat().st_mtime < SECONDS
    except OSError:
        return False


def _has_rows(run: Run) -> bool:
    return (run.folder / "rows.jsonl").exists()


def _moment(run: Run) -> tuple[object, ...]:
    """What the still part of the panel and its clock depend on."""
    looked_at = (run.folder / "watch.npz").exists()
    return run.state.status, run.state.attempt, stop_asked(run), run.state.silent > 0, looked_at, _has_rows(run)


def draw_head(run: Run) -> None:
    """What it is, what happened, and what can be done about it."""
    word, icon, colour = STATUS[run.state.status]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="run-head"):
        if run.state.silent:
            word, icon, colour = "Not responding", ":material/hourglass_disabled:", "orange"
        st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]
        st.caption(settings_in_words(run), width="content")
    draw_ending(run)
    draw_deeds(run)


def settings_in_words(run: Run) -> str:
    """The settings that make one run differ from another, in one line."""
    train = run.config.train
    told = [train.optimizer, f"learning rate {say(train.learning_rate)}", f"batch {train.batch_size}"]
    told += [train.schedule.replace("_", " ")] if train.schedule != "constant" else []
    told += [say(train.augment)] if train.augment else []
    return " · ".join([*told, f"seed {train.seed}"])


def draw_run(run: Run, over: Sequence[Overlaid] = ()) -> None:
    """Progress or result, curves and answers of a run, from what its folder says now."""
    rows = course(run)
    if run.state.status in LIVE_STATUSES:
        draw_progress(run, rows)
    elif run.state.status in ("done", "stopped"):
        draw_result(run, rows)
    if not rows.is_empty or over:
        draw_curves(run, rows, over)
    watch = run.watch()
    if watch is not None:
        draw_watched(run, watch)
    if rows.last is None and watch is None:
        return
    with st.grid(2, min_column_width=300, gap="small", key="below"):
        with st.container(gap="small"):
            if rows.last is not None:
                draw_classes(run, rows.last)
            if run.state.status in LIVE_STATUSES and run.state.steps:
                draw_rate(run, rows)
        if watch is not None:
            draw_filters(watch)


def draw_progress(run: Run, rows: Course) -> None:
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
        if state.message and not state.silent:
            told += f" · {escape(state.message, 120)}"
        if state.step >= state.steps or stop_asked(run):
            told = "Trained. Now every picture is answered once, for the result."
        st.progress(done, text=told)
    draw_numbers(run, rows)


def draw_numbers(run: Run, rows: Course) -> None:
    state = run.state
    loss = rows.last_fine.train_loss if rows.last_fine else rows.last.train_loss if rows.last else None
    watched = run.config.data.val_fraction > 0
    part = "val" if watched else "train"
    accuracy = (rows.last.val_accuracy if watched else rows.last.train_accuracy) if rows.last else None
    numbers = [
        ("Loss", "–" if loss is None else f"{loss:.3f}", _iterations(rows.last_fine)),
        ("Validation accuracy" if watched else "Training accuracy", share(accuracy), span_of(run, part, accuracy)),
        (
            "Pictures a second",
            f"{state.images_per_second:,.0f}" if state.images_per_second else "–",
            f"epoch of {span(rows.last.seconds)}" if rows.last else "",
        ),
        ("Elapsed", clock(state.seconds), ""),
        ("Left", clock(time_left(state)), ""),
    ]
    st.html(numbers_html(numbers))


def _iterations(row: IterationRow | None) -> str:
    """Over how many iterations the newest loss is the mean: 200, at the end of an epoch the rest of it."""
    return "" if row is None else f"last {row.iteration % ROW_ITERATIONS or ROW_ITERATIONS} iterations"


def numbers_html(numbers: Sequence[tuple[str, str, str]]) -> str:
    """(name, value, what is said of it) in a row: one message a second to the browser, not one for each."""
    cells = [
        f'<div style="min-width:0"><div style="font-size:0.875rem">{name}</div>'
        f'<div style="font-size:1.75rem;line-height:1.5;font-variant-numeric:tabular-nums">{value}</div>'
        # an empty one keeps its line, so that nothing below moves when a number comes
        f'<div style="font-size:0.8rem;opacity:0.65;white-space:nowrap">{told or "&nbsp;"}</div></div>'
        for name, value, told in numbers
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
    """Pictures of each class in a part; None where the dataset is no longer the one that the run learnt from."""
    dataset = pictures_of(run)
    if dataset is None:
        return None
    return part_counts(dataset.content_hash, run.config.data.model_dump_json(), dataset)[part]


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


def draw_curves(run: Run, rows: Course, over: Sequence[Overlaid]) -> None:
    epochs = run.config.train.epochs
    with st.grid(2, min_column_width=260, gap="small", key="curves"):
        with st.container(border=True, gap=None):
            best = f" · lowest for validation in epoch {rows.best.epoch}" if rows.best else ""
            st.markdown(f"**Loss**{best}")
            options = loss_options(rows, epochs, over=over)
            st.echarts_chart(options, key="loss", height=270, alt=loss_in_words(rows))
        with st.container(border=True, gap=None):
            st.markdown("**Accuracy**")
            options = accuracy_options(rows, epochs, len(run.classes), over=over)
            st.echarts_chart(options, key="accuracy", height=270, alt=accuracy_in_words(rows))


def draw_rate(run: Run, rows: Course) -> None:
    """Where the learning rate is, and where it goes."""
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
        told = f"Learning rate: {rate:.3g} now, at most {max(rates):.3g}, at the end {rates[-1]:.3g}"
        st.echarts_chart(options, key="rate", height=110, alt=told)


def draw_classes(run: Run, last: EpochRow) -> None:
    part = "val" if last.val_per_class else "train"
    shares = last.val_per_class or last.train_per_class
    told = "validation" if part == "val" else "training"
    counts = counts_of(run, part)
    n = f"{sum(counts):,} " if counts else ""
    order = list(range(len(shares)))
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**Accuracy of each class** · {n}{told} pictures, after epoch {last.epoch}")
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
        alt=f"{run.classes[best]} is answered best of these, {share(shares[best])}",
    )


def loss_in_words(rows: Course) -> str:
    losses = rows.train_loss[np.isfinite(rows.train_loss)]
    return f"Training loss from {losses[0]:.3f} to {losses[-1]:.3f}" if len(losses) else "Training loss, no epoch yet"


def accuracy_in_words(rows: Course) -> str:
    if rows.last is None:
        return "Accuracy, no whole epoch yet"
    told = f"Training accuracy {share(rows.last.train_accuracy)}"
    value = rows.last.val_accuracy
    return told if value is None else f"{told}, validation accuracy {share(value)} after epoch {rows.last.epoch}"
