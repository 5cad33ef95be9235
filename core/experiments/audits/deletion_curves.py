"""measure_explanations: deletion and insertion curves of every attribution method over pictures of a run.

All orders cover and uncover the same square cells: single pixels taken out at random are a noise that networks are
never trained on, and a random order would seem better than it is (as in Samek et al. 2017, who use regions too).
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from core.data.pictures.preprocess import Preprocess
from core.data.store.store import load_store
from core.errors import UserMistake
from core.experiments.audits.explanations import RANDOM, ExplanationAudit, MethodCurves, weights_of, write_explanations
from core.inference.attribution import Explainer
from core.inference.predictor import load_model
from core.progress import Clock, Progress
from core.runs.run import Run

PICTURES = 100
CELLS = 16  # a side: 2 pixels of 32, 14 of 224
STEPS = 16  # from the whole picture to nothing


def measure_explanations(run: Run, pictures: int = PICTURES) -> Iterator[Progress | ExplanationAudit]:
    """Yields how far it is, in pictures, and the audit at last, which is then also on disk (read_explanations).

    The pictures are spread evenly over the validation part, or the test part where there is none. UserMistake where the
    run has no model, and where its dataset has changed since.
    """
    weights, store = weights_of(run), load_store(run.config.data)
    if store.fingerprint != run.fingerprint:
        raise UserMistake(f"The dataset {run.config.data.dataset!r} changed since run {run.id}; explain a new run")
    explainer = Explainer(load_model(run), Preprocess.model_validate(run.card().preprocess))
    part = "val" if len(store.parts["val"]) else "test"
    rows = spread_evenly(store.parts[part], pictures)
    found: dict[str, list[np.ndarray]] = {}
    clock = Clock()
    for done, row in enumerate(rows.tolist()):
        yield Progress("explaining", done, len(rows), clock.seconds_left(done, len(rows)))
        for method, curves in picture_curves(explainer, np.array(store.images[row]), seed=row).items():
            found.setdefault(method, []).append(curves)
    audit = ExplanationAudit(
        run.id, weights, part, tuple(rows.tolist()), tuple(_summary(*measured) for measured in found.items())
    )
    write_explanations(audit)
    yield audit


def picture_curves(explainer: Explainer, received: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Method (and RANDOM, last) -> float32 (2, STEPS + 1): probability of the predicted class while the picture
    received, uint8 (3, S, S), is covered cell by cell, and while it is uncovered."""
    image = explainer.prepare(received)
    target = int(explainer.probabilities(image)[0].argmax())
    cells = cell_numbers(received.shape[-1])
    by_chance = np.random.default_rng(seed).permutation(cells.max() + 1)
    orders = {
        method: order_cells(explainer.attribute(received, method, target).map, cells, by_chance)
        for method, why_not in explainer.methods.items()
        if not why_not
    }
    return {
        method: probability_curves(explainer, image, target, cells, order)
        for method, order in (orders | {RANDOM: by_chance}).items()
    }


def probability_curves(
    explainer: Explainer, image: Tensor, target: int, cells: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """float32 (2, STEPS + 1) for image float (1, 3, S, S); cells int (S, S); order int (cells,), most important first.

    What is covered has the neutral colour, zero after normalisation.
    """
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    gone = np.linspace(0, len(order), STEPS + 1).round().astype(int)
    covered = torch.from_numpy(rank[cells][None] < gone[:, None, None]).to(image.device)[
        :, None
    ]  # (STEPS + 1, 1, S, S)
    zero = torch.zeros_like(image)
    versions = torch.cat([torch.where(covered, zero, image), torch.where(covered, image, zero)])
    return explainer.probabilities(versions)[:, target].reshape(2, STEPS + 1)


def cell_numbers(side: int) -> np.ndarray:
    """int64 (S, S): the number of the square cell that each pixel is in, 0 .. cells - 1."""
    cells = min(CELLS, side)
    at = np.arange(side) * cells // side
    return at[:, None] * cells + at[None]


def order_cells(heat: np.ndarray, cells: np.ndarray, by_chance: np.ndarray) -> np.ndarray:
    """The cells by their mean of heat, float (S, S), highest first; equal ones as in by_chance, int (cells,)."""
    flat = cells.ravel()
    means = np.bincount(flat, heat.ravel().astype(np.float64)) / np.bincount(flat)
    return by_chance[np.argsort(-means[by_chance], kind="stable")]


def spread_evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly from all over them, ascending."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))]


def _summary(method: str, curves: list[np.ndarray]) -> MethodCurves:
    every = np.stack(curves).astype(np.float64)  # (n, 2, STEPS + 1)
    areas = np.asarray(np.trapezoid(every, dx=1 / STEPS, axis=2))
    mean = every.mean(axis=0)
    columns = (areas[:, 0], areas[:, 1], mean[0], mean[1])
    return MethodCurves(method, *(tuple(column.round(6).tolist()) for column in columns))
