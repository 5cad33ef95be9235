"""What can be switched: every component against bases that have it and lack it."""

from typing import get_args

import pytest

from core.config import change_config
from core.errors import UserMistake
from core.experiments.ablation.components import (
    COMPONENTS,
    base_for,
    can_switch,
    differences,
    find_components,
    own_component,
    variants_for,
)
from core.presets import preset

QUICK = preset("quick")


def variant(key: str, **changes):
    base = change_config(QUICK, {name.replace("__", "."): value for name, value in changes.items()})
    components = find_components([key])
    base = base_for(base, components)
    return base, variants_for(base, components)[0]


@pytest.mark.parametrize("key", COMPONENTS)
def test_every_component_changes_something_or_says_that_it_cannot(key):
    component = COMPONENTS[key]
    if not can_switch(QUICK, component):
        # an alternative that the base has, or what acts in other networks
        assert component.off is None or can_switch(preset("best"), component)
        return
    base, other = variant(key)
    assert other.title and (other.changed or other.seed_offset)
    assert bool(differences(base, other.config)) == (not other.seed_offset)


def test_every_augmentation_activation_optimizer_and_schedule_can_be_switched():
    for field, prefix in (
        ("train.augment", ""),
        ("model.activation", "activation_"),
        ("train.optimizer", "optimizer_"),
        ("train.schedule", "schedule_"),
    ):
        section, name = field.split(".")
        kind = getattr(QUICK, section).__class__.model_fields[name].annotation
        for value in get_args(get_args(kind)[0]) or get_args(kind):
            assert prefix + value in COMPONENTS, value


def test_what_the_base_has_is_taken_away_and_what_it_lacks_is_added():
    _, without = variant("flip", train__augment="flip,mixup")
    _, with_it = variant("flip", train__augment="mixup")
    assert (without.sign, without.config.train.augment) == (-1, ("mixup",))
    assert (with_it.sign, with_it.config.train.augment) == (1, ("flip", "mixup"))


def test_the_papers_network_is_written_as_the_family_where_a_component_needs_it():
    base, other = variant("batch_norm")
    assert base.model.name == other.config.model.name == "cnn"
    assert other.sign == -1 and differences(base, other.config) == {
        "model.norm_conv": ("last", "none"),
        "model.norm_linear": ("first", "none"),
    }
    base, _ = variant("label_smoothing")
    assert base.model.name == "paper_cnn"


def test_an_optimizer_comes_with_a_rate_that_suits_it_and_a_batch_with_its_share():
    _, adam = variant("optimizer_adam")
    assert adam.title == "Adam instead of SGD + Nesterov momentum" and adam.config.train.learning_rate == 0.003
    _, sgd = variant("optimizer_sgd")
    assert sgd.config.train.learning_rate == QUICK.train.learning_rate
    _, half = variant("batch_half")
    assert (half.config.train.batch_size, half.config.train.learning_rate) == (128, 0.1)


def test_what_cannot_be_compared_is_refused_in_words():
    with pytest.raises(UserMistake, match="changes nothing in this base"):
        variant("optimizer_nesterov")
    with pytest.raises(UserMistake, match=r"unknown component 'flop'; known: batch_norm"):
        find_components(["flop"])
    with pytest.raises(UserMistake, match="unknown setting"):
        variants_for(QUICK, [own_component({"train.epoch": "2"}, 1)])
