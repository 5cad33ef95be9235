"""The shortcut meter: what colour, brightness and size alone score, beside chance, majority and a trained network."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.config import DataConfig
from core.data.dataset import Dataset
from core.data.shortcuts import Score, Shortcuts, measure_shortcuts
from core.experiments.trained import best_run, same_test
from core.runs.run import Run
from pages.parts.cached import runs, score_of
from pages.parts.charts import PLOTLY_CONFIG, Bar, scores_figure
from pages.parts.palette import ACCENT, BLOCK, CALM
from pages.parts.words import interval_of, percent_of

SAYS = {"colour": "Colour", "brightness": "Brightness", "size": "Picture size", "majority": "Largest class"}
KNOWS = {
    "colour": "how much of each of 64 colours is in a picture, and not where",
    "brightness": "how bright a picture is on average",
    "size": "width, height and shape of the original",
}
VAGUE = 0.15  # width of an interval from which on a score says little
Network = tuple[Run, tuple[int, int]]  # a run and its (right, n)


def draw_shortcuts(dataset: Dataset, data: DataConfig) -> None:
    """Sentence, bars and numbers; measured once for these pictures and this split."""
    st.markdown("**Can the classes be told without looking at what is in a picture?**")
    found = _measured(dataset.content_hash, data.model_dump_json(), _copies_stamp(dataset), dataset)
    network = best_run(dataset, data, runs(), score_of)
    others = network is not None and not same_test(dataset, network[0].config.data, data)
    _say(found, network, others)
    bars = _bars(found, network)
    st.plotly_chart(
        scores_figure(bars, 100 * found.chance),
        config=PLOTLY_CONFIG,
        key="shortcuts_chart",
        alt="; ".join(f"{bar.label} {bar.right} of {bar.n}" for bar in bars),
    )
    st.caption(_of_method(found))
    if found.uneven:
        _draw_balanced(found)


def _say(found: Shortcuts, network: Network | None, others: bool) -> None:
    score = network[1] if network else None
    worst = found.worst(score)
    if worst is not None:
        told = f"**{SAYS[worst.name]} alone tells the classes apart:** {_share(worst)}{_of_network(network, others)}. "
        told += "A network can score as much without seeing what you mean it to see. Pictures of all classes with the "
        told += f"same {_what(worst)} would show whether it does."
        st.warning(told, icon=":material/visibility_off:")
        return
    helping = [one for one in found.scores if found.verdict(one, score) == "helps"]
    best = max(helping, key=lambda one: (one.right, one.balanced), default=None)
    if best is None:
        told = (
            f"**No shortcut found.** On {found.majority.n:,} test pictures, colour, brightness and size alone are not "
        )
        st.success(f"{told}surely better than always answering the largest class.", icon=":material/check_circle:")
        return
    low, high = best.interval
    sure = (
        "so few test pictures leave open whether it explains the classes"
        if high - low > VAGUE
        else ("does not explain the classes")
    )
    told = f"**{SAYS[best.name]} alone helps, and {sure}:** {_share(best)}"
    st.info(f"{told}{_of_network(network, others)}.", icon=":material/info:")


def _share(score: Score) -> str:
    return f"{percent_of(score.right, score.n)} test pictures (95 % interval {interval_of(score.right, score.n)})"


def _what(score: Score) -> str:
    return {"colour": "colours", "brightness": "brightness", "size": "size"}[score.name]


def _of_network(network: Network | None, others: bool) -> str:
    if network is None:
        return ""
    run, (right, n) = network
    asked = "on other test pictures" if others else "asked about the same ones,"
    told = f"; {asked} your best network: {percent_of(right, n)} test pictures"
    return f"{told} (run {run.id[-4:]}, 95 % interval {interval_of(right, n)})"


def _bars(found: Shortcuts, network: Network | None) -> Sequence[Bar]:
    bars = [
        Bar(
            SAYS[found.majority.name],
            found.majority.right,
            found.majority.n,
            CALM,
            "always answering the class with the most training pictures",
        )
    ]
    bars += [Bar(SAYS[one.name], one.right, one.n, BLOCK, KNOWS[one.name]) for one in reversed(found.scores)]
    if network is not None:
        run, (right, n) = network
        bars.append(Bar("Your best network", right, n, ACCENT, run.title))
    return bars


def _of_method(found: Shortcuts) -> str:
    told = f"Logistic regressions, learnt from {found.learnt_from:,}"
    told += f" of {found.of_train:,}" if found.learnt_from < found.of_train else ""
    told += f" training pictures and asked about {found.majority.n:,}"
    told += f" of {found.of_test:,}" if found.majority.n < found.of_test else ""
    told += " test pictures of the same split as a run"
    told += ", drawn by its seed" if found.learnt_from < found.of_train or found.majority.n < found.of_test else ""
    told += f". Largest class: answering it always. Dotted: chance, {100 * found.chance:.0f} %. "
    told += "Colour counts 64 colours; brightness is one number."
    if found.one_size:
        told += f" All originals have {found.one_size[0]} × {found.one_size[1]} pixels, so size tells nothing."
    return told


def _draw_balanced(found: Shortcuts) -> None:
    every = (found.majority, *reversed(found.scores))
    table = pd.DataFrame(
        {
            "Answers from": [SAYS[one.name] for one in every],
            "All test pictures": [percent_of(one.right, one.n) for one in every],
            "95 % interval": [interval_of(one.right, one.n) for one in every],
            "Mean of the classes": [f"{100 * one.balanced:.1f} %" for one in every],
        }
    )
    st.caption("The classes are uneven: the mean of the classes says more than the share of all pictures.")
    st.dataframe(table, hide_index=True, alt="What each property scores")


def _copies_stamp(dataset: Dataset) -> bool:
    return (dataset.folder / "copies.npz").exists()  # once they are found, the split may keep them together


@st.cache_data(max_entries=20, show_spinner="Measuring what colour, brightness and size alone tell …")
def _measured(content_hash: str, data: str, copies_known: bool, _dataset: Dataset) -> Shortcuts:
    return measure_shortcuts(_dataset, DataConfig.model_validate_json(data))
