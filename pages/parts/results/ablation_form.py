"""The form of a new ablation: base, components, seeds and budget, and what that costs."""

from collections.abc import Sequence

import streamlit as st

from core.config import RunConfig
from core.data.datasets.dataset import Dataset
from core.errors import UserMistake
from core.experiments.ablation.actions import create_experiment
from core.experiments.ablation.components import COMPONENTS, Component, can_switch, find_components, own_component
from core.experiments.ablation.spec import TIMING_SECONDS, ExperimentSpec, estimate_seconds, plan_experiment
from core.fields import parse_settings
from core.notebook.notebook import write_experiment_guess
from core.presets import all_presets
from pages.parts.form.estimate import draw_estimate
from pages.parts.form.guess import ask_component_guess, forget_guess
from pages.parts.form.run_form import DEFAULT_PRESET, fit_preset, preset_label
from pages.parts.form.start_run import supervisor
from pages.parts.results.experiment_picker import datasets_or_hint, pick_dataset, show_next
from pages.parts.shell.cache import runs
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.formatting import span
from pages.parts.widgets.run_picker import run_labels

USUALLY = ("batch_norm", "dropout_linear", "activation_relu", "optimizer_adam", "flip", "label_smoothing")


def draw_ablation_form() -> None:
    st.markdown(
        "**What is each component worth?** A base is trained with and without each component that you choose: the same "
        "pictures in the same order, with several seeds, so that an effect can be told from chance."
    )
    known = datasets_or_hint("An experiment")
    if not known:
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        dataset, base = _draw_base(known)
    with right:
        chosen, wrong = _draw_components(base)
    with left:
        seeds = st.slider(
            "Seeds",
            1,
            10,
            3,
            key="experiment.seeds",
            help="How often each setting is trained, each time with other initial weights and another order. With "
            "fewer than 3 only large differences can be told from chance.",
        )
        until_decided = st.checkbox(
            "Stop a component's seeds once it is decided",
            key="experiment.until_decided",
            help="Looks after each seed; the seeds above are then the most that it takes, e.g. 8. The intervals allow "
            "for looking that often.",
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
        _draw_start(dataset, base, chosen, wrong, seeds, minutes, until_decided)


def _draw_base(known: Sequence[Dataset]) -> tuple[Dataset, RunConfig]:
    dataset = pick_dataset("experiment", known)
    ended = [run for run in runs() if run.state.status == "done" and run.config.data.dataset == dataset.name][:20]
    by_id = {run.id: run for run in ended}
    presets = all_presets()
    options = [*presets, *by_id]
    if st.session_state.get("experiment.base") not in options:
        st.session_state["experiment.base"] = DEFAULT_PRESET
    labels = run_labels(list(by_id.values()))
    chosen = st.selectbox(
        "Base",
        options,
        key="experiment.base",
        format_func=lambda option: (
            f"Preset {preset_label(option)}" if option in presets else f"Run: {shown(labels[option], 60)}"
        ),
        help="A preset, or the settings of a run that has finished.",
    )
    return dataset, by_id[chosen].config if chosen in by_id else fit_preset(chosen, dataset)


def _draw_components(base: RunConfig) -> tuple[list[Component], str]:
    """A row of pills for each group; what changes nothing in this base is not offered. Below, comparisons of one's own,
    and what is wrong with one of them."""
    st.markdown("**Components**")
    groups: dict[str, list[str]] = {}
    for component in COMPONENTS.values():
        if can_switch(base, component):
            groups.setdefault(component.group, []).append(component.key)
    chosen: list[str] = []
    for group, keys in groups.items():
        described = [COMPONENTS[key] for key in keys if COMPONENTS[key].description]
        notes = [f"**{component.title}**: {component.description}" for component in described]
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
            help="\n\n".join(notes) or None,
            wrap=True,
        )
        chosen += picked or []
    own, wrong = _draw_own()
    return [*find_components(chosen), *own], wrong


def _draw_own() -> tuple[list[Component], str]:
    """Components that somebody types: each line is settings that are changed in the base together."""
    typed = st.text_area(
        "Your own comparison",
        key="experiment.own",
        placeholder="model.kernel=5 model.padding=same",
        height=68,
        help="Settings that are changed in the base together, as the command line writes them after --change; a line "
        "for each comparison. An unknown name is answered with the known ones.",
    )
    own: list[Component] = []
    for words in (typed or "").splitlines():
        try:
            if words.strip():
                own.append(own_component(parse_settings(words.split()), len(own) + 1))
        except UserMistake as mistake:
            return own, str(mistake)
    return own, ""


def _draw_start(
    dataset: Dataset,
    base: RunConfig,
    components: list[Component],
    wrong: str,
    seeds: int,
    minutes: float | None,
    until_decided: bool,
) -> None:
    spec = None
    if not wrong:
        try:
            budget = None if minutes is None else 60 * minutes
            spec = plan_experiment(base, components, seeds, budget, until_decided)
        except UserMistake as mistake:
            wrong = str(mistake)
    if spec is not None:
        supervisor()  # which also measures how fast the base is
        st.caption(_describe_cost(spec))
        draw_estimate(dataset, spec.base.config)
    guess, wrong_guess = ask_component_guess(spec.variants if spec else (), "experiment")
    wrong = wrong or wrong_guess
    if st.button(
        "Start the experiment",
        type="primary",
        icon=":material/science:",
        width="stretch",
        key="experiment.start",
        disabled=spec is None or bool(wrong),
    ):
        assert spec is not None
        experiment = create_experiment(spec)
        if guess:
            write_experiment_guess(experiment, guess)
            forget_guess("experiment")
        supervisor()
        show_next("experiment", experiment.id)
        st.toast(f"The experiment {experiment.id[-4:]} starts", icon=":material/science:")
        st.rerun()
    if wrong:
        st.caption(f":red[:material/block:] {escape(wrong[:1].upper() + wrong[1:], 400)}")


def _describe_cost(spec: ExperimentSpec) -> str:
    """What it consists of and how long it takes; what the budget leaves out."""
    each = len(spec.arms)
    text = f"**{each * len(spec.seeds)} runs**: {each} settings, {len(spec.seeds)} seeds"
    seconds = estimate_seconds(spec)
    if seconds is None:
        return f"{text}. How long it takes is known once the base's speed is measured."
    text += f" · **about {span(seconds)}** by the speed of the base"
    if spec.budget_seconds is None or seconds <= spec.budget_seconds:
        return f"{text}."
    timing = TIMING_SECONDS * len(spec.variants)
    fit = max(1, int((spec.budget_seconds - timing) * len(spec.seeds) // (seconds - timing)))
    return (
        f"{text}. The budget of {span(spec.budget_seconds)} suffices for about {min(fit, len(spec.seeds))} of "
        f"{len(spec.seeds)} seeds; the others are left out."
    )
