"""The sections of a report about a run; every number is one that the run has stored."""

from collections.abc import Callable, Collection, Iterator
from itertools import groupby

import numpy as np

from core.config import RunConfig
from core.data.datasets.dataset import Dataset
from core.data.duplicates.duplicates import read_duplicates
from core.data.quality.shortcuts import Shortcuts
from core.data.splits import PARTS
from core.data.store.store import TensorStore, open_store, split_dataset
from core.display_names import display_name
from core.errors import UserMistake
from core.fields import acts, settings_of
from core.findings.finding import dataset_of, read_facts
from core.findings.pairs import findings
from core.notebook.notebook import read_notebook
from core.notebook.scoring import score_guesses, summarize
from core.presets import all_presets, preset
from core.reports.blocks import Block, Items, Listing, Paragraph, Picture, Section, table
from core.reports.drawing import draw_curves, draw_sheet
from core.reports.network_drawing import draw_network
from core.reports.outline import SECTIONS
from core.reports.results_sections import NOT_EVALUATED, accuracy_sentence, mistakes_blocks, results_blocks
from core.runs.environments import read_environments
from core.runs.run import Run
from core.runs.teachers import teacher_sentence

EXAMPLES = 24  # pictures on a sheet

Measure = Callable[[Dataset, RunConfig], Shortcuts | None]


def run_sections(run: Run, measure_shortcuts: Measure, chosen: Collection[str]) -> Iterator[Section]:
    """measure_shortcuts: what colour, brightness and size alone score; None leaves them out. chosen: of SECTIONS; what
    is not chosen is not computed."""
    dataset = dataset_of(run)
    store = _store_of(run, dataset)
    asks = {"data", "findings", "limits"} & set(chosen)
    shortcuts = measure_shortcuts(dataset, run.config) if dataset is not None and asks else None
    blocks: dict[str, Callable[[], Iterator[Block]]] = {
        "data": lambda: _data(run, dataset, store, shortcuts),
        "network": lambda: _network(run),
        "training": lambda: _training(run, dataset),
        "results": lambda: results_blocks(run),
        "mistakes": lambda: mistakes_blocks(run, store),
        "findings": lambda: _findings(run, shortcuts),
        "guesses": lambda: guess_blocks({run.id}),
        "time": lambda: _time(run),
        "environment": lambda: _environment(run),
        "limits": lambda: _limits(run, shortcuts),
    }
    yield Section(run.title, tuple(_summary(run)), level=1)
    for name, make in blocks.items():
        if name in chosen and (made := tuple(make())):
            yield Section(SECTIONS[name], made, name=name)


def guess_blocks(subjects: Collection[str]) -> Iterator[Block]:
    """The guesses about these runs and experiments beside what came of them; nothing where nobody guessed."""
    scores = score_guesses([guess for guess in read_notebook().guesses if guess.about in subjects])
    if scores:
        rows = [[one.guess.at[:10], one.guess.text, one.subject, one.outcome, one.verdict] for one in scores]
        yield table(["day", "guess", "about", "outcome", "verdict"], rows)
        if text := summarize(scores):
            yield Paragraph(f"{text}.")


def dataset_blocks(dataset: Dataset, config: RunConfig) -> Iterator[Block]:
    """Counts of classes and parts, duplicates and notes of a dataset, split as the settings say."""
    parts = split_dataset(dataset, config.data)
    yield Paragraph(
        f"{dataset.name}: {dataset.given:,} files given, {dataset.used:,} used, {len(dataset.refused):,} refused"
        + (f", {len(dataset.excluded):,} excluded" if dataset.excluded else "")
        + ("; drawn by the program" if dataset.drawn else "")
        + "."
    )
    counts = {name: np.bincount(dataset.labels[rows], minlength=len(dataset.classes)) for name, rows in parts.items()}
    rows = [
        [label, *(int(counts[part][k]) for part in PARTS), int(sum(counts[part][k] for part in PARTS))]
        for k, label in enumerate(dataset.classes)
    ]
    rows.append(["all", *(len(parts[part]) for part in PARTS), sum(map(len, parts.values()))])
    yield table(["class", "training", "validation", "test", "together"], rows)
    found = read_duplicates(dataset)
    if found is None:
        yield Paragraph("Duplicates have not been searched.")
    else:
        leaked = len(found.test_leakage(parts))
        yield Paragraph(
            f"{len(found.pairs):,} pairs of duplicates were found; {leaked:,} test pictures are duplicates of training "
            "pictures."
        )
    if dataset.notes:
        yield Items(tuple(dataset.notes))


def sample_sheet(store: TensorStore, name: str) -> Iterator[Block]:
    """Pictures from all over the store, as the network receives them, and their classes."""
    rows = np.unique(np.linspace(0, len(store.labels) - 1, min(EXAMPLES, len(store.labels))).astype(int))
    names = ", ".join(_places_of(store, rows.tolist()))
    caption = f"Examples, as the network receives them ({store.preprocess.image_size} pixels): {names}"
    yield Picture(name, draw_sheet([store.images[row] for row in rows]), caption)


def _places_of(store: TensorStore, rows: list[int]) -> Iterator[str]:
    """Which places of a sheet show which class: "1 to 8 cartoon"."""
    for label, of_one in groupby(enumerate(rows, start=1), key=lambda place: int(store.labels[place[1]])):
        places = [place for place, _ in of_one]
        span = f"{places[0]} to {places[-1]}" if len(places) > 1 else str(places[0])
        yield f"{span} {store.classes[label]}"


def shortcut_table(shortcuts: Shortcuts) -> Iterator[Block]:
    scores = {"always the largest class": shortcuts.majority}
    scores |= {f"{score.name} alone": score for score in shortcuts.scores}
    rows = [
        [name, score.right, score.n, f"{score.accuracy:.1%}", f"{score.interval[0]:.1%} to {score.interval[1]:.1%}"]
        for name, score in scores.items()
    ]
    yield Paragraph("What predicts the class of the test pictures without a network:")
    yield table(["from", "right", "of", "accuracy", "95 % interval"], rows)


def _store_of(run: Run, dataset: Dataset | None) -> TensorStore | None:
    try:
        return None if dataset is None else open_store(dataset, run.config.data)
    except UserMistake:  # a picture that is damaged by now; the numbers are there
        return None


def _summary(run: Run) -> Iterator[Block]:
    test = run.evaluation("test")
    yield Paragraph(f"{accuracy_sentence(test)}, {run.describe_model()}." if test else NOT_EVALUATED)
    network = display_name("model.name", run.config.model.name)
    yield Paragraph(
        f"Run {run.id}, {run.state.status}, made {run.created[:16].replace('T', ' ')} UTC: {network} on "
        f"{run.config.data.dataset}, from the preset {display_name('preset', run.config.preset)}."
    )
    if taught := teacher_sentence(run):
        yield Paragraph(taught)
    if run.marks.note:
        yield Paragraph(f"Note: {run.marks.note}")


def _data(run: Run, dataset: Dataset | None, store: TensorStore | None, shortcuts: Shortcuts | None) -> Iterator[Block]:
    if dataset is None:
        yield Paragraph(f"The pictures of {run.config.data.dataset} are no longer here, or are others by now.")
        return
    yield from dataset_blocks(dataset, run.config)
    if shortcuts:
        yield from shortcut_table(shortcuts)
    if store:
        yield from sample_sheet(store, f"{run.id}-examples.png")


def _network(run: Run) -> Iterator[Block]:
    if not run.has_model:
        yield Paragraph("No model was saved.")
        return
    from core.inference.predictor import load_model
    from core.models.summary import layer_table, torchsummary_text

    model, side = load_model(run), run.config.data.image_size
    layers = layer_table(model, side)
    total, trainable = (sum(getattr(one, name) for one in layers) for name in ("parameters", "trainable"))
    yield Paragraph(
        f"{total:,} parameters, {trainable:,} of them trainable; {sum(one.multiply_adds for one in layers):,} "
        f"multiply-adds for a picture of {side} x {side}."
    )
    caption = "From the picture to the answer; blue learns, grey does not."
    yield Picture(f"{run.id}-network.svg", draw_network(layers, side), caption)
    rows = [[one.name, one.kind, _size(one.output_shape), one.parameters, one.detail] for one in layers]
    yield table(["layer", "kind", "output", "parameters", "settings"], rows)
    try:
        text = torchsummary_text(model, side)
    except UserMistake as mistake:
        yield Paragraph(str(mistake))
    else:
        yield Paragraph("The same as torchsummary prints it:")
        yield Listing(text)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _training(run: Run, dataset: Dataset | None) -> Iterator[Block]:
    changed = list(_changes(run, dataset))
    if changed:
        yield Paragraph("Settings that differ from the preset:")
        yield table(["setting", "preset", "this run"], changed)
    elif run.config.preset in all_presets():
        yield Paragraph("Every setting is that of the preset.")
    train = run.config.train
    yield Paragraph(
        f"{train.epochs} epochs, batches of {train.batch_size}, {display_name('train.optimizer', train.optimizer)}, "
        f"learning rate {train.learning_rate:g} ({display_name('train.schedule', train.schedule)}), seed {train.seed}."
    )
    epochs = run.epochs()
    for what, times, up in (("loss", 1, "loss"), ("accuracy", 100, "accuracy, %")):
        series = {
            label: [
                (row.epoch, times * value) for row in epochs if (value := getattr(row, f"{field}_{what}")) is not None
            ]
            for label, field in (("training", "train"), ("validation", "val"))
        }
        if known := {label: points for label, points in series.items() if points}:
            caption = f"{what.capitalize()} after each epoch; of training, while the weights changed."
            yield Picture(f"{run.id}-{what}.svg", draw_curves(known, "epoch", up), caption)


def _changes(run: Run, dataset: Dataset | None) -> Iterator[list[str]]:
    if run.config.preset not in all_presets():
        return
    pictures = len(split_dataset(dataset, run.config.data)["train"]) if dataset is not None else None
    usual = settings_of(preset(run.config.preset, pictures))
    for field, value in settings_of(run.config).items():
        if value != usual[field] and field != "data.dataset":
            yield [field, display_name(field, usual[field]), display_name(field, value)]


def _findings(run: Run, shortcuts: Shortcuts | None) -> Iterator[Block]:
    try:
        found = findings(read_facts(run, shortcuts))
    except UserMistake as mistake:
        yield Paragraph(f"None: {mistake}.")
        return
    suggested = [f" Try: {one.suggestion.label}." if one.suggestion else "" for one in found]
    yield Items(tuple(one.sentence + more for one, more in zip(found, suggested, strict=True)))


def _time(run: Run) -> Iterator[Block]:
    state, epochs = run.state, run.epochs()
    parts = [f"{state.seconds:,.1f} s of training"]
    if state.backbone_seconds:
        asked = ["the features of the frozen backbone"] if acts("trainable", dict(run.config.model)) else []
        asked += ["the teacher's answers"] if run.config.train.teacher else []
        parts.append(f"{state.backbone_seconds:,.1f} s for {' and '.join(asked)}")
    if epochs:
        parts.append(f"{sum(row.seconds for row in epochs) / len(epochs):,.2f} s an epoch")
    yield Paragraph(f"{', '.join(parts)}.")


def _environment(run: Run) -> Iterator[Block]:
    environments = read_environments(run.folder)
    if not environments:
        yield Paragraph("The run was trained before environments were kept.")
    for one in environments:
        fields = one.model_dump(exclude={"packages"}) | one.packages
        yield table(["what", "value"], [[name.replace("_", " "), value] for name, value in fields.items()])


def _limits(run: Run, shortcuts: Shortcuts | None) -> Iterator[Block]:
    test = run.evaluation("test")
    texts = [
        "One training with one seed: another seed gives another accuracy; an interval here is about the test pictures, "
        "not about seeds.",
        "The accuracy holds for pictures like those of the test part, taken and chosen in the same way.",
    ]
    if test and test.n:
        low, high = test.interval
        texts.append(f"{test.n:,} test pictures: the interval is {100 * (high - low):.1f} points wide.")
    if run.config.train.teacher:
        texts.append(
            "It learnt from another network's answers: the same settings without a teacher give another accuracy."
        )
    if not shortcuts:
        texts.append("What colour, brightness and size alone would score was not measured.")
    yield Items(tuple(texts))
