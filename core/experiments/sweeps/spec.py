"""SweepSpec: the settings of a sweep, checked before anything is written. No torch."""

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from core.config import RunConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.data.store.store import count_parts
from core.errors import UserMistake
from core.experiments.sweeps.ranges import Range
from core.fields import check_with_data
from core.people import Person, new_owner
from core.runs.state import now

MOST_TRIALS = 500
SCHEMA_VERSION = 1


class SweepSpec(BaseModel):
    """What a sweep varies and for how long: plan.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = SCHEMA_VERSION
    created: str  # ISO 8601, UTC
    base: RunConfig
    ranges: tuple[Range, ...]
    budget_seconds: float
    trials: int
    content_hash: str  # of the dataset's pictures
    owner: Person | None = None  # whose it is, and its runs; None: the owner of the store

    @property
    def title(self) -> str:
        """Holds the dataset's name: escape it on a page."""
        fields = ", ".join(one.field.partition(".")[2] for one in self.ranges)
        return f"{self.base.preset} on {self.base.data.dataset}: {fields}"


def plan_sweep(base: RunConfig, ranges: Sequence[Range], budget_seconds: float, trials: int = 100) -> SweepSpec:
    """What a sweep would be; writes nothing. UserMistake where there is nothing to vary or no validation part."""
    if not ranges:
        raise UserMistake("a sweep needs at least one field to vary")
    if len({one.field for one in ranges}) != len(ranges):
        raise UserMistake("a field is named twice")
    if not 0 < budget_seconds < math.inf or not 1 <= trials <= MOST_TRIALS:
        raise UserMistake(f"a sweep needs a budget of more than nothing and an end, and 1 to {MOST_TRIALS} trials")
    dataset = find_dataset(base.data.dataset)
    base = change_config(base, {"data.dataset": dataset.name, "train.patience": 0})
    parts = count_parts(dataset, base.data)
    if not parts["val"]:
        raise UserMistake(
            "A sweep goes by the validation part, and there is none: give it a share of the pictures, e.g. "
            "data.val_fraction=0.1"
        )
    check_with_data(base.train, parts)
    return SweepSpec(
        created=now(),
        base=base,
        ranges=tuple(ranges),
        budget_seconds=budget_seconds,
        trials=trials,
        content_hash=dataset.content_hash,
        owner=new_owner(),
    )
