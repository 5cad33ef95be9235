"""Replay: the pictures of a part asked again from their files, by Try-It's way, and held against the stored answers.

python -m core replay RUN [--part test]
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.data.datasets.dataset import Dataset
from core.evaluation import Which
from core.inference.evaluating import evaluate_run
from core.inference.own_pictures import dataset_of
from core.inference.predictor import Prediction, load_predictor
from core.intervals import wilson
from core.progress import Clock, Progress
from core.runs.run import Run

PICTURES_AT_ONCE, BYTES_AT_ONCE = 500, 64 * 2**20  # so that large files do not fill the memory


@dataclass(frozen=True)
class Replay:
    """What Try-It's way answers for a part, beside what Results has."""

    part: str
    n: int
    equal: int  # pictures with the class that Results has for them
    correct: int
    expected: float  # the accuracy that Results has, 0..1
    largest_difference: float  # of the probability of any class of any picture, 0..1
    different: tuple[str, ...]  # names of the other pictures, those that could not be read with the reason: data

    @property
    def accuracy(self) -> float:
        """Of Try-It's answers, 0..1."""
        return self.correct / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return wilson(self.correct, self.n)


def replay_part(run: Run, part: str = "test", which: Which | None = None) -> Iterator[Progress | Replay]:
    """Yields how far it is, in pictures, and the Replay at last.

    Each picture goes as Try-It would have it: the bytes of its file, decoded in a child process, to the Predictor.
    UserMistake where the part is empty, the dataset is another one by now, or there is no such model.
    """
    stored, predictor = evaluate_run(run, part, "evaluation", which), load_predictor(run, which)
    dataset, rows = dataset_of(run)
    clock, equal, correct, largest, different = Clock(), 0, 0, 0.0, list[str]()
    yield Progress("replaying", 0, stored.n, None)
    for places in _pieces(dataset, rows[stored.indices]):
        chosen = rows[stored.indices[places]].tolist()
        answers = predictor.predict([(dataset.names[row], dataset.original(row)) for row in chosen])
        for place, answer in zip(places, answers, strict=True):
            found = _probabilities(answer, stored.classes)
            if found is None or found.argmax() != stored.predictions[place]:
                different.append(f"{answer.file} {answer.error}" if answer.error else answer.file)
            else:
                equal += 1
            if found is not None:
                correct += int(found.argmax() == stored.labels[place])
                largest = max(largest, float(np.abs(found - stored.probabilities[place]).max()))
        done = places[-1] + 1
        yield Progress("replaying", done, stored.n, clock.seconds_left(done, stored.n))
    yield Replay(part, stored.n, equal, correct, stored.accuracy, largest, tuple(different))


def _pieces(dataset: Dataset, rows: np.ndarray) -> Iterator[range]:
    """The places 0..n-1 in pieces whose files fit in memory."""
    lengths = dataset.places[rows, 1]
    first, held = 0, 0
    for place, length in enumerate(lengths.tolist()):
        if place > first and (place - first >= PICTURES_AT_ONCE or held + length > BYTES_AT_ONCE):
            yield range(first, place)
            first, held = place, 0
        held += length
    yield range(first, len(rows))


def _probabilities(answer: Prediction, classes: tuple[str, ...]) -> np.ndarray | None:
    """float32 (classes,) in the order of the logits; None where the picture could not be read."""
    ranked = dict(answer.classes)
    return None if answer.error else np.array([ranked[name] for name in classes], np.float32)
