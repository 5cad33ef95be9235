"""What an experiment says: how often its intervals hold the truth, what it finds, and the sentences."""

import numpy as np
import pytest

from core.experiments.ablation.components import Variant, find_components, variants_for
from core.experiments.ablation.effects import compare_answers, compare_times, describe_effect
from core.experiments.ablation.spread import Difference
from core.presets import preset

VARIANT = Variant(key="flip", title="Flip", config=preset("quick"))


def networks(drawn, seeds: int, skill: np.ndarray, spread: float, better: float = 0.0) -> np.ndarray:
    """bool (seeds, pictures): right or not. Pictures differ in how easy they are, networks in how good they became."""
    luck = better + spread * drawn.standard_normal((seeds, 1))
    return skill + luck + drawn.standard_normal((seeds, len(skill))) > 0


def experiments(repeats: int, seeds: int, pictures: int, spread: float, better: float = 0.0):
    """(base, variant) of as many simulated experiments; each network is right about two thirds of the pictures."""
    drawn = np.random.default_rng([repeats, seeds, pictures, round(1000 * spread), round(1000 * better)])
    for _ in range(repeats):
        skill = drawn.normal(0.8, 1.5, pictures)
        yield networks(drawn, seeds, skill, spread), networks(drawn, seeds, skill, spread, better)


@pytest.mark.parametrize("seeds, pictures", [(2, 1000), (3, 1000), (5, 1000), (3, 4000)])
@pytest.mark.parametrize("spread", [0.0, 0.03, 0.1])  # accuracies of seeds differ by 0, 0.7 and 2.3 points
def test_an_experiment_of_a_base_with_itself_says_no_difference(seeds, pictures, spread):
    repeats = 400
    noise = [compare_answers(*answers).is_noise for answers in experiments(repeats, seeds, pictures, spread)]
    assert sum(noise) >= 0.95 * repeats


@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_a_planted_difference_is_found_and_lies_in_the_interval(spread):
    def share(answers: np.ndarray) -> float:
        return float(answers.mean())

    drawn, skill = np.random.default_rng(1), np.random.default_rng(2).normal(0.8, 1.5, 200_000)
    truth = share(networks(drawn, 20, skill, spread, 0.25)) - share(networks(drawn, 20, skill, spread))
    found = [compare_answers(*answers) for answers in experiments(300, 3, 4000, spread, 0.25)]
    assert 0.03 < truth < 0.07  # five points
    assert np.mean([not difference.is_noise for difference in found]) > 0.8
    assert np.mean([difference.low <= truth <= difference.high for difference in found]) >= 0.95


def test_the_interval_of_two_seeds_worked_out_by_hand():
    base = np.array([[True, False, False, False], [True, True, False, False]])
    variant = np.array([[True, True, True, False], [True, True, True, False]])
    found = compare_answers(base, variant)
    assert found.value == pytest.approx(3 / 8)
    # seeds: means 1/2 and 1/4, variance 1/32, t = 12.706; pictures: 0, 1/2, 1, 0, variance 11/48, t = 3.182
    half = (12.7062**2 / 32 / 2 + 3.18245**2 * 11 / 48 / 4) ** 0.5
    assert (found.high - found.value, found.value - found.low) == pytest.approx((half, half), rel=1e-4)


def test_answers_that_are_all_alike_differ_by_nothing():
    same = np.ones((3, 50), bool)
    assert compare_answers(same, same) == Difference(0.0, 0.0, 0.0) and compare_answers(same, same).is_noise


def test_times_are_told_with_the_interval_of_signed_ranks():
    drawn = np.random.default_rng(0)
    held = noise = 0
    for _ in range(1000):
        drift = np.linspace(1.0, 1.5, 32).reshape(8, 4)  # a machine that grows slower by half
        turns = drift + drawn.normal(0, 0.05, (8, 4))
        turns[:, 1:3] += 0.1
        found = compare_times(turns[:, [0, 3]], turns[:, 1:3])
        held += found.low <= 0.1 <= found.high
        same = drift + drawn.normal(0, 0.05, (8, 4))
        noise += compare_times(same[:, [0, 3]], same[:, 1:3]).is_noise
    assert held >= 950 and noise >= 950


def test_a_disturbed_block_does_not_move_the_time():
    base = np.full((8, 2), 1.0) + np.arange(8)[:, None] / 1000
    variant = base + 0.1
    variant[3] += 5.0  # something else ran
    found = compare_times(base, variant)
    assert found.value == pytest.approx(0.1) and found.low == pytest.approx(0.1)


@pytest.mark.parametrize(
    "accuracy, seconds, sentence",
    [
        (
            Difference(0.031, 0.02, 0.042),
            Difference(0.5, 0.4, 0.6),
            "Flip raises the test accuracy by 3.1 points (95 % interval +2.0 to +4.2); an epoch takes 25 % longer.",
        ),
        (
            Difference(-0.031, -0.042, -0.02),
            Difference(-0.5, -0.6, -0.4),
            "Flip lowers the test accuracy by 3.1 points (95 % interval -4.2 to -2.0); an epoch takes 25 % less.",
        ),
        (
            Difference(0.002, -0.01, 0.014),
            Difference(0.1, -0.1, 0.3),
            "Flip: within the noise, +0.2 points of test accuracy (95 % interval -1.0 to +1.4); its time per epoch is "
            "within the noise.",
        ),
        (
            Difference(-0.0001, -0.01, -0.0004),
            None,
            "Flip lowers the test accuracy by 0.0 points (95 % interval -1.0 to +0.0).",
        ),
        (None, None, "Flip: no pair of runs has finished yet."),
    ],
)
def test_the_sentence_says_what_the_interval_says(accuracy, seconds, sentence):
    assert describe_effect(VARIANT, accuracy, seconds, 2.0) == sentence


def test_a_component_that_the_base_has_is_told_as_with_minus_without():
    (variant,) = variants_for(preset("better"), find_components(["flip"]))
    assert variant.sign == -1 and variant.config.train.augment == ("shift_crop",)
    assert Difference(-0.1, -0.2, 0.05).times(variant.sign) == Difference(0.1, -0.05, 0.2)


def test_where_a_run_of_its_pairs_failed_the_rest_decides_nothing():
    sentence = describe_effect(VARIANT, Difference(0.05, 0.02, 0.08), None, None, failed=2)
    assert sentence.startswith(f"{VARIANT.title}: undecided, because 2 runs of its pairs failed;")
    assert "raises" not in sentence and "+5.0 points" in sentence
