"""The learning rate over a run that has not started yet."""

import streamlit as st

from core.config import TrainConfig
from core.engine.schedule import learning_rate
from pages.parts.widgets.training_curves import schedule_options

STEPS_DRAWN = 120


def draw_schedule(train: TrainConfig, key: str = "schedule") -> None:
    rates = [learning_rate(train, step, STEPS_DRAWN) for step in range(STEPS_DRAWN)]
    options = schedule_options(rates, train.epochs)
    options["xAxis"] |= {"name": "epoch", "nameLocation": "middle", "nameGap": 22}
    options["grid"] |= {"bottom": 22}
    st.caption("Learning rate")
    alt = f"Learning rate over {train.epochs} epochs, at most {max(rates):.4g}, at the end {rates[-1]:.4g}"
    st.echarts_chart(options, key=key, height=130, alt=alt)
