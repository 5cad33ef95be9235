"""name_runs: what runs are called beside each other: by what a person called them, else by what differs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from core.config import RunConfig
from core.display_names import display_name
from core.fields import acts_in
from core.runs.run import Run

MOST_DIFFERENCES = 3  # in a name; a run that still has the name of another one also has its time, or its id
# what a person looks for first; every other field follows in the order of its definition
FIRST = ("model.name", "train.epochs", "train.learning_rate", "train.batch_size", "train.augment")
LAST = ("train.seed",)


def name_runs(listed: Sequence[Run]) -> dict[str, str]:
    """Id -> name, no two alike. One without a title is e.g. "Quick · artworks · 50 epochs · seed 3": its preset, its
    dataset, and the settings in which runs of both differ here. Names hold what people typed: escape them."""
    names = {run.id: run.marks.title for run in listed if run.marks.title}
    alike: dict[tuple[str, str], list[Run]] = {}
    for run in listed:
        if not run.marks.title:
            alike.setdefault((run.config.preset, run.config.data.dataset), []).append(run)
    for (preset, dataset), runs in alike.items():
        fields = differing_fields([run.config for run in runs])
        for run in runs:
            words = [_in_words(run.config, field) for field in fields if acts_in(run.config, field)]
            names[run.id] = " · ".join([display_name("preset", preset), dataset, *words[:MOST_DIFFERENCES]])
    for more in (_created, _end_of_id, _id):
        count = Counter(names.values())
        for run in listed:
            if count[names[run.id]] > 1:
                names[run.id] += f" · {more(run)}"
    return names


def with_names(listed: Sequence[Run]) -> list[Run]:
    """The same runs, each titled as name_runs calls it among them."""
    names = name_runs(listed)
    return [replace(run, marks=run.marks.model_copy(update={"title": names[run.id]})) for run in listed]


def differing_fields(configs: Sequence[RunConfig]) -> list[str]:
    """The dotted fields in which settings differ, what a person looks for first before the others."""
    flat = [
        {f"{part}.{name}": value for part in ("model", "train", "data") for name, value in getattr(config, part)}
        for config in configs
    ]
    fields = [field for field in (flat[0] if flat else {}) if any(one[field] != flat[0][field] for one in flat)]
    return sorted(fields, key=lambda field: (field in LAST, FIRST.index(field) if field in FIRST else len(FIRST)))


def _in_words(config: RunConfig, field: str) -> str:
    part, name = field.split(".")
    section = getattr(config, part)
    value, title = getattr(section, name), type(section).model_fields[name].title or name
    text = display_name(field, value)
    if field in ("model.name", "model.backbone", "train.optimizer"):
        return text
    if field == "model.trainable":
        return text[:1].lower() + text[1:]
    if field == "train.augment":
        return text if value else "no augmentation"
    if field == "train.teacher" and not value:
        return "no teacher"
    if name == "epochs":
        return f"{text} {'epoch' if value == 1 else 'epochs'}"
    return f"{title[:1].lower()}{title[1:]} {text}"


def _created(run: Run) -> str:
    return run.created[:16].replace("T", " ")


def _end_of_id(run: Run) -> str:
    return run.id[-4:]


def _id(run: Run) -> str:
    return run.id
