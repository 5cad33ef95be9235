"""The form of a run: one widget a field of RunConfig, drawn from the field's own title, help and range."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import RunConfig, change_config
from core.data.dataset import Dataset
from core.errors import UserMistake
from core.presets import all_presets, preset
from pages.parts.augment_preview import draw_preview
from pages.parts.escape import escape, shown
from pages.parts.fields import (
    FRONT,
    all_fields,
    groups,
    matters,
    say,
    summary,
    title_of,
    value_of,
)
from pages.parts.form_state import held, put, take, wrong_in
from pages.parts.planning import given_parts, part_counts
from pages.parts.remarks import Plan, Remark, look_at
from pages.parts.schedule_curve import draw_schedule
from pages.parts.session import session_token
from pages.parts.trunk import take_network
from pages.parts.versions import in_families, version_label
from pages.parts.widgets import differs, draw_field

FILLED = "form.filled"  # the RunConfig, as JSON, that the form was filled from: a preset, fitted to a dataset
ASKED = "form.asked"  # what set_field and take_config ask for until the form is drawn next
TOKEN = "form.token"  # under which the form is kept for a reload
MOST_KEPT = 500  # forms
DATASET = "train_dataset"  # the name of the chosen dataset; other pages set it too

USUAL = "quick"  # the preset that a newcomer finds: it ends in seconds
PRESET_SAYS = {
    "paper": "The settings of the paper: plain SGD for 50 epochs.",
    "quick": "The same network in the shortest time.",
    "better": "The same network with augmentation, for its best result.",
    "best": "A residual network: the best result here. On 50,000 pictures half an hour with two processors.",
    "speedrun": "The network of best in fewer epochs, for a graphics card: seconds there.",
    "pretrained": "GoogLeNet, which has learnt ImageNet, with a new last layer.",
}


@dataclass(frozen=True)
class Form:
    """What the form says now, and the places that it keeps free for others."""

    config: RunConfig
    plan: Plan
    remarks: Sequence[Remark]
    rate: DeltaGenerator  # under the learning rate
    middle: DeltaGenerator  # between the few settings in front and the rest: always in sight


# ------------------------------------------------------------------------------------ asked for from elsewhere


def set_field(field: str, value: Any) -> None:
    """Give one setting a value, e.g. ("train.learning_rate", 0.01), when the form is drawn next.

    For callbacks of any page. An unknown field or a value out of range raises UserMistake.
    """
    _ask({field: value_of(change_config(RunConfig(), {field: value}), field)})


def take_config(config: RunConfig) -> None:
    """Fill the whole form from a RunConfig, its preset and dataset with it, when the form is drawn next."""
    st.session_state[ASKED] = asked_of(config)


def asked_of(config: RunConfig) -> dict[str, Any]:
    """Everything that a RunConfig says of the form: field -> value, and "preset"."""
    return {field: value_of(config, field) for field in (*all_fields(), "data.dataset")} | {"preset": config.preset}


def _ask(values: dict[str, Any]) -> None:
    st.session_state[ASKED] = st.session_state.get(ASKED, {}) | values


# ---------------------------------------------------------------------------------------------------- drawing


def pick_dataset(known: Sequence[Dataset], usual: str) -> Dataset:
    """The dataset to learn from; `usual` is the name of the one that is proposed."""
    by_name = {dataset.name: dataset for dataset in in_families(known)}
    names = list(by_name)
    _bring_back()
    wanted = st.session_state.get(ASKED, {}).pop("data.dataset", None)
    if wanted in names:
        st.session_state[DATASET] = wanted
    elif wanted is not None:
        st.toast(f"The pictures {escape(wanted, 40)} are not here any more. All other settings were taken over.")
    if st.session_state.get(DATASET) not in names:
        st.session_state[DATASET] = usual
    name = st.selectbox(
        "Pictures",
        names,
        key=DATASET,
        format_func=lambda name: version_label(by_name[name], known) if name in by_name else shown(name),
        persist_state="session",
    )
    return by_name[name]


def draw_form(dataset: Dataset) -> Form:
    """Preset, the few settings that matter most, and the rest in groups.

    What a person changes stays over reruns, page switches and another dataset; all else follows the preset, fitted
    to the dataset. Values that do not go together are said in the remarks, never raised.
    """
    if "model.name" in take():
        take_network()
    base = _draw_preset(dataset)
    given = given_parts(dataset.content_hash, dataset)
    values = _values(base)
    # a field that is out of sight is back at its preset, so that nothing hidden decides
    config = change_config(base, {field: value for field, value in values.items() if matters(field, values, given)})
    plan, remarks = look_at(dataset, config, session_token())
    wrong = {field: why for field, why in wrong_in().items() if matters(field, values, given)}
    remarks = [Remark(why, (field,), stops=True) for field, why in wrong.items()] + remarks
    rate, middle = _draw_front(base, remarks)
    # Streamlit drops what it has not sent yet of a fragment that runs again, and sends what a clock within has drawn
    # meanwhile, to its place in the layout that was dropped. Where that is somebody else's, the browser's page ends: so
    # whatever may come and go before or in the place of a clock stands in a container of its own.
    with middle.container(gap=None):
        in_order = (*FRONT, *(field for fields in groups().values() for field in fields))
        _draw_changes(base, [field for field in in_order if matters(field, values, given)])
    boxes = st.container(gap="xsmall")
    for title, fields in groups().items():
        acting = [field for field in fields if matters(field, values, given)]
        with boxes.expander(_heading(title, acting, base, values, remarks), key=f"group.{title}"):
            with st.container():
                for field in acting:
                    draw_field(field, base, remarks, f"Preset {escape(base.preset)}")
            if title == "Schedule":
                draw_schedule(config.train)
            if title == "Augmentation":
                draw_preview(dataset, config)
    _keep(config, touched=base.preset != USUAL or any(differs(field, base) for field in all_fields()))
    return Form(config, plan, remarks, rate, middle)


def _draw_preset(dataset: Dataset) -> RunConfig:
    """The chosen preset, fitted to the dataset, with the form filled from it."""
    asked = st.session_state.pop(ASKED, {})
    presets = all_presets()
    if (named := asked.pop("preset", None)) in presets:
        st.session_state["form.preset"] = named
    if st.session_state.get("form.preset") not in presets:  # also one of somebody's own that is gone
        st.session_state["form.preset"] = USUAL
    name = st.pills(  # as many as there are, also of one's own: they go on in the next line
        "Preset",
        list(presets),
        required=True,
        format_func=escape,
        key="form.preset",
        persist_state="session",
        on_change=_take_preset,
        help="\n\n".join(f"**{preset_name}** {told}" for preset_name, told in PRESET_SAYS.items()),
    )
    base = fitted(name or USUAL, dataset)
    _follow(base)
    for field, value in asked.items():
        put(field, value)
    told = PRESET_SAYS.get(base.preset, "A preset of your own.")
    if base.train != preset(base.preset).train:
        told += f" Fitted to this small set: {base.train.epochs} epochs in batches of {base.train.batch_size}."
    st.caption(told)
    return base


def _draw_front(base: RunConfig, remarks: Sequence[Remark]) -> tuple[DeltaGenerator, DeltaGenerator]:
    with st.container(gap="xsmall"):
        rate = st.container(gap=None)
        with rate.container(gap=None):
            draw_field(FRONT[0], base, remarks, f"Preset {escape(base.preset)}")
        for field in FRONT[1:]:
            draw_field(field, base, remarks, f"Preset {escape(base.preset)}")
    return rate, st.container(gap="xsmall")


def _heading(
    title: str, acting: Sequence[str], base: RunConfig, values: dict[str, Any], remarks: Sequence[Remark]
) -> str:
    """The title of a group, what it is set to, and whether something in it is changed or stops the run."""
    mark = " :primary[●]" if any(differs(field, base) for field in acting) else ""
    stop = any(remark.stops and set(remark.fields) & set(acting) for remark in remarks)
    return f"{':red[:material/block:] ' if stop else ''}**{title}**{mark} :gray[{summary(title, values)}]"


def _draw_changes(base: RunConfig, acting: Sequence[str]) -> None:
    """What differs from the preset, each with the way back to it."""
    changed = [field for field in acting if differs(field, base) or field in wrong_in()]
    if not changed:
        return
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="changes"):
        st.caption(f"Changed from {escape(base.preset)}:", width="content")
        for field in changed:
            usual = value_of(base, field)
            st.button(
                title_of(field),
                key=f"reset.{field}",
                icon=":material/undo:",
                type="tertiary",
                help=f"Back to {say(usual)}",
                on_click=put,
                args=(field, usual),
            )
        if len(changed) > 1:
            st.button("All", key="reset.all", icon=":material/restart_alt:", type="tertiary", on_click=_take_preset)


# ------------------------------------------------------------------------------------------------------ state


def fitted(name: str, dataset: Dataset) -> RunConfig:
    """The preset of that name as it suits the number of training pictures of a dataset."""
    asked = change_config(preset(name), {"data.dataset": dataset.name})
    try:
        counts = part_counts(dataset.content_hash, asked.data.model_dump_json(), dataset)
    except UserMistake:
        return asked  # too few pictures for this split: the remarks say so
    return change_config(preset(name, sum(counts["train"])), {"data.dataset": dataset.name})


def _follow(base: RunConfig) -> None:
    """Every field that a person has not changed takes its value from `base`; the first time, and from a preset, all."""
    told = st.session_state.get(FILLED)
    before = RunConfig.model_validate_json(told) if told else None
    for field in all_fields():
        theirs = before is not None and differs(field, before)
        if not theirs and (before is None or field not in wrong_in()):
            put(field, value_of(base, field))
    st.session_state[FILLED] = base.model_dump_json()


def _take_preset() -> None:
    st.session_state.pop(FILLED, None)


def _values(base: RunConfig) -> dict[str, Any]:
    return {field: held().get(field, value_of(base, field)) for field in all_fields()}


# --------------------------------------------------------------------------------------------------- reloading


@st.cache_resource(max_entries=1, show_spinner=False)
def kept_forms() -> dict[str, str]:
    """Token -> RunConfig as JSON: what a form said last, for a reload, which begins a new session."""
    return {}


def _keep(config: RunConfig, touched: bool) -> None:
    """Remember the form under a token that stands in the address once somebody has changed something."""
    token = st.session_state.get(TOKEN)
    if token is None:
        if not touched:
            return
        token = st.session_state[TOKEN] = secrets.token_hex(4)
    kept = kept_forms()
    kept[token] = config.model_dump_json()
    while len(kept) > MOST_KEPT:
        kept.pop(next(iter(kept)), None)
    if st.query_params.get("form") != token:
        st.query_params["form"] = token


def _bring_back() -> None:
    """Fill a new session's form from the one in the address, which may be somebody else's: it gets its own token."""
    if FILLED not in st.session_state and TOKEN not in st.session_state:
        told = kept_forms().get(st.query_params.get("form", ""))
        if told is not None:
            take_config(RunConfig.model_validate_json(told))
