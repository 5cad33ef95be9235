"""Ablation: what each component is worth; an experiment at work or ended, or the form of a new one."""

import streamlit as st

from core.experiments.ablation.actions import delete_experiment, resume_experiment, stop_experiment
from core.experiments.ablation.effects import Report, report
from core.experiments.ablation.experiment import DECIDED, Experiment, read_experiment, scan_specs
from pages.parts.form.start_run import supervisor
from pages.parts.results.ablation_form import draw_ablation_form
from pages.parts.results.ablation_tables import draw_numbers, draw_runs
from pages.parts.results.experiment_picker import NEW, pick_experiment
from pages.parts.results.forest_figure import forest_figure
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import span
from pages.parts.shell.frame import boundary
from pages.parts.widgets.charts import PLOTLY_CONFIG
from pages.parts.widgets.report_panel import offer_report

TICK_SECONDS = 2.0
STATUS_LABELS = {
    "waiting": "Queued",
    "measuring": "Measuring times",
    "running": "Training",
    "stopped": "Stopped",
    "done": "Done",
}


def draw_experiments() -> None:
    """The experiment that was picked, or the form for a new one."""
    picked = pick_experiment("experiment", scan_specs()[0])
    if picked == NEW:
        draw_ablation_form()
    else:
        _draw_one(read_experiment(picked))


def _draw_one(experiment: Experiment) -> None:
    if not experiment.ended:
        supervisor()  # it works at it, also after a restart of the machine
    st.fragment(_draw_progress, run_every=None if experiment.ended else TICK_SECONDS)(experiment.id, _stamp(experiment))
    found = _report(experiment.id, _stamp(experiment), experiment)
    _draw_forest(found)
    for effect in found.effects:
        these = effect.these_networks
        if these is not None and effect.seeds > 1:
            alone = these.times(100)
            st.markdown(
                f"- {escape(effect.sentence, 400)} :gray[For these very networks, over pictures alone: "
                f"{alone.low:+z.1f} to {alone.high:+z.1f}.]"
                + (f" :gray[{escape('; '.join(effect.remarks), 400)}]" if effect.remarks else "")
            )
            continue
        remarks = f" :gray[{escape('; '.join(effect.remarks), 400)}]" if effect.remarks else ""
        st.markdown(f"- {escape(effect.sentence, 400)}{remarks}")
    for remark in found.remarks:
        st.caption(f":material/info: {escape(remark, 500)}")
    draw_numbers(found)
    draw_runs(experiment)
    if experiment.ended:
        offer_report([experiment.id], "experiment")


def _draw_forest(found: Report) -> None:
    """The forest plot of the effects that are known; nothing where none is."""
    finished = [effect for effect in found.effects if effect.accuracy is not None or effect.seconds is not None]
    if finished:
        st.plotly_chart(forest_figure(finished), config=PLOTLY_CONFIG, key="experiment.forest")
        text = "What the component does: with it minus without it. Points with 95 % intervals; grey: within the noise."
        if any(effect.seconds for effect in finished):
            text += " Left: test accuracy, over seeds and pictures. Right: an epoch of training, timed in turns."
        st.caption(text)


@boundary()
def _draw_progress(experiment_id: str, stamp: str) -> None:
    """How far it is, and its buttons; the page is drawn anew as soon as there is something to see in the chart."""
    experiment = read_experiment(experiment_id)
    if _stamp(experiment) != stamp:
        st.rerun()
    done, whole = experiment.progress
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(done / whole if whole else 1.0, text=_describe(experiment, done, whole))
        if experiment.ended:
            _draw_ended_actions(experiment)
        elif st.button("Stop", key="experiment.stop", icon=":material/stop_circle:"):
            stop_experiment(experiment)
            st.rerun()
    if experiment.at_once is not None:
        st.caption(escape(experiment.at_once.sentence, 300))


def _draw_ended_actions(experiment: Experiment) -> None:
    cut = experiment.cut  # resumed, it would leave them out again
    missing = experiment.status == "stopped" or any(
        not (cell.is_done or cell.why == DECIDED) and cell not in cut for cell in experiment.cells
    )
    if (missing or experiment.timing_given_up) and st.button(
        "Resume",
        key="experiment.resume",
        icon=":material/play_arrow:",
        help="Tries again what has failed or could not be measured, too.",
    ):
        resume_experiment(experiment)
        supervisor()
        st.rerun()
    if st.button("Delete", key="experiment.delete", icon=":material/delete:", help="Its runs stay, hidden."):
        delete_experiment(experiment)
        st.rerun()


def _describe(experiment: Experiment, done: int, whole: int) -> str:
    facts = [STATUS_LABELS[experiment.status], f"{done} of {whole} measurements and runs"]
    if experiment.at_work:
        facts.insert(1, escape(experiment.at_work, 120))
    if not experiment.ended:
        facts.append(f"about {span(experiment.seconds_left)} left")
    elif experiment.spent:  # else all its runs were there before
        facts.append(f"took {span(experiment.spent)}")
    return " · ".join(facts)


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
