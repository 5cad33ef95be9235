"""Display names: every identifier that a form, a table or a chart shows has one, and no two look the same."""

from typing import Any, get_args, get_origin

import pytest

from core.backbones.catalogue import PUBLISHED
from core.config import DataConfig, ModelConfig, TrainConfig
from core.display_names import DISPLAY_NAMES, display_name, format_value
from core.evaluation import MEASURES
from core.inference.attribution import METHODS
from core.presets import PRESETS


def identifiers(annotation: Any) -> tuple[str, ...]:
    """The values of a Literal, or of a tuple of one; () for every other annotation."""
    if get_origin(annotation) is tuple:
        return identifiers(get_args(annotation)[0])
    return tuple(value for value in get_args(annotation) if isinstance(value, str))


CHOICES = {
    f"{section}.{name}": values
    for section, model in (("data", DataConfig), ("model", ModelConfig), ("train", TrainConfig))
    for name, field in model.model_fields.items()
    if (values := identifiers(field.annotation))
}


def test_the_fields_with_choices_are_found():
    assert {"train.optimizer", "train.augment", "model.name", "data.fit"} <= CHOICES.keys() and len(CHOICES) == 17


@pytest.mark.parametrize("field", CHOICES)
def test_every_choice_of_every_field_has_a_display_name(field):
    assert DISPLAY_NAMES[field].keys() == set(CHOICES[field])
    assert len(set(DISPLAY_NAMES[field].values())) == len(CHOICES[field])


def test_no_display_name_looks_like_an_identifier():
    shown = [name for field, names in DISPLAY_NAMES.items() for name in names.values() if field != "train.precision"]
    assert all("_" not in name and name[0].isupper() for name in shown)


def test_presets_and_measures_have_display_names():
    assert DISPLAY_NAMES["preset"].keys() == PRESETS.keys() and DISPLAY_NAMES["measure"].keys() == set(MEASURES)


def test_every_attribution_method_has_a_display_name():
    assert DISPLAY_NAMES["attribution"].keys() == {*METHODS, "random"}


def test_every_published_backbone_has_a_display_name_of_its_own():
    shown = {display_name("model.backbone", name) for name in PUBLISHED}
    assert len(shown) == len(PUBLISHED) and not shown & PUBLISHED.keys()
    assert all("_" not in name and "{" not in name for name in shown)


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("train.schedule", "one_cycle", "One-cycle"),
        ("train.optimizer", "nesterov", "SGD + Nesterov momentum"),
        ("train.augment", ("flip", "mixup"), "Horizontal flip + Mixup"),
        ("train.augment", ["cutout"], "Cutout"),
        ("train.augment", (), "None"),
        ("train.learning_rate", 0.00005, "5e-5"),
        ("train.epochs", 50, "50"),
        ("model.channels", (6, 16), "6, 16"),
        ("model.linear", (), "none"),
        ("model.flip_tta", True, "on"),
        ("model.backbone", "vit_b_16", "ViT-B/16"),
        ("model.backbone", "mobilenet_v3_small", "MobileNetV3 Small"),
        ("model.backbone", "regnet_x_1_6gf", "RegNetX 1.6 GF"),
        ("model.backbone", "mx15vdkoxxvv-0123abcd", "run xxvv"),
        ("preset", "better", "Better"),
        ("preset", "my_own preset", "my_own preset"),
        ("data.dataset", "a_b", "a_b"),
    ],
    ids=str,
)
def test_a_value_is_shown_by_its_field(field, value, shown):
    assert display_name(field, value) == shown


def test_without_a_field_an_identifier_has_spaces():
    assert format_value("one_cycle") == "one cycle" and format_value(1e-7) == "1e-7"
