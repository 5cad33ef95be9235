"""measure_novelty: what tells pictures that are none of a run's classes; and bench intruders, with another dataset.

python -m core bench intruders RUN --intruders DATASET
"""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from PIL import Image

from core.data.datasets.dataset import Dataset, disk_troubles
from core.errors import UserMistake
from core.evaluation import Evaluation, Which
from core.inference.novelty import (
    MEASURES,
    PLANTED,
    Contest,
    Measure,
    Novelty,
    add_contest,
    hold_contest,
    read_novelty,
    write_novelty,
)
from core.inference.predictor import Predictor, load_predictor
from core.inference.run_features import RunNetwork, build_run_features, open_run_features
from core.progress import Clock, Progress
from core.runs.run import Run

HELD_OUT = 2000  # validation pictures at most, spread evenly
PLANTED_FROM = 150  # validation pictures at most; two intruders are made for each
TILES = 4  # a side
CONTESTANTS = 1000  # pictures at most, own and intruders each
PIECE = 64  # of them at a time


def measure_novelty(run: Run, which: Which | None = None) -> Iterator[Progress | Novelty]:
    """Yields how far it is, in pictures, and the Novelty at last; at once where it was measured for these weights.

    UserMistake where the run has no model or no validation pictures, and where its dataset is gone or another one.
    """
    which = which or run.used_model
    if kept := read_novelty(run, which):
        yield kept
        return
    val = _held_out(run, which)
    network = RunNetwork(run, which)
    yield from build_run_features(run, which, network)
    reference = open_run_features(run, which)
    assert reference is not None, "it has just been built"
    features, clock = list[np.ndarray](), Clock()
    for block in network.blocks(val.indices):
        features.append(block)
        done = sum(map(len, features))
        yield Progress("held out", done, val.n, clock.seconds_left(done, val.n))
    empty = Novelty(reference, {}, ())
    own = _scores(empty, np.concatenate(features), val.probabilities)
    novelty = Novelty(reference, {measure: np.sort(scores) for measure, scores in own.items()}, ())
    chosen = spread(val.n, PLANTED_FROM)
    planted = plant_intruders(np.array(network.store.images[val.indices[chosen]]))
    answers = [network.answer(planted[first : first + 4]) for first in range(0, len(planted), 4)]
    shares, made = (np.concatenate(column) for column in zip(*answers, strict=True))
    contest = hold_contest(PLANTED, "val", novelty, own, _scores(novelty, made, shares))
    novelty = Novelty(reference, novelty.held_out, (contest,))
    with suppress(OSError):  # it is measured again the next time
        write_novelty(run, which, novelty)
    yield read_novelty(run, which) or novelty  # with what was measured before, of other datasets


def bench_intruders(
    run: Run, intruders: Dataset, which: Which | None = None, pictures: int = CONTESTANTS
) -> Iterator[Progress | Contest]:
    """Pictures of another dataset as intruders among the run's test pictures, by Try-It's way from their files.

    At most `pictures` of each, spread evenly. Yields how far it is and the Contest at last, which is then kept and
    decides which measure the run uses. UserMistake as measure_novelty, for the run's own dataset, and where no intruder
    can be read.
    """
    which = which or run.used_model
    if intruders.name == run.config.data.dataset:
        raise UserMistake(f"{intruders.name!r} is what run {run.id} learnt from; name another dataset as intruders")
    novelty: Novelty | None = None
    for step in measure_novelty(run, which):
        if isinstance(step, Progress):
            yield step
        else:
            novelty = step
    assert novelty is not None
    test, network, predictor = run.evaluation("test"), RunNetwork(run, which), load_predictor(run, which)
    if test is None or not test.n or test.model != which:
        raise UserMistake(f"The answers of the {which} model of run {run.id} on its test part are not stored.")
    test = _chosen(test, spread(test.n, pictures))
    own = _scores(novelty, np.concatenate(list(network.blocks(test.indices))), test.probabilities)
    rows = spread(intruders.used, pictures)
    features, shares, clock = list[np.ndarray](), list[np.ndarray](), Clock()
    for first in range(0, len(rows), PIECE):
        for answer in _ask(predictor, intruders, rows[first : first + PIECE]):
            features.append(answer[0])
            shares.append(answer[1])
        done = min(first + PIECE, len(rows))
        yield Progress("intruders", done, len(rows), clock.seconds_left(done, len(rows)))
    if not features:
        raise UserMistake(f"No picture of {intruders.name!r} could be read.")
    found = _scores(novelty, np.stack(features), np.stack(shares))
    contest = hold_contest(intruders.name, "test", novelty, own, found)
    with disk_troubles():
        add_contest(run, which, contest)
    yield contest


def plant_intruders(images: np.ndarray) -> np.ndarray:
    """uint8 (n, 3, S, S) -> (2 n, 3, S, S): each picture cut into tiles that are mixed up, and as many of smooth
    colours.

    The first have the colours and strokes of the run's own pictures without what they show; the second are like nothing
    that was photographed or drawn.
    """
    random, (n, _, side, _) = np.random.default_rng(0), images.shape
    mixed, tile = images.copy(), side // TILES
    for picture in mixed:
        places = [(y * tile, x * tile) for y in range(TILES) for x in range(TILES)]
        tiles = [picture[:, y : y + tile, x : x + tile].copy() for y, x in places]
        for (y, x), one in zip(places, random.permutation(len(tiles)), strict=True):
            picture[:, y : y + tile, x : x + tile] = tiles[one]
    colours = random.integers(0, 256, (n, TILES, TILES, 3), dtype=np.uint8)
    smooth = [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in colours]
    return np.concatenate([mixed, np.stack([np.asarray(one).transpose(2, 0, 1) for one in smooth])])


def spread(count: int, most: int) -> np.ndarray:
    """int64: at most so many of 0..count-1, evenly from all over them, ascending."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))


def _held_out(run: Run, which: Which) -> Evaluation:
    if run.state.is_live:
        raise UserMistake(f"Run {run.id} still trains, so nothing is measured of it yet.")
    val = run.evaluation("val")
    if val is None or not val.n:
        raise UserMistake(
            f"Run {run.id} has no validation pictures, so nothing tells how unlike its classes a picture may be. Train "
            "with a validation part to know."
        )
    if val.model != which:
        raise UserMistake(f"The answers of the {which} model of run {run.id} on its validation part are not stored.")
    return _chosen(val, spread(val.n, HELD_OUT))


def _chosen(answers: Evaluation, places: np.ndarray) -> Evaluation:
    return Evaluation(
        part=answers.part,
        measure=answers.measure,
        classes=answers.classes,
        indices=answers.indices[places],
        labels=answers.labels[places],
        probabilities=answers.probabilities[places],
        model=answers.model,
    )


def _scores(novelty: Novelty, features: np.ndarray, probabilities: np.ndarray) -> dict[Measure, np.ndarray]:
    return {measure: novelty.scores(measure, features, probabilities) for measure in MEASURES}


def _ask(predictor: Predictor, dataset: Dataset, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features float32 (F,) and probabilities float64 (classes,) of each picture that can be read, in no fixed order of
    the classes."""
    for answer in predictor.predict([(dataset.names[row], dataset.original(row)) for row in rows.tolist()]):
        if answer.features is not None:
            yield answer.features, np.array([share for _, share in answer.classes])
