"""bench intruders: how well a run tells pictures that are none of its classes."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli.options import AsJson, ModelOfRun, RunName
from core.cli.output import print_json, print_table, show_until_found, shown
from core.cli.predict import model_of
from core.display_names import display_name
from core.runs.run import read_run

if TYPE_CHECKING:
    from core.inference.novelty import Contest


def bench_intruders(
    run_name: RunName,
    intruders: Annotated[
        str, typer.Option("--intruders", metavar="DATASET", help="A dataset whose pictures are none of the classes.")
    ],
    pictures: Annotated[
        int, typer.Option("--pictures", min=20, max=4_000, help="At most so many test pictures and intruders.")
    ] = 1000,
    model: ModelOfRun = None,
    as_json: AsJson = False,
) -> None:
    """How well a run tells that a picture is none of its classes: AUROC of each measure against plain max-softmax,
    false alarms, and intruders that are caught. The better measure is used for this run from then on."""
    from core.data.datasets.dataset import find_dataset
    from core.inference import measure_novelty

    run = read_run(run_name)
    found = show_until_found(
        measure_novelty.bench_intruders(run, find_dataset(intruders), model_of(run, model), pictures)
    )
    document = contest_document(run.id, found)
    if as_json:
        print_json(document)
        return
    head = ["measure", "AUROC", "95 % interval", "over max-softmax", "95 % interval", "false alarms", "caught"]
    print_table(head, [_row(row) for row in document["measures"]])
    print(shown(found.sentence))


def contest_document(run: str, found: "Contest") -> dict[str, Any]:
    """The measured table as a JSON document; shares are 0..1 with their 95 % intervals."""
    from core.inference.novelty import MEASURES

    def interval(values: tuple[float, float, float]) -> dict[str, float]:
        return dict(zip(("mean", "low", "high"), values, strict=True))

    def row(measure: Any) -> dict[str, Any]:
        alarms, caught = found.shares(measure)
        return {
            "measure": measure,
            "auroc": interval(found.found[measure].auroc),
            "over_max_softmax": interval(found.found[measure].over_softmax),
            "false_alarms": interval(alarms),
            "caught": interval(caught),
        }

    return {
        "run": run,
        "intruders": found.intruders,
        "part": found.part,
        "n": found.n,
        "n_intruders": found.n_intruders,
        "used": found.winner,
        "verdict": found.sentence,
        "measures": [row(measure) for measure in MEASURES],
    }


def _row(row: dict[str, Any]) -> list[Any]:
    area, over = row["auroc"], row["over_max_softmax"]
    return [
        display_name("novelty", row["measure"]),
        f"{area['mean']:.3f}",
        f"{area['low']:.3f} to {area['high']:.3f}",
        f"{over['mean']:+.3f}",
        f"{over['low']:+.3f} to {over['high']:+.3f}",
        *(_share(row[name]) for name in ("false_alarms", "caught")),
    ]


def _share(found: dict[str, float]) -> str:
    return f"{found['mean']:.1%} ({found['low']:.1%} to {found['high']:.1%})"
