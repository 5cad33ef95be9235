"""The cue meter: edits that take what they say, and networks on drawn sets in which one cue alone carries the class."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from core.config import TrainConfig
from core.data.store.batches import load_part, normalise
from core.disk import write_json
from core.engine.fit import fit
from core.engine.hardware import Hardware
from core.errors import UserMistake
from core.experiments.audits.cue_controls import measure_controls, read_controls
from core.experiments.audits.cue_edits import EDITS, draw_others
from core.experiments.audits.cues import VERSION, CueDrop, CueReport, measure_cues, measure_cues_of, read_cues
from core.progress import Progress
from core.settings import cues_root
from tests.tiny import make_store

SIDE, CLASSES = 32, 3
PAINTS = [[180, 60, 60], [60, 180, 60], [60, 60, 180]]
KINDS_DRAWN = ("colour", "texture", "shape", "the frame")


def draw_set(kind: str, count: int, seed: int, agree: float = 1.0, images: np.ndarray | None = None, labels=None):
    """uint8 (count, 3, S, S) and labels: pictures in which only this carries the class, of a share `agree` of them the
    right one; with `images` it is drawn onto those."""
    random = np.random.default_rng([seed, KINDS_DRAWN.index(kind) if kind in KINDS_DRAWN else 9])
    labels = random.integers(0, CLASSES, count) if labels is None else labels
    shown = np.where(random.random(count) < agree, labels, random.integers(0, CLASSES, count))
    if images is None:
        images = plain(random, count)
    drawn = images.astype(np.float64)
    y, x = np.mgrid[:SIDE, :SIDE]
    for picture, which in zip(drawn, shown, strict=True):
        if kind == "colour":
            picture[:] = (
                picture * 0.5 + np.array([[180, 60, 60], [60, 180, 60], [60, 60, 180]][which])[:, None, None] * 0.5
            )
        if kind == "texture":
            phase, waves = random.integers(0, 4), (x + y, x - y, 2 * (x // 2) + 2 * (y // 2))[which]
            picture += 60 * np.sign(np.sin(np.pi * (waves + phase) / 2 + 0.1))
        if kind == "shape":
            cx, cy, r = *random.uniform(13, 19, 2), random.uniform(8, 11)
            inside = (
                np.hypot(x - cx, y - cy) < r,
                (np.abs(x - cx) < 0.35 * r) | (np.abs(y - cy) < 0.35 * r),
                np.abs(np.hypot(x - cx, y - cy) - r) < 2.5,
            )[which] & (np.maximum(abs(x - cx), abs(y - cy)) < 1.2 * r)
            picture[:, inside] += random.choice([-90, 90])
        if kind == "the frame":
            edge = np.minimum(np.minimum(x, y), SIDE - 1 - np.maximum(x, y)) < 3
            side = (x < 3, y < 3, x > SIDE - 4)[which] & edge
            picture[:, side] = random.choice([20, 235])
    return drawn.clip(0, 255).astype(np.uint8), labels


def plain(random: np.random.Generator, count: int) -> np.ndarray:
    """Pictures of a random colour with soft noise, which tell nothing."""
    colour = random.uniform(70, 185, (count, 3, 1, 1))
    return (colour + random.normal(0, 12, (count, 3, SIDE, SIDE))).clip(0, 255)


def learnt(images: np.ndarray, labels: np.ndarray, seed: int, epochs: int = 6) -> torch.nn.Module:
    torch.manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for before, after in ((3, 12), (12, 24), (24, 32)):
        layers += [torch.nn.Conv2d(before, after, 3, padding=1), torch.nn.BatchNorm2d(after), torch.nn.ReLU()]
        layers += [torch.nn.MaxPool2d(2)]
    model = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(32 * 16, CLASSES))
    store = make_store(images, labels)
    config = TrainConfig(
        epochs=epochs, batch_size=32, optimizer="adam", learning_rate=0.003, schedule="cosine", seed=seed
    )
    hardware = Hardware(torch.device("cpu"), 1)
    for _ in fit(model, load_part(store, "train"), None, CLASSES, config, hardware):
        pass
    return model.eval()


def asked(model: torch.nn.Module, images: np.ndarray, labels: np.ndarray) -> CueReport:
    preprocess = make_store(images[:1], labels[:1] * 0).preprocess

    @torch.no_grad()
    def predict(received: np.ndarray) -> np.ndarray:
        pictures = torch.from_numpy(received).permute(0, 2, 3, 1).contiguous()
        return model(normalise(pictures, preprocess)).argmax(1).numpy()

    (report,) = [step for step in measure_cues(predict, images, labels, CLASSES) if isinstance(step, CueReport)]
    return report


def measure(kind: str, seed: int) -> CueReport:
    """A network that learnt a set of this kind, asked about new pictures of it."""
    images, labels = draw_set(kind, 700, seed)
    return asked(learnt(images[:450], labels[:450], seed), images[450:], labels[450:])


# ------------------------------------------------------------------------- networks that read one cue, written by hand


def by_colour(received: np.ndarray) -> np.ndarray:
    """The channel that is strongest."""
    return received.reshape(len(received), 3, -1).mean(axis=2).argmax(axis=1)


def by_texture(received: np.ndarray) -> np.ndarray:
    """Along which diagonal the picture changes least, or neither."""
    grey = received.mean(axis=1)
    along = np.abs(grey[:, 1:, :-1] - grey[:, :-1, 1:]).mean(axis=(1, 2))
    across = np.abs(grey[:, 1:, 1:] - grey[:, :-1, :-1]).mean(axis=(1, 2))
    even = np.abs(along - across) < 0.4 * np.maximum(along, across)
    return np.where(even, 2, np.where(along < across, 0, 1))


def by_frame(received: np.ndarray) -> np.ndarray:
    """Which side differs most from the middle."""
    grey = received.mean(axis=1)
    middle = grey[:, 8:24, 8:24].mean(axis=(1, 2))
    sides = (grey[:, 4:28, :3], grey[:, :3, 4:28], grey[:, 4:28, -3:])
    return np.stack([np.abs(side.mean(axis=(1, 2)) - middle) for side in sides], 1).argmax(axis=1)


def by_layout(received: np.ndarray) -> np.ndarray:
    """Whether the middle, the cross or the ring around it differs from the corners: where, not what."""
    grey = received.mean(axis=1)
    corners = np.stack([grey[:, :5, :5], grey[:, :5, -5:], grey[:, -5:, :5], grey[:, -5:, -5:]], 1).mean(axis=(1, 2, 3))
    y, x = np.mgrid[:SIDE, :SIDE] - 15.5
    ring, dot = np.abs(np.hypot(x, y) - 9.5) < 2, np.hypot(x, y) < 4
    far = [np.abs(grey[:, where].mean(axis=1) - corners) for where in (ring, dot)]
    return np.where(far[1] < 25, 2, np.where(far[0] > 0.55 * far[1], 0, 1))


READERS = {"colour": by_colour, "texture": by_texture, "shape": by_layout, "the frame": by_frame}


def report_of(predict, images: np.ndarray, labels: np.ndarray) -> CueReport:
    (report,) = [step for step in measure_cues(predict, images, labels, CLASSES) if isinstance(step, CueReport)]
    return report


@pytest.mark.parametrize("kind", KINDS_DRAWN)
@pytest.mark.parametrize("seed", range(3))
def test_what_a_reader_of_one_cue_goes_by_is_named(kind, seed):
    report = report_of(READERS[kind], *draw_set(kind, 240, seed))
    assert report.accuracy > 0.65 and report.kinds[0][0] == kind and kind in report.verdict


def test_a_network_that_guesses_goes_by_nothing():
    images, labels = draw_set("colour", 200, 0)
    shuffled = np.random.default_rng(1).permutation(labels)
    report = report_of(by_colour, images, shuffled)
    assert report.kinds == [] and report.verdict.startswith("none:")


def test_colour_that_is_brightness_is_said_to_be():
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, 240)
    images = np.clip(plain(random, 240) * 0.3 + 75 * labels[:, None, None, None], 0, 255).astype(np.uint8)

    def by_brightness(received):
        return np.digitize(received.mean(axis=(1, 2, 3)), [76, 150])

    report = report_of(by_brightness, images, labels)
    assert report.kinds[0][0] == "colour" and "more than by hue: in grey it loses" in report.verdict
    assert "hue" not in report_of(by_colour, *draw_set("colour", 240, 0)).verdict


def test_drops_are_ordered_and_have_the_interval_of_the_pairs():
    report = report_of(by_colour, *draw_set("colour", 240, 0))
    drops = [one.drop for one in report.cues]
    assert drops == sorted(drops, reverse=True) and len(drops) == 8
    for one in report.cues:
        assert one.interval[0] <= one.drop <= one.interval[1]
        assert one.drop == pytest.approx(report.accuracy - one.accuracy)
    assert report.to_json().keys() == {"run", "accuracy", "n", "cues", "verdict"}
    assert report.to_json()["cues"][0].keys() == {"cue", "accuracy", "drop", "interval"}


def test_the_other_picture_is_of_another_class():
    labels = np.random.default_rng(0).integers(0, 4, 500)
    others = draw_others(labels, np.random.default_rng(1))
    assert (labels[others] != labels).all() and len(np.unique(others)) > 200
    assert draw_others(np.zeros(5, int), np.random.default_rng(1)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("cue", EDITS)
def test_an_edit_keeps_shape_and_type_and_is_the_same_for_the_same_seed(cue):
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 30, 30), dtype=np.uint8)
    before = images.copy()
    first, again = (EDITS[cue](images, images[::-1], np.random.default_rng(3)) for _ in range(2))
    assert first.shape == images.shape and first.dtype == np.uint8 and np.array_equal(first, again)
    assert np.array_equal(images, before) and not np.array_equal(first, images)


def test_swapped_colours_are_those_of_the_other_picture_and_layout_stays():
    images, _ = draw_set("shape", 4, 0)
    swapped = EDITS["colours of another class"](images, images[::-1], np.random.default_rng(0))
    assert swapped.mean(axis=(2, 3)) == pytest.approx(images[::-1].mean(axis=(2, 3)), abs=6)
    for before, after in zip(images, swapped, strict=True):
        assert np.corrcoef(before.mean(axis=0).ravel(), after.mean(axis=0).ravel())[0, 1] > 0.8


def test_shuffled_patches_hold_the_same_pixels_in_other_places():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 34, 34), dtype=np.uint8)
    shuffled = EDITS["patches shuffled"](images, images, np.random.default_rng(0))
    assert np.array_equal(np.sort(shuffled.ravel()), np.sort(images.ravel()))
    assert np.array_equal(shuffled[:, :, 32:], images[:, :, 32:])  # what 4 does not divide stays
    tiles = {images[0, :, y : y + 8, x : x + 8].tobytes() for y in range(0, 32, 8) for x in range(0, 32, 8)}
    moved = {shuffled[0, :, y : y + 8, x : x + 8].tobytes() for y in range(0, 32, 8) for x in range(0, 32, 8)}
    assert tiles == moved


def test_a_run_is_measured_once_and_read_again(trained_home, tiny_run):
    assert read_cues(tiny_run) is None
    steps = list(measure_cues_of(tiny_run))
    assert all(isinstance(step, Progress) for step in steps[:-1]) and steps[-2].done == steps[-2].total == 9 * 12
    report = steps[-1]
    assert read_cues(tiny_run) == report and report.n == 12
    assert report.right == int(tiny_run.evaluation("test").correct.sum())  # the same pictures, the same answers
    path = trained_home / "cues" / f"{tiny_run.id}.json"
    path.write_text(path.read_text().replace(report.weights, "0" * 64))
    assert read_cues(tiny_run) is None  # of other weights
    path.write_text("{")
    assert read_cues(tiny_run) is None


# ---------------------------------------------------------------------------------------- networks that learnt one cue


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS_DRAWN)
def test_what_a_network_learnt_is_named(kind):
    assert measure(kind, 0).kinds[0][0] == kind


@pytest.mark.nightly
def test_in_100_drawn_sets_the_right_cue_is_named_at_least_95_times():
    assert sum(measure(kind, seed).kinds[0][0] == kind for kind in KINDS_DRAWN for seed in range(25)) >= 95


@pytest.mark.nightly
def test_networks_on_shuffled_labels_go_by_nothing():
    for seed in range(10):
        images, labels = draw_set("colour", 700, seed)
        labels = np.random.default_rng(seed).permutation(labels)
        assert asked(learnt(images[:400], labels[:400], seed), images[400:], labels[400:]).verdict.startswith("none")


@pytest.mark.nightly
def test_in_mixed_sets_the_drops_are_ordered_as_the_cues_were_planted():
    from scipy import stats

    planted, found = [], []
    for place, colour in enumerate(np.linspace(0.45, 0.95, 11)):
        frame = 1.4 - colour
        images, labels = draw_set("colour", 1200, place, colour)
        images, _ = draw_set("the frame", 1200, place + 50, frame, images, labels)
        report = asked(learnt(images[:900], labels[:900], place), images[900:], labels[900:])
        planted.append(colour - frame)
        found.append(report.of("colours of another class").drop - report.of("border removed").drop)
    assert stats.spearmanr(planted, found).statistic >= 0.9


def test_a_control_tells_what_is_missed_from_what_looks_strange(tiny_run):
    """Two colours: in grey nothing is left to learn from, turned by a quarter everything is."""
    with pytest.raises(UserMistake, match="not measured yet"):
        next(measure_controls(tiny_run))
    kept, lost = (
        CueDrop("quarter turn", 0.5, 0.5, (0.2, 0.8)),
        CueDrop("colours of another class", 0.0, 1.0, (0.9, 1.0)),
    )
    known = {one.cue: one for one in (kept, lost)}
    cues = tuple(known.get(cue, CueDrop(cue, 1.0, 0.0, (0.0, 0.0))) for cue in EDITS)
    report = CueReport(tiny_run.id, tiny_run.weights_sha256(), 8, 8, 0.5, True, cues)
    write_json(cues_root() / f"{tiny_run.id}.json", {"version": VERSION, **asdict(report)})
    steps = list(measure_controls(tiny_run))
    assert steps[-1].total == 200 and list(measure_controls(tiny_run)) == []  # trained once
    found = read_controls(tiny_run, read_cues(tiny_run))
    assert set(found) == set(known) and found["quarter turn"].right > found["colours of another class"].right
    assert "need not go by" in found["quarter turn"].sentence(kept)
    assert "most of it the cue itself carries" in found["colours of another class"].sentence(lost)
