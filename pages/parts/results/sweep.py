"""Sweep: choose fields and ranges, follow the trials, save the best as a preset."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.config import RunConfig
from core.data.datasets.dataset import Dataset
from core.display_names import display_name, format_value
from core.errors import UserMistake
from core.experiments.sweeps.actions import create_sweep, delete_sweep, resume_sweep, stop_sweep
from core.experiments.sweeps.ranges import Range, can_sweep, range_for
from core.experiments.sweeps.spec import MOST_TRIALS, plan_sweep
from core.experiments.sweeps.sweep import Sweep, list_sweeps, read_sweep
from core.experiments.sweeps.trials import (
    SweepTrial,
    best_of,
    config_of,
    count_used,
    list_trials,
    read_study,
    sum_seconds,
)
from core.fields import acts_in
from core.presets import NAME_CHARACTERS, all_presets, keep_preset
from core.probes.at_once import noted_at_once
from pages.parts.form.estimate import known_seconds
from pages.parts.form.fields import all_fields, title_of
from pages.parts.form.run_form import DEFAULT_PRESET, fit_preset, preset_label, take_config
from pages.parts.form.start_run import supervisor
from pages.parts.results.experiment_picker import NEW, datasets_or_hint, pick_dataset, pick_experiment, show_next
from pages.parts.shell.cache import dataset_named
from pages.parts.shell.escape import escape, plotted, shown
from pages.parts.shell.formatting import span
from pages.parts.shell.frame import boundary
from pages.parts.shell.navigation import go_to
from pages.parts.shell.theme import CLASS_COLOURS
from pages.parts.widgets.charts import PLOTLY_CONFIG

USUALLY = ("train.learning_rate", "train.weight_decay")
TICK_SECONDS = 2.0
ACCURACY = "validation accuracy"
_TERMS = {  # Optuna's -> ours
    "Trial": "trial",
    "Best Value": "best so far",
    "Step": "epoch",
    "Intermediate Value": ACCURACY,
    "Hyperparameter": "",
    "Hyperparameter Importance": "share in what differs between trials",
}
_EARLY_TO_LATE = [[0.0, CLASS_COLOURS[1]], [1.0, CLASS_COLOURS[0]]]  # both are seen on light and on dark
STATUS_LABELS = {"waiting": "Queued", "running": "Training", "stopped": "Stopped", "done": "Done"}


def draw_sweeps() -> None:
    """The sweep that was picked, or the form for a new one."""
    picked = pick_experiment("sweep", {sweep.id: sweep.plan for sweep in list_sweeps()})
    if picked == NEW:
        _draw_new()
    else:
        _draw_one(read_sweep(picked))


# ------------------------------------------------------------------------------------------------------- the form


def _draw_new() -> None:
    st.markdown(
        "**Which settings suit this dataset?** Many are tried, and what falls behind is pruned early. They are ranked "
        "by validation accuracy; the test part is left for the end."
    )
    known = datasets_or_hint("A sweep")
    if not known:
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        base = _draw_base(known)
    with right:
        ranges, wrong = _draw_ranges(base)
    with left:
        minutes = st.number_input("Budget in minutes", min_value=1.0, value=10.0, step=5.0, key="sweep.budget")
        trials = st.number_input("Most trials", min_value=1, max_value=MOST_TRIALS, value=50, key="sweep.trials")
        _draw_start(base, ranges, wrong, minutes, int(trials))


def _draw_base(known: Sequence[Dataset]) -> RunConfig:
    dataset = pick_dataset("sweep", known)
    presets = list(all_presets())
    chosen = st.selectbox(
        "Base", presets, index=presets.index(DEFAULT_PRESET), key="sweep.base", format_func=preset_label
    )
    return fit_preset(chosen, dataset)


def _draw_ranges(base: RunConfig) -> tuple[list[Range], str]:
    """The fields to vary with their ranges, and what is wrong with one of them."""
    fields = [field for field in all_fields() if can_sweep(field) and acts_in(base, field)]
    chosen = st.multiselect(
        "What to vary",
        fields,
        default=list(USUALLY),
        key="sweep.fields",
        format_func=title_of,
        help="Two to four fields; each one more needs many more trials.",
    )
    ranges, wrong = [], ""
    for field in chosen:
        whole = range_for(field)
        usual = "|".join(whole.choices) if whole.choices else f"{whole.low:g}..{whole.high:g}"
        typed = st.text_input(
            f"{title_of(field)}: {'values' if whole.choices else 'range'}",
            value=usual,
            key=f"sweep.range.{field}",
            help="From .. to" if not whole.choices else "The values, with | between them.",
        )
        try:
            ranges.append(range_for(field, typed or ""))
        except UserMistake as mistake:
            wrong = str(mistake)
    return ranges, wrong


def _draw_start(base: RunConfig, ranges: list[Range], wrong: str, minutes: float, trials: int) -> None:
    spec = None
    if not wrong:
        try:
            spec = plan_sweep(base, ranges, 60 * minutes, trials)
        except UserMistake as mistake:
            wrong = str(mistake)
    dataset = dataset_named(base.data.dataset)
    if dataset is not None and (seconds := known_seconds(dataset, base)):
        count = max(1, round(60 * minutes / seconds))
        st.caption(
            f"A run of the base takes about {span(seconds)}: time for {count:,}, for more where some are pruned."
        )
    if st.button(
        "Start the sweep",
        type="primary",
        icon=":material/tune:",
        width="stretch",
        key="sweep.start",
        disabled=spec is None,
    ):
        assert spec is not None
        show_next("sweep", create_sweep(spec).id)
        supervisor()
        st.rerun()
    if wrong:
        st.caption(f":red[:material/block:] {escape(wrong[:1].upper() + wrong[1:], 400)}")


# ------------------------------------------------------------------------------------------------------ one sweep


def _draw_one(sweep: Sweep) -> None:
    if not sweep.ended:
        supervisor()
    trials = list_trials(sweep)
    stamp = _stamp(sweep, trials)
    st.fragment(_draw_progress, run_every=None if sweep.ended else TICK_SECONDS)(sweep.id, stamp)
    if sweep.message:
        st.warning(escape(sweep.message, 400), icon=":material/info:")
    best = best_of(trials)
    if best is None:
        st.caption("No trial has come to its end yet.")
    else:
        _draw_best(sweep, best)
        _draw_plots(sweep, trials)
    with st.expander(f"Trials ({len(trials)})", icon=":material/list:"):
        st.dataframe(pd.DataFrame([_line(one) for one in trials]), hide_index=True)


@boundary()
def _draw_progress(sweep_id: str, stamp: str) -> None:
    sweep = read_sweep(sweep_id)
    trials = list_trials(sweep)
    if _stamp(sweep, trials) != stamp:
        st.rerun()
    seconds, budget = sum_seconds(trials), sweep.plan.budget_seconds
    text = f"{STATUS_LABELS[sweep.status]} · {len(trials)} trials · {span(seconds)} of {span(budget)}"
    at_once = noted_at_once(sweep.folder)
    if at_once is not None:
        st.caption(escape(at_once.sentence, 300))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(min(1.0, seconds / budget), text=text)
        if not sweep.ended:
            if st.button("Stop", key="sweep.stop", icon=":material/stop_circle:"):
                stop_sweep(sweep)
                st.rerun()
            return
        if count_used(trials) < MOST_TRIALS and st.button(
            "Resume",
            key="sweep.resume",
            icon=":material/play_arrow:",
            help="A sweep that is done gets its budget again.",
        ):
            resume_sweep(sweep, sweep.plan.budget_seconds if sweep.status == "done" else 0.0)
            supervisor()
            st.rerun()
        if st.button("Delete", key="sweep.delete", icon=":material/delete:", help="Its runs stay, hidden."):
            delete_sweep(sweep)
            st.rerun()


def _stamp(sweep: Sweep, trials: Sequence[SweepTrial]) -> str:
    return f"{sweep.ended} {[one.status for one in trials]}"


def _draw_best(sweep: Sweep, best: SweepTrial) -> None:
    settings = ", ".join(f"{title_of(field)} {_value(field, value)}" for field, value in best.values.items())
    st.markdown(
        f"**Best: trial {best.number}**, {100 * (best.accuracy or 0.0):.2f} % of the validation pictures: "
        f"{escape(settings, 300)}. The best of many is partly luck; train it with other seeds before you believe it."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Save as a preset", placeholder="its name", max_chars=NAME_CHARACTERS, key="sweep.name")
        if st.button("Save", key="sweep.keep", icon=":material/bookmark_add:", disabled=not (name or "").strip()):
            keep_preset(name, config_of(sweep, best))
            st.toast(f"Saved as {escape(name, 40)}. It stands among the presets on Train.", icon=":material/bookmark:")
        if st.button("Train with these settings", key="sweep.take", icon=":material/model_training:"):
            take_config(config_of(sweep, best).model_copy(update={"preset": DEFAULT_PRESET}))
            go_to("pages/train.py")


def _draw_plots(sweep: Sweep, trials: Sequence[SweepTrial]) -> None:
    """Optuna's own plots, in our colours."""
    figures = _figures(sweep.id, _stamp(sweep, trials), sweep)
    for tab, (_, figure) in zip(st.tabs(list(figures)), figures.items(), strict=True):
        with tab:
            st.plotly_chart(figure, config=PLOTLY_CONFIG)


@st.cache_data(max_entries=10, show_spinner=False)
def _figures(sweep_id: str, stamp: str, _sweep: Sweep) -> dict[str, go.Figure]:
    from optuna import visualization

    study = read_study(_sweep)
    assert study is not None, _sweep.folder
    fields = [one.field for one in _sweep.plan.ranges]
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    figures = {
        "History": visualization.plot_optimization_history(study, target_name=ACCURACY),
        "Each field": visualization.plot_slice(study, target_name=ACCURACY),
        "Learning curves": visualization.plot_intermediate_values(study),
    }
    if len(fields) > 1 and len(complete) > 1:
        figures["Two fields"] = visualization.plot_contour(study, fields[:2], target_name=ACCURACY)
    if len(fields) > 1 and len({trial.value for trial in complete}) > 1 and len(complete) > 3:
        figures["Importance"] = visualization.plot_param_importances(study, target_name=ACCURACY)
    for figure in figures.values():
        figure.update_layout(
            title=None, margin={"l": 8, "r": 8, "t": 24, "b": 8}, colorway=CLASS_COLOURS, template=None
        )
        _translate(figure, _TERMS | {field: title_of(field) for field in fields})
    return figures


def _translate(figure: go.Figure, words: dict[str, str]) -> None:
    def translated(values: Sequence[str]) -> list[str]:
        """Names of fields, and values of choices, which Optuna puts into quotation marks."""
        return [plotted(words.get(value, format_value(value.strip("'")))) for value in values]

    for trace in figure.data:
        trace.name = words.get(trace.name, trace.name)
        for axis_name in ("x", "y"):
            if trace[axis_name] is not None and all(isinstance(value, str) for value in trace[axis_name]):
                trace[axis_name] = translated(trace[axis_name])
        if trace.type == "bar":
            trace.hovertemplate = "%{y}: %{x:.2f}<extra></extra>"
        if trace.type == "scatter" and trace.marker.colorscale:
            trace.marker.colorscale = _EARLY_TO_LATE
            trace.marker.colorbar.title.text = words["Trial"]
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        axis.title.text = words.get(axis.title.text, axis.title.text)
        axis.exponentformat = "power"  # 1 µ is a unit's word
        if axis.categoryarray:
            axis.categoryarray = translated(axis.categoryarray)
        if axis.title.text == ACCURACY:
            axis.update(tickformat=".1%", minallowed=0, maxallowed=1.02)


def _line(one: SweepTrial) -> dict[str, Any]:
    values = {title_of(field): _value(field, value) for field, value in one.values.items()}
    accuracy = None if one.accuracy is None else round(100 * one.accuracy, 2)
    head = {"trial": one.number, "status": one.status, "validation, %": accuracy}
    return head | values | {"why": shown(one.why, 200)}


def _value(field: str, value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else plotted(display_name(field, value), 60)
