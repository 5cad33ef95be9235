"""With and without: plan an experiment, watch it, and see what each component is worth. A part of the Results page."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from core.config import RunConfig
from core.data.dataset import Dataset
from core.data.ledger import disarm
from core.errors import UserMistake
from core.experiments.components import COMPONENTS, can_switch, find_components
from core.experiments.experiment import (
    TIMING_SECONDS,
    Experiment,
    Plan,
    create_experiment,
    delete_experiment,
    estimate_seconds,
    list_plans,
    plan_experiment,
    read_experiment,
    resume_experiment,
    stop_experiment,
)
from core.experiments.with_without import Difference, Effect, Report, report
from core.presets import all_presets
from pages.parts.cached import datasets, runs
from pages.parts.charts import PLOTLY_CONFIG
from pages.parts.escape import escape, plotted, shown
from pages.parts.estimate import draw_estimate
from pages.parts.frame import boundary
from pages.parts.palette import CALM
from pages.parts.plans import NEW, pick_pictures, pick_plan, show_next
from pages.parts.run_form import USUAL, fitted
from pages.parts.starting import supervisor
from pages.parts.words import span

USUALLY = ("batch_norm", "dropout_linear", "activation_relu", "optimizer_adam", "flip", "label_smoothing")
TICK_SECONDS = 2.0
GAIN, LOSS = "#009E73", "#D55E00"  # of Okabe and Ito: told apart with any kind of colour vision
_GRID = "rgba(128, 128, 128, 0.22)"
_ROW = 34
STATUS_SAYS = {
    "waiting": "Waits for its turn",
    "measuring": "Measuring times",
    "running": "Training",
    "stopped": "Stopped",
    "done": "Done",
}


def draw_experiments() -> None:
    """The experiment that was picked, or the form for a new one."""
    picked = pick_plan("experiment", dict(list_plans()))
    if picked == NEW:
        _draw_new()
    else:
        _draw_one(read_experiment(picked))


# ------------------------------------------------------------------------------------------------------- the form


def _draw_new() -> None:
    st.markdown(
        "**What is each part worth?** A base is trained with and without each component that you choose: the same "
        "pictures in the same order, with several seeds, so that chance can be told from effect."
    )
    known = datasets()
    if not known:
        st.info("An experiment needs pictures. Bring some first, or take a sample.", icon=":material/photo_library:")
        st.page_link("pages/data.py", label="Bring pictures", icon=":material/add_photo_alternate:")
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        dataset, base = _draw_base(known)
    with right:
        keys = _draw_components(base)
    with left:
        seeds = st.slider(
            "Seeds",
            1,
            10,
            3,
            key="experiment.seeds",
            help="How often each side is trained, each time with other first weights and another order. With fewer "
            "than 3 only large differences can be told from chance.",
        )
        minutes = st.number_input(
            "Budget in minutes",
            min_value=1.0,
            value=None,
            step=5.0,
            key="experiment.budget",
            placeholder="as long as it takes",
            help="Seeds that do not fit in are left out, and the result says which.",
        )
        _draw_start(dataset, base, keys, seeds, minutes)


def _draw_base(known: Sequence[Dataset]) -> tuple[Dataset, RunConfig]:
    dataset = pick_pictures("experiment", known)
    ended = [run for run in runs() if run.state.status == "done" and run.config.data.dataset == dataset.name][:20]
    by_id = {run.id: run for run in ended}
    presets = all_presets()
    options = [*presets, *by_id]
    if st.session_state.get("experiment.base") not in options:
        st.session_state["experiment.base"] = USUAL
    chosen = st.selectbox(
        "Base",
        options,
        key="experiment.base",
        format_func=lambda option: (
            f"Preset {shown(option)}" if option in presets else f"Run: {shown(by_id[option].title, 50)}"
        ),
        help="A preset, or the settings of a run that has finished.",
    )
    return dataset, by_id[chosen].config if chosen in by_id else fitted(chosen, dataset)


def _draw_components(base: RunConfig) -> list[str]:
    """A row of pills for each group; what changes nothing in this base is not offered."""
    st.markdown("**Components**")
    groups: dict[str, list[str]] = {}
    for component in COMPONENTS.values():
        if can_switch(base, component):
            groups.setdefault(component.group, []).append(component.key)
    chosen: list[str] = []
    for group, keys in groups.items():
        told = [f"**{COMPONENTS[key].title}**: {COMPONENTS[key].said}" for key in keys if COMPONENTS[key].said]
        key = f"experiment.group.{group}"
        kept = st.session_state.get(key)
        if kept is not None:  # another base offers others
            st.session_state[key] = [one for one in kept if one in keys]
        picked = st.pills(
            group,
            keys,
            selection_mode="multi",
            default=None if kept is not None else [one for one in USUALLY if one in keys],
            format_func=lambda one: COMPONENTS[one].title,
            key=key,
            help="\n\n".join(told) or None,
            wrap=True,
        )
        chosen += picked or []
    return chosen


def _draw_start(dataset: Dataset, base: RunConfig, keys: list[str], seeds: int, minutes: float | None) -> None:
    plan, wrong = None, ""
    try:
        plan = plan_experiment(base, find_components(keys), seeds, None if minutes is None else 60 * minutes)
    except UserMistake as mistake:
        wrong = str(mistake)
    if plan is not None:
        supervisor()  # which also measures how fast the base is
        st.caption(_cost(plan))
        draw_estimate(dataset, plan.base.config)
    if st.button(
        "Start the experiment",
        type="primary",
        icon=":material/science:",
        width="stretch",
        key="experiment.start",
        disabled=plan is None,
    ):
        assert plan is not None
        experiment = create_experiment(plan)
        supervisor()
        show_next("experiment", experiment.id)
        st.toast(f"The experiment {experiment.id[-4:]} starts", icon=":material/science:")
        st.rerun()
    if wrong:
        st.caption(f":red[:material/block:] {escape(wrong[:1].upper() + wrong[1:], 400)}")


def _cost(plan: Plan) -> str:
    """What it consists of and how long it takes; what the budget leaves out."""
    each = len(plan.both)
    told = f"**{each * len(plan.seeds)} runs**: {each} settings, {len(plan.seeds)} seeds"
    seconds = estimate_seconds(plan)
    if seconds is None:
        return f"{told}. How long it takes is known once the base's speed is measured."
    told += f" · **about {span(seconds)}** by the speed of the base"
    if plan.budget_seconds is None or seconds <= plan.budget_seconds:
        return f"{told}."
    timing = TIMING_SECONDS * len(plan.settings)
    fit = max(1, int((plan.budget_seconds - timing) * len(plan.seeds) // (seconds - timing)))
    return (
        f"{told}. The budget of {span(plan.budget_seconds)} suffices for about {min(fit, len(plan.seeds))} of "
        f"{len(plan.seeds)} seeds; the others are left out."
    )


# ------------------------------------------------------------------------------------------------- one experiment


def _draw_one(experiment: Experiment) -> None:
    if not experiment.ended:
        supervisor()  # it works at it, also after a restart of the machine
    st.fragment(_draw_progress, run_every=None if experiment.ended else TICK_SECONDS)(experiment.id, _stamp(experiment))
    found = _report(experiment.id, _stamp(experiment), experiment)
    finished = [effect for effect in found.effects if effect.accuracy is not None or effect.seconds is not None]
    if finished:
        st.plotly_chart(forest_figure(finished), config=PLOTLY_CONFIG, key="experiment.forest")
        told = "What the component does: with it minus without it. Points with 95 % intervals; grey: within the noise."
        if any(effect.seconds for effect in finished):
            told += " Left: test accuracy, over seeds and pictures. Right: an epoch of training, timed in turns."
        st.caption(told)
    for effect in found.effects:
        remarks = f" :gray[{escape('; '.join(effect.remarks), 400)}]" if effect.remarks else ""
        st.markdown(f"- {escape(effect.sentence, 400)}{remarks}")
    for remark in found.remarks:
        st.caption(f":material/info: {escape(remark, 500)}")
    _draw_numbers(found)
    _draw_runs(experiment)


@boundary()
def _draw_progress(experiment_id: str, stamp: str) -> None:
    """How far it is, and its buttons; the page is drawn anew as soon as there is something to see in the chart."""
    experiment = read_experiment(experiment_id)
    if _stamp(experiment) != stamp:
        st.rerun()
    done, whole = experiment.progress
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(done / whole if whole else 1.0, text=_describe(experiment, done, whole))
        if not experiment.ended:
            if st.button("Stop", key="experiment.stop", icon=":material/stop_circle:"):
                stop_experiment(experiment)
                st.rerun()
            return
        cut = experiment.cut  # resumed, it would leave them out again
        missing = experiment.status == "stopped" or any(
            not cell.is_done and cell not in cut for cell in experiment.cells
        )
        if (missing or experiment.timing_given_up) and st.button(
            "Resume",
            key="experiment.resume",
            icon=":material/play_arrow:",
            help="Goes on, and tries again what has failed or could not be measured.",
        ):
            resume_experiment(experiment)
            supervisor()
            st.rerun()
        if st.button("Delete", key="experiment.delete", icon=":material/delete:", help="Its runs stay, hidden."):
            delete_experiment(experiment)
            st.rerun()


def _describe(experiment: Experiment, done: int, whole: int) -> str:
    told = [STATUS_SAYS[experiment.status], f"{done} of {whole} measurements and runs"]
    if experiment.at_work:
        told.insert(1, escape(experiment.at_work, 120))
    if not experiment.ended:
        told.append(f"about {span(experiment.seconds_left)} left")
    elif experiment.spent:  # else all its runs were there before
        told.append(f"took {span(experiment.spent)}")
    return " · ".join(told)


def _stamp(experiment: Experiment) -> str:
    """Changes when there is something new to draw besides the progress."""
    ended = [  # a run that was resumed keeps its id
        (cell.run.id, cell.run.state.status, cell.run.state.updated)
        for cell in experiment.cells
        if cell.run is not None and cell.run.state.ended
    ]
    return f"{experiment.status if experiment.ended else 'running'} {ended} {sorted(experiment.timings)}"


@st.cache_data(max_entries=30, show_spinner=False)
def _report(experiment_id: str, stamp: str, _experiment: Experiment) -> Report:
    return report(_experiment)


def forest_figure(effects: Sequence[Effect]) -> go.Figure:
    """A row a component, the largest gain on top: difference in accuracy and in seconds per epoch with intervals."""
    rows = sorted(effects, key=lambda effect: effect.accuracy.value if effect.accuracy else 0.0, reverse=True)
    timed = any(effect.seconds for effect in rows)  # while nothing is, accuracy has the whole width
    figure = make_subplots(rows=1, cols=1 + timed, shared_yaxes=True, horizontal_spacing=0.04)
    accuracy = [(effect, effect.accuracy.times(100)) for effect in rows if effect.accuracy]
    seconds = [(effect, effect.seconds) for effect in rows if effect.seconds]
    places = {effect.key: place for place, effect in enumerate(rows)}
    _add_points(figure, 1, accuracy, places, "points", more_is=GAIN, less_is=LOSS)
    _add_points(figure, 2, seconds, places, "s per epoch", more_is=LOSS, less_is=GAIN)
    for column, title in ((1, "test accuracy, points"), (2, "seconds per epoch"))[: 1 + timed]:
        figure.add_vline(x=0, line={"width": 1.4, "color": CALM}, row=1, col=column)
        figure.update_xaxes(
            title=title, gridcolor=_GRID, zeroline=False, fixedrange=True, tickformat="+", nticks=6, row=1, col=column
        )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=["<br>".join(wrap(plotted(effect.title, 60), 28)) for effect in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        automargin=True,
        fixedrange=True,
    )
    figure.update_layout(
        height=_ROW * len(rows) + 70,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        showlegend=False,
        hovermode="closest",
        dragmode=False,
    )
    return figure


def _add_points(
    figure: go.Figure,
    column: int,
    told: Sequence[tuple[Effect, Difference]],
    places: dict[str, int],
    unit: str,
    more_is: str,
    less_is: str,
) -> None:
    if not told:
        return
    colours = [CALM if one.is_noise else more_is if one.value > 0 else less_is for _, one in told]
    for (effect, one), colour in zip(told, colours, strict=True):
        figure.add_scatter(
            x=[one.value],
            y=[places[effect.key]],
            mode="markers",
            marker={"size": 9, "color": colour},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [one.high - one.value],
                "arrayminus": [one.value - one.low],
                "color": colour,
                "thickness": 2,
                "width": 4,
            },
            customdata=[[plotted(effect.title, 60), one.low, one.high]],
            hovertemplate="%{customdata[0]}: %{x:+.3g} "
            + unit
            + " (95 % interval %{customdata[1]:+.3g} to %{customdata[2]:+.3g})<extra></extra>",
            row=1,
            col=column,
        )


def _draw_numbers(found: Report) -> None:
    with st.expander("All numbers", icon=":material/table:"):
        table = pd.DataFrame([_numbers(effect) for effect in found.effects])
        st.dataframe(table, hide_index=True)
        st.download_button(
            "Download the numbers",
            table.to_csv(index=False),
            file_name="experiment.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )


def _numbers(effect: Effect) -> dict[str, Any]:
    accuracy, seconds = effect.accuracy, effect.seconds
    accuracies = effect.sides(effect.base_accuracy, effect.setting_accuracy)
    epochs = effect.sides(effect.base_seconds, effect.setting_seconds)
    sizes = effect.sides(effect.base_parameters, effect.parameters)
    return {
        "component": disarm(shown(effect.title, 200)),
        "changed in the base": disarm(shown(effect.told, 200)),
        "seeds": effect.seeds,
        "test pictures": effect.pictures,
        "accuracy without, %": _hundred(accuracies[0]),
        "accuracy with, %": _hundred(accuracies[1]),
        "difference, points": _hundred(accuracy.value if accuracy else None),
        "from": _hundred(accuracy.low if accuracy else None),
        "to": _hundred(accuracy.high if accuracy else None),
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


def _draw_runs(experiment: Experiment) -> None:
    with st.expander("Its runs", icon=":material/list:"):
        lines = []
        for cell in experiment.cells:
            score = cell.run.state.score if cell.run is not None and cell.is_done else None
            lines.append(
                {
                    "setting": shown(cell.setting.title, 80),
                    "seed": cell.seed,
                    "status": cell.run.state.status if cell.run else ("missing" if cell.why else "to do"),
                    "test accuracy, %": round(100 * score[0] / score[1], 2) if score and score[1] else None,
                    "open": f"/train?run={cell.run.id}" if cell.run else None,
                    "told": shown(cell.run.state.message if cell.run else cell.why, 200),
                }
            )
        st.dataframe(
            pd.DataFrame(lines),
            hide_index=True,
            column_config={"open": st.column_config.LinkColumn("open", display_text="Train page")},
        )
