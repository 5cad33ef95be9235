"""RunConfig: what may be chosen, how it is changed, and what is said about a wrong choice."""

import json
from typing import get_args

import pytest
from pydantic import ValidationError

from core.config import DataConfig, ModelConfig, RunConfig, TrainConfig, change_config
from core.errors import UserMistake
from core.fields import ACTING, acts, check_with_data, config_document, parse_settings, settings_of


def test_every_choice_has_a_title_and_a_sentence_for_the_form():
    for room in (DataConfig, ModelConfig, TrainConfig):
        for name, field in room.model_fields.items():
            assert field.title and field.description, name
            assert field.description.endswith("."), name


def test_a_config_survives_json():
    config = change_config(RunConfig(), {"train.augment": ["flip", "cutout"], "data.fit": "pad"})
    assert RunConfig.model_validate(json.loads(config.model_dump_json())) == config


def test_words_of_the_command_line_and_values_of_the_form_mean_the_same():
    words = {"train.epochs": "2", "train.learning_rate": "1e-2", "train.augment": "flip, shift_crop", "data.seed": "7"}
    values = {"train.epochs": 2, "train.learning_rate": 0.01, "train.augment": ("flip", "shift_crop"), "data.seed": 7}
    assert change_config(RunConfig(), words) == change_config(RunConfig(), values) != RunConfig()


@pytest.mark.parametrize("words", ["flip+cutout", "flip,cutout", " flip , cutout ", "flip,,cutout,none"])
def test_augmentations_are_listed_with_commas_or_plus(words):
    assert change_config(RunConfig(), {"train.augment": words}).train.augment == ("flip", "cutout")


@pytest.mark.parametrize("words", ["mixup,flip,rotate", "rotate,mixup,flip", ["mixup", "rotate", "flip"]])
def test_augmentations_act_in_one_order_however_they_are_listed(words):
    assert change_config(RunConfig(), {"train.augment": words}).train.augment == ("flip", "rotate", "mixup")


@pytest.mark.parametrize("words", ["", "none", " "])
def test_no_augmentation_can_be_asked_for(words):
    config = RunConfig(train=TrainConfig(augment=("flip",)))
    assert change_config(config, {"train.augment": words}).train.augment == ()


def test_a_change_leaves_the_rest_and_the_original():
    config = RunConfig(preset="better", train=TrainConfig(epochs=9, batch_size=64))
    changed = change_config(config, {"train.epochs": 3})
    assert (changed.preset, changed.train.batch_size, changed.train.epochs) == ("better", 64, 3)
    assert config.train.epochs == 9 and changed.data == config.data


@pytest.mark.parametrize("field", ["epochs", "train", "train.", "train.epoch", "preset", "data.train.epochs", ""])
def test_an_unknown_setting_is_refused_with_the_known_ones(field):
    with pytest.raises(UserMistake, match=r"unknown setting .*; known: data\.dataset, .*train\.epochs"):
        change_config(RunConfig(), {field: 3})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("train.epochs", "0", r"train\.epochs = '0': .*greater than or equal to 1"),
        ("train.epochs", "many", r"train\.epochs = 'many': .*valid integer"),
        ("train.epochs", "", r"train\.epochs = '': .*valid integer"),
        ("train.learning_rate", "nan", r"train\.learning_rate = 'nan': .*finite"),
        ("train.learning_rate", float("inf"), r"train\.learning_rate = inf: .*finite"),
        ("train.momentum", 1, r"train\.momentum = 1: .*less than 1"),
        ("train.optimizer", "sdg", r"train\.optimizer = 'sdg': .*'sgd', 'nesterov'"),
        ("train.augment", "spin", r"train\.augment\.0 = 'spin': .*'flip', 'shift_crop', .*or 'mixup'"),
        ("train.augment", "flip,flip", r"train\.augment = \['flip', 'flip'\]: an augmentation is named twice"),
        ("train.class_weights", "yes", r"train\.class_weights = 'yes': .*'none' or 'balanced'"),
        ("train.patience", -1, r"train\.patience = -1: .*greater than or equal to 0"),
        ("train.patience", 1001, r"train\.patience = 1001: .*less than or equal to 1000"),
        ("train.batch_size", 0, r"train\.batch_size = 0: .*greater than or equal to 1"),
        ("train.batch_size", 2.5, r"train\.batch_size = 2\.5: .*valid integer"),
        ("train.batch_size", 10**9, r"train\.batch_size = 1000000000: .*less than or equal to 1024"),
        ("train.epochs", 10**9, r"train\.epochs = 1000000000: .*less than or equal to 1000"),
        ("train.seed", -1, r"train\.seed = -1: .*greater than or equal to 0"),
        ("train.seed", 2**70, r"train\.seed = 1180591620717411303424: .*less than or equal to 4294967295"),
        ("train.learning_rate", 1e9, r"train\.learning_rate = 1000000000\.0: .*less than or equal to 1"),
        ("model.name", "vgg", r"model\.name = 'vgg': .*'paper_cnn'"),
        ("data.image_size", 7, r"data\.image_size = 7: .*10"),
        ("data.seed", 2**32, r"data\.seed = 4294967296: .*4294967295"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field_and_what_is_allowed(field, value, said):
    with pytest.raises(UserMistake, match=said):
        change_config(RunConfig(), {field: value})


def test_two_wrong_values_are_named_at_once_and_long_ones_in_short():
    with pytest.raises(UserMistake) as mistake:
        change_config(RunConfig(), {"train.epochs": 0, "train.batch_size": "x" * 10_000})
    assert "train.epochs = 0" in str(mistake.value) and "train.batch_size" in str(mistake.value)
    assert len(str(mistake.value)) < 300 and "\n" not in str(mistake.value)


def test_a_config_cannot_be_changed_in_place_and_knows_no_other_fields():
    with pytest.raises(ValidationError):
        RunConfig().train.epochs = 3
    with pytest.raises(ValidationError, match="epoch_count"):
        TrainConfig.model_validate({"epoch_count": 3})


def test_a_config_of_before_a_choice_was_added_means_what_it_meant():
    document = RunConfig().model_dump(mode="json")
    del document["train"]["class_weights"], document["train"]["patience"]
    assert RunConfig.model_validate(document) == RunConfig()
    assert (RunConfig().train.class_weights, RunConfig().train.patience) == ("none", 0)


def test_widths_are_listed_with_commas_or_plus_and_none_is_an_empty_list():
    config = change_config(RunConfig(), {"model.name": "cnn", "model.channels": "8, 16+32", "model.linear": "none"})
    assert (config.model.channels, config.model.linear) == ((8, 16, 32), ())
    for words, said in (
        ("0", "greater than or equal to 1"),
        ("none", "at least 1 item"),
        ("1,1,1,1,1,1,1", "at most 6"),
    ):
        with pytest.raises(UserMistake, match=said):
            change_config(config, {"model.channels": words})


def test_a_network_of_before_the_family_means_what_it_meant():
    document = {"model": {"name": "paper_cnn", "negative_slope": 0.2}}
    assert RunConfig.model_validate(document).model == ModelConfig(negative_slope=0.2)


def test_every_field_of_a_network_acts_for_one_and_every_network_is_named():
    assert set(ACTING) == set(get_args(ModelConfig.model_fields["name"].annotation))
    assert {
        "name",
        "flip_tta",
        "crop_tta",
        "tta_below",
        *(field for fields in ACTING.values() for field in fields),
    } == set(ModelConfig.model_fields)


def test_a_field_that_changes_nothing_does_not_act():
    family = ModelConfig(name="cnn").model_dump()
    assert acts("negative_slope", family) and acts("dropout_linear", family) and acts("name", family)
    assert not acts("negative_slope", family | {"activation": "relu"})
    assert not acts("dropout_linear", family | {"linear": []}) and not acts("norm_linear", family | {"linear": ()})
    answering = ModelConfig().model_dump() | {"tta_below": 0.5}
    assert not acts("tta_below", answering)
    assert all(acts("tta_below", answering | {field: True}) for field in ("flip_tta", "crop_tta"))
    assert not acts("channels", ModelConfig().model_dump()) and acts("negative_slope", ModelConfig().model_dump())


def test_early_stopping_wants_a_validation_part():
    check_with_data(TrainConfig(), {"train": 9, "val": 0, "test": 9})
    check_with_data(TrainConfig(patience=5), {"train": 9, "val": 1, "test": 9})
    with pytest.raises(UserMistake, match=r"Early stopping watches .* validation part, and there is none"):
        check_with_data(TrainConfig(patience=5), {"train": 9, "val": 0, "test": 9})


def test_settings_are_pairs_with_an_equals_sign():
    assert parse_settings(["train.epochs=2", " data.dataset = a=b "]) == {"train.epochs": "2", "data.dataset": "a=b"}
    with pytest.raises(UserMistake, match=r"'train\.epochs' is not a setting; write it as train\.epochs=2"):
        parse_settings(["train.epochs"])


FORMER = {
    "data": {"dataset": "a", "copies": "together"},
    "model": {"name": "pretrained", "trunk": "resnet18", "mirror": True},
}
CURRENT = RunConfig(
    data=DataConfig(dataset="a", duplicates="together"),
    model=ModelConfig(name="pretrained", backbone="resnet18", flip_tta=True),
)


def test_a_config_written_by_version_0_1_0_is_read():
    assert RunConfig.model_validate(FORMER) == CURRENT
    assert RunConfig.model_validate_json(json.dumps(FORMER)) == CURRENT
    assert "trunk" not in json.loads(CURRENT.model_dump_json())["model"]


def test_settings_of_version_0_1_0_are_changed_under_their_former_names():
    settings = parse_settings(["model.trunk=resnet18", "model.mirror=yes", "data.copies=together"])
    assert settings == {"model.backbone": "resnet18", "model.flip_tta": "yes", "data.duplicates": "together"}
    changes = {"model.trunk": "resnet18", "model.mirror": True, "data.copies": "together"}
    base = RunConfig(data=DataConfig(dataset="a"), model=ModelConfig(name="pretrained"))
    assert change_config(base, changes) == CURRENT
    with pytest.raises(UserMistake, match=r"^unknown setting 'train\.trunk'"):
        change_config(base, {"train.trunk": "resnet18"})


def test_a_printed_document_has_both_names_and_is_read_by_the_current_one():
    document = config_document(CURRENT)
    assert (document["model"]["trunk"], document["model"]["backbone"]) == ("resnet18", "resnet18")
    assert document["model"]["mirror"] is document["model"]["flip_tta"] is True
    assert (document["data"]["copies"], document["data"]["duplicates"]) == ("together", "together")
    assert RunConfig.model_validate(document) == CURRENT
    document["model"]["trunk"] = "vgg11"
    assert RunConfig.model_validate(document) == CURRENT


def test_where_every_flip_counts_a_document_is_that_of_before_there_was_a_choice():
    assert not {"crop_tta", "tta_below"} & {*ModelConfig(flip_tta=True).model_dump(mode="json")}
    chosen = ModelConfig(flip_tta=True, crop_tta=True, tta_below=0.7)
    assert ModelConfig.model_validate_json(chosen.model_dump_json()) == chosen


def test_without_a_teacher_a_document_is_that_of_before_there_were_teachers():
    document = RunConfig().model_dump(mode="json")
    assert [*document["train"]] == [
        *(
            "epochs",
            "batch_size",
            "optimizer",
            "learning_rate",
            "momentum",
            "weight_decay",
            "schedule",
            "warmup",
            "ema",
        ),
        *("augment", "label_smoothing", "class_weights", "patience", "precision", "seed"),
    ]
    assert (
        RunConfig.model_validate(document)
        == RunConfig.model_validate_json(RunConfig().model_dump_json())
        == RunConfig()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"train.teacher": "a1b2c3d4e5f6-01234567"},
        {"train.temperature": 2.0},
        {"train.teacher": "a1b2c3d4e5f6-01234567", "train.distill_share": 0.5},
    ],
)
def test_what_is_said_of_a_teacher_is_kept(changes):
    config = change_config(RunConfig(), changes)
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config
    assert {field: settings_of(config)[field] for field in changes} == changes
    assert change_config(config, {"train.teacher": "none"}).train.teacher == ""
    assert {"teacher", "distill_share", "temperature"} <= {
        *config.model_dump()["train"]
    } or "train.teacher" not in changes
