"""All runs, and all rows of runs, as pandas DataFrames: for whoever goes on in a notebook.

from core.runs.frames import rows_frame, runs_frame
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from core.fields import settings_of
from core.runs.run import Run, list_runs

if TYPE_CHECKING:
    import pandas as pd

FACTS = ("run", "title", "status", "created", "epoch", "seconds", "test_right", "test_n", "test_accuracy", "star")


def runs_frame(runs: Iterable[Run] | None = None) -> "pd.DataFrame":
    """A line a run, newest first: FACTS, then every setting under its dotted name, such as train.learning_rate. What a
    person set as a list is one text, "flip+shift_crop". runs: else all that are not deleted."""
    import pandas as pd

    documents = [_document(run) for run in (list_runs() if runs is None else runs)]
    frame = pd.DataFrame(documents, columns=None if documents else list(FACTS))
    return frame.astype({"created": "datetime64[ns, UTC]"})


def rows_frame(runs: Iterable[Run] | None = None) -> "pd.DataFrame":
    """A line a row of training, in order: the run's id, kind (iteration or epoch), and the fields of core/rows.py as
    columns; what a row of the other kind lacks is missing. Accuracies are fractions, those of each class lists."""
    import pandas as pd

    lines = [
        {"run": run.id} | row.model_dump() for run in (list_runs() if runs is None else runs) for row in run.rows()
    ]
    return pd.DataFrame(lines, columns=None if lines else ["run", "kind", "epoch", "step"])


def _document(run: Run) -> dict[str, Any]:
    right, n = run.state.score or _counted(run)
    facts = (
        *(run.id, run.title, run.state.status, run.created, run.state.epoch, run.state.whole_seconds),
        *(right, n, right / n if right is not None and n else None, run.marks.star),
    )
    settings = {
        field: "+".join(map(str, value)) if isinstance(value, list) else value
        for field, value in settings_of(run.config).items()
    }
    return dict(zip(FACTS, facts, strict=True)) | {"preset": run.config.preset} | settings


def _counted(run: Run) -> tuple[int | None, int | None]:
    test = run.evaluation("test")
    return (int(test.correct.sum()), test.n) if test is not None else (None, None)
