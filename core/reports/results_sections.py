"""The sections of a report about what a run answers: results, mistakes with heat maps, and several runs compared."""

from collections.abc import Iterator, Sequence

import numpy as np

from core.data.pictures.preprocess import Preprocess
from core.data.store.store import TensorStore
from core.display_names import display_name
from core.errors import UserMistake
from core.evaluation import MEASURES, Evaluation
from core.experiments.audits.explanations import default_method, read_explanations
from core.experiments.run_comparison import compare_runs
from core.intervals import wilson
from core.reports.blocks import Block, Items, Paragraph, Picture, Section, Table, table
from core.reports.drawing import draw_sheet
from core.runs.run import Run
from core.runs.teachers import teacher_sentence

MISTAKES = 16  # the most confident ones
MOST_CLASSES = 20  # of a confusion matrix that is printed; of more, the commonest confusions are listed
CONFUSIONS = 10
NOT_EVALUATED = "The run has no stored predictions for its test part; python -m core evaluate makes them."


def accuracy_sentence(evaluation: Evaluation) -> str:
    low, high = evaluation.interval
    return (
        f"{evaluation.accuracy:.2%} of {evaluation.n:,} {evaluation.part} pictures right "
        f"(95 % interval {low:.2%} to {high:.2%})"
    )


def results_blocks(run: Run) -> Iterator[Block]:
    test = run.evaluation("test")
    if test is None:
        yield Paragraph(NOT_EVALUATED)
        return
    rows = []
    for part in ("test", "val", "train"):
        for measure in MEASURES:
            if (found := run.evaluation(part, measure)) and found.n:
                rows.append([display_name("part", part), display_name("measure", measure), *_accuracy_cells(found)])
    yield table(["part", "measure", "right", "of", "accuracy", "95 % interval", "mean of the classes"], rows)
    yield Paragraph(
        f"Guessing: {test.chance:.1%}; always the largest class: {test.majority:.1%}; macro F1: {test.macro_f1:.1%}."
    )
    yield _per_class(test)
    yield from _confusion(test)


def _accuracy_cells(found: Evaluation) -> list[str | int]:
    low, high = found.interval
    right = int(found.correct.sum())
    return [right, found.n, f"{found.accuracy:.2%}", f"{low:.2%} to {high:.2%}", f"{found.mean_class_accuracy:.2%}"]


def _per_class(test: Evaluation) -> Table:
    rows = []
    columns = zip(test.classes, np.diag(test.confusion).tolist(), test.counts.tolist(), strict=True)
    for (name, right, n), precision, f1 in zip(columns, test.precision, test.f1, strict=True):
        low, high = wilson(right, n)
        accuracy = f"{right / n:.1%}" if n else "-"
        rows.append([name, n, right, accuracy, f"{low:.0%} to {high:.0%}", _share(precision), _share(f1)])
    return table(["class", "test pictures", "right", "accuracy (recall)", "95 % interval", "precision", "F1"], rows)


def _share(value: float) -> str:
    return f"{value:.1%}" if np.isfinite(value) else "-"


def _confusion(test: Evaluation) -> Iterator[Block]:
    confusion = test.confusion
    if len(test.classes) <= MOST_CLASSES:
        yield Paragraph("Confusion matrix of the test part: a row is the true class, a column the predicted one.")
        rows = [[name, *row] for name, row in zip(test.classes, confusion.tolist(), strict=True)]
        shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        plain = table(["true / predicted", *test.classes], rows)
        yield Table(plain.head, plain.rows, tuple((None, *row) for row in shares.tolist()))
    wrong = confusion - np.diag(np.diag(confusion))
    order = [divmod(int(place), len(test.classes)) for place in np.argsort(-wrong, axis=None)[:CONFUSIONS]]
    rows = [[test.classes[i], test.classes[j], int(wrong[i, j])] for i, j in order if wrong[i, j]]
    if rows:
        yield Paragraph("The commonest confusions:")
        yield table(["true class", "predicted as", "test pictures"], rows)


def mistakes_blocks(run: Run, store: TensorStore | None) -> Iterator[Block]:
    """The mistakes of which the network is most sure, and which places speak for the answers that it gave."""
    test = run.evaluation("test")
    if test is None:
        yield Paragraph(NOT_EVALUATED)
        return
    sure = test.probabilities.max(axis=1)
    wrong = np.flatnonzero(~test.correct)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    if not len(wrong):
        yield Paragraph("No test picture is predicted wrongly.")
        return
    yield Paragraph(f"The {len(wrong)} mistakes of which the network is most sure:")
    if store:
        images = [store.images[test.indices[at]] for at in wrong]
        heats, told = _heat_maps(run, images, [int(test.predictions[at]) for at in wrong])
        yield Picture(f"{run.id}-mistakes.png", draw_sheet(images, heats), f"Numbered as in the table. {told}")
    rows = [
        [
            place,
            str(store.names[int(test.indices[at])]) if store else f"picture {test.indices[at]}",
            test.classes[test.labels[at]],
            test.classes[test.predictions[at]],
            f"{sure[at]:.1%}",
        ]
        for place, at in enumerate(wrong, start=1)
    ]
    yield table(["", "file", "true class", "predicted", "probability"], rows)


def _heat_maps(run: Run, images: Sequence[np.ndarray], targets: Sequence[int]) -> tuple[list[np.ndarray], str]:
    """uint8 (3, S, S) each: which places speak for the class of `targets`; and what they are, in a sentence."""
    from core.inference.attribution import Explainer
    from core.inference.predictor import load_predictor

    try:
        predictor = load_predictor(run)
        method = default_method(run)
        explainer = Explainer(predictor.model, predictor.preprocess)
        maps = [
            explainer.attribute(np.asarray(image), method, target).map  # type: ignore[arg-type]  # one of its names
            for image, target in zip(images, targets, strict=True)
        ]
    except UserMistake as mistake:  # a network to which the method does not apply, weights that are gone
        return [], f"No heat maps: {mistake}"
    whole = Preprocess(image_size=predictor.preprocess.image_size, fit="squash")
    why = "which measured best for this network" if read_explanations(run) else "not measured for this network"
    name = display_name("attribution", method)
    told = f"Below each, the places that speak for the answer that was given: {name}, {why}."
    return [_over(image, heat, whole) for image, heat in zip(images, maps, strict=True)], told


def _over(image: np.ndarray, heat: np.ndarray, whole: Preprocess) -> np.ndarray:
    from PIL import Image

    from core.inference.heat_map import draw_heat_map

    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    return np.asarray(draw_heat_map(picture, heat, whole)).transpose(2, 0, 1)


def compare_section(runs: Sequence[Run]) -> Section:
    """Several runs side by side, and which of them can be told apart where their test parts are the same."""
    known = [(run, test) for run in runs if (test := run.evaluation("test")) and test.n]
    rows = [[run.title, run.id, run.config.data.dataset, *_accuracy_cells(test)[1:4]] for run, test in known]
    blocks: list[Block] = [table(["run", "id", "dataset", "test pictures", "accuracy", "95 % interval"], rows)]
    try:
        found = compare_runs([run for run, _ in known], [test for _, test in known])
    except UserMistake as mistake:
        blocks.append(Paragraph(f"They are not compared picture by picture: {mistake}"))
    else:
        for pair in found.pairs:
            one, other, answers = found.runs[pair.a], found.runs[pair.b], pair.answers
            low, high = answers.interval
            verdict = "differ" if pair.differs else "cannot be told apart"
            blocks.append(
                Paragraph(
                    f"{one.title} and {other.title} {verdict} (exact McNemar test, p = {answers.p_value:.3g}): second "
                    f"minus first {100 * answers.difference:+.2f} points (95 % interval {100 * low:+.2f} to "
                    f"{100 * high:+.2f})."
                )
            )
        blocks.append(Paragraph(found.correction))
    if taught := [f"{run.title}: {sentence}" for run, _ in known if (sentence := teacher_sentence(run))]:
        blocks.append(Items(tuple(taught)))
    return Section("The runs compared", tuple(blocks), level=1, name="results")
