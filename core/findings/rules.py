"""The rules about one run: each reads its facts and speaks in a sentence, or is silent. No torch.

A rule speaks where the numbers leave no other reading: it asks for the end of an interval, not for the number itself.
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from core.findings.finding import RunFacts, RunFinding, Suggestion, of, points, with_interval
from core.intervals import difference_of_shares

GAP = 0.05  # training minus test accuracy from which on a network is said to overfit
VAGUE = 0.05  # half the width of an interval above which a test part is called small
SAME_LOSS = 1.05  # a validation loss is worse than the lowest one from here on
FEW_VAL = 30  # validation pictures below which their loss moves too much by chance
FEW_MISTAKES = 5  # of a pair of classes
LEAKED = 0.01  # of the test part
MISCALIBRATED = 0.02
LABELS = {"colour": "Colour", "brightness": "Brightness", "size": "Picture size"}


def guessing(facts: RunFacts) -> RunFinding | None:
    """Not surely better than always answering the largest class."""
    floor, interval = max(facts.test.chance, facts.test.majority), facts.test.interval
    if interval[0] > floor:
        return None
    return _finding(
        facts,
        "guessing",
        f"It may as well guess: it gets {of(facts.right, facts.test.n)} test pictures right ({points(interval)}), and "
        f"always answering the largest class would get {100 * floor:.1f} %.",
        {"accuracy": facts.test.accuracy, "n": facts.test.n, "interval": interval, "floor": floor},
        weight=100,
        suggestion=_more_epochs(facts),
    )


def accuracy(facts: RunFacts) -> RunFinding | None:
    """What it gets right, where that is more than guessing."""
    floor, interval = max(facts.test.chance, facts.test.majority), facts.test.interval
    if interval[0] <= floor:
        return None
    return _finding(
        facts,
        "accuracy",
        f"It gets {of(facts.right, facts.test.n)} test pictures right ({points(interval)}); always answering the "
        f"largest class would get {100 * floor:.1f} %.",
        {"accuracy": facts.test.accuracy, "n": facts.test.n, "interval": interval, "floor": floor},
        weight=25,
    )


def leak(facts: RunFacts) -> RunFinding | None:
    """Test pictures that are duplicates of training pictures."""
    if facts.leaked is None or facts.leaked.sum() <= LEAKED * facts.test.n:
        return None
    leaked, right = int(facts.leaked.sum()), int(facts.test.correct[~facts.leaked].sum())
    data = facts.run.config.data
    together = {"data.split": "stratified", "data.duplicates": "together"}
    has_it = data.split == "stratified" and data.duplicates == "together"  # and the test part was given
    return _finding(
        facts,
        "leak",
        f"{leaked:,} of {facts.test.n:,} test pictures are duplicates of pictures that it learnt from, which flatters "
        f"it: of the others {of(right, facts.test.n - leaked)} are right.",
        {"leaked": leaked, "n": facts.test.n, "right_on_others": right, "accuracy": facts.test.accuracy},
        weight=min(90.0, 50 + 400 * leaked / facts.test.n),
        suggestion=None if has_it else Suggestion("Keep duplicates together", "train", together),
    )


def overfits(facts: RunFacts) -> RunFinding | None:
    """Training accuracy surely more than GAP above test accuracy."""
    if facts.gap is None or facts.train is None or facts.gap[1][0] <= GAP:
        return None
    gap, interval = facts.gap
    right = int(facts.train.correct.sum())
    return _finding(
        facts,
        "overfits",
        f"It overfits: {of(right, facts.train.n)} training pictures are right and {of(facts.right, facts.test.n)} test "
        f"pictures, a gap of {100 * gap:.1f} points ({points(interval)}).",
        {"train": facts.train.accuracy, "test": facts.test.accuracy, "gap": gap, "interval": interval},
        weight=80,
        suggestion=_against_overfitting(facts),
    )


def no_gap(facts: RunFacts) -> RunFinding | None:
    """No sure sign of overfitting."""
    if facts.gap is None or facts.train is None or facts.gap[1][0] > GAP:
        return None
    gap, interval = facts.gap
    more = f"by more than {100 * GAP:.0f} points"
    sure = f"It does not overfit {more}" if interval[1] <= GAP else f"Whether it overfits {more} cannot be told"
    return _finding(
        facts,
        "no_gap",
        f"{sure}: its training accuracy is {100 * facts.train.accuracy:.1f} % of {facts.train.n:,} pictures, "
        f"{100 * gap:+.1f} points against the test part ({points(interval)}).",
        {"train": facts.train.accuracy, "test": facts.test.accuracy, "gap": gap, "interval": interval},
        weight=15,
    )


def more_data(facts: RunFacts) -> RunFinding | None:
    """Whether more pictures would help, by how well it does on those that it has learnt from."""
    if facts.gap is None or facts.train is None:
        return None
    gap, interval = facts.gap
    right, figures = int(facts.train.correct.sum()), {"train": facts.train.accuracy, "test": facts.test.accuracy}
    if interval[0] > GAP and facts.train.accuracy > 0.95:
        sentence = (
            f"More pictures would help: of the {facts.train.n:,} that it learnt from it has nothing left to learn "
            f"({100 * facts.train.accuracy:.1f} % right), and new ones are {100 * gap:.1f} points worse."
        )
        return _finding(facts, "more_data", sentence, figures | {"helps": True}, 55, Suggestion("Add pictures", "data"))
    if interval[1] < GAP and facts.train.accuracy < 0.9 and facts.test.interval[0] > facts.test.majority:
        sentence = (
            f"More pictures alone would hardly help: it gets only {of(right, facts.train.n)} pictures right that it "
            "has learnt from. A larger network or more epochs would show what is in them."
        )
        return _finding(facts, "more_data", sentence, figures | {"helps": False}, 55, _more_epochs(facts))
    return None


def shortcut(facts: RunFacts) -> RunFinding | None:
    """Colour, brightness or size alone would do as well, or get most of the way from the largest class to here."""
    if facts.shortcuts is None:
        return None
    network = (facts.right, facts.test.n)
    worst = facts.shortcuts.worst(network)
    if worst is None:
        return None
    does = "would do at least as well" if worst.accuracy >= facts.test.accuracy else "goes most of the way"
    return _finding(
        facts,
        "shortcut",
        f"{LABELS[worst.name]} alone {does}: a regression on nothing else gets "
        f"{of(worst.right, worst.n)} test pictures right ({points(worst.interval)}), this network {of(*network)}.",
        {"property": worst.name, "accuracy": worst.accuracy, "n": worst.n, "network": facts.test.accuracy},
        weight=75,
        suggestion=Suggestion("See what the pictures give away", "quality"),
    )


def confused(facts: RunFacts) -> RunFinding | None:
    """Two of three or more classes that are mistaken for each other more often than an even spread of mistakes."""
    confusion, counts, names = facts.test.confusion, facts.test.counts, facts.test.classes
    if len(names) < 3:
        return None
    mutual = np.triu(confusion + confusion.T, 1)
    mistakes, (a, b) = int(mutual.sum()), np.unravel_index(int(mutual.argmax()), mutual.shape)
    count = int(mutual[a, b])
    pictures = np.triu(counts[:, None] + counts[None, :], 1)
    even = float(pictures[a, b] / pictures.sum()) if pictures.sum() else 1.0
    pairs = len(names) * (len(names) - 1) // 2
    if count < FEW_MISTAKES or count < 2 * even * mistakes or pairs * _at_least(count, mistakes, even) > 0.01:
        return None
    both = int(counts[a] + counts[b])
    return _finding(
        facts,
        "confused",
        f"{names[a]} and {names[b]} are confused: {count:,} of their {both:,} test pictures are taken for the other "
        f"({names[a]} as {names[b]} {int(confusion[a, b]):,} times, {names[b]} as {names[a]} {int(confusion[b, a]):,} "
        f"times), {100 * count / mistakes:.0f} % of all mistakes.",
        {"classes": [names[a], names[b]], "count": count, "n": both, "mistakes": mistakes},
        weight=60,
        suggestion=Suggestion("See these pictures", "confusion"),
    )


def weak_class(facts: RunFacts) -> RunFinding | None:
    """A class surely worse than all others together, the number of classes considered."""
    test = facts.test
    there = np.flatnonzero(test.counts)
    if len(there) < 2:
        return None
    worst = int(there[np.argmin(test.per_class[there])])
    right, n = int(test.confusion[worst, worst]), int(test.counts[worst])
    others = facts.right - right, test.n - n
    interval = difference_of_shares(right, n, *others, z=_bonferroni(len(there)))
    if interval[0] <= 0.05:
        return None
    return _finding(
        facts,
        "weak_class",
        f"{test.classes[worst]} is hardest: {with_interval(right, n)}, all other classes {with_interval(*others)}.",
        {"class": test.classes[worst], "right": right, "n": n, "others": others[0] / others[1], "interval": interval},
        weight=50,
        suggestion=Suggestion("See its mistakes", "pictures"),
    )


def uneven(facts: RunFacts) -> RunFinding | None:
    """The accuracy is carried by the large classes."""
    test = facts.test
    if test.majority - test.chance <= 0.05 or test.accuracy - test.mean_class_accuracy <= 0.05:
        return None
    weights = {"train.class_weights": "balanced"}
    has_them = facts.run.config.train.class_weights == "balanced"
    return _finding(
        facts,
        "uneven",
        f"The large classes carry the accuracy: {of(facts.right, test.n)} test pictures are right, and "
        f"{100 * test.mean_class_accuracy:.1f} % as the mean of the classes.",
        {"accuracy": test.accuracy, "mean_class_accuracy": test.mean_class_accuracy, "n": test.n},
        weight=70,
        suggestion=None if has_them else Suggestion("Let every class weigh the same", "train", weights),
    )


def small_test(facts: RunFacts) -> RunFinding | None:
    """Too few test pictures to know the accuracy."""
    low, high = facts.test.interval
    if (high - low) / 2 <= VAGUE:
        return None
    return _finding(
        facts,
        "small_test",
        f"{facts.test.n:,} test pictures are too few to know its accuracy: it may be anything from {100 * low:.0f} to "
        f"{100 * high:.0f} %. Cross-validation would ask every picture once.",
        {"n": facts.test.n, "interval": [low, high]},
        weight=65,
        suggestion=Suggestion("Cross-validate", "folds"),
    )


def last_worse(facts: RunFacts) -> RunFinding | None:
    """The model that answers is the last one, and an earlier one had a lower validation loss."""
    losses = [(row.epoch, row.val_loss) for row in facts.epochs if row.val_loss is not None]
    if facts.run.used_model == "best" or len(losses) < 2 or facts.val is None or facts.val.n < FEW_VAL:
        return None
    (last, loss), (best, lowest) = losses[-1], min(losses, key=lambda pair: pair[1])
    if loss <= SAME_LOSS * lowest:
        return None
    return _finding(
        facts,
        "last_worse",
        f"The last model, which answers here, is worse than the best one: validation loss {loss:.3f} after epoch "
        f"{last}, {lowest:.3f} after epoch {best} ({facts.val.n:,} pictures).",
        {"last": last, "last_loss": loss, "best": best, "best_loss": lowest, "n": facts.val.n},
        weight=72,
        suggestion=Suggestion("Stop early", "train", {"train.patience": max(3, round(0.1 * last))}),
    )


def still_learning(facts: RunFacts) -> RunFinding | None:
    """With a constant rate: the loss still falls in the last quarter of the epochs."""
    rows = facts.epochs
    losses = [row.train_loss if row.val_loss is None else row.val_loss for row in rows]
    if facts.run.config.train.schedule != "constant" or len(rows) < 4 or any(loss is None for loss in losses):
        return None
    numbers = [float(loss) for loss in losses if loss is not None]
    before = numbers[-1 - max(1, len(numbers) // 4)]
    if numbers[-1] > min(numbers) or numbers[-1] > 0.95 * before:
        return None
    return _finding(
        facts,
        "still_learning",
        f"It was still learning when it ended: the loss fell from {before:.3f} to {numbers[-1]:.3f} in the last "
        f"quarter of {len(rows)} epochs.",
        {"before": before, "last": numbers[-1], "epochs": len(rows)},
        weight=58,
        suggestion=_more_epochs(facts),
    )


def calibration(facts: RunFacts) -> RunFinding | None:
    """Surer than it is right, or the other way round."""
    found = facts.calibration
    if found.interval[0] <= MISCALIBRATED:
        return None
    surer = found.leaning > 0
    confidence = facts.test.accuracy + found.leaning
    smoothed = facts.run.config.train.label_smoothing > 0
    return _finding(
        facts,
        "calibration",
        f"It is {'surer' if surer else 'less sure'} than it is right: on average it says {100 * confidence:.1f} %, and "
        f"{of(facts.right, facts.test.n)} test pictures are right (calibration error {100 * found.error:.1f} points, "
        f"{points(found.interval)}).",
        {"error": found.error, "interval": found.interval, "confidence": confidence, "accuracy": facts.test.accuracy},
        weight=40,
        suggestion=Suggestion("Smooth the labels", "train", {"train.label_smoothing": 0.1})
        if surer and not smoothed
        else None,
    )


def time(facts: RunFacts) -> RunFinding | None:
    """What the training took."""
    seconds = facts.run.state.whole_seconds
    if not seconds or facts.train is None:
        return None
    epochs = len(facts.epochs)
    return _finding(
        facts,
        "time",
        f"Its training took {seconds:,.0f} s: {epochs} epochs of {facts.train.n:,} pictures.",
        {"seconds": seconds, "epochs": epochs, "n": facts.train.n},
        weight=5,
    )


Rule = Callable[[RunFacts], RunFinding | None]
RULES: tuple[Rule, ...] = (
    guessing,
    leak,
    overfits,
    shortcut,
    last_worse,
    uneven,
    small_test,
    confused,
    still_learning,
    more_data,
    weak_class,
    calibration,
    accuracy,
    no_gap,
    time,
)


def _finding(
    facts: RunFacts,
    rule: str,
    sentence: str,
    figures: dict[str, Any],
    weight: float,
    suggestion: Suggestion | None = None,
) -> RunFinding:
    return RunFinding(rule, sentence, {"run": facts.run.id} | figures, weight, facts.run.id, suggestion)


def _more_epochs(facts: RunFacts) -> Suggestion:
    epochs = min(1000, 2 * facts.run.config.train.epochs)
    return Suggestion(f"Train {epochs} epochs", "train", {"train.epochs": epochs})


def _against_overfitting(facts: RunFacts) -> Suggestion:
    """The first of the usual remedies that the run has not had yet."""
    train, model = facts.run.config.train, facts.run.config.model
    if not train.augment and model.name != "pretrained":
        return Suggestion("Augment: flip and shift", "train", {"train.augment": ("flip", "shift_crop")})
    if model.name == "cnn" and not model.dropout_linear:
        return Suggestion("Add dropout", "train", {"model.dropout_linear": 0.25})
    if not train.weight_decay:
        return Suggestion("Add weight decay", "train", {"train.weight_decay": 0.0005})
    return Suggestion("Add pictures", "data")


def _at_least(count: int, n: int, share: float) -> float:
    """P(X >= count) of X ~ Binomial(n, share), summed in logarithms so that 10,000 pictures are no trouble."""
    if share <= 0:
        return 0.0 if count else 1.0
    if share >= 1:
        return 1.0
    places = np.arange(count, n + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    logs = factorials[n] - factorials[places] - factorials[n - places]
    return float(np.exp(logs + places * math.log(share) + (n - places) * math.log1p(-share)).sum())


def _bonferroni(comparisons: int) -> float:
    """The normal quantile of a two-sided 95 % interval that is one of so many."""
    return NormalDist().inv_cdf(1 - 0.025 / comparisons)
