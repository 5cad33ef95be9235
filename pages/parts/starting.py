"""From the form to a waiting run: what would be learnt from, whether it can be, and the start."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.config import RunConfig, TrainConfig, check_with_data
from core.data.dataset import Dataset
from core.data.images import fingerprint_of
from core.data.splits import PARTS
from core.data.store import preprocess_of
from core.engine.schedule import learning_rate
from core.errors import UserMistake
from core.runs.queue import SupervisorHandle, ensure_supervisor, heartbeat, submit, waiting_runs
from core.runs.run import create_run
from core.settings import atelier_home, load_limits
from pages.parts.cached import runs
from pages.parts.curves import schedule_options
from pages.parts.escape import escape
from pages.parts.planning import part_counts

STEPS_DRAWN = 120  # points of the schedule's curve
PART_SAYS = {"train": "to learn from", "val": "to watch", "test": "to test"}


def newest_name(known: Sequence[Dataset]) -> str:
    """The dataset that was added or trained on last: the one that somebody is at work with."""
    touched = {dataset.name: dataset.created for dataset in known}
    for run in runs():
        name = run.config.data.dataset
        if name in touched:
            touched[name] = max(touched[name], run.created)
    return max(touched, key=lambda name: touched[name])


@dataclass(frozen=True)
class Plan:
    """What a run would work with: pictures in each part, and the iterations of an epoch."""

    pictures: dict[str, int]
    iterations: int  # in an epoch


def check_ready(dataset: Dataset, config: RunConfig) -> Plan:
    """The plan of a run; UserMistake says what keeps it from starting."""
    waiting, limit = len(waiting_runs()), load_limits().queue_length
    if waiting >= limit:
        raise UserMistake(f"The queue is full: {waiting} runs are waiting, {limit} may. Cancel one, or wait for one.")
    counts = part_counts(dataset.content_hash, config.data.model_dump_json(), dataset)
    for part, purpose in (("train", "to learn from"), ("test", "to test on")):
        if not sum(counts[part]):
            raise UserMistake(f"The split leaves no picture {purpose}. Change the shares, or add pictures.")
    for name, count in zip(dataset.classes, counts["train"], strict=True):
        if not count:
            raise UserMistake(f"Class {name!r} has no picture to learn from. Change the shares, or add pictures.")
    pictures = {part: sum(counts[part]) for part in PARTS}
    check_with_data(config.train, pictures)
    return Plan(pictures, -(-pictures["train"] // config.train.batch_size))


def draw_plan(plan: Plan) -> None:
    told = [f"**{count:,}** {PART_SAYS[part]}" for part, count in plan.pictures.items() if count]
    st.caption(f"{' · '.join(told)} · {plan.iterations:,} iterations an epoch")


def draw_schedule(train: TrainConfig) -> None:
    """The learning rate over the whole run; a constant one needs no picture."""
    if train.schedule == "constant":
        return
    rates = [learning_rate(train, step, STEPS_DRAWN) for step in range(STEPS_DRAWN)]
    told = f"Learning rate over the epochs, at most {max(rates):.4g}"
    st.caption("Learning rate over the epochs")
    st.echarts_chart(schedule_options(rates, train.epochs), key="schedule", height=90, alt=told)


def start(dataset: Dataset, config: RunConfig) -> None:
    """Put a run into the line, make sure that somebody takes it, and open it on this page."""
    fingerprint = fingerprint_of(dataset.content_hash, preprocess_of(config.data))
    run = create_run(config, fingerprint, dataset.classes)
    submit(run)
    supervisor()
    st.session_state["run"] = run.id


def supervisor() -> SupervisorHandle:
    """The process that trains, with torch already imported; a new one where the old one has ended."""
    heartbeat()
    return _supervisor(str(atelier_home()))


@st.cache_resource(show_spinner=False, max_entries=4, validate=SupervisorHandle.is_alive)
def _supervisor(home: str) -> SupervisorHandle:
    return ensure_supervisor()


def blocked(reason: str) -> None:
    """Why the button beside cannot be pressed."""
    st.caption(f":material/block: {escape(reason, 400)}")
