"""Presets: the paper's numbers as they were, and two others on the same network."""

import pytest

from core.config import ModelConfig, RunConfig
from core.disk import write_json
from core.errors import UserMistake
from core.presets import PRESETS, STEPS, keep_preset, own_presets, preset


def test_the_papers_preset_is_what_the_paper_did():
    paper = preset("paper")
    train = paper.train
    assert (train.optimizer, train.learning_rate, train.momentum) == ("sgd", 0.001, 0.9)
    assert (train.batch_size, train.epochs, train.schedule, train.augment) == (32, 50, "constant", ())
    assert (train.weight_decay, train.label_smoothing, train.precision) == (0.0, 0.0, "float32")
    assert (paper.data.image_size, paper.data.fit, paper.data.balance, paper.data.split) == (
        32,
        "crop",
        "smallest",
        "paper",
    )
    assert (paper.data.test_fraction, paper.data.val_fraction) == (0.2, 0.0)
    assert paper.model == ModelConfig(name="paper_cnn", negative_slope=0.01)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_bears_its_name_and_survives_json(name):
    assert preset(name).preset == name
    assert RunConfig.model_validate_json(preset(name).model_dump_json()) == preset(name)


def test_quick_and_better_train_the_papers_network_on_pictures_of_32_pixels():
    for name in ("quick", "better"):
        answers = {"flip_tta": False, "crop_tta": False}  # how it answers, not what it is
        same = preset(name).model.model_copy(update=answers)
        assert same == preset("paper").model and preset(name).data.image_size == 32


def test_the_two_for_the_residual_network_differ_in_the_record_that_they_follow():
    best, fast = preset("best"), preset("speedrun")
    assert best.model == fast.model == ModelConfig(name="resnet", flip_tta=True, crop_tta=True, tta_below=0.6)
    own = {"epochs", "optimizer", "filter_rate", "schedule", "progressive"}
    assert {name for name, value in best.train if value != getattr(fast.train, name)} <= own
    assert (best.train.optimizer, fast.train.optimizer, fast.train.epochs) == ("muon", "nesterov", 10)
    assert best.train.precision == "bfloat16"


def test_in_smaller_batches_filters_turn_less_by_the_square_root():
    whole, small = preset("best", 49_000).train, preset("best", 4_233).train
    assert whole.filter_rate == 0.1 and small.batch_size == whole.batch_size // 4
    assert small.learning_rate == whole.learning_rate / 4 and small.filter_rate == 0.05  # as people write it


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(UserMistake, match="unknown preset 'bets'; known: paper, quick, better, best"):
        preset("bets")


@pytest.mark.parametrize("name", STEPS)
def test_a_tuned_preset_is_left_alone_for_as_many_pictures_as_cifar_has(name):
    assert preset(name, 50_000).train == preset(name).train


def test_a_small_set_is_passed_over_more_often_in_smaller_batches():
    whole, small = preset("quick").train, preset("quick", 1_000).train
    assert small.batch_size == 16 and small.epochs * (1_000 // 16) >= STEPS["quick"]
    assert small.learning_rate / small.batch_size == pytest.approx(whole.learning_rate / whole.batch_size)


@pytest.mark.parametrize("pictures", [0, 1, 2, 48])
def test_the_smallest_sets_give_a_valid_config(pictures):
    fitted = preset("better", pictures)
    assert RunConfig.model_validate(fitted.model_dump()).train.epochs <= 1000


def test_the_papers_preset_is_never_fitted():
    assert preset("paper", 48) == preset("paper")


def test_a_preset_saved_by_version_0_1_0_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    keep_preset("mine", preset("best"))
    (path,) = (tmp_path / "presets").glob("*.json")
    former = {"name": "resnet", "mirror": True, "trunk": "resnet18"}
    write_json(path, {"name": "mine", "config": {"data": {"copies": "together"}, "model": former}})
    mine = own_presets()["mine"]
    assert (mine.data.duplicates, mine.model.flip_tta, mine.model.backbone) == ("together", True, "resnet18")
