"""The tables of an ablation: every number of its effects, and its runs."""

from typing import Any

import pandas as pd
import streamlit as st

from core.experiments.ablation.effects import Effect, Report
from core.experiments.ablation.experiment import DECIDED, Cell, Experiment
from core.spreadsheet import csv_file
from pages.parts.shell.escape import shown

STATUS = {DECIDED: "not needed"}


def draw_numbers(found: Report) -> None:
    with st.expander("All numbers", icon=":material/table:"):
        rows = [_numbers(effect) for effect in found.effects]
        st.dataframe(pd.DataFrame(rows), hide_index=True)
        st.download_button(
            "Download the numbers",
            experiment_csv(rows),
            file_name="experiment.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )


def experiment_csv(rows: list[dict[str, Any]]) -> bytes:
    """Every number of an experiment, one line a component."""
    return csv_file(rows[0] if rows else [], (row.values() for row in rows))


def _numbers(effect: Effect) -> dict[str, Any]:
    accuracy, seconds, these = effect.accuracy, effect.seconds, effect.these_networks
    accuracies = effect.without_and_with(effect.base_accuracy, effect.variant_accuracy)
    epochs = effect.without_and_with(effect.base_seconds, effect.variant_seconds)
    sizes = effect.without_and_with(effect.base_parameters, effect.parameters)
    return {
        "component": shown(effect.title, 200),
        "changed in the base": shown(effect.changed, 200),
        "seeds": effect.seeds,
        "test pictures": effect.pictures,
        "accuracy without, %": _hundred(accuracies[0]),
        "accuracy with, %": _hundred(accuracies[1]),
        "difference, points": _hundred(accuracy.value if accuracy else None),
        "from": _hundred(accuracy.low if accuracy else None),
        "to": _hundred(accuracy.high if accuracy else None),
        "these networks from": _hundred(these.low if these else None),
        "these networks to": _hundred(these.high if these else None),
        "decided after, seeds": effect.decided_after,
        "s per epoch without": _round(epochs[0]),
        "s per epoch with": _round(epochs[1]),
        "difference, s": _round(seconds.value if seconds else None),
        "s from": _round(seconds.low if seconds else None),
        "s to": _round(seconds.high if seconds else None),
        "parameters without": sizes[0],
        "parameters with": sizes[1],
    }


def _hundred(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def draw_runs(experiment: Experiment) -> None:
    with st.expander("Its runs", icon=":material/list:"):
        st.dataframe(
            pd.DataFrame([_line(cell) for cell in experiment.cells]),
            hide_index=True,
            column_config={"open": st.column_config.LinkColumn("open", display_text="Train page")},
        )


def _arm(cell: Cell) -> str:
    """What this run was trained with: the component is in its base where taking it away is the variant."""
    title = cell.variant.title
    return f"Without {title[:1].lower()}{title[1:]}" if cell.variant.sign < 0 else title


def _line(cell: Cell) -> dict[str, Any]:
    run = cell.run
    score = run.state.score if run is not None and cell.is_done else None
    return {
        "setting": shown(_arm(cell), 80),
        "seed": cell.seed,
        "status": run.state.status if run else STATUS.get(cell.why, "missing") if cell.why else "to do",
        "test accuracy, %": round(100 * score[0] / score[1], 2) if score and score[1] else None,
        "open": f"/train?run={run.id}" if run else None,
        "message": shown(run.state.message if run else cell.why, 200),
    }
