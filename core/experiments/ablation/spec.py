"""ExperimentSpec: a base, its variants, seeds and a budget, checked before anything is written. No torch."""

import math
from collections.abc import Iterable
from functools import cache, partial

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from core.config import RunConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.data.store.store import count_parts
from core.errors import UserMistake
from core.experiments.ablation.components import Component, Variant, base_for, variants_for
from core.fields import check_with_data
from core.people import Person, new_owner
from core.probes.estimates import estimate_run
from core.runs.state import now
from core.runs.teachers import pin_teacher

SCHEMA_VERSION = 1
MOST_SEEDS = 20
MOST_VARIANTS = 40
TIMING_SECONDS = 45.0  # that measuring one variant takes, before any was measured


class ExperimentSpec(BaseModel):
    """What an experiment compares: plan.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = SCHEMA_VERSION
    created: str  # ISO 8601, UTC
    base: Variant
    # "settings" in version 0.1.0
    variants: tuple[Variant, ...] = Field(validation_alias=AliasChoices("variants", "settings"))
    seeds: tuple[int, ...]
    budget_seconds: float | None = None  # None: as long as it takes
    until_decided: bool = False  # seeds one after the other, of a variant only until its difference is sure
    content_hash: str  # of the dataset's pictures
    owner: Person | None = None  # whose it is, and its runs; None: the owner of the store
    base_seconds: float | None = None  # of one run of the base, as it was estimated when this was planned
    notes: tuple[str, ...] = ()  # what was arranged for it, in sentences

    @property
    def dataset(self) -> str:
        return self.base.config.data.dataset

    @property
    def title(self) -> str:
        """Holds the dataset's name: escape it on a page."""
        count, seeds = len(self.variants), len(self.seeds)
        return (
            f"{self.base.config.preset} on {self.dataset}: {count} component{'s' * (count != 1)}, "
            f"{seeds} seed{'s' * (seeds != 1)}"
        )

    @property
    def arms(self) -> tuple[Variant, ...]:
        """The base and every variant."""
        return (self.base, *self.variants)


def plan_experiment(
    base: RunConfig,
    components: Iterable[Component],
    seeds: int = 3,
    budget_seconds: float | None = None,
    until_decided: bool = False,
) -> ExperimentSpec:
    """What an experiment would consist of; writes nothing. until_decided: `seeds` is the most that it takes.

    The seeds are that of the base and the next ones. Every run has the base's split; with the same seed it draws the
    same first weights, as far as the networks are alike, and sees the pictures in the same order. UserMistake for a
    component that changes nothing in this base, for settings that do not go with the pictures, and for numbers out
    of range.
    """
    components = list(components)
    _check_numbers(len(components), seeds, budget_seconds)
    dataset = find_dataset(base.data.dataset)
    written = base_for(pin_teacher(change_config(base, {"data.dataset": dataset.name})), components)
    variants = variants_for(written, components)
    counted = cache(partial(count_parts, dataset))  # most variants share their pictures
    for variant in variants:
        check_with_data(variant.config.train, counted(variant.config.data))
    notes = []
    if written.model.name != base.model.name:
        notes.append("The base's network is written as the family cnn, which as given is the paper's network.")
    return ExperimentSpec(
        created=now(),
        base=Variant(key="base", title="Base", config=written),
        variants=tuple(variants),
        seeds=tuple(written.train.seed + number for number in range(seeds)),
        budget_seconds=budget_seconds,
        until_decided=until_decided,
        content_hash=dataset.content_hash,
        owner=new_owner(),
        notes=tuple(notes),
    )


def estimate_seconds(plan: ExperimentSpec) -> float | None:
    """What all of it would take, by the base's speed as it was measured or as finished runs needed it; None where
    neither is known. A variant may be slower or faster."""
    answer = estimate_run(plan.base.config, find_dataset(plan.dataset))
    if answer is None:
        return None
    return TIMING_SECONDS * len(plan.variants) + float(answer["seconds"]) * len(plan.arms) * len(plan.seeds)


def _check_numbers(components: int, seeds: int, budget_seconds: float | None) -> None:
    if not components:
        raise UserMistake("an experiment needs at least one component to switch")
    if components > MOST_VARIANTS:
        raise UserMistake(f"{components} components are too many for one experiment; at most {MOST_VARIANTS}")
    if not 1 <= seeds <= MOST_SEEDS:
        raise UserMistake(f"{seeds} seeds: an experiment has 1 to {MOST_SEEDS}")
    if budget_seconds is not None and not 0 < budget_seconds < math.inf:
        raise UserMistake("the budget must be more than nothing, and have an end")
