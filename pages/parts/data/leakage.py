"""Leakage: how much higher duplicates in training and test would have made the accuracy, measured with intervals."""

import numpy as np
import pandas as pd
import streamlit as st

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.duplicates.duplicates import read_duplicates
from core.experiments.audits.leakage import ARM_LABELS, SEEDS, Leakage, read_leakage
from core.experiments.dataset_runs import best_run
from core.jobs.dataset_job import DatasetJob
from pages.parts.shell.cache import runs, score_of
from pages.parts.shell.formatting import interval_of, percent_of
from pages.parts.widgets.job_progress import JobLabels, draw_job
from pages.parts.widgets.prediction_grid import evaluation_or_none

MEASURING = JobLabels(
    "Measure it",
    ":material/science:",
    {
        f"seed {seed}, {treated}": f"Training {2 * seed + place + 1} of {2 * SEEDS}"
        for seed in range(SEEDS)
        for place, treated in enumerate(ARM_LABELS.values())
    },
    counts=False,
    primary=False,
)


def draw_leakage(dataset: Dataset, data: DataConfig, leaked: int) -> None:
    """What it does to the accuracy that `leaked` test pictures are duplicates of training pictures."""
    if (dataset.given_parts == 2).any():
        _draw_best_run(dataset, data)
        return
    with st.container(border=True):
        st.markdown("**How much higher does leakage make the accuracy?**")
        found = read_leakage(dataset)
        if found is not None:
            _draw_measured(found)
            return
        st.caption(
            f"Trains {2 * SEEDS} networks with the preset Quick, in pairs that differ in nothing else: with duplicates "
            f"kept together and with duplicates ignored, where {leaked:,} test pictures are duplicates of training "
            "pictures. It takes about ten times as long as one quick run."
        )
        draw_job(DatasetJob("leakage", dataset), MEASURING)


def _draw_measured(found: Leakage) -> None:
    accuracy, (of_leaked, of_others) = found.accuracy, found.right_on
    low, high = (100 * end for end in accuracy.interval)
    text = f"Over {len(accuracy.ours)} seeds, on {accuracy.n:,} test pictures each, the accuracy with duplicates "
    text += f"ignored is **{100 * accuracy.difference:+.1f} points** (95 % interval {low:+.1f} to {high:+.1f})."
    if accuracy.equal:
        st.info(f"{text} That is within the noise.", icon=":material/balance:")
    elif accuracy.difference > 0:
        st.warning(
            f"{text} That part of it is leakage: pictures of the training part were in the test.",
            icon=":material/leak_add:",
        )
    else:
        st.info(f"{text} Here the duplicates did not make it higher.", icon=":material/balance:")
    st.dataframe(
        pd.DataFrame(
            {
                "": ["Duplicates together", "Duplicates ignored", "… on those of training pictures", "… on all others"],
                "Right": [
                    _mean_and_range(accuracy.baseline),
                    _mean_and_range(accuracy.ours),
                    percent_of(*of_leaked),
                    percent_of(*of_others),
                ],
                "95 % interval": ["", "", interval_of(*of_leaked), interval_of(*of_others)],
            }
        ),
        hide_index=True,
        width="content",
        alt="Accuracy with and without duplicates across the split",
    )
    st.caption(
        f"Means over {len(accuracy.ours)} seeds, each with a split of its own; preset {found.preset}. The last two "
        "lines count the test pictures of all seeds together."
    )


def _mean_and_range(shares: tuple[float, ...]) -> str:
    low, high = 100 * min(shares), 100 * max(shares)
    return f"{100 * sum(shares) / len(shares):.1f} % (of the seeds {low:.1f} to {high:.1f} %)"


def _draw_best_run(dataset: Dataset, data: DataConfig) -> None:
    """The best run's accuracy on duplicates and on the rest: a given test part cannot be kept together."""
    best = best_run(dataset, data, runs(), score_of)
    answers = evaluation_or_none(best[0], "test") if best else None
    trained = evaluation_or_none(best[0], "train") if best else None
    if answers is None or trained is None:
        st.caption("After the first training, the accuracy on duplicates and on the other test pictures stands here.")
        return
    duplicates = read_duplicates(dataset)
    if duplicates is None or max(answers.indices.max(), trained.indices.max()) >= dataset.used:
        return
    groups = duplicates.groups
    leaked = np.isin(groups[answers.indices], groups[trained.indices])
    if not leaked.any() or leaked.all():
        return
    kinds = {"all test pictures": np.ones(len(leaked), bool), "without duplicates": ~leaked, "duplicates": leaked}
    shares = (f"{name} {_describe_share(answers.correct[chosen])}" for name, chosen in kinds.items())
    st.caption(f"Test accuracy of your best network: {'; '.join(shares)}.")


def _describe_share(correct: np.ndarray) -> str:
    right, n = int(correct.sum()), len(correct)
    return f"{100 * right / n:.1f} % ({right:,} of {n:,}, 95 % interval {interval_of(right, n)})"
