"""evaluate, predict: what the network of a run predicts for a part of its pictures, and for others."""

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from core.cli.answers_file import AnswersFile
from core.cli.many_answers import TextList, answer_all
from core.cli.options import AsJson, ModelOfRun, RunName, check_path
from core.cli.output import Bar, JsonList, counted, percent, print_json, print_table, show_until_found, shown
from core.cli.sorting import Sorter
from core.data.sources.picture_files import open_given
from core.errors import UserMistake
from core.evaluation import Evaluation, Which
from core.intervals import wilson
from core.reliability import measure_reliability
from core.runs.run import MODEL_FILES, Run, evaluation_name, read_run


def evaluate(
    run_name: RunName,
    part: Annotated[str, typer.Option("--part", help="train, val or test.")] = "test",
    measure: Annotated[
        str, typer.Option("--measure", help="evaluation, or paper: first two of each batch, batch statistics.")
    ] = "evaluation",
    model: ModelOfRun = None,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", metavar="FILE.csv", help="Write a line for each picture: its name and the answer."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The accuracy of the network on a part, in all and for each class."""
    run = read_run(run_name)
    evaluation_name(part, measure)  # type: ignore[arg-type]  # refuses what is neither
    which, evaluation = model_of(run, model), run.evaluation(part, measure)  # type: ignore[arg-type]
    if evaluation is None or (model and evaluation.model != which):
        evaluation = evaluate_now(run, part, measure, which)
    if answers is not None:
        _write_answers(run, evaluation, answers)
    document = evaluation_document(run, evaluation)
    if as_json:
        print_json(document)
        return
    low, high = evaluation.interval
    print(f"{run.id}  {shown(run.title)}  {part} ({measure}), {run.describe_model(evaluation.model)}")
    print(f"{percent(evaluation.accuracy)} of {evaluation.n:,} pictures right (95 % interval {low:.2%} to {high:.2%})")
    print(f"{percent(evaluation.mean_class_accuracy)} mean of the classes, macro F1 {percent(evaluation.macro_f1)}")
    print(
        f"guessing {percent(evaluation.chance)}, always the largest class {percent(evaluation.majority)}; "
        f"calibration error {percent(document['calibration']['error'])}"
    )
    rows = [
        [name, one["n"], one["right"], *(percent(one[key]) for key in ("accuracy", "precision", "f1"))]
        for name, one in document["per_class"].items()
    ]
    print_table(["class", "pictures", "right", "accuracy", "precision", "F1"], rows)
    if answers is not None:
        print(f"written to {shown(answers)}")


def model_of(run: Run, model: str | None) -> Which:
    """The model that was asked for, else the one that predicts for the run; UserMistake for one that there is not."""
    if model is None:
        return run.used_model
    if model not in MODEL_FILES:
        raise UserMistake(f"no model {model!r} of a run; known: {', '.join(MODEL_FILES)}")
    return model


def evaluate_now(run: Run, part: str, measure: str, which: Which) -> Evaluation:
    from core.inference.evaluating import evaluate_run
    from core.runs.writer import RunWriter

    evaluation = evaluate_run(run, part, measure, which)  # type: ignore[arg-type]
    # while it trains, the network of the next minute is another one
    if run.state.ended and which == run.used_model:
        RunWriter(run.folder).save_evaluation(evaluation)
    return evaluation


def _write_answers(run: Run, evaluation: Evaluation, path: Path) -> None:
    """UserMistake where the pictures that the answers are about are gone, or the file cannot be written."""
    from core.data.store.store import load_store
    from core.disk import write_atomic
    from core.spreadsheet import csv_file

    store = load_store(run.config.data)
    if store.fingerprint != run.fingerprint:
        raise UserMistake(
            f"The dataset {run.config.data.dataset!r} changed since run {run.id}, so its pictures have no names now"
        )
    classes = evaluation.classes
    rows = zip(
        (store.names[int(row)] for row in evaluation.indices),
        (classes[label] for label in evaluation.labels),
        (classes[label] for label in evaluation.predictions),
        (round(float(value), 6) for value in evaluation.probabilities.max(axis=1)),
        strict=True,
    )
    try:
        write_atomic(path, csv_file(["file", "true", "predicted", "probability"], rows))
    except OSError as error:
        raise UserMistake(
            f"{str(path)!r} cannot be written: {error.strerror}. Name another file with --answers."
        ) from error


def evaluation_document(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    """The numbers of an evaluation as JSON; accuracies are fractions 0..1, intervals 95 %."""
    calibration = measure_reliability(evaluation)
    return {
        "run": run.id,
        "model": evaluation.model,
        "part": evaluation.part,
        "measure": evaluation.measure,
        "n": evaluation.n,
        "right": int(evaluation.correct.sum()),
        "accuracy": evaluation.accuracy,
        "interval": evaluation.interval,
        "mean_class_accuracy": evaluation.mean_class_accuracy,
        "macro_f1": evaluation.macro_f1,
        "chance": evaluation.chance,
        "majority": evaluation.majority,
        "calibration": {"error": calibration.error, "interval": calibration.interval},
        "per_class": _class_documents(evaluation),
    }


def _class_documents(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    columns = (np.diag(evaluation.confusion), evaluation.counts, evaluation.precision, evaluation.per_class)
    values = zip(*(column.tolist() for column in (*columns, evaluation.f1)), strict=True)
    return {
        name: {
            "accuracy": accuracy,
            "n": n,
            "right": right,
            "interval": wilson(right, n),
            "precision": precision,
            "recall": accuracy,
            "f1": f1,
        }
        for name, (right, n, precision, accuracy, f1) in zip(evaluation.classes, values, strict=True)
    }


def predict(
    run_name: RunName,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE...", help="Picture files, or folders and zips of them.")
    ],
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write a line a picture; what it has already is not asked again."),
    ] = None,
    sort_into: Annotated[
        Path | None,
        typer.Option("--sort-into", metavar="FOLDER", help="Copy each picture into a folder for its answer."),
    ] = None,
    model: ModelOfRun = None,
    as_json: AsJson = False,
) -> None:
    """Classify pictures with the network of a run: every class with its probability, best first, and whether it
    is none of these.

    Exit code 0 where all could be read, 1 where some could not, 2 where none could. Ctrl-C keeps what was done; the
    same command with the same --csv goes on there.
    """
    from core.inference.answers import prepare_answers

    run = read_run(run_name)
    which = model_of(run, model)
    for path in (csv_file, sort_into):
        check_path(path)
    file = AnswersFile(csv_file, run.id, run.weights_sha256(which)[:16]) if csv_file else None
    with Bar() as bar, open_given(pictures, sort_into) as given:
        answers = show_until_found(prepare_answers(run, which), "own pictures: ")
        for sentence in answers.missing:
            print(shown(sentence), file=sys.stderr)
        sorter = Sorter(sort_into, answers.predictor.classes) if sort_into else None
        left = [one for one in given if file is None or not file.holds(one.name)]
        if file and len(left) < len(given):
            print(f"{len(given) - len(left):,} of {len(given):,} pictures are in the file already.", file=sys.stderr)
        printed = JsonList() if as_json else None if file or sorter else TextList()
        total = answer_all(answers, left, file, sorter, printed, bar)
    if not as_json and (file or sorter):
        total.print_table()
    _report_unreadable(total.unreadable, len(left))


def _report_unreadable(unreadable: int, of: int) -> None:
    if unreadable and unreadable == of:
        raise UserMistake(f"None of the {counted(of, 'picture')} could be read." if of > 1 else "It could not be read.")
    if unreadable:
        print(f"{unreadable:,} of {of:,} pictures could not be read.", file=sys.stderr)
        raise typer.Exit(1)
