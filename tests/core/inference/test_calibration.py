"""Temperature scaling: what a validation part says, kept with the run, and what it does to probabilities."""

from dataclasses import replace

import numpy as np
import pytest

from core.disk import write_json
from core.errors import UserMistake
from core.inference.calibration import (
    HIGHEST,
    fit_temperature,
    load_calibration,
    scale,
)
from core.inference.predictor import load_predictor
from core.reliability import measure_reliability
from core.runs.run import read_run
from core.runs.writer import RunWriter
from core.settings import calibrations_root
from tests import tiny


def answers_of(too_sure: float, n: int = 20_000, classes: int = 4):
    """Probabilities float32 (n, classes) that were right before their logits were multiplied, and labels drawn so."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (n, classes))
    true = scale(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 1.0)
    labels = (true.cumsum(1) > random.random((n, 1))).argmax(1)
    return scale(true, 1 / too_sure).astype(np.float32), labels


@pytest.mark.parametrize("too_sure", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_factor_that_made_a_network_too_sure(too_sure):
    probabilities, labels = answers_of(too_sure)
    temperature = fit_temperature(probabilities, labels)
    assert temperature == pytest.approx(too_sure, rel=0.03)
    after = scale(probabilities, temperature)
    assert after.max(1).mean() == pytest.approx((after.argmax(1) == labels).mean(), abs=0.01)


def test_no_other_temperature_fits_better():
    probabilities, labels = answers_of(2.0, n=200)
    best = fit_temperature(probabilities, labels)

    def nll(temperature):
        return -np.log(scale(probabilities, temperature)[np.arange(200), labels]).mean()

    assert all(nll(best) <= nll(best * factor) + 1e-9 for factor in (0.9, 0.99, 1.01, 1.1))


def test_scaling_is_the_softmax_of_divided_logits_and_keeps_every_order():
    logits = np.array([[4.0, 1.0, -2.0], [0.0, 0.0, 1.0]])
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    cooler = np.exp(logits / 2) / np.exp(logits / 2).sum(1, keepdims=True)
    assert np.allclose(scale(softmax, 2.0), cooler) and np.allclose(scale(softmax, 1.0), softmax)
    assert np.allclose(scale(softmax[0], 2.0), cooler[0])
    assert scale(np.array([1.0, 0.0]), 2.0).sum() == pytest.approx(1)  # a probability that was stored as zero


def test_extreme_parts_end_within_bounds():
    sure, wrong = np.tile([0.999, 0.001], (6, 1)), np.ones(6, int)
    assert fit_temperature(sure, wrong) == pytest.approx(HIGHEST, rel=0.01)
    assert fit_temperature(sure, 1 - wrong) == 1.0
    assert fit_temperature(np.tile([1.0, 0.0], (6, 1)), np.array([0, 0, 0, 0, 0, 1])) > 1


def save_validation(run, wrong: int):
    """The run's validation answers, `wrong` of them turned round."""
    stored = run.evaluation("val")
    probabilities = stored.probabilities.copy()
    probabilities[:wrong] = probabilities[:wrong, ::-1]
    RunWriter(run.folder).save_evaluation(replace(stored, probabilities=probabilities))


def test_it_is_fitted_once_and_kept_for_these_weights(tiny_run, monkeypatch):
    save_validation(tiny_run, 2)
    found = load_calibration(tiny_run)
    assert found.val.n == tiny_run.evaluation("val").n and found.test.n == tiny_run.evaluation("test").n
    assert not found.all_right and found.val.nll[1] < found.val.nll[0]
    assert found.test.ece[0] == pytest.approx(measure_reliability(tiny_run.evaluation("test")).error)
    monkeypatch.setattr("core.inference.calibration.fit_temperature", lambda *_: pytest.fail("it was fitted again"))
    assert load_calibration(tiny_run) == found


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"schema_version": 9}', b'{"temperature": NaN}'])
def test_a_damaged_file_and_one_of_other_weights_are_fitted_again(tiny_run, damage):
    save_validation(tiny_run, 2)
    found = load_calibration(tiny_run)
    (kept,) = calibrations_root().iterdir()
    kept.write_bytes(damage)
    assert load_calibration(tiny_run) == found
    write_json(kept, found.model_copy(update={"weights": "of yesterday", "temperature": 9.0}).model_dump(mode="json"))
    assert load_calibration(tiny_run) == found


def test_both_probabilities_of_a_prediction_are_there_in_the_same_order(tiny_run):
    save_validation(tiny_run, 2)
    found = load_calibration(tiny_run)
    (answer,) = load_predictor(tiny_run).predict([("blue.png", tiny.colour_pictures(1)[0][3])])
    scaled = found.rank(answer.classes)
    assert [name for name, _ in scaled] == [name for name, _ in answer.classes]
    assert found.temperature > 1 and scaled[0][1] < answer.classes[0][1]
    assert sum(probability for _, probability in scaled) == pytest.approx(1)
    assert found.rank(()) == ()


def test_the_sentences_say_what_differs_and_over_how_many_pictures(tiny_run):
    save_validation(tiny_run, 2)
    found = load_calibration(tiny_run).model_copy(update={"temperature": 2.5})
    assert found.describe(0.998, 0.94).startswith(
        "The network says 99.8%; 94.0% can be believed: it is too sure on 10 "
    )
    assert found.describe(0.998, 0.995) == ""
    assert f"on {found.test.n} test pictures" in found.summary and "fitted on 10 validation" in found.summary
    worse = found.test.model_copy(update={"nll": (0.1, 0.2)})
    assert not found.model_copy(update={"test": worse}).helps
    assert found.model_copy(update={"test": worse}).summary.endswith("test pictures. That is no better fit.")


def test_where_every_validation_picture_is_right_probabilities_stay_and_it_says_why(tiny_run):
    save_validation(tiny_run, 0)
    assert tiny_run.evaluation("val").accuracy == 1.0
    found = load_calibration(tiny_run)
    assert found.temperature == 1.0 and found.all_right and "All 10 validation pictures are" in found.summary


def test_a_run_without_a_validation_part_has_none_and_says_so(trained_home):
    run = tiny.train_tiny_run(data__val_fraction=0.0, train__epochs=1)
    with pytest.raises(UserMistake, match=f"Run {run.id} has no validation pictures"):
        load_calibration(run)


def test_a_run_without_a_model_says_so(new_run):
    with pytest.raises(UserMistake, match=f"Run {new_run.id} still trains"):
        load_calibration(new_run)
    with pytest.raises(UserMistake, match="has no model"):
        new_run.weights_sha256()


def test_on_a_disk_that_cannot_be_written_it_is_fitted_all_the_same(tiny_run):
    calibrations_root().parent.joinpath("calibrations").write_text("a file where the folder should be")
    assert load_calibration(read_run(tiny_run.id)).val.n == 10
