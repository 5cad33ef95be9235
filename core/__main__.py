"""Every deed of Atelier from the command line.

python -m core --help
python -m core data add sample-artworks
python -m core train --data sample-artworks --preset quick
python -m core predict latest picture.jpg --json

Results on stdout (one JSON document with --json), progress on stderr. Exit code 0, 1 (it failed or was broken off; a
fault of the program has an incident number) or 2 (the user's mistake, one sentence on stderr).
"""

import math
import signal
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from core.config import DataConfig, RunConfig, change_config, parse_settings
from core.data.child import wait_briefly
from core.disk import disk_trouble
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.incidents import incidents_path, report_incident
from core.presets import all_presets, preset
from core.runs.probes import CROWDED
from core.runs.run import Run, ask_to_stop, evaluation_name, list_runs, read_run
from core.settings import atelier_home, load_limits
from core.terminal import Bar, minutes, print_json, print_table, shown

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=(__doc__ or "").split("\n")[0]
)
data_app = typer.Typer(no_args_is_help=True, help="Bring pictures in, see what is there.")
runs_app = typer.Typer(
    help="See what was trained and what is training; stop, resume, tidy.", invoke_without_command=True
)
bench_app = typer.Typer(no_args_is_help=True, help="Measure Atelier against the paper's loop on this machine.")
weights_app = typer.Typer(no_args_is_help=True, help="What networks have learnt before: fetch it, bring your own.")
presets_app = typer.Typer(no_args_is_help=True, help="Named settings to start from.")
app.add_typer(data_app, name="data")
app.add_typer(runs_app, name="runs")
app.add_typer(bench_app, name="bench")
app.add_typer(weights_app, name="weights")
app.add_typer(presets_app, name="presets")
experiment_app = typer.Typer(no_args_is_help=True, help="What each part is worth: a base with and without it.")
app.add_typer(experiment_app, name="experiment")
sweep_app = typer.Typer(no_args_is_help=True, help="Look for good settings within ranges; the best become a preset.")
app.add_typer(sweep_app, name="sweep")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DataName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the dataset.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help='Id of a run, a unique start or end of it, or "latest".')]


Renamed = Annotated[list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="Call a class another name.")]
Merged = Annotated[list[str] | None, typer.Option("--merge", metavar="A+B=C", help="Make one class of several.")]
LeftOut = Annotated[list[str] | None, typer.Option("--leave-out", metavar="CLASS", help="Leave a class out.")]
Encoding = Annotated[
    str | None, typer.Option("--encoding", help="Code page of garbled names in a zip, e.g. cp932 for Japanese.")
]
Pictures = Annotated[
    list[str], typer.Argument(metavar="PICTURE...", help="Names as the ledger has them, or unique ends of them.")
]
Why = Annotated[str, typer.Option("--why", help="The reason, for the ledger.")]
ExperimentName = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help='Id of an experiment, a unique start or end of it, or "latest".')
]
SweepName = Annotated[
    str, typer.Argument(metavar="SWEEP", help='Id of a sweep, a unique start or end of it, or "latest".')
]
TrunkName = Annotated[str, typer.Argument(metavar="NAME", help="As torchvision calls it, e.g. googlenet.")]
InLine = Annotated[bool, typer.Option("--queue", help="Put it in the line and come back at once.")]


# ------------------------------------------------------------------------------------------------------ data


@data_app.command("plan")
def data_plan(
    source: Annotated[Path, typer.Argument(metavar="ZIP_OR_FOLDER", help="What --from of data add would be given.")],
    rename: Renamed = None,
    merge: Merged = None,
    leave_out: LeftOut = None,
    encoding: Encoding = None,
    as_json: AsJson = False,
) -> None:
    """What an import would bring: classes, counts, what would be skipped and why. Nothing is imported."""
    from core.data.plan import look

    plan = look(source, encoding).plan(_choices(rename, merge, leave_out, encoding))
    if as_json:
        print_json(_plan_document(plan))
        return
    print(shown(plan.layout))
    print_table(["class", "pictures"], [[name, count] for name, count in plan.counts.items()])
    print(f"{plan.given:,} given = {plan.pictures:,} pictures ({plan.bytes / 1e6:,.1f} MB) + {plan.skipped:,} skipped")
    for skip in plan.skips:
        print(f"skipped {skip.count:,}: {shown(skip.reason)} ({', '.join(map(shown, skip.names))})")
    if plan.ignored:
        print(f"{plan.ignored:,} system files are ignored")
    for note in plan.remarks:
        print(shown(note))
    if plan.trouble:
        raise UserMistake(f"it cannot be imported like this: {plan.trouble}")


@data_app.command("add")
def data_add(
    name: DataName,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="ZIP_OR_FOLDER", help="A zip or folder with a folder per class.")
    ] = None,
    rename: Renamed = None,
    merge: Merged = None,
    leave_out: LeftOut = None,
    encoding: Encoding = None,
    twice: Annotated[bool, typer.Option("--twice", help="Also where the same pictures are here already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import pictures. cifar10 is downloaded and the samples are drawn where --from is not given."""
    choices = _choices(rename, merge, leave_out, encoding)
    _tell_dataset(_show_steps(_import_steps(name, source, choices, twice)), as_json)


def _show_steps(steps: Iterator[Any]) -> Any:
    """Let a piece of work run to its end, its progress on stderr; the dataset that comes of it, if one does."""
    dataset = None
    with Bar() as bar, closing(steps):  # type: ignore[type-var]
        for progress in steps:
            bar.show(progress.phase, progress.done, progress.total, minutes(progress.seconds_left))
            dataset = getattr(progress, "dataset", None) or dataset
    return dataset


@data_app.command("list")
def data_list(as_json: AsJson = False) -> None:
    """The datasets that are here."""
    from core.data.dataset import list_datasets

    datasets = list_datasets()
    if as_json:
        print_json([_dataset_document(dataset) for dataset in datasets])
    elif not datasets:
        print("No pictures yet. Start with: python -m core data add sample-artworks")
    else:
        head = ["name", "source", "classes", "used", "refused"]
        print_table(head, [[d.name, d.source, len(d.classes), d.used, len(d.refused)] for d in datasets])


@data_app.command("show")
def data_show(name: DataName, as_json: AsJson = False) -> None:
    """Counts, parts and refused pictures of a dataset."""
    from core.data.dataset import find_dataset

    _tell_dataset(find_dataset(name), as_json)


@data_app.command("copies")
def data_copies(name: DataName, as_json: AsJson = False) -> None:
    """Pictures that are the same one again: across classes, across parts, and how many a split would test on."""
    from core.data.copies import read_copies
    from core.data.dataset import find_dataset
    from core.data.store import look_for_copies

    dataset = find_dataset(name)
    _show_steps(look_for_copies(dataset))
    found = read_copies(dataset)
    assert found is not None, dataset.folder
    document = _copies_document(dataset, found)
    if as_json:
        print_json(document)
    else:
        _print_copies(document)


@data_app.command("shortcuts")
def data_shortcuts(name: DataName, as_json: AsJson = False) -> None:
    """What colour, brightness and picture size alone score, on the split that Train proposes, beside a network."""
    from core.data.dataset import find_dataset
    from core.data.shortcuts import measure_shortcuts
    from core.experiments.trained import best_run

    dataset = find_dataset(name)
    data = preset("quick").data.model_copy(update={"dataset": dataset.name})
    with Bar() as bar:
        found = measure_shortcuts(dataset, data, lambda done, total: bar.show("measuring", done, total, ""))
    best = best_run(dataset, data, list_runs())
    run, score = best if best else (None, None)
    if as_json:
        network = {"run": run.id, "right": score[0], "n": score[1]} if run and score else None
        print_json(_shortcuts_document(found, score) | {"network": network})
        return
    every = [*found.scores, found.majority]
    lows, highs = zip(*(one.interval for one in every), strict=True)
    table = [
        [
            one.name,
            one.right,
            one.n,
            _percent(one.accuracy),
            f"{_percent(low)} to {_percent(high)}",
            _percent(one.balanced),
        ]
        for one, low, high in zip(every, lows, highs, strict=True)
    ]
    print_table(["alone", "right", "n", "accuracy", "95 % interval", "mean of classes"], table)
    print(
        f"chance: {_percent(found.chance)}; learnt from {found.learnt_from:,} of {found.of_train:,} training pictures"
    )
    if run and score:
        print(f"best network: {_percent(score[0] / score[1])} of {score[1]:,} (run {run.id})")
    worst = found.worst(score)
    if worst is not None:
        print(f"warning: {worst.name} alone tells the classes apart; a network can score as much without seeing more")


@data_app.command("doubtful")
def data_doubtful(
    name: DataName,
    run_name: Annotated[
        str, typer.Option("--run", metavar="RUN", help="Whose answers; latest: the newest.")
    ] = "latest",
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Ask networks that have not seen the picture; trains them first, once.")
    ] = False,
    with_run: Annotated[
        bool, typer.Option("--both", help="Ask those networks and the run, and take the mean of what they say.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Pictures whose given class a trained network contradicts, the most strongly contradicted first."""
    from core.data.dataset import find_dataset
    from core.experiments.doubtful import doubts_table, find_doubts, find_unseen_doubts
    from core.experiments.trained import runs_on
    from core.experiments.unseen import ask_unseen

    dataset = find_dataset(name)
    run = next(iter(runs_on(dataset, list_runs())), None) if run_name == "latest" else read_run(run_name)
    if run is None:
        raise UserMistake(f"no run has ended that was trained on the pictures that {dataset.name!r} has now")
    if unseen or with_run:
        _show_steps(ask_unseen(dataset, run))
    found = find_unseen_doubts(run, dataset, with_run) if unseen or with_run else find_doubts(run, dataset)
    assert found is not None, dataset.folder
    table = doubts_table(found, dataset)
    if as_json:
        print_json(
            {"dataset": dataset.name, "run": run.id, "unseen": unseen or with_run, "both": with_run, "doubtful": table}
        )
        return
    who, more = f"run {run.id}", "; of training pictures more may be"
    if unseen or with_run:
        others, more = "networks trained like it, each asked about what it has not seen", ""
        who = f"the mean of {who} and {others}" if with_run else others.replace("it,", f"run {run.id},")
    print(f"{len(table):,} of {dataset.used:,} pictures are doubtful to {who}{more}.")
    if table:
        head = [column for column in table[0] if column != "choice"]
        print_table(head, [[row[column] for column in head] for row in table[:20]])
    if len(table) > 20:
        print(f"... and {len(table) - 20:,} more; --json lists them all")


@data_app.command("map")
def data_map(
    name: DataName,
    run_name: Annotated[
        str, typer.Option("--run", metavar="RUN", help="Lay out what this run's network sees, instead of looks.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Lay the pictures out in a plane so that like ones lie near each other, and say how often those are of a class."""
    from core.data.dataset import find_dataset
    from core.data.map import LOOKS, make_map, read_map
    from core.data.store import preprocess_of

    dataset, of, steps = find_dataset(name), LOOKS, None
    if run_name:
        from core.experiments.trained import runs_on
        from core.inference.features import load_features

        run = read_run(run_name)
        if not runs_on(dataset, [run]):
            raise UserMistake(f"run {run.id} was not trained on the pictures that {dataset.name!r} has now")
        of, steps = run.id, make_map(dataset, load_features(run), preprocess_of(run.config.data), run.id)
    _show_steps(steps or make_map(dataset))
    found = read_map(dataset, of)
    assert found is not None, dataset.folder
    labels = dataset.labels[found.rows]
    same, n = found.alike(labels)
    if as_json:
        places = [
            {"name": dataset.names[row], "class": dataset.classes[label], "x": float(x), "y": float(y)}
            for row, label, (x, y) in zip(found.rows.tolist(), labels.tolist(), found.places, strict=True)
        ]
        print_json({"dataset": dataset.name, "of": of, "alike": {"same_class": same, "n": n}, "places": places})
        return
    print(f"{len(found.rows):,} of {dataset.used:,} pictures are laid out; the page Data shows them, --json lists them")
    print(f"of the {found.near.shape[1]} pictures most alike to one, {_percent(same / n)} of {n:,} are of its class")


@data_app.command("delete")
def data_delete(
    name: DataName,
    versions: Annotated[bool, typer.Option("--versions", help="Also the versions that were made from it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a dataset and the stores made of it; finished runs keep their models."""
    from core.data.dataset import delete_dataset, find_dataset, list_datasets, made_from
    from core.runs.usage import refuse_if_needed

    dataset = find_dataset(name)
    gone = [dataset.name, *(other.name for other in made_from(dataset, list_datasets()) if versions)]
    runs = list_runs()
    for one in gone:
        refuse_if_needed(one, runs)
    delete_dataset(dataset.name, versions)
    if as_json:
        print_json({"deleted": dataset.name} | ({"versions": gone[1:]} if versions else {}))
    else:
        print(f"{shown(', '.join(gone))} {'was' if len(gone) == 1 else 'were'} deleted.")


@data_app.command("exclude")
def data_exclude(name: DataName, pictures: Pictures, why: Why = "by hand", as_json: AsJson = False) -> None:
    """Leave pictures out: a new version of the dataset. What was imported stays as it is."""
    from core.data.dataset import find_dataset
    from core.data.versions import Decision, find_picture, make_version

    dataset = find_dataset(name)
    decisions = {find_picture(dataset, picture): Decision(None, why) for picture in pictures}
    _tell_version(_show_steps(make_version(dataset, decisions)), as_json)


@data_app.command("relabel")
def data_relabel(
    name: DataName,
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE=CLASS...", help="A picture and its right class.")],
    why: Why = "by hand",
    as_json: AsJson = False,
) -> None:
    """Give pictures another class: a new version of the dataset. What was imported stays as it is."""
    from core.data.dataset import find_dataset
    from core.data.versions import Decision, find_picture, make_version

    dataset = find_dataset(name)
    decisions = {}
    for said in pictures:
        picture, equals, label = said.rpartition("=")
        if not equals or not picture:
            raise UserMistake(f"{said!r} should read PICTURE=CLASS; nothing was changed")
        if label not in dataset.classes:
            known = ", ".join(dataset.classes[:20])
            raise UserMistake(f"unknown class {label!r}; {dataset.name!r} has: {known}; nothing was changed")
        decisions[find_picture(dataset, picture)] = Decision(dataset.classes.index(label), why)
    _tell_version(_show_steps(make_version(dataset, decisions)), as_json)


@data_app.command("extend")
def data_extend(
    name: DataName,
    source: Annotated[Path, typer.Argument(metavar="ZIP_OR_FOLDER", help="A folder for each class, also new ones.")],
    rename: Renamed = None,
    merge: Merged = None,
    leave_out: LeftOut = None,
    encoding: Encoding = None,
    as_json: AsJson = False,
) -> None:
    """Add pictures to a dataset: a new version of it. Those that are there already are refused."""
    from core.data.dataset import find_dataset
    from core.data.versions import extend_dataset

    choices = _choices(rename, merge, leave_out, encoding)
    _tell_version(_show_steps(extend_dataset(find_dataset(name), source, choices)), as_json)


@data_app.command("versions")
def data_versions(name: DataName, as_json: AsJson = False) -> None:
    """Every version of a dataset: what it changed, why, and which runs learnt from it."""
    from core.data.dataset import find_dataset, list_datasets
    from core.data.versions import newest_version, versions_of

    every = list_datasets()
    versions = versions_of(find_dataset(name), every)
    newest, runs = newest_version(versions[0], every), list_runs()
    told = [_version_document(one, runs) | {"newest": one.id == newest.id} for one in versions]
    if as_json:
        print_json(told)
        return
    rows = [
        [
            one["name"],
            one["used"],
            one["told"],
            one["runs"],
            "newest" if one["newest"] else "undone" if one["undone"] else "",
        ]
        for one in told
    ]
    print_table(["name", "pictures", "changed", "runs", ""], rows)


@data_app.command("undo")
def data_undo(name: DataName, as_json: AsJson = False) -> None:
    """Go back behind a version: it is deleted, or put aside where runs learnt from it (`restore` brings it back)."""
    from core.data.dataset import find_dataset
    from core.data.versions import undo_version
    from core.runs.usage import kept_when_undone

    dataset = find_dataset(name)
    kept = kept_when_undone(dataset.name, list_runs())
    undo_version(dataset, keep=kept)
    if as_json:
        print_json({"undone": dataset.name, "kept": kept})
    else:
        print(f"{shown(dataset.name)} was {'put aside for the runs that learnt from it' if kept else 'deleted'}.")


@data_app.command("restore")
def data_restore(name: DataName, as_json: AsJson = False) -> None:
    """Bring back a version that was put aside."""
    from core.data.dataset import find_dataset
    from core.data.versions import restore_version

    restore_version(find_dataset(name))
    _tell_version(find_dataset(name), as_json)


@data_app.command("ledger")
def data_ledger(
    name: DataName,
    as_csv: Annotated[bool, typer.Option("--csv", help="Every file as CSV, also those that are used.")] = False,
    as_json: AsJson = False,
) -> None:
    """What has become of every file that was given: used, refused or excluded, and why."""
    from dataclasses import asdict

    from core.data.dataset import find_dataset
    from core.data.ledger import counts_of, ledger_csv, ledger_lines

    dataset = find_dataset(name)
    counts = counts_of(dataset)
    if as_csv:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
        for piece in ledger_csv(ledger_lines(dataset)):
            print(piece, end="")
        return
    if as_json:
        print_json({"name": dataset.name, **counts, "files": [asdict(line) for line in ledger_lines(dataset)]})
        return
    print("{given:,} given = {used:,} used + {refused:,} refused + {excluded:,} excluded".format(**counts))
    told = [line for line in ledger_lines(dataset) if line.why]
    print_table(
        ["file", "state", "class", "why"], [[one.name, one.state, one.class_name, one.why] for one in told[:40]]
    )
    if len(told) > 40:
        print(f"... and {len(told) - 40:,} more; --csv lists every file")


@data_app.command("export")
def data_export(
    name: DataName,
    target: Annotated[
        Path, typer.Argument(metavar="FILE.zip", help="Where the zip is written; not over another file.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write the pictures that a dataset uses as a zip, a folder for each class, the files as they were given."""
    from core.data.dataset import find_dataset
    from core.data.export import class_folders, export_dataset

    dataset = find_dataset(name)
    _show_steps(export_dataset(dataset, target))
    size, folders = target.stat().st_size, class_folders(dataset)
    if as_json:
        told = {"file": str(target), "bytes": size, "pictures": dataset.used}
        print_json(told | {"folders": dict(zip(dataset.classes, folders, strict=True))})
        return
    print(f"{shown(target)}: {dataset.used:,} pictures in {len(folders)} classes, {size / 1e6:,.1f} MB")
    for label, folder in zip(dataset.classes, folders, strict=True):
        if label != folder:
            print(f"class {shown(label)} is in the folder {shown(folder)}, a name that every system takes")


def _version_document(dataset: Any, runs: list[Run]) -> dict[str, Any]:
    from core.data.versions import own_changes, own_reasons, told_of_version

    return {
        "name": dataset.name,
        "version": dataset.version,
        "created": dataset.created,
        "used": dataset.used,
        "changes": own_changes(dataset),
        "told": told_of_version(dataset),
        "why": own_reasons(dataset),
        "undone": dataset.undone,
        "runs": sum(run.config.data.dataset == dataset.name for run in runs),
    }


def _tell_version(dataset: Any, as_json: bool) -> None:
    document = _version_document(dataset, list_runs())
    if as_json:
        print_json(document)
        return
    print(f"{shown(dataset.name)}: {document['told']}; {dataset.used:,} pictures in {len(dataset.classes)} classes")
    print(f'Train on it with: python -m core train --data "{shown(dataset.name)}"')


def _import_steps(name: str, source: Path | None, choices: Any, twice: bool) -> Iterator[Any]:
    from core.data.choices import Choices
    from core.data.cifar import import_cifar10
    from core.data.dataset import import_dataset
    from core.data.samples import SAMPLES, import_sample

    if source is not None and not source.exists():
        raise UserMistake(f"{str(source)!r} is not there; nothing was imported")
    if choices != Choices() and (source is None or name == "cifar10"):
        raise UserMistake(
            "classes can be renamed, merged and left out only with --from ZIP_OR_FOLDER, and another name"
        )
    if name == "cifar10":
        return import_cifar10(source)
    if source is not None:
        return import_dataset(name, source, choices=choices, twice=twice)
    if name in SAMPLES:
        return import_sample(name)
    raise UserMistake(f"{name!r} needs --from ZIP_OR_FOLDER; without it there are: {', '.join(['cifar10', *SAMPLES])}")


def _choices(
    rename: list[str] | None, merge: list[str] | None, leave_out: list[str] | None, encoding: str | None
) -> Any:
    """Choices of core/data/choices.py from OLD=NEW and A+B=C."""
    from core.data.choices import choose

    names: dict[str, str] = {}
    for option, form, given in (("--rename", "OLD=NEW", rename), ("--merge", "A+B=C", merge)):
        for said in given or []:
            old, _, new = said.rpartition("=")
            if not old or not new.strip():
                raise UserMistake(f"{option} {said!r} should read {form}")
            names |= dict.fromkeys(old.split("+") if option == "--merge" else [old], new)
    return choose(names, leave_out or (), encoding)


def _plan_document(plan: Any) -> dict[str, Any]:
    return {
        "layout": plan.layout,
        "source": plan.source,
        "wrapper": plan.wrapper,
        "parts": list(plan.parts),
        "classes": plan.counts,
        "found": plan.sizes,
        "given": plan.given,
        "pictures": plan.pictures,
        "bytes": plan.bytes,
        "skipped": [{"reason": skip.reason, "count": skip.count, "names": list(skip.names)} for skip in plan.skips],
        "ignored": plan.ignored,
        "looked_into": plan.looked_into,
        "copies": plan.copies,
        "conflicts": plan.conflicts,
        "notes": list(plan.remarks),
        "same_as": plan.same_as or None,
        "trouble": plan.trouble or None,
    }


def _shortcuts_document(found: Any, network: tuple[int, int] | None) -> dict[str, Any]:
    """Every score with its interval and verdict."""
    every = [*found.scores, found.majority]
    told = [
        {
            "name": one.name,
            "right": one.right,
            "n": one.n,
            "accuracy": one.accuracy,
            "interval": one.interval,
            "mean_of_classes": one.balanced,
            "verdict": found.verdict(one, network),
        }
        for one in every
    ]
    worst = found.worst(network)
    return {
        "scores": told[:-1],
        "majority": told[-1],
        "chance": found.chance,
        "learnt_from": found.learnt_from,
        "of_train": found.of_train,
        "of_test": found.of_test,
        "warning": worst.name if worst else None,
    }


def _tell_dataset(dataset: Any, as_json: bool) -> None:
    from core.data.images import fingerprint_of
    from core.data.readiness import check_readiness
    from core.data.store import count_parts, preprocess_of

    data = DataConfig(dataset=dataset.name)
    counts = count_parts(data)
    readiness = check_readiness(dataset, data, _reached(dataset))
    if as_json:
        fingerprint = fingerprint_of(dataset.content_hash, preprocess_of(data))
        found = {"readiness": [finding.to_json() for finding in readiness]}
        print_json(_dataset_document(dataset) | {"parts": counts, "fingerprint": fingerprint} | found)
        return
    excluded = f" + {len(dataset.excluded):,} excluded" if dataset.excluded else ""
    told = f"{dataset.given:,} given = {dataset.used:,} used + {len(dataset.refused):,} refused{excluded}"
    print(f"{shown(dataset.name)}: {told}")
    if dataset.drawn:
        print("These pictures were drawn by the program.")
    print_table(["class", "pictures"], [[name, count] for name, count in dataset.class_counts.items()])
    print("parts: " + ", ".join(f"{part} {count:,}" for part, count in counts.items()))
    for note in dataset.notes:
        print(shown(note))
    for refused in dataset.refused[:20]:
        print(f"refused: {shown(refused.name)} {shown(refused.reason)}")
    if len(dataset.refused) > 20:
        print(f"... and {len(dataset.refused) - 20:,} more; --json lists them all")
    for finding in readiness:
        print(f"{finding.level}: {shown(finding.told)}")


def _reached(dataset: Any) -> list[tuple[int, int, str]]:
    from core.experiments.trained import runs_on, stored_score

    return [(*stored_score(run), run.id) for run in runs_on(dataset, list_runs())]


def _copies_document(dataset: Any, found: Any) -> dict[str, Any]:
    import numpy as np

    from core.data.copies import KINDS
    from core.data.splits import PARTS
    from core.data.store import split_dataset

    names, labels, given = dataset.names, dataset.labels, dataset.given_parts

    def told(row: int) -> dict[str, Any]:
        part = PARTS[given[row]] if given[row] >= 0 else None
        return {"name": names[row], "class": dataset.classes[labels[row]], "part": part}

    pairs = [
        {"first": told(first), "second": told(second), "kind": KINDS[kind], "distance": round(float(distance), 4)}
        for (first, second), kind, distance in zip(found.pairs.tolist(), found.kinds, found.distances, strict=True)
    ]
    order = np.argsort(found.groups, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(found.groups[order])) + 1)
    tested = {}
    for copies in ("ignore", "together"):
        parts = split_dataset(dataset, DataConfig(dataset=dataset.name, copies=copies))
        tested[copies] = {"test": len(parts["test"]), "copies_of_train": len(found.leaked(parts))}
    return {
        "name": dataset.name,
        "pictures": dataset.used,
        "groups": [[names[row] for row in group] for group in groups if len(group) > 1],
        "pairs": pairs,
        "conflicts": [pairs[i] for i in found.across(labels)],
        "leaks": [pairs[i] for i in found.across(given)],
        "split": tested,
    }


def _print_copies(document: dict[str, Any]) -> None:
    count = sum(len(group) for group in document["groups"])
    print(f"{shown(document['name'])}: {count:,} of {document['pictures']:,} pictures have a copy among them")
    told: list[tuple[str, list[dict[str, Any]]]] = [
        ("in another class, so that no network can be right about both", document["conflicts"]),
        ("in another given part, which makes the test too easy", document["leaks"]),
    ]
    for where, pairs in told:
        if pairs:
            print(f"{len(pairs):,} pair(s) {where}:")
            _print_pairs(pairs)
    if document["pairs"]:
        print(f"{len(document['pairs']):,} pair(s) in all, in {len(document['groups']):,} group(s):")
        _print_pairs(document["pairs"])
    for copies, split in document["split"].items():
        print(
            f"split with data.copies={copies}: {split['copies_of_train']:,} of {split['test']:,} test pictures "
            "are copies of what is learnt from"
        )


def _print_pairs(pairs: list[dict[str, Any]]) -> None:
    rows = [
        [
            pair["kind"],
            pair["distance"],
            *(pair[which][field] for which in ("first", "second") for field in ("class", "name")),
        ]
        for pair in pairs[:20]
    ]
    print_table(["kind", "distance", "class", "picture", "class", "picture"], rows)
    if len(pairs) > 20:
        print(f"... and {len(pairs) - 20:,} more; --json lists them all")


def _dataset_document(dataset: Any) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "classes": dataset.class_counts,
        "given": dataset.given,
        "used": dataset.used,
        "refused": [{"name": refused.name, "reason": refused.reason} for refused in dataset.refused],
        "ignored": dataset.ignored,
        "source": dataset.source,
        "drawn": dataset.drawn,
        "created": dataset.created,
        "version": dataset.version,
        "excluded": len(dataset.excluded),
        "undone": dataset.undone,
        "notes": list(dataset.notes),
    }


# ----------------------------------------------------------------------------------------------------- train


@app.command()
def train(
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="Name of the dataset.")],
    preset_name: Annotated[str, typer.Option("--preset", help="Settings to start from.")] = "paper",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a setting, e.g. train.epochs=2.")
    ] = None,
    queue: InLine = False,
    as_json: AsJson = False,
) -> None:
    """Train a network. Ctrl-C stops it and keeps what it has learnt; a second Ctrl-C breaks off."""
    config = _choose_config(preset_name, data, parse_settings(settings or []))
    run = _create_run(config)
    _put_in_line(run, as_json) if queue else _train_and_tell(run, as_json)


def _train_and_tell(run: Run, as_json: bool) -> None:
    """Train in this process; exit code 1 where the run fails: its settings were good."""
    if not as_json:
        print(run.id, flush=True)
    began, failure, signals = time.monotonic(), None, []
    try:
        signals = _train_here(run)
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


def _choose_config(preset_name: str, dataset: str, settings: dict[str, Any]) -> RunConfig:
    """The preset, fitted to the number of training pictures, then what was set by hand."""
    from core.data.dataset import find_dataset
    from core.data.store import count_parts
    from core.runs.trunks import settle_trunk

    settings = {"data.dataset": dataset, **settings}
    settings["data.dataset"] = find_dataset(settings["data.dataset"]).name  # as it was stored, however it was typed
    asked = change_config(preset(preset_name), settings)
    fitted = preset(preset_name, count_parts(asked.data)["train"])
    return settle_trunk(change_config(fitted, settings), settings)


def _create_run(config: RunConfig) -> Run:
    from core.data.store import build_store, load_store
    from core.models.shapes import check_network
    from core.runs.run import create_run
    from core.trunks import check_weights

    _show_steps(build_store(config.data))
    store = load_store(config.data)
    check_network(config.model, len(store.classes), config.data.image_size)
    check_weights(config.model)
    return create_run(config, store.fingerprint, store.classes)


def _put_in_line(run: Run, as_json: bool) -> None:
    from core.runs.queue import ensure_supervisor, submit

    position = submit(run)
    ensure_supervisor()
    if as_json:
        print_json({"run": run.id, "status": "queued", "seconds": 0.0, "position": position})
    else:
        print(run.id)
        print(f"Waits at position {position}. How it goes: python -m core runs show {run.id}", file=sys.stderr)


def _train_here(run: Run) -> list[int]:
    """Train in this process; the signals that asked it to stop."""
    from core.rows import EpochRow, TickRow
    from core.train import train_rows

    told = ""
    with Bar() as bar, _interruptions(run) as signals:
        for row in train_rows(run.folder):
            if signals:
                told = "stopping"
            elif isinstance(row, EpochRow):
                told = f"loss {_number(row.train_loss)}"
            if isinstance(row, TickRow):
                left = minutes(row.seconds / row.step * (row.steps - row.step)) if row.step else ""
                speed = f"{row.images_per_second:,.0f} pictures/s"
                bar.show(f"epoch {row.epoch}/{run.config.train.epochs}", row.step, row.steps, f"{told} {speed} {left}")
        return signals


@contextmanager
def _interruptions(run: Run) -> Iterator[list[int]]:
    """The signals that came: Ctrl-C and SIGTERM ask the run to stop, a second one raises KeyboardInterrupt."""
    came: list[int] = []

    def note(number: int, _: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        (run.folder / "stop").touch()  # not ask_to_stop: whoever was interrupted may hold the lock

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _test_accuracy(run: Run) -> str:
    evaluation = run.evaluation("test")
    return f"; {evaluation.accuracy:.2%} of {evaluation.n:,} test pictures right" if evaluation else ""


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.2%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


# ------------------------------------------------------------------------------------- before a run: probes


@app.command()
def estimate(
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="Name of the dataset.")],
    preset_name: Annotated[str, typer.Option("--preset", help="Settings to start from.")] = "paper",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a setting, e.g. train.epochs=2.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How long a run would take and how much memory it needs, from a few timed batches. Trains nothing."""
    from core.data.store import count_parts
    from core.runs.probes import known_speed

    config = _choose_config(preset_name, data, parse_settings(settings or []))
    known = None
    if any(not run.state.ended for run in list_runs()):  # the device is taken: what finished runs say is better
        known = known_speed(config, count_parts(config.data))
    answer = known or _answer_of("speed", config)
    if as_json:
        print_json(answer)
        return
    if "parameters" in answer:
        print(f"{answer['parameters']:,} parameters, {answer['multiply_adds']:,} multiply-adds a picture")
    print(f"{answer['seconds_per_epoch']:,.2f} s an epoch, {answer['images_per_second']:,.0f} pictures/s")
    print(f"{answer['seconds']:,.1f} s in all for {config.train.epochs} epochs, start and evaluation included")
    if "memory_bytes" in answer:
        print(f"{answer['memory_bytes'] / 1e9:.2f} GB of memory")
    if known:
        print(f"A run waits or trains, so nothing was measured: this is what run {known['run']} needed.")
    elif (answer.get("others") or 0.0) > CROWDED:
        print(
            f"Other programs took {answer['others']:.0%} of the processors meanwhile; on a quiet machine it is faster."
        )


@app.command("find-rate")
def find_rate(
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="Name of the dataset.")],
    preset_name: Annotated[str, typer.Option("--preset", help="Settings to start from.")] = "paper",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a setting, e.g. train.optimizer=adam."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Suggest a learning rate: 100 batches, each with a higher one. Touches no run."""
    answer = _answer_of("rate", _choose_config(preset_name, data, parse_settings(settings or [])))
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


def _answer_of(kind: Any, config: RunConfig) -> dict[str, Any]:
    """What the supervisor answers; exit code 1 with its sentence where it could not."""
    from core.data.store import pictures_now
    from core.runs.probes import ask_probe, cancel_probe
    from core.runs.queue import ensure_supervisor

    fingerprint = pictures_now(config.data)[0]
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


# ------------------------------------------------------------------------------------------------------ runs


@runs_app.callback()
def runs(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        runs_list(as_json=as_json)
    elif as_json:
        raise UserMistake(f"write --json behind {context.invoked_subcommand}, not before it")


@runs_app.command("list")
def runs_list(
    hidden: Annotated[bool, typer.Option("--all", help="Hidden runs as well.")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="The runs in the trash instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """The runs, newest first; * has a star."""
    from core.runs.deeds import list_deleted

    found = list_deleted() if deleted else [run for run in list_runs() if hidden or not run.marks.hidden]
    if as_json:
        print_json([_run_document(run) for run in found])
    elif not found and not deleted:
        print("No run yet. Start one with: python -m core train --data NAME")
    else:
        head = ["run", "status", "dataset", "preset", "epoch", "created", "title"]
        print_table(
            head,
            [
                [
                    run.id,
                    run.state.status,
                    run.config.data.dataset,
                    run.config.preset,
                    f"{run.state.epoch}/{run.config.train.epochs}",
                    run.created[:19].replace("T", " "),
                    "* " * run.marks.star + run.marks.title,
                ]
                for run in found
            ],
        )


@runs_app.command("show")
def runs_show(run_name: RunName, as_json: AsJson = False) -> None:
    """Settings, progress and what a run reached."""
    run = read_run(run_name)
    epochs = run.epochs()
    if as_json:
        document = _run_document(run) | {
            "config": run.config.model_dump(mode="json"),
            "classes": list(run.classes),
            "fingerprint": run.fingerprint,
            "state": run.state.model_dump(mode="json"),
            "epochs_done": [row.model_dump(mode="json") for row in epochs],
            "evaluations": [_evaluation_document(run, evaluation) for evaluation in _stored_evaluations(run)],
        }
        print_json(document)
        return
    print(f"{run.id}  {shown(run.title)}")
    print(f"{run.state.status}  {shown(run.state.message)}".rstrip())
    if run.state.retry:
        print(shown(run.state.retry))
    for line in run.marks.note.splitlines():
        print(f"note: {shown(line)}")
    print(f"epoch {run.state.epoch}/{run.config.train.epochs}, {run.state.seconds:,.1f} s of training")
    for row in epochs[-1:]:
        val = "" if row.val_accuracy is None else f", validation {row.val_accuracy:.2%}"
        print(f"last epoch: loss {_number(row.train_loss)}, training pictures {row.train_accuracy:.2%}{val}")
    for evaluation in _stored_evaluations(run):
        print(f"{evaluation.part} ({evaluation.measure}): {_percent(evaluation.accuracy)} of {evaluation.n:,}")


@runs_app.command("stop")
def runs_stop(run_name: RunName, as_json: AsJson = False) -> None:
    """Ask a run to stop and keep its model; a waiting one is cancelled."""
    run = read_run(run_name)
    told = ask_to_stop(run)
    if as_json:
        print_json({"run": run.id, "status": read_run(run.id).state.status, "message": told})
    else:
        print(told)


@runs_app.command("resume")
def runs_resume(
    run_name: RunName,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Of the whole run: more than it had.")] = None,
    queue: InLine = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped, killed or failed; with --epochs also with one that is done."""
    from core.data.store import pictures_now
    from core.runs.deeds import resume_run

    run = read_run(run_name)
    run = resume_run(run, *pictures_now(run.config.data), epochs=epochs, in_line=queue)
    _put_in_line(run, as_json) if queue else _train_and_tell(run, as_json)


@runs_app.command("clone")
def runs_clone(
    run_name: RunName,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a setting, e.g. train.epochs=2.")
    ] = None,
    queue: InLine = False,
    as_json: AsJson = False,
) -> None:
    """Train anew with the settings of a run, some of them changed; the run stays as it is."""
    from core.runs.deeds import clone_config
    from core.runs.trunks import settle_trunk

    changes = parse_settings(settings or [])
    run = _create_run(settle_trunk(clone_config(read_run(run_name), changes), changes))
    _put_in_line(run, as_json) if queue else _train_and_tell(run, as_json)


@runs_app.command("rename")
def runs_rename(
    run_name: RunName,
    title: Annotated[str, typer.Argument(help='Its new title; "" brings the first one back.')],
    as_json: AsJson = False,
) -> None:
    """Give a run a title."""
    from core.runs.deeds import rename_run

    run = rename_run(read_run(run_name), title)
    _tell_marks(run, f"Run {run.id} is now called {shown(run.title)}.", as_json)


@runs_app.command("star")
def runs_star(
    run_name: RunName,
    off: Annotated[bool, typer.Option("--off", help="Take the star away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a run a star."""
    from core.runs.deeds import star_run

    run = star_run(read_run(run_name), not off)
    _tell_marks(run, f"Run {run.id} has {'no star any more' if off else 'a star'}.", as_json)


@runs_app.command("note")
def runs_note(
    run_name: RunName,
    note: Annotated[str, typer.Argument(help='Takes the place of the note before; "" removes it.')],
    as_json: AsJson = False,
) -> None:
    """Keep a note with a run."""
    from core.runs.deeds import note_run

    run = note_run(read_run(run_name), note)
    _tell_marks(run, f"The note of run {run.id} was {'kept' if run.marks.note else 'removed'}.", as_json)


@runs_app.command("hide")
def runs_hide(
    run_name: RunName,
    off: Annotated[bool, typer.Option("--off", help="Show it again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Leave a run out of this list; runs list --all has it all the same."""
    from core.runs.deeds import hide_run

    run = hide_run(read_run(run_name), not off)
    _tell_marks(run, f"Run {run.id} is {'shown again' if off else 'hidden'}.", as_json)


@runs_app.command("delete")
def runs_delete(run_name: RunName, as_json: AsJson = False) -> None:
    """Move a run to the trash; a waiting one is cancelled. Restore brings it back."""
    from core.runs.deeds import delete_run

    run = delete_run(read_run(run_name))
    if as_json:
        print_json({"run": run.id, "deleted": True})
    else:
        print(f"Run {run.id} is in the trash. To bring it back: python -m core runs restore {run.id}")


@runs_app.command("restore")
def runs_restore(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help='Id of a deleted run, or "latest".')],
    as_json: AsJson = False,
) -> None:
    """Bring a deleted run back as it was."""
    from core.runs.deeds import restore_run

    run = restore_run(run_name)
    if as_json:
        print_json({"run": run.id, "status": run.state.status})
    else:
        print(f"Run {run.id} is back: {shown(run.title)}, {run.state.status}.")


@runs_app.command("empty-trash")
def runs_empty_trash(
    days: Annotated[float | None, typer.Option("--days", min=0, help="Only what was deleted so many days ago.")] = None,
    as_json: AsJson = False,
) -> None:
    """Delete the runs in the trash for good."""
    from core.runs.deeds import empty_trash, trash_bytes

    before = trash_bytes()
    emptied = empty_trash(days)
    freed = max(0, before - trash_bytes())
    if as_json:
        print_json({"emptied": emptied, "bytes": freed})
    else:
        print(f"{emptied} run{'s' * (emptied != 1)} deleted for good; {freed / 2**20:,.1f} MB are free again.")


def _tell_marks(run: Run, told: str, as_json: bool) -> None:
    if as_json:
        print_json({"run": run.id, **run.marks.model_dump(mode="json"), "title": run.title})
    else:
        print(told)


def _run_document(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "title": run.title,
        "status": run.state.status,
        "message": run.state.message,
        "dataset": run.config.data.dataset,
        "preset": run.config.preset,
        "created": run.created,
        "epoch": run.state.epoch,
        "epochs": run.config.train.epochs,
        "seconds": run.state.seconds,
        "attempt": run.state.attempt,
        "star": run.marks.star,
        "note": run.marks.note,
        "hidden": run.marks.hidden,
    }


def _stored_evaluations(run: Run) -> list[Evaluation]:
    from core.evaluation import MEASURES

    found = [run.evaluation(part, measure) for part in ("train", "val", "test") for measure in MEASURES]
    return [evaluation for evaluation in found if evaluation is not None]


# ----------------------------------------------------------------------------------------- evaluate, predict


@app.command()
def evaluate(
    run_name: RunName,
    part: Annotated[str, typer.Option("--part", help="train, val or test.")] = "test",
    measure: Annotated[
        str, typer.Option("--measure", help="evaluation, or paper: first two of each batch, batch statistics.")
    ] = "evaluation",
    as_json: AsJson = False,
) -> None:
    """How many pictures of a part the network answers rightly, in all and for each class."""
    run = read_run(run_name)
    evaluation_name(part, measure)  # type: ignore[arg-type]  # refuses what is neither
    evaluation = run.evaluation(part, measure)  # type: ignore[arg-type]
    if evaluation is None:
        evaluation = _evaluate_now(run, part, measure)
    document = _evaluation_document(run, evaluation)
    if as_json:
        print_json(document)
        return
    low, high = evaluation.interval
    print(f"{run.id}  {shown(run.title)}  {part} ({measure})")
    print(f"{_percent(evaluation.accuracy)} of {evaluation.n:,} pictures right (95 % interval {low:.2%} to {high:.2%})")
    print(f"{_percent(evaluation.mean_class_accuracy)} mean of the classes")
    rows = [[name, told["n"], _percent(told["accuracy"])] for name, told in document["per_class"].items()]
    print_table(["class", "pictures", "right"], rows)


def _evaluate_now(run: Run, part: str, measure: Any) -> Evaluation:
    from core.inference.evaluating import evaluate_run
    from core.runs.writer import RunWriter

    evaluation = evaluate_run(run, part, measure)
    if run.state.ended:  # else the network of the next minute is another one
        RunWriter(run.folder).save_evaluation(evaluation)
    return evaluation


def _evaluation_document(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    told = zip(evaluation.classes, evaluation.per_class.tolist(), evaluation.counts.tolist(), strict=True)
    return {
        "run": run.id,
        "part": evaluation.part,
        "measure": evaluation.measure,
        "n": evaluation.n,
        "accuracy": evaluation.accuracy,
        "mean_class_accuracy": evaluation.mean_class_accuracy,
        "per_class": {name: {"accuracy": accuracy, "n": n} for name, accuracy, n in told},
    }


@app.command()
def predict(
    run_name: RunName,
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="Picture files.")],
    as_json: AsJson = False,
) -> None:
    """What the network of a run sees in pictures: every class with its probability, best first."""
    from core.inference.predictor import load_predictor

    predictor = load_predictor(read_run(run_name))
    document: list[dict[str, Any]] = []
    for contents in _read_pictures(pictures):
        readable = [(str(path), content) for path, content in contents if isinstance(content, bytes)]
        answers = iter(predictor.predict(readable))
        for path, content in contents:
            if isinstance(content, str):
                document.append({"file": str(path), "classes": [], "error": content})
                continue
            answer = next(answers)
            ranked = [{"class": name, "probability": probability} for name, probability in answer.classes]
            document.append({"file": str(path), "classes": ranked, "error": answer.error})
    if as_json:
        print_json(document)
    else:
        _print_predictions(document)
    if all(row["error"] for row in document):
        raise UserMistake(f"None of the {len(document)} picture(s) could be read.")


PICTURES_AT_ONCE, BYTES_AT_ONCE = 256, 64 * 2**20  # so that ten thousand files do not fill the memory


def _read_pictures(paths: list[Path]) -> Iterator[list[tuple[Path, bytes | str]]]:
    """Each file's content, or why there is none, in pieces."""
    piece: list[tuple[Path, bytes | str]] = []
    for path in paths:
        piece.append((path, _read_picture(path)))
        if len(piece) >= PICTURES_AT_ONCE or sum(len(content) for _, content in piece) >= BYTES_AT_ONCE:
            yield piece
            piece = []
    if piece:
        yield piece


def _read_picture(path: Path) -> bytes | str:
    limit = load_limits().picture_bytes
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return "is a folder, not a picture"
        if not stat.S_ISREG(status.st_mode):
            return "is a device or a pipe, not a picture"  # reading one may never end
        if status.st_size > limit:
            return f"has {status.st_size:,} bytes; the limit is {limit:,}"
        return path.read_bytes()
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _print_predictions(document: list[dict[str, Any]]) -> None:
    for row in document:
        if row["error"]:
            print(f"{shown(row['file'])}: {shown(row['error'])}")
        else:
            best = ", ".join(f"{shown(told['class'])} {told['probability']:.1%}" for told in row["classes"][:5])
            print(f"{shown(row['file'])}: {best}")


# -------------------------------------------------------------------------------------------- bench, presets


@bench_app.callback()
def bench() -> None:
    pass  # without a callback typer leaves out the name of a single command


@bench_app.command("training")
def bench_training_command(
    quick: Annotated[bool, typer.Option("--quick", help="One seed instead of three: a rough answer soon.")] = False,
    as_json: AsJson = False,
) -> None:
    """Seconds of the paper's loop and of ours for the same work, and the ratio."""
    from core.experiments.bench import Bench, bench_training

    with Bar() as bar:
        for told in bench_training(rounds=1 if quick else 3):
            if isinstance(told, Bench):
                bench = told
            else:
                bar.show("bench", told.done, told.total, told.message)
    if as_json:
        print_json(bench.to_json())
        return
    _print_rows(bench)
    if bench.accuracy:
        low, high = bench.accuracy.interval
        print(
            f"accuracy at equal settings on {bench.accuracy.n:,} test pictures: ours - baseline = "
            f"{bench.accuracy.difference:+.2%} (95 % interval {low:+.2%} to {high:+.2%})"
        )
    if bench.limit:
        for name, share in bench.limit.shares.items():
            print(f"{name}: {share:.1%} of the physical limit ({bench.limit.reachable / 1e9:,.0f} Gflop/s)")


def _print_rows(bench: Any) -> None:
    print(shown(bench.machine))
    head = ["what", "baseline s", "ours s", "ratio"]
    print_table(head, [[row.name, row.baseline_seconds, row.seconds, row.ratio] for row in bench.rows])
    for row in bench.rows:
        if row.note:
            print(f"{row.name}: {row.note}")


@bench_app.command("import")
def bench_import_command(
    artworks: Annotated[str, typer.Argument(metavar="[NAME]", help="The dataset that comes in again.")] = "artworks",
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=50, help="How often baseline and ours take turns.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Seconds of an import, children and ledger included, and of ImageFolder with PIL reading the same files once."""
    from core.experiments.bench import Bench
    from core.experiments.importing import bench_import

    with Bar() as bar:
        for told in bench_import(artworks, rounds):
            if isinstance(told, Bench):
                bench = told
            else:
                bar.show("bench", told.done, told.total, told.message)
    if as_json:
        print_json(bench.to_json())
    else:
        _print_rows(bench)


@bench_app.command("copies")
def bench_copies_command(
    name: DataName,
    seeds: Annotated[int, typer.Option("--seeds", min=2, max=50, help="Splits and trainings, with and without.")] = 5,
    preset_name: Annotated[str, typer.Option("--preset", help="Settings to train with.")] = "quick",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a setting, e.g. train.epochs=2.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How much copies on both sides of the split flatter a network: trained with copies together, and ignored."""
    from core.experiments.leak import Leak, measure_leak

    with Bar() as bar:
        for told in measure_leak(name, seeds, preset_name, parse_settings(settings or [])):
            if isinstance(told, Leak):
                leak = told
            else:
                bar.show(told.phase, told.done, told.total, minutes(told.seconds_left))
    if as_json:
        print_json(leak.to_json())
        return
    accuracy = leak.accuracy
    low, high = accuracy.interval
    head = ["seed", "together", "ignored", "test copies", "right on copies", "right on others"]
    columns = zip(accuracy.baseline, accuracy.ours, leak.leaked, leak.on_leaked, leak.on_others, strict=True)
    print_table(head, [[seed, *row] for seed, row in enumerate(columns)])
    print(
        f"the leak flatters by {accuracy.difference:+.2%} of {accuracy.n:,} test pictures "
        f"(95 % interval {low:+.2%} to {high:+.2%})"
    )


@bench_app.command("features")
def bench_features_command(
    name: DataName,
    trunk: Annotated[str, typer.Option("--trunk", help="The network that sees the pictures.")] = "googlenet",
    pictures: Annotated[int, typer.Option("--pictures", min=16, help="How many of the dataset's.")] = 300,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="That both ways are compared over.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What it saves that a frozen trunk sees each picture once instead of in every epoch."""
    from dataclasses import asdict

    from core.data.dataset import find_dataset
    from core.engine.hardware import choose_hardware
    from core.experiments.seen_once import bench_features

    found = bench_features(find_dataset(name), trunk, pictures, epochs, choose_hardware())
    if as_json:
        print_json(asdict(found) | {"ratio": found.ratio, "later_ratio": found.later_ratio})
        return
    print(f"{found.trunk}, {found.pictures:,} pictures of 224 px, {found.epochs} epochs of a new last layer")
    print(f"the trunk in every epoch: {found.epoch_seconds:,.1f} s each")
    print(f"seen once: {found.once_seconds:,.1f} s, then all epochs together {found.head_seconds:,.2f} s")
    print(f"{found.ratio:,.0f} times faster; {found.later_ratio:,.0f} times for every later run")


@app.command()
def reproduce(
    datasets: Annotated[list[str] | None, typer.Option("--data", metavar="NAME", help="May be given twice.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=20, help="Runs of quick and of better.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Train every preset on CIFAR-10 and artworks, and print the table beside the paper's numbers (Markdown)."""
    from core.experiments.reproduce import collect, to_markdown
    from core.experiments.reproduce import reproduce as steps
    from core.rows import TickRow

    names, title = tuple(datasets or ("cifar10", "artworks")), ""
    with Bar() as bar:
        for told in steps(names, seeds):
            if isinstance(told, Run):
                title = told.title
            elif isinstance(told, TickRow):
                bar.show(title, told.step, told.steps, f"epoch {told.epoch}")
    found = collect(names, seeds)
    if as_json:
        print_json([_reproduction_document(reproduction) for reproduction in found])
    else:
        print(to_markdown(found), end="")


def _reproduction_document(reproduction: Any) -> dict[str, Any]:
    return {
        "preset": reproduction.preset,
        "dataset": reproduction.dataset,
        "runs": [_run_document(run) for run in reproduction.runs],
        "evaluations": [
            _evaluation_document(run, evaluation)
            for run in reproduction.runs
            for evaluation in _stored_evaluations(run)
        ],
    }


# --------------------------------------------------------------------------------------------------- weights


@weights_app.command("list")
def weights_list(as_json: AsJson = False) -> None:
    """The networks that have learnt already, and which of them are here."""
    from core.published import PUBLISHED
    from core.trunks import list_trunks

    here = list_trunks()
    document = [
        {
            "name": name,
            "here": name in here,
            "origin": here[name].origin if name in here else None,
            "megabytes": known.megabytes,
            "imagenet_accuracy": known.accuracy,
            "parameters": known.parameters,
            "url": known.url,
        }
        for name, known in PUBLISHED.items()
    ]
    kept = [{"name": name, "run": card.source.run} for name, card in here.items() if card.source]
    if as_json:
        print_json({"published": document, "runs": kept})
        return
    rows = [
        [
            told["name"],
            "yes" if told["here"] else "no",
            f"{told['megabytes']:,.0f} MB",
            f"{told['imagenet_accuracy']:.1%}",
            f"{told['parameters']:,}",
        ]
        for told in document
    ]
    print_table(["network", "here", "download", "ImageNet", "parameters"], rows)
    if kept:
        print_table(["kept of a run", "run"], [[told["name"], told["run"]] for told in kept])


@weights_app.command("add")
def weights_add(
    name: TrunkName,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="A state dict of your own: .pth, or .safetensors."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the weights of a network here: downloaded, or from a file."""
    from core.models.weights import add_weights
    from core.trunks import read_trunk, trunk_path

    _show_steps(add_weights(name, source))
    card = read_trunk(name)
    assert card is not None, name
    if as_json:
        print_json({"name": name, "origin": card.origin, "sha256": card.sha256})
    else:
        print(f"{name}: {trunk_path(name).stat().st_size / 1e6:,.1f} MB, checked")


@weights_app.command("remove")
def weights_remove(name: TrunkName, as_json: AsJson = False) -> None:
    """Delete weights. Runs that began with them have kept what they learnt, and stay as they are."""
    from core.trunks import list_trunks, trunk_path

    if name not in (here := list_trunks()):
        raise UserMistake(f"there are no weights {name[:60]!r} here; there are: {', '.join(here) or 'none'}")
    trunk_path(name).with_suffix(".json").unlink(missing_ok=True)
    trunk_path(name).unlink(missing_ok=True)
    print_json({"removed": name}) if as_json else print(f"{name} removed")


@presets_app.callback()
def presets() -> None:
    pass  # without a callback typer leaves out the name of a single command


@presets_app.command("forget")
def presets_forget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A preset of your own.")], as_json: AsJson = False
) -> None:
    """Remove a preset of your own."""
    from core.presets import forget_preset

    forget_preset(name)
    print_json({"forgotten": name}) if as_json else print(f"The preset {shown(name)} was removed.")


@presets_app.command("list")
def presets_list(as_json: AsJson = False) -> None:
    """The presets and what they set."""
    if as_json:
        print_json([{"name": name, "config": config.model_dump(mode="json")} for name, config in all_presets().items()])
        return
    head = ["name", "epochs", "batch", "optimizer", "rate", "schedule", "augmentation"]
    print_table(
        head,
        [
            [
                shown(name),
                config.train.epochs,
                config.train.batch_size,
                config.train.optimizer,
                config.train.learning_rate,
                config.train.schedule,
                "+".join(config.train.augment) or "none",
            ]
            for name, config in all_presets().items()
        ],
    )


# ------------------------------------------------------------------------------------------------ experiments


@experiment_app.command("components")
def experiment_components(as_json: AsJson = False) -> None:
    """What an experiment can switch."""
    from core.experiments.components import COMPONENTS

    rows = [[one.key, one.title, one.group, one.said] for one in COMPONENTS.values()]
    if as_json:
        print_json([dict(zip(("key", "title", "group", "said"), row, strict=True)) for row in rows])
    else:
        print_table(["key", "what", "group", ""], rows)


@experiment_app.command("run")
def experiment_run(
    switch: Annotated[
        list[str] | None, typer.Option("--switch", metavar="KEY", help="A component; see experiment components.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--change", metavar="SETTINGS", help='A comparison of your own: "model.kernel=5 model.padding=same".'
        ),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="NAME", help="Name of the dataset.")] = None,
    run_name: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="A run whose settings are the base.")
    ] = None,
    preset_name: Annotated[str, typer.Option("--preset", help="Settings that are the base.")] = "quick",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change the base, e.g. train.epochs=2.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of the base and of each setting.")] = 3,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="MINUTES", help="Seeds that do not fit in are left out."),
    ] = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Say what it would consist of, and start nothing.")] = False,
    queue: InLine = False,
    as_json: AsJson = False,
) -> None:
    """Train a base with and without components, and tell what each of them is worth. Ctrl-C stops it."""
    from core.experiments.components import find_components, own_component
    from core.experiments.experiment import create_experiment, plan_experiment
    from core.runs.queue import ensure_supervisor

    if (data is None) == (run_name is None):
        raise UserMistake("name the pictures with --data NAME, or a run whose settings are the base with --run RUN")
    changes = parse_settings(settings or [])
    if run_name is not None:
        base = change_config(read_run(run_name).config, changes)
    else:
        assert data is not None
        base = _choose_config(preset_name, data, changes)
    chosen = find_components(switch or [])
    chosen += [own_component(parse_settings(words.split()), number) for number, words in enumerate(change or [], 1)]
    plan = plan_experiment(base, chosen, seeds, None if budget is None else 60 * budget)
    if only_plan:
        _tell_plan(plan, as_json)
        return
    experiment = create_experiment(plan)
    ensure_supervisor()
    if queue:
        _tell_begun(experiment, as_json)
    else:
        _follow(experiment, as_json)


@experiment_app.command("list")
def experiment_list(as_json: AsJson = False) -> None:
    """The experiments, newest first."""
    from core.experiments.experiment import list_experiments

    found = list_experiments()
    if as_json:
        print_json([_experiment_document(experiment) for experiment in found])
    elif not found:
        print("No experiment yet. Start one with: python -m core experiment run --data NAME --switch batch_norm")
    else:
        documents = [_experiment_document(experiment) for experiment in found]
        head = ["experiment", "status", "done", "total", "created", "title"]
        print_table(head, [[document[name] for name in head] for document in documents])


@experiment_app.command("show")
def experiment_show(
    name: ExperimentName,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a table for a document.")] = False,
    as_json: AsJson = False,
) -> None:
    """What an experiment has found so far."""
    from core.experiments.experiment import read_experiment
    from core.experiments.with_without import report, to_markdown

    found = report(read_experiment(name))
    if as_json:
        print_json(found.to_json())
    elif markdown:
        print(to_markdown(found), end="")
    else:
        _print_report(found)


@experiment_app.command("document")
def experiment_document(
    names: Annotated[list[str], typer.Argument(metavar="EXPERIMENT...", help="Ids, e.g. of one for each dataset.")],
) -> None:
    """Experiments with the same components beside each other, as a Markdown document."""
    from core.experiments.experiment import read_experiment
    from core.experiments.with_without import report, to_document

    reports = [report(read_experiment(name)) for name in names]
    command = f"python -m core experiment document {' '.join(one.experiment.id for one in reports)}"
    print(to_document(reports, command), end="")


@experiment_app.command("stop")
def experiment_stop(name: ExperimentName, as_json: AsJson = False) -> None:
    """Stop an experiment; the run at work keeps what it has learnt."""
    from core.experiments.experiment import read_experiment, stop_experiment

    experiment = read_experiment(name)
    told = stop_experiment(experiment)
    if as_json:
        print_json({"experiment": experiment.id, "status": read_experiment(experiment.id).status, "message": told})
    else:
        print(told)


@experiment_app.command("resume")
def experiment_resume(name: ExperimentName, queue: InLine = False, as_json: AsJson = False) -> None:
    """Go on with an experiment that was stopped, and try again what has failed in it."""
    from core.experiments.experiment import read_experiment, resume_experiment
    from core.runs.queue import ensure_supervisor

    experiment = resume_experiment(read_experiment(name))
    ensure_supervisor()
    if queue:
        _tell_begun(experiment, as_json)
    else:
        _follow(experiment, as_json)


@experiment_app.command("delete")
def experiment_delete(name: ExperimentName, as_json: AsJson = False) -> None:
    """Remove an experiment that has ended; its runs stay, hidden from the list."""
    from core.experiments.experiment import delete_experiment, read_experiment

    experiment = read_experiment(name)
    delete_experiment(experiment)
    if as_json:
        print_json({"experiment": experiment.id, "deleted": True})
    else:
        print(f"Experiment {experiment.id} was deleted; its runs stay: python -m core runs list --all")


def _follow(experiment: Any, as_json: bool) -> None:
    """Wait for its end, then tell what it has found; Ctrl-C stops it."""
    from core.experiments.experiment import open_experiment, stop_experiment
    from core.experiments.with_without import report
    from core.runs.queue import ensure_supervisor

    if not as_json:
        print(experiment.id, flush=True)
    try:
        with Bar() as bar:
            while not experiment.ended:
                ensure_supervisor()
                done, whole = experiment.progress
                told = experiment.at_work or "waits for its turn"
                bar.show("experiment", done, whole, f"{told}  {minutes(experiment.seconds_left)}")
                time.sleep(0.3)
                experiment = open_experiment(experiment.folder)
    except KeyboardInterrupt:
        print(
            f"{stop_experiment(experiment)} To go on: python -m core experiment resume {experiment.id}", file=sys.stderr
        )
        raise
    found = report(experiment)
    if as_json:
        print_json(found.to_json())
    else:
        _print_report(found)


def _tell_begun(experiment: Any, as_json: bool) -> None:
    if as_json:
        print_json(_experiment_document(experiment))
    else:
        print(experiment.id)
        print(f"How it goes: python -m core experiment show {experiment.id}", file=sys.stderr)


def _tell_plan(plan: Any, as_json: bool) -> None:
    from core.experiments.experiment import estimate_seconds

    seconds = estimate_seconds(plan)
    runs = len(plan.both) * len(plan.seeds)
    if as_json:
        told = {"runs": runs, "estimated_seconds": seconds}
        print_json(plan.model_dump(mode="json") | told)
        return
    print_table(["component", "changed in the base"], [[one.title, one.told] for one in plan.settings])
    about = (
        "not known yet; python -m core estimate measures it" if seconds is None else f"about {seconds / 60:,.1f} min"
    )
    print(f"{runs} runs of {plan.base.config.train.epochs} epochs: {about}")
    for note in plan.notes:
        print(note)


def _experiment_document(experiment: Any) -> dict[str, Any]:
    done, whole = experiment.progress
    return {
        "experiment": experiment.id,
        "status": experiment.status,
        "title": experiment.title,
        "dataset": experiment.plan.dataset,
        "created": experiment.plan.created[:19].replace("T", " "),
        "done": done,
        "total": whole,
        "seconds_left": None if experiment.ended else experiment.seconds_left,
    }


def _print_report(found: Any) -> None:
    document = found.to_json()
    print(f"{document['experiment']}  {shown(document['title'])}")
    print(f"{document['status']}, {document['done']} of {document['total']} measurements and runs")
    head = ["component", "seeds", "points", "low", "high", "s/epoch", "low", "high", "parameters"]
    rows = []
    for effect in found.effects:
        accuracy, seconds = effect.accuracy, effect.seconds
        points = [100 * one for one in (accuracy.value, accuracy.low, accuracy.high)] if accuracy else [math.nan] * 3
        times = [seconds.value, seconds.low, seconds.high] if seconds else [math.nan] * 3
        parameters = math.nan if effect.parameters is None else effect.parameters
        rows.append([effect.title, effect.seeds, *points, *times, parameters])
    print_table(head, rows)
    for effect in found.effects:
        print(shown(" ".join([effect.sentence, *(f"({remark})" for remark in effect.remarks)])))
    for remark in found.remarks:
        print(shown(remark))


# ----------------------------------------------------------------------------------------------------- sweeps


@sweep_app.command("run")
def sweep_run(
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="Name of the dataset.")],
    fields: Annotated[
        list[str],
        typer.Option(
            "--field", metavar="FIELD[=RANGE]", help='E.g. train.learning_rate=0.01..0.5, "model.pool=max|average".'
        ),
    ],
    budget: Annotated[float, typer.Option("--budget", metavar="MINUTES", help="Of training in all.")] = 30.0,
    trials: Annotated[int, typer.Option("--trials", help="At most so many.")] = 100,
    preset_name: Annotated[str, typer.Option("--preset", help="What stays the same comes from here.")] = "quick",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change that, e.g. train.epochs=2.")
    ] = None,
    queue: InLine = False,
    as_json: AsJson = False,
) -> None:
    """Try settings, judged by the validation part, and give up early on what falls behind. Ctrl-C stops it."""
    from core.experiments.sweep import create_sweep, plan_sweep, range_for
    from core.runs.queue import ensure_supervisor

    base = _choose_config(preset_name, data, parse_settings(settings or []))
    pairs = [field.partition("=") for field in fields]
    ranges = [range_for(field.strip(), narrowed.strip()) for field, _, narrowed in pairs]
    sweep = create_sweep(plan_sweep(base, ranges, 60 * budget, trials))
    ensure_supervisor()
    if queue:
        print_json({"sweep": sweep.id}) if as_json else print(sweep.id)
    else:
        _follow_sweep(sweep, as_json)


@sweep_app.command("list")
def sweep_list(as_json: AsJson = False) -> None:
    """The sweeps, newest first."""
    from core.experiments.sweep import list_sweeps, to_json

    found = [to_json(sweep) for sweep in list_sweeps()]
    if as_json:
        print_json(found)
    elif not found:
        print("No sweep yet. Start one with: python -m core sweep run --data NAME --field train.learning_rate")
    else:
        rows = [[one["sweep"], one["status"], len(one["trials"]), one["title"]] for one in found]
        print_table(["sweep", "status", "trials", "title"], rows)


@sweep_app.command("show")
def sweep_show(name: SweepName, as_json: AsJson = False) -> None:
    """The trials of a sweep, and the best of them."""
    from core.experiments.sweep import read_sweep

    _tell_sweep(read_sweep(name), as_json)


@sweep_app.command("stop")
def sweep_stop(name: SweepName, as_json: AsJson = False) -> None:
    """Stop a sweep; what it has found is kept."""
    from core.experiments.sweep import read_sweep, stop_sweep

    sweep = read_sweep(name)
    told = stop_sweep(sweep)
    print_json({"sweep": sweep.id, "message": told}) if as_json else print(told)


@sweep_app.command("resume")
def sweep_resume(
    name: SweepName,
    budget: Annotated[float, typer.Option("--more", metavar="MINUTES", min=0, help="More time than it had.")] = 0.0,
    queue: InLine = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a sweep."""
    from core.experiments.sweep import read_sweep, resume_sweep
    from core.runs.queue import ensure_supervisor

    sweep = resume_sweep(read_sweep(name), 60 * budget)
    ensure_supervisor()
    if queue:
        print_json({"sweep": sweep.id}) if as_json else print(sweep.id)
    else:
        _follow_sweep(sweep, as_json)


@sweep_app.command("keep")
def sweep_keep(
    name: SweepName,
    preset_name: Annotated[str, typer.Argument(metavar="PRESET", help="Name of the new preset.")],
    as_json: AsJson = False,
) -> None:
    """Make the best settings of a sweep a preset of your own."""
    from core.experiments.sweep import best_of, config_of, read_sweep, tried
    from core.presets import keep_preset

    sweep = read_sweep(name)
    best = best_of(tried(sweep))
    if best is None:
        raise UserMistake(f"no trial of sweep {sweep.id} has come to its end yet, so there is nothing to keep")
    keep_preset(preset_name, config_of(sweep, best))
    if as_json:
        print_json({"preset": preset_name, "trial": best.number, "accuracy": best.accuracy})
    else:
        print(f"Kept. To train with it: python -m core train --data NAME --preset {shown(preset_name)}")


@sweep_app.command("delete")
def sweep_delete(name: SweepName, as_json: AsJson = False) -> None:
    """Remove a sweep that has ended; its runs stay, hidden from the list."""
    from core.experiments.sweep import delete_sweep, read_sweep

    sweep = read_sweep(name)
    delete_sweep(sweep)
    print_json({"sweep": sweep.id, "deleted": True}) if as_json else print(f"Sweep {sweep.id} was deleted.")


def _follow_sweep(sweep: Any, as_json: bool) -> None:
    from core.experiments.sweep import open_sweep, spent, stop_sweep, tried
    from core.runs.queue import ensure_supervisor

    if not as_json:
        print(sweep.id, flush=True)
    try:
        with Bar() as bar:
            while not sweep.ended:
                ensure_supervisor()
                trials = tried(sweep)
                told = f"{len(trials)} trials {minutes(max(0.0, sweep.plan.budget_seconds - spent(trials)))}"
                bar.show("sweep", round(spent(trials)), round(sweep.plan.budget_seconds), told)
                time.sleep(0.5)
                sweep = open_sweep(sweep.folder)
    except KeyboardInterrupt:
        print(f"{stop_sweep(sweep)} To go on: python -m core sweep resume {sweep.id}", file=sys.stderr)
        raise
    _tell_sweep(sweep, as_json)


def _tell_sweep(sweep: Any, as_json: bool) -> None:
    from core.experiments.sweep import to_json

    document = to_json(sweep)
    if as_json:
        print_json(document)
        return
    print(f"{sweep.id}  {shown(document['title'])}  {document['status']} {shown(document['message'])}".rstrip())
    fields = list(document["ranges"])
    rows = [
        [one["number"], one["status"], _percent(math.nan if one["accuracy"] is None else one["accuracy"])]
        + [one["values"].get(field, "") for field in fields]
        for one in document["trials"]
    ]
    print_table(["trial", "status", "validation", *fields], rows)
    if document["best"] is not None:
        print(f"best: trial {document['best']}. To keep it: python -m core sweep keep {sweep.id} NAME")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    wait_briefly()
    try:
        code = app(args=arguments, prog_name="python -m core", standalone_mode=False)
    except SystemExit as leaving:  # nobody reads on: the pipe that takes our output was closed
        return leaving.code if isinstance(leaving.code, int) else 1
    except TyperException as mistake:
        return _tell(_usage(mistake), 2)
    except UserMistake as mistake:
        return _tell(shown(mistake), 2)
    except OSError as error:
        trouble = _home_trouble(error)
        return _tell(trouble, 2) if trouble else _tell_fault(error)
    except Exception as fault:
        return _tell_fault(fault)
    if code == BROKEN_OFF:
        return _tell("Broken off by Ctrl-C; what was finished before is kept.", 1)
    return code if isinstance(code, int) else 0


BROKEN_OFF = 130  # what typer makes of KeyboardInterrupt


def _tell(sentence: str, code: int) -> int:
    if sentence:
        print(sentence, file=sys.stderr)
    return code


def _tell_fault(fault: Exception) -> int:
    where = f"Incident {report_incident(fault)} in {incidents_path()} has the details."
    return _tell(f"Something went wrong ({type(fault).__name__}). {where}", 1)


def _usage(mistake: TyperException) -> str:
    """One sentence; nothing where the help was shown instead."""
    told = shown(mistake.format_message()).rstrip(".")
    context = getattr(mistake, "ctx", None)
    return f"{told}. See {context.command_path} --help" if told and context else told


def _home_trouble(error: OSError) -> str | None:
    """What is wrong where Atelier keeps its files, in one sentence; None where that is not it."""
    home = atelier_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        return f"Atelier cannot keep its files in {shown(home)}: {why.strerror}; name another folder in ATELIER_HOME"
    ours = error.filename is None or Path(str(error.filename)).is_relative_to(home)
    trouble = (
        disk_trouble(error, home, "What was finished before is kept. Free some space and try again.") if ours else None
    )
    return str(trouble) if trouble else None


if __name__ == "__main__":
    sys.exit(main())
