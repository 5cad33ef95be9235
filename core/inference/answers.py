"""Answers: everything that a run says of pictures, as the JSON of `python -m core predict`.

for step in prepare_answers(run): ...        # the last step is it; measured once a model, else at once
answers.rows([("name.png", content), ("gone.png", "is not there")])
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import UserMistake
from core.evaluation import Which
from core.inference.calibration import Calibration, load_calibration
from core.inference.measure_novelty import measure_novelty
from core.inference.novelty import Novelty
from core.inference.predictor import Prediction, Predictor, load_predictor
from core.progress import Progress
from core.runs.run import Run


@dataclass(frozen=True)
class Answers:
    """A model of a run, ready to answer."""

    predictor: Predictor
    which: Which
    calibration: Calibration | None  # None where there are no validation pictures
    novelty: Novelty | None  # None there too, and where the training pictures are gone
    missing: tuple[str, ...]  # a sentence for what is None

    def rows(self, pictures: Sequence[tuple[str, bytes | str]]) -> list[dict[str, Any]]:
        """A row for each picture, in order: (file name, its content, or in words why there is none).

        {file, classes: [{class, probability, calibrated}], none_of_these, unlike, error, model}: classes best first,
        none with an error; probability 0..1 as the network gives it; calibrated 0..1 after temperature scaling, or
        None; none_of_these: bool; unlike: 0..1, the share of validation pictures that are less unlike the training
        pictures, or None where that was not measured. File and class names are data.
        """
        readable = [(name, content) for name, content in pictures if isinstance(content, bytes)]
        predictions = iter(self.predictor.predict(readable))
        return [
            self._row(next(predictions) if isinstance(content, bytes) else Prediction(name, (), None, error=content))
            for name, content in pictures
        ]

    def _row(self, prediction: Prediction) -> dict[str, Any]:
        scaled = dict(self.calibration.rank(prediction.classes)) if self.calibration else {}
        verdict = None
        if self.novelty is not None and prediction.features is not None:
            verdict = self.novelty.verdict(prediction.features, [share for _, share in prediction.classes])
        return {
            "file": prediction.file,
            "classes": [
                {"class": name, "probability": probability, "calibrated": scaled.get(name)}
                for name, probability in prediction.classes
            ],
            "none_of_these": bool(verdict and verdict.none_of_these),
            "unlike": verdict.unlike if verdict else None,
            "error": prediction.error,
            "model": self.which,
        }


def prepare_answers(run: Run, which: Which | None = None) -> Iterator[Progress | Answers]:
    """Yields how far it is while the run's own pictures are measured, and the Answers at last. UserMistake where there
    is no such model."""
    which = which or run.used_model
    predictor = load_predictor(run, which)
    novelty, calibration, missing = None, None, list[str]()
    try:
        for step in measure_novelty(run, which):
            if isinstance(step, Progress):
                yield step
            else:
                novelty = step
    except UserMistake as mistake:
        missing.append(f"Pictures that are none of the classes are not told: {mistake}")
    try:
        calibration = load_calibration(run, which)
    except UserMistake as mistake:
        missing.append(f"Probabilities are not calibrated: {mistake}")
    yield Answers(predictor, which, calibration, novelty, tuple(missing))
