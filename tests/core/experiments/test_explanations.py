"""The audit of explanations: orders of cells, curves, intervals against a random order, and what stays on the disk."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from core.data.pictures.preprocess import Preprocess
from core.errors import UserMistake
from core.experiments.audits.deletion_curves import (
    STEPS,
    cell_numbers,
    measure_explanations,
    order_cells,
    picture_curves,
    probability_curves,
    spread_evenly,
)
from core.experiments.audits.explanations import (
    ExplanationAudit,
    MethodCurves,
    audit_document,
    bootstrap_mean,
    default_method,
    read_explanations,
    write_explanations,
)
from core.inference.attribution import METHODS, Explainer
from core.progress import Progress
from tests import tiny


class Brightness(nn.Module):
    """Answers class 1 the more surely, the brighter the upper left quarter of a 32-pixel picture is."""

    def __init__(self):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(8.0))

    def forward(self, images):
        level = images[:, :, :16, :16].mean((1, 2, 3)) * self.sharpness
        return torch.stack([-level, level], 1)


def audit(gains, n=30, **changes):
    """Methods whose gain over a random order is about what is given."""
    noise = np.random.default_rng(0).normal(0, 0.02, n)
    curves = [
        MethodCurves(method, tuple(0.5 - gain / 2 + noise), tuple(0.5 + gain / 2 + noise), (), ())
        for method, gain in gains.items()
    ]
    random = MethodCurves("random", tuple(0.5 + noise[::-1]), tuple(0.5 - noise[::-1]), (), ())
    return replace(ExplanationAudit("r" * 12, "w", "val", tuple(range(n)), (*curves, random)), **changes)


def test_cells_are_squares_that_cover_the_picture():
    cells = cell_numbers(32)
    assert cells.max() == 255 and (np.bincount(cells.ravel()) == 4).all()
    assert (cells[:2, :2] == 0).all() and cells[0, 2] == 1 and cells[2, 0] == 16
    assert cell_numbers(10).max() == 99 and set(cell_numbers(33).ravel()) == set(range(256))


def test_cells_come_in_the_order_of_their_heat_and_equal_ones_by_chance():
    heat, cells = np.zeros((32, 32), np.float32), cell_numbers(32)
    heat[cells == 7], heat[cells == 3] = 1, 0.5
    by_chance = np.random.default_rng(0).permutation(256)
    order = order_cells(heat, cells, by_chance)
    assert order[:2].tolist() == [7, 3]
    assert order[2:].tolist() == [cell for cell in by_chance if cell not in (7, 3)]


def test_the_right_order_deletes_sooner_and_inserts_sooner_than_the_reverse():
    explainer = Explainer(Brightness(), Preprocess(image_size=32))
    image, cells = torch.ones(1, 3, 32, 32), cell_numbers(32)
    inside = np.zeros((32, 32), np.float32)
    inside[:16, :16] = 1
    right = order_cells(inside, cells, np.arange(256))
    good, bad = (probability_curves(explainer, image, 1, cells, order) for order in (right, right[::-1]))
    assert good.shape == (2, STEPS + 1)
    # a quarter of the cells decides: after 4 of 16 steps all of them are gone, or there
    assert good[0, 0] > 0.99 and np.allclose(good[0, 4:], 0.5) and np.allclose(bad[0, :13], good[0, 0])
    assert np.allclose(good[1, 4:], good[0, 0]) and np.allclose(bad[1, :13], 0.5)


def test_every_method_beats_a_random_order_where_a_corner_decides():
    explainer = Explainer(Brightness(), Preprocess(image_size=32))
    explainer.methods.pop("grad_cam")  # there is no convolution
    picture = np.full((3, 32, 32), 200, np.uint8)
    areas = {name: curves.mean(1) for name, curves in picture_curves(explainer, picture, seed=0).items()}
    for method in ("integrated_gradients", "occlusion"):
        assert areas[method][0] < areas["random"][0] - 0.1 and areas[method][1] > areas["random"][1] + 0.03


def test_the_interval_of_a_mean_holds_it_and_narrows_with_more_values():
    few, many = (bootstrap_mean(np.random.default_rng(1).normal(2, 1, n)) for n in (10, 1000))
    assert few.low < few.mean < few.high and many.high - many.low < (few.high - few.low) / 3
    assert abs(many.high - many.low - 2 * 1.96 / 1000**0.5) < 0.02  # the normal interval
    assert bootstrap_mean(np.array([0.5])).low == 0.5


def test_the_verdict_names_the_best_method_and_those_that_are_no_better_than_random():
    found = audit({"grad_cam": 0.3, "integrated_gradients": 0.0, "occlusion": 0.1})
    assert found.best == "grad_cam" and found.beats_random("occlusion")
    assert not found.beats_random("integrated_gradients")
    assert found.difference("grad_cam").mean == pytest.approx(0.3, abs=0.02)
    assert found.verdict.startswith("Grad-CAM measures best on 30 pictures: +0.")
    assert "Integrated gradients is no better than a random order." in found.verdict


def test_where_nothing_beats_random_the_verdict_says_so():
    found = audit({"grad_cam": -0.2, "occlusion": -0.1})
    assert found.best == "occlusion" and found.verdict.startswith("No method is better than a random order")


def test_pictures_are_spread_over_the_part():
    assert spread_evenly(np.arange(10, 20), 100).tolist() == list(range(10, 20))
    assert spread_evenly(np.arange(1000), 5).tolist() == [0, 250, 500, 749, 999]


def test_a_run_is_measured_and_the_page_reads_the_default_without_measuring(tiny_run):
    assert read_explanations(tiny_run) is None and default_method(tiny_run) == "occlusion"
    *steps, found = measure_explanations(tiny_run, pictures=4)
    assert [step.done for step in steps] == [0, 1, 2, 3] and all(isinstance(step, Progress) for step in steps)
    assert found.part == "val" and len(found.indices) == 4
    assert found.methods == METHODS and found.curves[-1].method == "random"
    assert all(0 <= area <= 1 for curves in found.curves for area in (*curves.deletion, *curves.insertion))
    assert read_explanations(tiny_run) == found and default_method(tiny_run) == found.best


def test_what_was_measured_of_other_weights_does_not_count(tiny_run):
    write_explanations(audit({"occlusion": 0.1}, run=tiny_run.id, weights="of yesterday"))
    assert read_explanations(tiny_run) is None


def test_the_table_has_each_method_with_its_intervals():
    document = audit_document(audit({"grad_cam": 0.3, "occlusion": 0.0}))
    assert [row["method"] for row in document["methods"]] == ["grad_cam", "occlusion", "random"]
    assert [row.get("better_than_random") for row in document["methods"]] == [True, False, None]
    over = document["methods"][0]["gain_over_random"]
    assert over["low"] < over["mean"] < over["high"] and over["mean"] == pytest.approx(0.3, abs=0.05)


def test_without_validation_pictures_the_test_part_is_asked(trained_home):
    run = tiny.train_tiny_run(data__val_fraction=0.0, train__epochs=1)
    *_, found = measure_explanations(run, pictures=2)
    assert found.part == "test"


def test_a_run_without_a_model_is_refused(new_run):
    with pytest.raises(UserMistake, match="has no model yet"):
        next(iter(measure_explanations(new_run)))
