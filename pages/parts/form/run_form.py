"""The form of a run: one widget a field of RunConfig, drawn from the field's own title, help and range."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import DataConfig, RunConfig, change_config
from core.data.datasets.dataset import Dataset
from core.display_names import display_name
from core.errors import UserMistake
from core.fields import value_of
from core.presets import all_presets, preset
from core.submit import fitted_config
from pages.parts.form.augmentation_preview import draw_preview
from pages.parts.form.field_widgets import differs, draw_field
from pages.parts.form.fields import FRONT, all_fields, groups, is_relevant, summarize_group, title_of
from pages.parts.form.preset_cards import draw_cards
from pages.parts.form.pretrained import take_network
from pages.parts.form.schedule_curve import draw_schedule
from pages.parts.form.split_counts import given_parts, part_counts
from pages.parts.form.state import apply_input, form_values, invalid_input, set_value
from pages.parts.form.validation import Remark, SplitSummary, validate_config
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.session import form_token, requester
from pages.parts.widgets.dataset_versions import in_families, version_label

FILLED = "form.filled"  # the RunConfig, as JSON, that the form was filled from: a preset, fitted to a dataset
OPENED = "form.opened"  # whether this session has drawn the form before
REQUESTED = "form.requested"  # what set_field and take_config set when the form is drawn next
MOST_KEPT = 500  # forms
DATASET = "train_dataset"  # the name of the chosen dataset; other pages set it too

DEFAULT_PRESET = "quick"  # what a newcomer finds: it ends in seconds
PRESET_HELP = {
    "paper": "The settings of the paper: plain SGD for 50 epochs.",
    "quick": "The same network in the shortest time.",
    "better": "The same network with augmentation, for its best result.",
    "best": "A residual network: the best result here. On 50,000 pictures 7 to 20 minutes with two processors.",
    "tiny": "A narrow residual network of under 100,000 parameters, little more than the paper's.",
    "scratch": "For your own pictures, a network of your own: nothing learnt before, pictures of 64 pixels.",
    "speedrun": "The network of best in fewer epochs, for a graphics card: seconds there.",
    "pretrained": "For your own pictures, soonest good: a network that has learnt ImageNet, and a new last layer.",
}


@dataclass(frozen=True)
class Form:
    """The settings of the form, the remarks on them, and the places that it keeps free for others."""

    config: RunConfig
    split: SplitSummary
    remarks: Sequence[Remark]
    rate: DeltaGenerator  # under the learning rate
    middle: DeltaGenerator  # between the few settings in front and the rest: always in sight


# ------------------------------------------------------------------------------------------- set from elsewhere


def set_field(field: str, value: Any) -> None:
    """Give one setting a value, e.g. ("train.learning_rate", 0.01), when the form is drawn next.

    For callbacks of any page. An unknown field or a value out of range raises UserMistake.
    """
    checked = value_of(change_config(RunConfig(), {field: value}), field)
    st.session_state[REQUESTED] = st.session_state.get(REQUESTED, {}) | {field: checked}


def take_config(config: RunConfig) -> None:
    """Fill the whole form from a RunConfig, its preset and dataset with it, when the form is drawn next."""
    st.session_state[REQUESTED] = requested_by(config)


def requested_by(config: RunConfig) -> dict[str, Any]:
    """A RunConfig as the form takes it: field -> value, and "preset"."""
    return {field: value_of(config, field) for field in (*all_fields(), "data.dataset")} | {"preset": config.preset}


# ---------------------------------------------------------------------------------------------------- drawing


def pick_dataset(known: Sequence[Dataset], default: str) -> Dataset:
    """The dataset to train on; `default` is the name of the one that is proposed."""
    by_name = {dataset.name: dataset for dataset in in_families(known)}
    names = list(by_name)
    _restore()
    wanted = st.session_state.get(REQUESTED, {}).pop("data.dataset", None)
    if wanted in names:
        st.session_state[DATASET] = wanted
    elif wanted is not None:
        st.toast(f"The dataset {escape(wanted, 40)} is not here any more. All other settings were taken over.")
    if st.session_state.get(DATASET) not in names:
        st.session_state[DATASET] = default
    name = st.selectbox(
        "Dataset",
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
    if "model.name" in apply_input():
        take_network()
    base = _draw_preset(dataset)
    given = given_parts(dataset.content_hash, dataset)
    values = _values(base)
    # a field that is not drawn has the value of its preset, so that nothing hidden decides
    config = change_config(base, {field: value for field, value in values.items() if is_relevant(field, values, given)})
    split, remarks = validate_config(dataset, config, requester())
    invalid = {field: why for field, why in invalid_input().items() if is_relevant(field, values, given)}
    remarks = [Remark(why, (field,), stops=True) for field, why in invalid.items()] + remarks
    rate, middle = _draw_front(base, remarks)
    # Streamlit drops what it has not sent yet of a fragment that runs again, and sends what a timed fragment within it
    # has drawn meanwhile, to its place in the layout that was dropped. Where something else stands there, the browser's
    # page breaks: so whatever comes and goes before or in the place of a timed fragment has a container of its own.
    with middle.container(gap=None):
        in_order = (*FRONT, *(field for fields in groups().values() for field in fields))
        _draw_changes(base, [field for field in in_order if is_relevant(field, values, given)])
    boxes = st.container(gap="xsmall")
    for title, fields in groups().items():
        relevant = [field for field in fields if is_relevant(field, values, given)]
        with boxes.expander(_heading(title, relevant, base, values, remarks), key=f"group.{title}"):
            with st.container():
                for field in relevant:
                    draw_field(field, base, remarks, _name_of(base))
            if title == "Schedule":
                draw_schedule(config.train)
            if title == "Augmentation":
                draw_preview(dataset, config)
    _remember(config, changed=base.preset != DEFAULT_PRESET or any(differs(field, base) for field in all_fields()))
    return Form(config, split, remarks, rate, middle)


def _draw_preset(dataset: Dataset) -> RunConfig:
    """The chosen preset, fitted to the dataset, with the form filled from it."""
    requested = st.session_state.pop(REQUESTED, {})
    presets = all_presets()
    if (named := requested.pop("preset", None)) in presets:
        st.session_state["form.preset"] = named
    if st.session_state.get("form.preset") not in presets:  # also one of somebody's own that is gone
        st.session_state["form.preset"] = DEFAULT_PRESET
    fitted = {name: fit_preset(name, dataset) for name in presets}
    help = "\n\n".join(f"**{display_name('preset', name)}** {text}" for name, text in PRESET_HELP.items())
    base = fitted[draw_cards(fitted, dataset, help, _reset_to_preset)]
    _follow(base)
    for field, value in requested.items():
        set_value(field, value)
    text = PRESET_HELP.get(base.preset, "A preset of your own.")
    if base.train != preset(base.preset).train:
        text += f" Fitted to this small dataset: {base.train.epochs} epochs in batches of {base.train.batch_size}."
    st.caption(text)
    return base


def _draw_front(base: RunConfig, remarks: Sequence[Remark]) -> tuple[DeltaGenerator, DeltaGenerator]:
    with st.container(gap="xsmall"):
        rate = st.container(gap=None)
        with rate.container(gap=None):
            draw_field(FRONT[0], base, remarks, _name_of(base))
        for field in FRONT[1:]:
            draw_field(field, base, remarks, _name_of(base))
    return rate, st.container(gap="xsmall")


def _heading(
    title: str, relevant: Sequence[str], base: RunConfig, values: dict[str, Any], remarks: Sequence[Remark]
) -> str:
    """The title of a group, its summary, and whether something in it is changed or keeps the run from starting."""
    mark = " · changed" if any(differs(field, base) for field in relevant) else ""
    stop = any(remark.stops and set(remark.fields) & set(relevant) for remark in remarks)
    return f"{':red[:material/block:] ' if stop else ''}**{title}**{mark} :gray[{summarize_group(title, values)}]"


def _draw_changes(base: RunConfig, relevant: Sequence[str]) -> None:
    """A button for each field that differs from the preset; it sets the field back."""
    changed = [field for field in relevant if differs(field, base) or field in invalid_input()]
    if not changed:
        return
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="changes"):
        st.caption(f"Changed from {escape(display_name('preset', base.preset))}:", width="content")
        for field in changed:
            default = value_of(base, field)
            st.button(
                title_of(field),
                key=f"reset.{field}",
                icon=":material/undo:",
                type="tertiary",
                help=f"Back to {escape(display_name(field, default))}",
                on_click=set_value,
                args=(field, default),
            )
        if len(changed) > 1:
            st.button("All", key="reset.all", icon=":material/restart_alt:", type="tertiary", on_click=_reset_to_preset)


def _name_of(base: RunConfig) -> str:
    return f"Preset {escape(display_name('preset', base.preset))}"


# ------------------------------------------------------------------------------------------------------ state


def preset_label(name: str) -> str:
    """A preset in a select box, which reads no Markdown."""
    return shown(display_name("preset", name))


def fit_preset(name: str, dataset: Dataset) -> RunConfig:
    """The preset of that name, fitted to the number of training pictures of a dataset."""
    try:
        return fitted_config(name, dataset, {}, _count_train)
    except UserMistake:  # too few pictures for this split: the remarks say so
        return change_config(preset(name), {"data.dataset": dataset.name})


def _count_train(dataset: Dataset, data: DataConfig) -> int:
    return sum(part_counts(dataset.content_hash, data.model_dump_json(), dataset)["train"])


def _follow(base: RunConfig) -> None:
    """Set every field that nobody has changed to its value in `base`; after a new preset was chosen, every field."""
    filled = st.session_state.get(FILLED)
    before = RunConfig.model_validate_json(filled) if filled else None
    for field in all_fields():
        changed = before is not None and differs(field, before)
        if not changed and (before is None or field not in invalid_input()):
            set_value(field, value_of(base, field))
    st.session_state[FILLED] = base.model_dump_json()


def _reset_to_preset() -> None:
    st.session_state.pop(FILLED, None)


def _values(base: RunConfig) -> dict[str, Any]:
    return {field: form_values().get(field, value_of(base, field)) for field in all_fields()}


# --------------------------------------------------------------------------------------------------- reloading


@st.cache_resource(max_entries=1, show_spinner=False)
def kept_forms() -> dict[str, str]:
    """Token -> RunConfig as JSON: the last settings of a form, for a reload, which begins a new session."""
    return {}


def _remember(config: RunConfig, changed: bool) -> None:
    """Keep the settings under a token that stands in the address once somebody has changed something."""
    token, kept = form_token(), kept_forms()
    if not changed and token not in kept:
        return
    kept[token] = config.model_dump_json()
    while len(kept) > MOST_KEPT:
        kept.pop(next(iter(kept)), None)
    if st.query_params.get("form") != token:
        st.query_params["form"] = token


def _restore() -> None:
    """Fill a new session's form from the one in the address, which may be somebody else's: it gets its own token."""
    if OPENED not in st.session_state:
        st.session_state[OPENED] = True
        kept = kept_forms().get(st.query_params.get("form", ""))
        if kept is not None:
            take_config(RunConfig.model_validate_json(kept))
