"""All runs: a table of every run with the settings that differ, seeds together, and what to do with the ticked ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from core.display_names import display_name
from core.experiments.run_lines import Measured, SeedGroup, differing, group_seeds, measure_run, setting_of
from core.runs.actions import hide_run, star_run
from core.runs.run import Run
from core.settings import runs_root
from core.spreadsheet import csv_file
from pages.parts.form.fields import title_of
from pages.parts.results.parallel_runs import draw_parallel
from pages.parts.shell.cache import runs, score_of
from pages.parts.shell.escape import shown
from pages.parts.shell.formatting import STATUS, counted_share
from pages.parts.widgets.next_step import draw_next_step
from pages.parts.widgets.run_ticks import choose_values, draw_ticks, forget_ticks, hide_runs, holds_words, mark_runs

FEW = 8  # runs; a longer table has filters
MOST = 12  # runs that can be compared at once
TICKED = "results.ticked"  # ids of the ticked rows
HEADS = {"data.dataset": "Dataset", "train.seed": "Seed"}  # columns that are always there, and the field of each
NUMBERS = ("Test accuracy", "Spread", "Last validation", "Best validation")  # in per cent


@dataclass(frozen=True)
class Line:
    """A row of the table: one run, or several with other seeds only."""

    runs: tuple[Run, ...]
    cells: dict[str, Any]


def draw_all_runs() -> None:
    """The filters, the table, what to do with the ticked runs, and all of them as parallel lines."""
    everything = runs(hidden=True)
    if not everything:
        st.info("No run yet.", icon=":material/insights:")
        draw_next_step()
        return
    kept, together = _filtered(everything)
    if not kept:
        st.caption("No matching runs.")
        return
    fields = [field for field in differing(kept) if field not in HEADS]
    lines = table_lines(kept, fields, together)
    _draw_table(lines, fields, together)
    st.download_button(
        "Download the table",
        lambda: runs_csv(lines),
        file_name="runs.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    draw_parallel([run for line in lines for run in line.runs], fields, measured)


def _filtered(everything: Sequence[Run]) -> tuple[list[Run], bool]:
    """The runs to list, and whether seeds stand together."""
    hidden = sum(run.marks.hidden for run in everything)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="results.filters"):
        kept = list(everything)
        if len(everything) > FEW:
            words = st.text_input(
                "Find",
                key="results.find",
                placeholder="Name, note, setting or id",
                icon=":material/search:",
                persist_state="session",
            )
            names = choose_values("Dataset", "results.dataset", [run.config.data.dataset for run in everything])
            statuses = choose_values("Status", "results.status", [STATUS[run.state.status][0] for run in everything])
            starred = st.toggle("Starred", key="results.starred", persist_state="session")
            kept = [
                run
                for run in everything
                if (not names or run.config.data.dataset in names)
                and (not statuses or STATUS[run.state.status][0] in statuses)
                and (run.marks.star or not starred)
                and _matches(run, words)
            ]
        if hidden and not st.toggle(f"Show {hidden:,} hidden", key="results.hidden", persist_state="session"):
            kept = [run for run in kept if not run.marks.hidden]
        together = st.toggle(
            "Seeds together",
            key="results.together",
            persist_state="session",
            help="Runs that differ in nothing but the seed stand in one line, with the mean of their test accuracies "
            "and their spread (standard deviation).",
        )
    return kept, together


def _matches(run: Run, words: str) -> bool:
    train, model = run.config.train, run.config.model
    text = f"{run.title} {run.id} {run.marks.note} {model.name} {model.backbone} {train.optimizer} {run.config.preset}"
    return holds_words(text, words)


def measured(listed: Sequence[Run]) -> dict[str, Measured]:
    """By run id; read once for each state of a run: a thousand runs take a moment the first time."""
    known, found = _known(str(runs_root())), {}
    for run in listed:
        key = (run.id, run.state.updated)
        if key not in known or run.state.is_live:
            known[key] = measure_run(run)
        found[run.id] = known[key]
    return found


@st.cache_resource(max_entries=4, show_spinner=False)
def _known(root: str) -> dict[tuple[str, str], Measured]:
    """A plain dict: asking Streamlit's cache a thousand times takes 0.3 s."""
    return {}


def table_lines(kept: Sequence[Run], fields: Sequence[str], together: bool) -> list[Line]:
    """A line for each run, or for each group of seeds, newest first."""
    scores, found = {run.id: score_of(run) for run in kept}, measured(kept)
    if not together:
        return [Line((run,), _run_cells(run, scores[run.id], found[run.id], fields)) for run in kept]
    return [Line(group.runs, _group_cells(group, scores, found, fields)) for group in group_seeds(kept, scores)]


def _run_cells(run: Run, score: tuple[int, int], found: Measured, fields: Sequence[str]) -> dict[str, Any]:
    right, n = score
    numbers = {
        "star": "★" if run.marks.star else "☆",
        "Run": shown(run.marks.title or f"{display_name('preset', run.config.preset)} · {run.id[-4:]}", 60),
        "Dataset": shown(run.config.data.dataset, 40),
        "Status": STATUS[run.state.status][0],
        "Test accuracy": 100 * right / n if n else None,
        "Spread": None,
        "[95 %]": counted_share(right, n) if n else "",
    }
    rest = {
        "Answers": run.used_model if n else "",
        "Best validation": None if found.best is None else 100 * found.best,
        "of epoch": found.best_epoch,
        "Last validation": None if found.last is None else 100 * found.last,
        "Seconds": found.seconds or None,
        "Pictures a second": found.pictures_a_second,
        "Parameters": found.parameters,
        "Seed": run.config.train.seed,
    }
    settings = {title_of(field): _setting(run, field) for field in fields}
    return numbers | settings | rest | {"Created": pd.Timestamp(run.created)}


def _group_cells(
    group: SeedGroup, scores: dict[str, tuple[int, int]], measures: dict[str, Measured], fields: Sequence[str]
) -> dict[str, Any]:
    newest = group.runs[0]
    cells = _run_cells(newest, scores[newest.id], measures[newest.id], fields)
    if len(group.runs) == 1:
        return cells | {"Seed": str(newest.config.train.seed)}
    found = [measures[run.id] for run in group.runs]
    seeds = ", ".join(str(seed) for seed in sorted(run.config.train.seed for run in group.runs))
    models = {run.used_model for run in group.runs if scores[run.id][1]}
    return cells | {
        "star": "★" if any(run.marks.star for run in group.runs) else "☆",
        "Run": f"{len(group.runs)} runs",
        "Status": ", ".join(sorted({STATUS[run.state.status][0] for run in group.runs})),
        "Test accuracy": None if group.mean is None else 100 * group.mean,
        "Spread": None if group.spread is None else 100 * group.spread,
        "[95 %]": f"mean of {len(group.scores)}" if group.scores else "",
        "Answers": " and ".join(sorted(models)),
        "Best validation": _mean([100 * one.best for one in found if one.best is not None]),
        "of epoch": None,
        "Last validation": _mean([100 * one.last for one in found if one.last is not None]),
        "Seconds": _mean([one.seconds for one in found if one.seconds]),
        "Pictures a second": _mean([one.pictures_a_second for one in found if one.pictures_a_second]),
        "Seed": shown(seeds, 40),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _setting(run: Run, field: str) -> Any:
    """A number stays one, so that the table sorts by it."""
    value = setting_of(run, field)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return shown(display_name(field, value), 40)


def _draw_table(lines: Sequence[Line], fields: Sequence[str], together: bool) -> None:
    ids = [line.runs[0].id for line in lines]
    table = pd.DataFrame([line.cells for line in lines]).dropna(axis="columns", how="all")
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    ticked = draw_ticks(
        table,
        ids,
        TICKED,
        "results.runs",
        kind=str(together),
        height="content" if len(lines) <= FEW else 420,
        alt="Every run with the settings that differ, its accuracies, times and size",
        column_config={
            "Test accuracy": number(format="%.1f %%"),
            "Spread": number(format="%.2f", help="Standard deviation over the seeds, in points"),
            "[95 %]": text(width=190, help="Right of all test pictures, with the 95 % interval"),
            "Answers": text(help="Which model answers for the run: the best on the validation part, or the last"),
            "Best validation": number(format="%.1f %%", help="The highest accuracy on the validation part"),
            "Last validation": number(format="%.1f %%", help="That after the last epoch"),
            "Seconds": number(format="%.0f", help="Whole time: start, pictures, training, evaluation"),
            "Pictures a second": number(format="%.0f", help="In training, median of the epochs"),
            "Parameters": number(format="localized"),
            "Created": st.column_config.DatetimeColumn("Created", format="distance"),
        },
    )
    _draw_actions([line for line in lines if line.runs[0].id in ticked], len(lines))


def _draw_actions(ticked: Sequence[Line], count: int) -> None:
    chosen = [run for line in ticked for run in line.runs]
    if not chosen:
        st.caption(f"{count:,} lines. Click a head to sort; tick runs to compare, star or hide them.")
        return
    usable = [run for run in chosen if run.state.is_finished and run.has_model]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="results.several"):
        st.caption("1 run is ticked" if len(chosen) == 1 else f"{len(chosen):,} runs are ticked", width="content")
        st.button(
            "Compare",
            key="results.compare",
            icon=":material/compare_arrows:",
            type="primary",
            disabled=not 2 <= len(usable) <= MOST,
            help=f"Curves, settings and findings of 2 to {MOST} finished runs beside each other.",
            on_click=_compare,
            args=(usable,),
        )
        starred, hidden = all(run.marks.star for run in chosen), all(run.marks.hidden for run in chosen)
        st.button(
            "Unstar" if starred else "Star",
            key="results.star",
            icon=":material/star:",
            type="tertiary",
            on_click=_star,
            args=(chosen, not starred),
        )
        st.button(
            "Show again" if hidden else "Hide",
            key="results.hide",
            icon=":material/visibility:" if hidden else ":material/visibility_off:",
            type="tertiary",
            on_click=_show if hidden else hide_runs,
            args=(chosen,),
        )
        st.button(
            "Untick",
            key="results.untick",
            icon=":material/check_box_outline_blank:",
            type="tertiary",
            on_click=forget_ticks,
            args=(TICKED,),
        )


def _compare(chosen: Sequence[Run]) -> None:
    """Lead to the comparison of these runs."""
    first, second, *rest = [run.id for run in chosen]
    st.session_state["show"] = "Compare runs"
    st.session_state["cifar.wanted"], st.session_state["own.wanted"] = first, second
    st.session_state["results.more"] = rest
    st.session_state["results.more.address"] = ",".join(rest)
    if rest:
        st.query_params["more"] = ",".join(rest)
    else:
        st.query_params.pop("more", None)


def _star(chosen: Sequence[Run], value: bool) -> None:
    mark_runs(chosen, star_run, value)


def _show(chosen: Sequence[Run]) -> None:
    mark_runs(chosen, hide_run, False)


def runs_csv(lines: Sequence[Line]) -> bytes:
    """The table as it is shown, with ids; accuracies in per cent."""
    cells = [{name: value for name, value in line.cells.items() if name != "star"} for line in lines]
    head = list(dict.fromkeys(name for row in cells for name in row))
    rows = [
        [" ".join(run.id for run in line.runs), *(_plain(row.get(name)) for name in head)]
        for line, row in zip(lines, cells, strict=True)
    ]
    return csv_file(["Id", *head], rows)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, pd.Timestamp) else value
