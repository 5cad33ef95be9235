"""How much copies on both sides of the split would have flattered a network: measured, with intervals."""

import numpy as np
import pandas as pd
import streamlit as st

from core.config import DataConfig
from core.data.copies import read_copies
from core.data.dataset import Dataset
from core.experiments.leak import SAYS, SEEDS, Leak, read_leak
from core.experiments.trained import best_run
from pages.parts.answers import evaluation_or_none
from pages.parts.cached import runs, score_of
from pages.parts.errand_bar import Words, draw_errand
from pages.parts.errands import Errand
from pages.parts.words import interval_of, percent_of

MEASURING = Words(
    "Measure it",
    ":material/science:",
    {
        f"seed {seed}, {told}": f"Training {2 * seed + place + 1} of {2 * SEEDS}, {told}"
        for seed in range(SEEDS)
        for place, told in enumerate(SAYS.values())
    },
    counts=False,
    primary=False,
)


def draw_leak(dataset: Dataset, data: DataConfig, leaked: int) -> None:
    """What it would do to the accuracy that `leaked` test pictures are copies of what is learnt from."""
    if (dataset.given_parts == 2).any():
        _draw_of_a_run(dataset, data)
        return
    with st.container(border=True):
        st.markdown("**How much would the copies have flattered?**")
        found = read_leak(dataset)
        if found is not None:
            _draw_found(found)
            return
        st.caption(
            f"Trains {2 * SEEDS} networks with the preset quick, in pairs that differ in nothing else: with copies "
            f"together and with copies ignored, where {leaked:,} test pictures are copies of training pictures. It "
            "takes about ten times as long as one quick run."
        )
        draw_errand(Errand("leak", dataset), MEASURING)


def _draw_found(found: Leak) -> None:
    accuracy, (of_copies, of_others) = found.accuracy, found.right_on
    low, high = (100 * end for end in accuracy.interval)
    told = (
        f"Over {len(accuracy.ours)} seeds, on {accuracy.n:,} test pictures each, the accuracy with copies ignored is "
    )
    told += f"**{100 * accuracy.difference:+.1f} points** (95 % interval {low:+.1f} to {high:+.1f})."
    if accuracy.equal:
        st.info(f"{told} That is inside the noise: it cannot be told from nothing.", icon=":material/balance:")
    elif accuracy.difference > 0:
        st.warning(
            f"{told} So much of it is not knowledge: the test asked what was learnt.", icon=":material/leak_add:"
        )
    else:
        st.info(f"{told} Here the copies did not flatter.", icon=":material/balance:")
    st.dataframe(
        pd.DataFrame(
            {
                "": ["Copies together", "Copies ignored", "… on copies of training pictures", "… on all others"],
                "Right": [
                    _mean(accuracy.baseline),
                    _mean(accuracy.ours),
                    percent_of(*of_copies),
                    percent_of(*of_others),
                ],
                "95 % interval": ["", "", interval_of(*of_copies), interval_of(*of_others)],
            }
        ),
        hide_index=True,
        width="content",
        alt="Accuracy with and without copies across the split",
    )
    st.caption(
        f"Means over {len(accuracy.ours)} seeds, each with a split of its own; preset {found.preset}. The last two "
        "lines count the test pictures of all seeds together."
    )


def _mean(shares: tuple[float, ...]) -> str:
    low, high = 100 * min(shares), 100 * max(shares)
    return f"{100 * sum(shares) / len(shares):.1f} % (of the seeds {low:.1f} to {high:.1f} %)"


def _draw_of_a_run(dataset: Dataset, data: DataConfig) -> None:
    """With a test part of its own nothing can be kept together, but a network that was asked tells both numbers."""
    best = best_run(dataset, data, runs(), score_of)
    answers = evaluation_or_none(best[0], "test") if best else None
    trained = evaluation_or_none(best[0], "train") if best else None
    if answers is None or trained is None:
        st.caption(
            "Train once, and it is told here what a network scores on the copies and on the other test pictures."
        )
        return
    copies = read_copies(dataset)
    if copies is None or max(answers.indices.max(), trained.indices.max()) >= dataset.used:
        return
    groups = copies.groups
    leaked = np.isin(groups[answers.indices], groups[trained.indices])
    if not leaked.any() or leaked.all():
        return
    parts = {"all test pictures": np.ones(len(leaked), bool), "those without a copy": ~leaked, "the copies": leaked}
    told = (f"{name} {_right(answers.correct[asked])}" for name, asked in parts.items())
    st.caption(f"Right answers of your best network: {'; '.join(told)}.")


def _right(correct: np.ndarray) -> str:
    right, n = int(correct.sum()), len(correct)
    return f"{100 * right / n:.1f} % ({right:,} of {n:,}, 95 % interval {interval_of(right, n)})"
