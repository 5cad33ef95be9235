"""Home: empty, with pictures, with a failed and a finished run, and the way from nothing to a trained network."""

import numpy as np
import pytest

from core.config import ModelConfig, RunConfig, change_config
from core.evaluation import Evaluation
from core.runs.run import ModelCard, create_run
from core.runs.writer import RunWriter
from pages.parts import importing
from tests.app import add_failed_run, add_pictures, open_page, said


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return tmp_path


def add_finished_run(dataset):
    """One epoch, and answers on four test pictures of which three are right."""
    run = create_run(change_config(RunConfig(), {"data.dataset": dataset.name}), "f" * 64, dataset.classes)
    pen = RunWriter(run.folder)
    pen.starting()
    pen.save_model({"w": np.ones(1, np.float32)}, card(dataset))
    labels = dataset.labels[[0, 1, 6, 7]]
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    indices = np.array([0, 1, 6, 7])
    pen.save_evaluation(Evaluation("test", "evaluation", dataset.classes, indices, labels, probabilities))
    pen.finish("done")
    return run


def card(dataset):
    return ModelCard(
        classes=dataset.classes,
        preprocess={"image_size": 32},
        model=ModelConfig(),
        image_size=32,
        dataset=dataset.name,
        fingerprint="f" * 64,
    )


def test_an_empty_store_offers_the_samples_first():
    app = open_page()
    assert not app.exception and not app.error
    assert app.button(key="start_samples").label == "Start with the samples"
    assert "In the store" not in said(app)


def test_the_button_starts_a_job_that_draws_and_trains(monkeypatch):
    asked = []
    monkeypatch.setattr(importing.subprocess, "Popen", lambda command, **_: asked.append(command) or Quiet())
    app = open_page()
    app.button(key="start_samples").click().run()
    (job,) = importing.list_jobs()
    assert (job.kind, job.name, job.then, job.live) == ("sample", "sample-artworks", "quick", True)
    assert asked[0][-2:] == ["pages.parts.importing", str(job.folder)]
    assert "Draw the sample pictures" in said(app)
    assert not app.exception and not app.error


class Quiet:
    """A process that stays alive as long as the test: the test's own."""

    from os import getpid

    pid = getpid()


def test_pictures_are_shown_with_their_number_and_the_next_step():
    dataset = add_pictures()
    app = open_page()
    assert f"**{dataset.name}** · 12 pictures" in said(app)
    assert app.button(key="next_train").label == "Train a network on pets"
    assert not app.exception and not app.error


def test_a_failed_run_says_why_and_nothing_breaks():
    add_failed_run(add_pictures(), "The loss became infinite; lower the learning rate.")
    app = open_page()
    assert "The loss became infinite" in said(app)
    assert not app.exception and not app.error


def test_a_finished_run_shows_pictures_it_never_saw_with_its_answers():
    add_finished_run(add_pictures())
    app = open_page()
    assert "75.0 % right" in said(app)
    assert "3 of 4 pictures" in said(app)
    assert len(app.get("plotly_chart")) == 4
    assert not app.exception and not app.error


def test_a_deleted_dataset_leaves_the_numbers_without_pictures():
    from core.data.dataset import delete_dataset

    add_finished_run(add_pictures())
    delete_dataset("pets")
    app = open_page()
    assert "75.0 % right" in said(app)
    assert not app.get("plotly_chart")
    assert not app.exception and not app.error
