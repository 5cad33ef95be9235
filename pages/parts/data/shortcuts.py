"""Shortcut baselines: what colour, brightness and size alone score, against chance, majority and a trained network."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.quality.shortcuts import Score, Shortcuts, measure_shortcuts
from core.experiments.dataset_runs import best_run, same_test
from core.runs.run import Run
from pages.parts.data.stamps import duplicates_stamp
from pages.parts.shell.cache import runs, score_of
from pages.parts.shell.formatting import interval_of, percent_of
from pages.parts.shell.theme import ACCENT, BLOCK, CALM
from pages.parts.widgets.charts import PLOTLY_CONFIG, Bar, scores_figure

LABELS = {"colour": "Colour", "brightness": "Brightness", "size": "Picture size", "majority": "Largest class"}
FEATURES = {
    "colour": "how much of each of 64 colours is in a picture, and not where",
    "brightness": "how bright a picture is on average",
    "size": "width, height and shape of the original",
}
VAGUE = 0.15  # width of an interval from which on a score says little
Network = tuple[Run, tuple[int, int]]  # a run and its (right, n)


def draw_shortcuts(dataset: Dataset, data: DataConfig) -> None:
    """Sentence, bars and numbers; measured once for these pictures and this split."""
    st.markdown("**Shortcut baselines: can the classes be told apart without the content of a picture?**")
    found = _measured(dataset.content_hash, data.model_dump_json(), duplicates_stamp(dataset), dataset)
    network = best_run(dataset, data, runs(), score_of)
    others = network is not None and not same_test(dataset, network[0].config.data, data)
    _draw_verdict(found, network, others)
    bars = _bars(found, network)
    st.plotly_chart(
        scores_figure(bars, 100 * found.chance),
        config=PLOTLY_CONFIG,
        key="shortcuts_chart",
        alt="; ".join(f"{bar.label} {bar.right} of {bar.n}" for bar in bars),
    )
    st.caption(_describe_method(found))
    if found.uneven:
        _draw_balanced(found)


def _draw_verdict(found: Shortcuts, network: Network | None, others: bool) -> None:
    score = network[1] if network else None
    worst = found.worst(score)
    helping = [one for one in found.scores if found.verdict(one, score) == "helps"]
    best = max(helping, key=lambda one: (one.right, one.balanced), default=None)
    reached = _describe_network(network, others)
    if worst is not None:
        text = f"**{LABELS[worst.name]} alone tells the classes apart:** {_describe_score(worst)}{reached}. "
        text += "A network can score as much without seeing what you mean it to see. Pictures of all classes with the "
        text += f"same {_noun(worst)} would show whether it does."
        st.warning(text, icon=":material/visibility_off:")
    elif best is None:
        text = f"**No shortcut found.** On {found.majority.n:,} test pictures, colour, brightness and size alone are "
        text += "not surely better than always predicting the largest class."
        st.success(text, icon=":material/check_circle:")
    else:
        low, high = best.interval
        open_still = "so few test pictures leave open whether it explains the classes"
        sure = open_still if high - low > VAGUE else "does not explain the classes"
        text = f"**{LABELS[best.name]} alone helps, and {sure}:** {_describe_score(best)}{reached}."
        st.info(text, icon=":material/info:")


def _describe_score(score: Score) -> str:
    return f"{percent_of(score.right, score.n)} test pictures (95 % interval {interval_of(score.right, score.n)})"


def _noun(score: Score) -> str:
    return {"colour": "colours", "brightness": "brightness", "size": "size"}[score.name]


def _describe_network(network: Network | None, others: bool) -> str:
    if network is None:
        return ""
    run, (right, n) = network
    where = "on other test pictures" if others else "on the same ones,"
    text = f"; {where} your best network: {percent_of(right, n)} test pictures"
    return f"{text} (run {run.id[-4:]}, 95 % interval {interval_of(right, n)})"


def _bars(found: Shortcuts, network: Network | None) -> Sequence[Bar]:
    bars = [
        Bar(
            LABELS[found.majority.name],
            found.majority.right,
            found.majority.n,
            CALM,
            "always predicting the class with the most training pictures",
        )
    ]
    bars += [Bar(LABELS[one.name], one.right, one.n, BLOCK, FEATURES[one.name]) for one in reversed(found.scores)]
    if network is not None:
        run, (right, n) = network
        bars.append(Bar("Your best network", right, n, ACCENT, run.title))
    return bars


def _describe_method(found: Shortcuts) -> str:
    text = f"Logistic regressions, fitted on {found.learnt_from:,}"
    text += f" of {found.of_train:,}" if found.learnt_from < found.of_train else ""
    text += f" training pictures and tested on {found.majority.n:,}"
    text += f" of {found.of_test:,}" if found.majority.n < found.of_test else ""
    text += " test pictures of the same split as a run"
    text += ", drawn by its seed" if found.learnt_from < found.of_train or found.majority.n < found.of_test else ""
    text += f". Largest class: predicting it always. Dotted: chance, {100 * found.chance:.0f} %. "
    text += "Colour counts 64 colours; brightness is one number."
    if found.one_size:
        text += f" All originals have {found.one_size[0]} × {found.one_size[1]} pixels, so size says nothing."
    return text


def _draw_balanced(found: Shortcuts) -> None:
    every = (found.majority, *reversed(found.scores))
    table = pd.DataFrame(
        {
            "Answers from": [LABELS[one.name] for one in every],
            "All test pictures": [percent_of(one.right, one.n) for one in every],
            "95 % interval": [interval_of(one.right, one.n) for one in every],
            "Mean of the classes": [f"{100 * one.balanced:.1f} %" for one in every],
        }
    )
    st.caption("The classes are uneven: the mean of the classes says more than the share of all pictures.")
    st.dataframe(table, hide_index=True, alt="What each property scores")


@st.cache_data(max_entries=20, show_spinner="Measuring what colour, brightness and size alone score …")
def _measured(content_hash: str, data: str, stamp: int, _dataset: Dataset) -> Shortcuts:
    return measure_shortcuts(_dataset, DataConfig.model_validate_json(data))
