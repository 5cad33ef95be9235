"""Settings by their dotted names."""

import json

from core.config import ModelConfig, RunConfig, TrainConfig
from core.fields import acts_in, settings_of, value_of

CONFIG = RunConfig(
    model=ModelConfig(name="resnet", width=24), train=TrainConfig(augment=("flip", "cutout"), learning_rate=0.02)
)


def test_every_setting_stands_under_its_dotted_name_the_data_first():
    settings = settings_of(CONFIG)
    assert next(iter(settings)) == "data.dataset" and settings["train.learning_rate"] == 0.02
    assert settings["train.augment"] == ["flip", "cutout"] and json.dumps(settings)
    assert "preset" not in settings and {field.partition(".")[0] for field in settings} == {"data", "model", "train"}


def test_one_setting_has_the_value_of_its_section():
    assert value_of(CONFIG, "model.width") == 24 and value_of(CONFIG, "train.augment") == ("flip", "cutout")


def test_a_setting_of_the_network_acts_only_in_its_kind_of_network_and_every_other_always():
    assert acts_in(CONFIG, "model.name") and acts_in(CONFIG, "model.width") and acts_in(CONFIG, "train.seed")
    assert not acts_in(CONFIG, "train.filter_rate")
    assert acts_in(RunConfig(train=TrainConfig(optimizer="muon")), "train.filter_rate")
    assert not acts_in(RunConfig(), "model.width") and not acts_in(CONFIG, "model.backbone")
