"""Novelty: distances in feature space against max-softmax, the threshold, intruders, and what is kept."""

import json

import numpy as np
import pytest

from core.cli.app import main
from core.data.datasets.dataset import find_dataset
from core.data.imports.pipeline import import_pictures
from core.display_names import DISPLAY_NAMES
from core.errors import UserMistake
from core.inference.measure_novelty import bench_intruders, measure_novelty, plant_intruders, spread
from core.inference.novelty import (
    MEASURES,
    Novelty,
    add_contest,
    bootstrap_aurocs,
    hold_contest,
    of_length_one,
    read_novelty,
)
from core.inference.predictor import load_predictor
from core.inference.run_features import RunFeatures, measured_folder
from core.progress import Progress
from tests import tiny
from tests.pictures import encoded, finish, noise


def clusters(n=400, width=12, seed=0):
    """Features of two classes, float32 (n, width), and labels: around the first axis, or the second."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    features = np.eye(width)[labels] * 4 + random.normal(0, 0.3, (n, width))
    return with_maps(features, random.normal(5, 2, (n, 4))), labels


def outside(n=200, width=12, seed=9):
    """Features around the third axis: no class is there."""
    random = np.random.default_rng(seed)
    features = np.eye(width)[2] * 4 + random.normal(0, 0.3, (n, width))
    return with_maps(features, random.normal(11, 2, (n, 4)))


def with_maps(features, maps):
    """Features of the last layer, and behind them four of the first one."""
    return np.concatenate([features, maps], 1).astype(np.float32)


@pytest.fixture
def novelty():
    """Measured on clusters; the network is as sure of everything."""
    features, labels = clusters()
    empty = Novelty(RunFeatures(features, np.arange(len(labels)), labels, 4), {}, ())
    own, random = clusters(seed=1)[0], np.random.default_rng(2)
    sure = lambda n: np.stack([p := random.uniform(0.8, 1, n), 1 - p], 1)  # noqa: E731
    scores = [{m: empty.scores(m, f, sure(len(f))) for m in MEASURES} for f in (own, outside())]
    made = Novelty(empty.reference, {m: np.sort(scores[0][m]) for m in MEASURES}, ())
    return Novelty(made.reference, made.held_out, (hold_contest("planted", "val", made, *scores),))


def finished(steps):
    *_, last = steps
    return last


def test_the_auroc_is_the_share_of_pairs_in_which_the_intruder_is_higher():
    own, others = np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0])
    (area,) = bootstrap_aurocs([(own, others)])
    assert area[0] == pytest.approx((1 + 0.5 + 0 + 3) / 6)  # 1.0 is above one, ties with one; 3.0 is above all
    assert len(area) == 1001 and area.min() >= 0 and area.max() <= 1


def test_the_interval_of_an_auroc_is_about_that_of_hanley_and_mcneil():
    random = np.random.default_rng(0)
    (area,) = bootstrap_aurocs([(random.normal(0, 1, 300), random.normal(1, 1, 300))])
    a = area[0]
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = ((a * (1 - a) + 299 * (q1 - a * a) + 299 * (q2 - a * a)) / 300**2) ** 0.5
    assert area[1:].std() == pytest.approx(error, rel=0.15) and abs(a - 0.76) < 0.03  # Phi(1 / sqrt 2)


def test_every_distance_tells_what_no_class_is_near_and_beat_the_softmax(novelty):
    contest = novelty.contests[0]
    for measure in ("knn", "mahalanobis", "first_layer"):
        assert contest.found[measure].auroc[0] > 0.99 and contest.found[measure].over_softmax[1] > 0.3
    assert abs(contest.found["max_softmax"].auroc[0] - 0.5) < 0.06
    assert contest.winner == contest.best_distance == novelty.measure and "tells intruders best" in novelty.sentence
    assert contest.found[novelty.measure].caught > 190


def test_the_distance_to_the_tenth_nearest_and_to_the_nearest_mean_are_what_they_say(novelty):
    features, given = novelty.reference.features[:, :12], clusters(seed=5)[0][:7]
    asked = of_length_one(given[:, :12])
    by_hand = np.sort(np.linalg.norm(asked[:, None] - of_length_one(features)[None], axis=2), 1)[:, 9]
    assert np.allclose(novelty.scores("knn", given, None), by_hand, atol=1e-3)
    means = np.stack([of_length_one(features)[novelty.reference.labels == k].mean(0) for k in (0, 1)])
    within = of_length_one(features) - means[novelty.reference.labels]
    inverse = np.linalg.inv(np.cov(within.T, bias=True))
    squares = [np.einsum("ni,ij,nj->n", asked - mean, inverse, asked - mean) for mean in means]
    assert np.allclose(novelty.scores("mahalanobis", given, None), np.sqrt(np.min(squares, 0)), rtol=0.1)


def test_the_first_layers_distance_is_in_units_of_the_spread_of_each_map(novelty):
    maps, given = novelty.reference.features[:, 12:], clusters(seed=5)[0][:7]
    maps, asked = ((values - maps.mean(0)) / maps.std(0) for values in (maps, given[:, 12:]))
    by_hand = np.sort(np.linalg.norm(asked[:, None] - maps[None], axis=2), 1)[:, 9]
    assert np.allclose(novelty.scores("first_layer", given, None), by_hand, atol=1e-3)


@pytest.mark.parametrize("n", [1, 8, 19, 20, 100, 145, 401])
def test_at_least_95_of_100_held_out_pictures_pass(novelty, n):
    held_out = {measure: np.sort(np.random.default_rng(n).random(n)) for measure in MEASURES}
    made = Novelty(novelty.reference, held_out, novelty.contests)
    above = (held_out["knn"] > made.threshold("knn")).sum()
    assert above <= 0.05 * n < above + 1


def test_unlike_is_the_share_of_held_out_pictures_that_are_less_so(novelty):
    probabilities = np.tile([0.9, 0.1], (400, 1))
    for verdict in novelty.verdicts(outside()[:50], probabilities[:50]):
        assert verdict.none_of_these and verdict.unlike == 1.0 and verdict.measure == novelty.measure
    own = novelty.verdicts(clusters(seed=1)[0], probabilities)
    assert sum(one.none_of_these for one in own) == 20  # 5 % of 400
    assert all((one.unlike >= 0.95) == one.none_of_these or one.unlike == pytest.approx(0.95, abs=0.01) for one in own)
    assert np.mean([one.unlike for one in own]) == pytest.approx(0.5, abs=0.01)
    assert novelty.verdict(outside()[0], [0.9, 0.1]) == novelty.verdicts(outside()[:1], probabilities[:1])[0]


def test_planted_intruders_choose_the_first_layer_only_where_the_last_one_tells_nothing(novelty):
    random = np.random.default_rng(0)
    own = {m: random.random(300) for m in MEASURES}
    others = own | {"first_layer": own["first_layer"] + 9, "knn": own["knn"] + 0.5}
    assert hold_contest("planted", "val", novelty, own, others).winner == "knn"
    assert hold_contest("a dataset", "test", novelty, own, others).winner == "first_layer"
    others["knn"] = own["knn"]
    assert hold_contest("planted", "val", novelty, own, others).winner == "first_layer"


def test_where_no_distance_beats_the_softmax_it_is_used_and_that_is_said(novelty):
    same = {m: np.random.default_rng(0).random(300) for m in MEASURES}
    contest = hold_contest("<b>x</b>", "test", novelty, same, {m: scores + 0.1 for m, scores in same.items()})
    made = Novelty(novelty.reference, novelty.held_out, (*novelty.contests, contest))
    assert contest.winner == made.measure == "max_softmax"
    assert "is not better than plain max-softmax, which is used: AUROC 0." in made.sentence
    sure, unsure = made.verdicts(outside()[:2], np.array([[0.999, 0.001], [0.5, 0.5]]))
    assert not sure.none_of_these and unsure.none_of_these and unsure.unlike == 1.0
    coin = hold_contest("other", "test", novelty, same, same)
    assert coin.sentence.endswith("no better than a coin: do not believe it.")


def test_planted_pictures_are_tiles_mixed_up_and_smooth_colours(tiny_store):
    images = tiny_store.images[:5]
    planted = plant_intruders(images)
    assert planted.shape == (10, 3, 16, 16) and planted.dtype == np.uint8
    for before, after in zip(images, planted, strict=False):
        assert np.array_equal(np.sort(before.ravel()), np.sort(after.ravel())) and not np.array_equal(before, after)
    assert np.abs(np.diff(planted[5:].astype(int), axis=3)).mean() < 30 < np.abs(np.diff(noise_like(), axis=3)).mean()
    assert plant_intruders(np.zeros((1, 3, 30, 30), np.uint8)).shape == (2, 3, 30, 30)


def noise_like():
    return np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16))


def test_a_run_is_measured_once_and_read_from_then_on(tiny_run, monkeypatch):
    assert read_novelty(tiny_run) is None
    *steps, found = measure_novelty(tiny_run)
    assert all(isinstance(step, Progress) for step in steps) and found.n == tiny_run.evaluation("val").n
    monkeypatch.setattr("core.inference.measure_novelty.RunNetwork", lambda *_: pytest.fail("measured again"))
    again = read_novelty(tiny_run)
    assert again.contests == found.contests and again.measure == found.measure
    assert all(np.allclose(again.held_out[m], found.held_out[m]) for m in MEASURES)
    assert finished(measure_novelty(tiny_run)).contests == found.contests


def test_held_out_scores_are_those_that_try_it_would_give(tiny_run):
    novelty = finished(measure_novelty(tiny_run))
    dataset, val = find_dataset("colours"), tiny_run.evaluation("val")
    answers = load_predictor(tiny_run).predict([(dataset.names[i], dataset.original(i)) for i in val.indices])
    shares = np.array([[p for _, p in answer.classes] for answer in answers])
    for measure in MEASURES:
        scores = novelty.scores(measure, np.stack([answer.features for answer in answers]), shares)
        assert np.allclose(np.sort(scores), novelty.held_out[measure], atol=1e-3)


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"schema_version": 9}', b'{"weights": "w", "n": 0}'])
def test_a_damaged_document_is_measured_again(tiny_run, damage):
    found = finished(measure_novelty(tiny_run))
    (measured_folder(tiny_run) / "novelty.json").write_bytes(damage)
    (measured_folder(tiny_run) / "intruders.json").write_bytes(damage)
    assert read_novelty(tiny_run) is None
    assert finished(measure_novelty(tiny_run)).contests == found.contests


def test_without_validation_pictures_there_is_no_verdict_and_it_says_why(trained_home, new_run):
    run = tiny.train_tiny_run(data__val_fraction=0.0, train__epochs=1)
    with pytest.raises(UserMistake, match=f"Run {run.id} has no validation pictures"):
        finished(measure_novelty(run))
    with pytest.raises(UserMistake, match="has no model: it is still training"):
        finished(measure_novelty(new_run))


@pytest.fixture
def strangers(tiny_run):
    """A dataset of 60 pictures of noise."""
    entries = [(f"n/{i}.png", ("n", "m")[i % 2], None, encoded(noise(20, 20, i))) for i in range(60)]
    return finish(import_pictures("strangers", iter(entries), "zip", False))


def test_another_dataset_decides_which_measure_is_used(tiny_run, strangers):
    found = finished(bench_intruders(tiny_run, strangers))
    assert (found.part, found.n, found.n_intruders) == ("test", tiny_run.evaluation("test").n, 60)
    assert read_novelty(tiny_run).contests[1:] == (found,) and read_novelty(tiny_run).measure == found.winner
    newer = found.model_copy(update={"n": 1})
    add_contest(tiny_run, "last", newer)
    assert read_novelty(tiny_run).contests[1:] == (newer,)  # in place of the older one


def test_intruders_are_measured_by_the_command_with_intervals(tiny_run, strangers, capsys):
    assert main(["bench", "intruders", tiny_run.id, "--intruders", "strangers", "--pictures", "20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["run"], document["intruders"], document["n_intruders"]) == (tiny_run.id, "strangers", 20)
    assert [row["measure"] for row in document["measures"]] == list(MEASURES) and document["used"] in MEASURES
    for row in document["measures"]:
        assert set(row["auroc"]) == {"mean", "low", "high"} and 0 <= row["false_alarms"]["mean"] <= 1
        assert row["caught"]["low"] <= row["caught"]["mean"] <= row["caught"]["high"]
    assert document["measures"][-1]["over_max_softmax"] == {"mean": 0, "low": 0, "high": 0}
    assert main(["bench", "intruders", tiny_run.id, "--intruders", "strangers"]) == 0
    printed = capsys.readouterr().out
    assert "Nearest neighbours" in printed and "false alarms" in printed and "60 pictures of strangers" in printed


def test_what_is_no_intruder_is_refused(tiny_run, capsys):
    assert main(["bench", "intruders", tiny_run.id, "--intruders", "colours"]) == 2
    assert "is what run" in capsys.readouterr().err
    assert main(["bench", "intruders", tiny_run.id, "--intruders", "nobody"]) == 2
    assert "unknown dataset 'nobody'" in capsys.readouterr().err


def test_every_measure_has_a_name_on_the_screen():
    assert tuple(DISPLAY_NAMES["novelty"]) == MEASURES


def test_pictures_are_spread_over_all():
    assert spread(10, 100).tolist() == list(range(10)) and spread(1000, 3).tolist() == [0, 500, 999]
