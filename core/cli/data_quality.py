"""data duplicates, shortcuts, label-issues, map: what may be wrong with a dataset, measured."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli.options import AsJson, DataName
from core.cli.output import Bar, percent, print_json, print_table, show_steps, shown
from core.config import DataConfig
from core.errors import UserMistake
from core.presets import preset
from core.runs.run import Run, list_runs, read_run

if TYPE_CHECKING:
    import numpy as np

    from core.data.datasets.dataset import Dataset
    from core.data.duplicates.duplicates import Duplicates
    from core.data.quality.embedding_map import EmbeddingMap
    from core.data.quality.shortcuts import Shortcuts

ROWS_SHOWN = 20  # --json has them all
quality_app = typer.Typer()  # its commands stand among those of data


@quality_app.command("duplicates")
@quality_app.command("copies", hidden=True)  # as version 0.1.0 called it
def data_duplicates(name: DataName, as_json: AsJson = False) -> None:
    """Duplicates and near-duplicates: across classes, across parts, and how many leak into the test part of a split."""
    from core.data.datasets.dataset import find_dataset
    from core.data.duplicates.duplicates import read_duplicates
    from core.data.store.store import find_duplicates_of

    dataset = find_dataset(name)
    show_steps(find_duplicates_of(dataset))
    found = read_duplicates(dataset)
    assert found is not None, dataset.folder
    document = _duplicates_document(dataset, found)
    if as_json:
        print_json(document)
    else:
        _print_duplicates(document)


def _duplicates_document(dataset: "Dataset", found: "Duplicates") -> dict[str, Any]:
    from core.data.duplicates.duplicates import KINDS

    names = dataset.names
    pairs = [
        {
            "first": _picture_document(dataset, first),
            "second": _picture_document(dataset, second),
            "kind": KINDS[kind],
            "distance": round(float(distance), 4),
        }
        for (first, second), kind, distance in zip(found.pairs.tolist(), found.kinds, found.distances, strict=True)
    ]
    return {
        "name": dataset.name,
        "pictures": dataset.used,
        "groups": [[names[row] for row in group] for group in _members(found.groups) if len(group) > 1],
        "pairs": pairs,
        "conflicts": [pairs[i] for i in found.across(dataset.labels)],
        "leaks": [pairs[i] for i in found.across(dataset.given_parts)],
        "split": _leaked_in_splits(dataset, found),
    }


def _picture_document(dataset: "Dataset", row: int) -> dict[str, Any]:
    from core.data.splits import PARTS

    given = dataset.given_parts[row]
    part = PARTS[given] if given >= 0 else None
    return {"name": dataset.names[row], "class": dataset.classes[dataset.labels[row]], "part": part}


def _members(groups: "np.ndarray") -> "list[np.ndarray]":
    """The rows of each group; groups: int64 (N,), the number of each row's group."""
    import numpy as np

    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _leaked_in_splits(dataset: "Dataset", found: "Duplicates") -> dict[str, dict[str, int]]:
    """data.duplicates -> the size of the test part and how many of it are duplicates of training pictures."""
    from core.data.store.store import split_dataset

    leaked = {}
    for duplicates in ("ignore", "together"):
        parts = split_dataset(dataset, DataConfig(dataset=dataset.name, duplicates=duplicates))
        leaked[duplicates] = {"test": len(parts["test"]), "copies_of_train": len(found.test_leakage(parts))}
    return leaked


def _print_duplicates(document: dict[str, Any]) -> None:
    count = sum(len(group) for group in document["groups"])
    print(f"{shown(document['name'])}: {count:,} of {document['pictures']:,} pictures have a duplicate among them")
    for where, pairs in (
        ("in another class, so that no network can be right about both", document["conflicts"]),
        ("in another given part, which makes the test too easy", document["leaks"]),
    ):
        if pairs:
            print(f"{len(pairs):,} pair(s) {where}:")
            _print_pairs(pairs)
    if document["pairs"]:
        print(f"{len(document['pairs']):,} pair(s) in all, in {len(document['groups']):,} group(s):")
        _print_pairs(document["pairs"])
    for duplicates, split in document["split"].items():
        print(
            f"split with data.duplicates={duplicates}: {split['copies_of_train']:,} of {split['test']:,} test pictures "
            "are duplicates of training pictures"
        )


def _print_pairs(pairs: list[dict[str, Any]]) -> None:
    rows = [
        [
            pair["kind"],
            pair["distance"],
            *(pair[which][field] for which in ("first", "second") for field in ("class", "name")),
        ]
        for pair in pairs[:ROWS_SHOWN]
    ]
    print_table(["kind", "distance", "class", "picture", "class", "picture"], rows)
    _print_more(len(pairs))


def _print_more(count: int) -> None:
    if count > ROWS_SHOWN:
        print(f"... and {count - ROWS_SHOWN:,} more; --json lists them all")


@quality_app.command("shortcuts")
def data_shortcuts(name: DataName, as_json: AsJson = False) -> None:
    """What colour, brightness and picture size alone score, on the split that Train proposes, compared to a network."""
    from core.data.datasets.dataset import find_dataset
    from core.data.quality.shortcuts import measure_shortcuts
    from core.experiments.dataset_runs import best_run

    dataset = find_dataset(name)
    data = preset("quick").data.model_copy(update={"dataset": dataset.name})
    with Bar() as bar:
        found = measure_shortcuts(dataset, data, lambda done, total: bar.show("measuring", done, total, ""))
    best = best_run(dataset, data, list_runs())
    if as_json:
        network = {"run": best[0].id, "right": best[1][0], "n": best[1][1]} if best else None
        print_json(_shortcuts_document(found, best[1] if best else None) | {"network": network})
    else:
        _print_shortcuts(found, best)


def _shortcuts_document(found: "Shortcuts", network: tuple[int, int] | None) -> dict[str, Any]:
    """Every score with its interval and verdict; network: (right, n) of the best one."""
    scores = [
        {
            "name": one.name,
            "right": one.right,
            "n": one.n,
            "accuracy": one.accuracy,
            "interval": one.interval,
            "mean_of_classes": one.balanced,
            "verdict": found.verdict(one, network),
        }
        for one in [*found.scores, found.majority]
    ]
    worst = found.worst(network)
    return {
        "scores": scores[:-1],
        "majority": scores[-1],
        "chance": found.chance,
        "learnt_from": found.learnt_from,
        "of_train": found.of_train,
        "of_test": found.of_test,
        "warning": worst.name if worst else None,
    }


def _print_shortcuts(found: "Shortcuts", best: tuple[Run, tuple[int, int]] | None) -> None:
    rows = []
    for one in [*found.scores, found.majority]:
        low, high = one.interval
        interval = f"{percent(low)} to {percent(high)}"
        rows.append([one.name, one.right, one.n, percent(one.accuracy), interval, percent(one.balanced)])
    print_table(["alone", "right", "n", "accuracy", "95 % interval", "mean of classes"], rows)
    print(f"chance: {percent(found.chance)}; fitted on {found.learnt_from:,} of {found.of_train:,} training pictures")
    if best:
        run, (right, n) = best
        print(f"best network: {percent(right / n)} of {n:,} (run {run.id})")
    worst = found.worst(best[1] if best else None)
    if worst is not None:
        print(f"warning: {worst.name} alone tells the classes apart; a network can score as much without seeing more")


@quality_app.command("label-issues")
@quality_app.command("doubtful", hidden=True)  # as version 0.1.0 called it
def data_label_issues(
    name: DataName,
    run_name: Annotated[
        str, typer.Option("--run", metavar="RUN", help="Whose predictions; latest: the newest.")
    ] = "latest",
    cross_validated: Annotated[
        bool,
        typer.Option(
            "--cross-validated", help="By networks that were not trained on the picture; trains them first, once."
        ),
    ] = False,
    unseen: Annotated[bool, typer.Option("--unseen", hidden=True)] = False,  # --cross-validated in version 0.1.0
    with_run: Annotated[
        bool, typer.Option("--both", help="By the mean of those networks' predictions and the run's own.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Pictures whose given class a trained network contradicts, the most strongly contradicted first."""
    from core.data.datasets.dataset import find_dataset
    from core.experiments.audits import label_issues
    from core.experiments.audits.cross_validation import predict_cross_validated

    dataset, cross_validated = find_dataset(name), cross_validated or unseen or with_run
    run = _judging_run(dataset, run_name)
    if cross_validated:
        show_steps(predict_cross_validated(dataset, run))
        found = label_issues.find_cross_validated_label_issues(run, dataset, with_run)
    else:
        found = label_issues.find_label_issues(run, dataset)
    assert found is not None, dataset.folder
    table = label_issues.label_issue_table(found, dataset)
    if as_json:
        document = {"dataset": dataset.name, "run": run.id, "unseen": cross_validated, "both": with_run}
        print_json(document | {"doubtful": table})
    else:
        print(
            f"{len(table):,} of {dataset.used:,} pictures have a label issue {_judges(run, cross_validated, with_run)}."
        )
        _print_label_issues(table)


def _judging_run(dataset: "Dataset", run_name: str) -> Run:
    from core.experiments.dataset_runs import runs_on

    if run_name != "latest":
        return read_run(run_name)
    run = next(iter(runs_on(dataset, list_runs())), None)
    if run is None:
        raise UserMistake(f"no run has ended that was trained on the pictures that {dataset.name!r} has now")
    return run


def _judges(run: Run, cross_validated: bool, with_run: bool) -> str:
    if not cross_validated:
        return f"according to run {run.id}; of training pictures more may have one"
    if with_run:
        return f"according to the mean of run {run.id} and networks trained like it on the other folds"
    return f"according to networks trained like run {run.id} on the other folds"


def _print_label_issues(table: list[dict[str, object]]) -> None:
    if table:
        head = [column for column in table[0] if column != "choice"]
        print_table(head, [[row[column] for column in head] for row in table[:ROWS_SHOWN]])
    _print_more(len(table))


@quality_app.command("map")
def data_map(
    name: DataName,
    run_name: Annotated[
        str,
        typer.Option(
            "--run", metavar="RUN", help="By the features of this run's network, not by plain colours and layout."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Lay the pictures out in a plane so that like ones lie near each other, and say how often those are of a class."""
    from core.data.datasets.dataset import find_dataset
    from core.data.quality.embedding_map import APPEARANCE, make_map, read_map
    from core.data.store.store import preprocess_of

    dataset, of, steps = find_dataset(name), APPEARANCE, None
    if run_name:
        from core.experiments.dataset_runs import runs_on
        from core.inference.features import load_features

        run = read_run(run_name)
        if not runs_on(dataset, [run]):
            raise UserMistake(f"run {run.id} was not trained on the pictures that {dataset.name!r} has now")
        of, steps = run.id, make_map(dataset, load_features(run), preprocess_of(run.config.data), run.id)
    show_steps(steps or make_map(dataset))
    found = read_map(dataset, of)
    assert found is not None, dataset.folder
    same, n = found.count_same_class(dataset.labels[found.rows])
    if as_json:
        alike = {"same_class": same, "n": n}
        print_json({"dataset": dataset.name, "of": of, "alike": alike, "places": _map_places(dataset, found)})
        return
    print(f"{len(found.rows):,} of {dataset.used:,} pictures are laid out; the page Data shows them, --json lists them")
    print(f"of the {found.near.shape[1]} pictures most alike to one, {percent(same / n)} of {n:,} are of its class")


def _map_places(dataset: "Dataset", found: "EmbeddingMap") -> list[dict[str, Any]]:
    labels = dataset.labels[found.rows]
    return [
        {"name": dataset.names[row], "class": dataset.classes[label], "x": float(x), "y": float(y)}
        for row, label, (x, y) in zip(found.rows.tolist(), labels.tolist(), found.places, strict=True)
    ]
