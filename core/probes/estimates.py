"""How long a run takes: one estimate for every page, the command line and the run itself, and how good they have been.

Before a run it is its speed as a probe measured it, else as a finished run with the same network needed it. While it
trains, TimeLeft goes from that estimate to the pace of the run. No torch.
"""

import contextlib
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.config import RunConfig
from core.data.datasets.dataset import Dataset
from core.data.store.store import count_parts, store_fingerprint
from core.engine.schedule import work_done
from core.errors import UserMistake
from core.evaluation import MEASURES
from core.fields import acts_in, views_a_picture
from core.probes.probes import find_probe, total_seconds
from core.rows import EpochRow, TickRow
from core.runs.run import Run, list_runs

JUDGED = 8  # newest runs whose estimates are judged
SURE_SHARE = 0.25  # of a run: after so much of it, or ...
SURE_SECONDS = 20.0  # ... so long at work its own pace alone counts
WARM_SECONDS = 0.5  # of training that say nothing of its pace: the first steps choose kernels and fill caches
FIRST_SECONDS = 2.0  # of training before its pace alone is worth telling


# ----------------------------------------------------------------------------------------------- before it starts


def estimate_run(config: RunConfig, dataset: Dataset) -> dict[str, Any] | None:
    """The speed of a run with this config, with the seconds of the whole run; measures nothing.

    As a "speed" answer of core/probes/worker.py where it was measured, else as known_speed gives it, with "run".
    """
    probe = find_probe("speed", config, store_fingerprint(dataset, config.data))
    if probe is not None and probe.answer is not None:
        return probe.answer
    return known_speed(config, count_parts(dataset, config.data))


def known_speed(config: RunConfig, pictures: dict[str, int]) -> dict[str, Any] | None:
    """The speed of `config` by the newest finished run with the same network, image size, batch, augmentation and
    precision; None where there is none.

    `pictures` in each part, for `config`. Keys as in a "speed" answer where they are known, and "run", that run's id.
    """
    for run in list_runs():
        if run.state.is_finished and _alike(run.config, config):
            speed = _speed_of(run, pictures, config.train.epochs)
            if speed:
                return speed
    return None


def _alike(one: RunConfig, other: RunConfig) -> bool:
    fields = ("batch_size", "augment", "precision", "progressive", "freeze_first")
    return (
        one.model == other.model
        and one.data.image_size == other.data.image_size
        and all(getattr(one.train, field) == getattr(other.train, field) for field in fields)
    )


def _speed_of(run: Run, pictures: dict[str, int], epochs: int) -> dict[str, Any] | None:
    every = run.epochs()
    rows = every[1:] or every  # the first one warms up
    if not rows:
        return None
    rate = statistics.median(row.images_per_second for row in rows)
    if run.config.train.progressive < 1:  # epochs are not alike
        rate = sum(row.images_per_second * row.seconds for row in rows) / sum(row.seconds for row in rows)
    trained = statistics.median(row.images_per_second * row.seconds for row in rows)  # pictures of an epoch
    share = pictures["train"] / trained
    val_seconds = statistics.median(row.val_seconds for row in rows) * share if pictures["val"] else 0.0
    evaluation_seconds = 0.0
    for part in ("train", "val", "test"):
        for measure in MEASURES:
            with contextlib.suppress(UserMistake):
                evaluation = run.evaluation(part, measure)
                evaluation_seconds += evaluation.seconds if evaluation else 0.0
    start_seconds = 0.0
    if run.state.process_seconds and run.state.attempt == 1:  # what is neither training nor evaluation, nor repeated
        rest = run.state.process_seconds - run.state.whole_seconds - evaluation_seconds
        start_seconds = max(0.0, rest)
    speed = {
        "images_per_second": rate,
        "seconds_per_epoch": pictures["train"] / rate + val_seconds,
        "start_seconds": start_seconds,
        "evaluation_seconds": evaluation_seconds * share,
        "run": run.id,
    }
    return speed | {"seconds": total_seconds(speed, epochs)}


# --------------------------------------------------------------------------------------------------- while it trains


class TimeLeft:
    """The seconds until a run has ended, its evaluation included: at first by its estimate, then by its own pace."""

    def __init__(self, answer: dict[str, Any] | None, pictures: dict[str, int], config: RunConfig) -> None:
        """answer: as estimate_run gives it. pictures: in each part of the run."""
        self._config = config
        self._estimated = float(answer["seconds_per_epoch"]) * config.train.epochs if answer else None  # of all epochs
        self.evaluation_seconds = float(answer["evaluation_seconds"]) if answer else 0.0
        self._pictures = pictures
        self._began: float | None = None  # of the first tick, on the clock of whoever calls
        self._origin: tuple[int, float] | None = None  # (step, when): from where the pace is measured

    def before_training(self, seconds: float | None) -> float | None:
        """Where so many seconds are left before the first epoch; None where nothing is known of the epochs."""
        return (
            None if seconds is None or self._estimated is None else seconds + self._estimated + self.evaluation_seconds
        )

    def note_epoch(self, row: EpochRow) -> None:
        """Every picture of every part is answered as those of the validation part are, and looked at once more in the
        paper's measure."""
        if self._pictures.get("val") and row.val_seconds:
            a_picture = row.val_seconds / self._pictures["val"]
            measures = 1 + (len(MEASURES) - 1) / views_a_picture(self._config.model)
            self.evaluation_seconds = a_picture * sum(self._pictures.values()) * measures

    def at(self, row: TickRow, now: float) -> float | None:
        """Seconds from a tick at `now` to the end of the run; None while they would be a guess that jumps."""
        self._began = now if self._began is None else self._began
        if self._origin is None and now - self._began >= WARM_SECONDS:
            self._origin = row.step, now
        done = self._done(row.step, row.steps)
        share, seconds = (
            (done - self._done(self._origin[0], row.steps), now - self._origin[1]) if self._origin else (0.0, 0.0)
        )
        own = seconds / share * (1 - done) if share else None
        told = None if self._estimated is None else self._estimated * (1 - done)
        if own is not None and told is not None:
            weight = min(1.0, max(share / SURE_SHARE, seconds / SURE_SECONDS))
            return weight * own + (1 - weight) * told + self.evaluation_seconds
        if told is not None or row.step == row.steps:
            return (told or 0.0) + self.evaluation_seconds
        return None if own is None or seconds < FIRST_SECONDS else own + self.evaluation_seconds

    def _done(self, step: int, steps: int) -> float:
        """Share of the work: pictures that grow while the run trains cost more and more."""
        if not acts_in(self._config, "train.progressive"):
            return step / steps
        return work_done(self._config.train, self._config.data.image_size, step / steps)


# ------------------------------------------------------------------------------------------------ how good they are


@dataclass(frozen=True)
class EstimateQuality:
    """How far the estimates of finished runs were from the time that they took."""

    pairs: tuple[tuple[float, float], ...]  # (estimated, taken) seconds, the newest first

    @property
    def errors(self) -> list[float]:
        """By what share of the time each one was wrong."""
        return [abs(estimated - taken) / taken for estimated, taken in self.pairs]

    @property
    def in_words(self) -> str:
        """'the last 8 estimates were within 12 % of the time that was taken'; "" where none can be judged."""
        if not self.pairs:
            return ""
        worst, middle = (f"{100 * share:.0f} %" for share in (max(self.errors), statistics.median(self.errors)))
        if len(self.pairs) == 1:
            return f"the last estimate was within {worst} of the time that was taken"
        last = f"the last {len(self.pairs)} estimates"
        if max(self.errors) <= 2 * statistics.median(self.errors) or len(self.pairs) < 4:
            return f"{last} were within {worst} of the time that was taken"
        return f"of {last} half were within {middle} of the time that was taken, all within {worst}"


def estimate_quality(runs: Iterable[Run]) -> EstimateQuality:
    """Of the newest of these runs that can be judged."""
    pairs: list[tuple[float, float]] = []
    for run in runs:
        judged = judge_estimate(run)
        if judged is not None:
            pairs.append(judged)
        if len(pairs) == JUDGED:
            break
    return EstimateQuality(tuple(pairs))


def judge_estimate(run: Run) -> tuple[float, float] | None:
    """(estimated, taken) seconds of a run that was trained to its end without interruption.

    None where it was interrupted, and where nothing was known of its speed before it began.
    """
    state = run.state
    if state.status != "done" or state.attempt != 1 or state.epoch != run.config.train.epochs:
        return None
    taken = state.process_seconds
    if state.estimated_seconds and taken:
        return state.estimated_seconds, taken
    probe, began = find_probe("speed", run.config, run.fingerprint), run.started_at  # of runs of 0.1.0
    if probe is None or probe.answer is None or began is None:
        return None
    if datetime.fromisoformat(probe.measured).timestamp() > began:
        return None
    return float(probe.answer["seconds"]), taken or datetime.fromisoformat(state.updated).timestamp() - began
