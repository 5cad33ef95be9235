"""train, estimate, find-rate: a run in this process or in the queue, and what it would take."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from core.cli.notebook import GuessOption, guess_about
from core.cli.options import AsJson, DataOption, PresetOption, Queued, Settings
from core.cli.output import Bar, minutes, number, print_json, print_table, show_steps, shown
from core.config import RunConfig
from core.errors import UserMistake
from core.fields import parse_settings
from core.probes.probes import CROWDED, Kind
from core.runs.process import request_stop
from core.runs.run import Run, list_runs, read_run
from core.submit import choose_config, create_checked_run, prepare_pictures


def train(
    data: DataOption,
    preset_name: PresetOption = "paper",
    settings: Settings = None,
    guess: GuessOption = "",
    queue: Queued = False,
    as_json: AsJson = False,
) -> None:
    """Train a network. Ctrl-C stops it and keeps its model; a second Ctrl-C breaks off."""
    config = choose_config(preset_name, data, parse_settings(settings or []))
    if guess:
        from core.notebook.notebook import check_run_guess

        check_run_guess(guess, config.data.dataset)
    run = create_run(config)
    if guess:
        guess_about(run, guess)
    submit_run(run, as_json) if queue else train_here(run, as_json)


def create_run(config: RunConfig) -> Run:
    """Make the pictures ready, with a progress bar, and create the run."""
    show_steps(prepare_pictures(config))
    return create_checked_run(config)


def train_here(run: Run, as_json: bool) -> None:
    """Train in this process; exit code 1 where the run fails: its settings were good."""
    if not as_json:
        print(run.id, flush=True)
    began, failure, signals = time.monotonic(), None, []
    try:
        signals = _train_rows(run)
    except UserMistake as mistake:
        failure = mistake
    finally:
        seconds = round(time.monotonic() - began, 3)
        ended = read_run(run.id)
        if as_json:
            print_json({"run": run.id, "status": ended.state.status, "seconds": seconds})
    if failure is not None:
        print(shown(failure), file=sys.stderr)
        raise typer.Exit(1)
    if not as_json:
        print(f"{ended.state.status} after {seconds:,.1f} s{_test_accuracy(ended)}")
    if signal.SIGTERM in signals:
        go_on = f"To go on: python -m core runs resume {run.id}"
        print(f"Ended by SIGTERM; run {run.id} keeps what it had learnt. {go_on}", file=sys.stderr)
        raise typer.Exit(1)


def submit_run(run: Run, as_json: bool) -> None:
    """Put a run into the queue and print its position."""
    from core.runs.queue import ensure_supervisor, submit

    position = submit(run)
    ensure_supervisor()
    if as_json:
        print_json({"run": run.id, "status": "queued", "seconds": 0.0, "position": position})
    else:
        print(run.id)
        print(f"Waits at position {position}. How it goes: python -m core runs show {run.id}", file=sys.stderr)


def _train_rows(run: Run) -> list[int]:
    """Train in this process; the signals that asked it to stop."""
    from core.rows import EpochRow, TickRow
    from core.runs.expected_accuracy import expected_accuracy
    from core.runs.state import read_stored_state
    from core.train import train_rows

    message, earlier = "", list_runs()
    with Bar() as bar, _interruptions(run) as signals:
        for row in train_rows(run.folder):
            if signals:
                message = "stopping"
            elif isinstance(row, EpochRow):
                message = f"loss {number(row.train_loss)}"
                if expected := expected_accuracy(run, earlier):
                    message += " behind earlier runs" if expected.behind else f" to end at {expected.mean:.1%}"
            if isinstance(row, TickRow):
                left = minutes(read_stored_state(run.folder).seconds_left)  # as every page says
                speed = f"{row.images_per_second:,.0f} pictures/s"
                bar.show(
                    f"epoch {row.epoch}/{run.config.train.epochs}", row.step, row.steps, f"{message} {speed} {left}"
                )
        return signals


@contextmanager
def _interruptions(run: Run) -> Iterator[list[int]]:
    """The signals that came: Ctrl-C and SIGTERM ask the run to stop, a second one raises KeyboardInterrupt."""
    came: list[int] = []

    def note(number: int, _: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        request_stop(run.folder)  # not ask_to_stop: whoever was interrupted may hold the lock

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _test_accuracy(run: Run) -> str:
    evaluation = run.evaluation("test")
    if evaluation is None:
        return ""
    of_best = f" ({run.describe_model('best')})" if evaluation.model == "best" else ""
    return f"; {evaluation.accuracy:.2%} of {evaluation.n:,} test pictures right{of_best}"


def estimate(
    data: DataOption,
    preset_name: PresetOption = "paper",
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """How long a run would take and how much memory it needs, from a few timed batches. Trains nothing."""
    from core.data.datasets.dataset import find_dataset
    from core.probes.estimates import estimate_quality, estimate_run

    config = choose_config(preset_name, data, parse_settings(settings or []))
    known = None
    if any(run.state.is_live for run in list_runs()):  # the device is taken: what finished runs needed is better
        known = estimate_run(config, find_dataset(config.data.dataset))
    answer = known or _answer_of("speed", config)
    quality = estimate_quality(list_runs())
    if as_json:
        print_json(answer | {"earlier_errors": quality.errors})
        return
    if "parameters" in answer:
        print(f"{answer['parameters']:,} parameters, {answer['multiply_adds']:,} multiply-adds a picture")
    print(f"{answer['seconds_per_epoch']:,.2f} s an epoch, {answer['images_per_second']:,.0f} pictures/s")
    print(f"{answer['seconds']:,.1f} s in all for {config.train.epochs} epochs, start and evaluation included")
    if "memory_bytes" in answer:
        print(f"{answer['memory_bytes'] / 1e9:.2f} GB of memory")
    if quality.pairs:
        print(f"How far to trust that: {quality.in_words}.")
    if known and "run" in known:
        print(f"A run waits or trains, so nothing was measured: this is what run {known['run']} needed.")
    elif (answer.get("others") or 0.0) > CROWDED:
        print(
            f"Other programs took {answer['others']:.0%} of the processors meanwhile; on a quiet machine it is faster."
        )


def find_rate(
    data: DataOption,
    preset_name: PresetOption = "paper",
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Suggest a learning rate: 100 batches, each with a higher one. Touches no run."""
    answer = _answer_of("rate", choose_config(preset_name, data, parse_settings(settings or [])))
    if as_json:
        print_json(answer)
    elif answer["suggestion"] is None:
        print("The loss fell at no rate, so there is nothing to suggest. A larger batch may help.")
    else:
        rows = list(zip(answer["rates"], answer["smoothed"], strict=True))
        print_table(["learning rate", "loss"], [list(row) for row in rows[:: max(1, len(rows) // 20)]])
        falls = f"the loss falls from {answer['low']:.2g} on and rises again above {answer['high']:.2g}"
        print(f"suggested: {answer['suggestion']:g} ({falls})")
        print(f"To use it: --set train.learning_rate={answer['suggestion']:g}")


def _answer_of(kind: Kind, config: RunConfig) -> dict[str, Any]:
    """What the supervisor answers; exit code 1 with its sentence where it could not."""
    from core.data.store.store import read_fingerprint
    from core.probes.probes import ask_probe, cancel_probe
    from core.runs.queue import ensure_supervisor

    fingerprint = read_fingerprint(config.data)[0]
    probe = ask_probe(kind, config, fingerprint)
    try:
        with Bar() as bar:
            while not probe.ended:
                ensure_supervisor()
                waits = "waits until no run trains any more" if probe.status == "waiting" else probe.message
                bar.show(kind, probe.done, probe.total, waits)
                time.sleep(0.1)
                probe = ask_probe(kind, config, fingerprint)  # again: somebody still waits for it
    except KeyboardInterrupt:
        cancel_probe(probe.id)
        raise
    if probe.answer is None:
        print(shown(probe.message), file=sys.stderr)
        raise typer.Exit(1)
    return probe.answer
