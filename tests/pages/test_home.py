"""Home: empty, with pictures, with a failed and a finished run, and the way from nothing to a trained network."""

import numpy as np
import pytest

from core.config import ModelConfig, RunConfig, change_config
from core.data.datasets.dataset import delete_dataset
from core.data.imports.pipeline import import_pictures
from core.data.store.store import store_fingerprint
from core.disk import append_line
from core.evaluation import Evaluation
from core.jobs import import_job
from core.notebook.notebook import Guess, notebook_path
from core.runs.actions import create_run
from core.runs.run import ModelCard
from core.runs.writer import RunWriter
from tests.app import add_failed_run, add_pictures, open_page, said
from tests.pictures import finish, png

pytestmark = pytest.mark.usefixtures("home")


def add_finished_run(dataset):
    """One epoch, and answers on four test pictures of which three are right."""
    run = new_run_on(dataset)
    pen = RunWriter(run.folder)
    pen.starting()
    pen.save_model({"w": np.ones(1, np.float32)}, card(dataset))
    labels = dataset.labels[[0, 1, 6, 7]]
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    indices = np.array([0, 1, 6, 7])
    pen.save_evaluation(Evaluation("test", "evaluation", dataset.classes, indices, labels, probabilities))
    pen.finish("done")
    return run


def write_guess(about, **said):
    notebook_path().parent.mkdir(exist_ok=True)
    guess = Guess(at="2026-01-02T03:04:05+00:00", text="a guess", about=about, **said)
    append_line(notebook_path(), guess.model_dump(mode="json"))


def new_run_on(dataset):
    config = change_config(RunConfig(), {"data.dataset": dataset.name})
    return create_run(config, store_fingerprint(dataset, config.data), dataset.classes)


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
    monkeypatch.setattr("core.jobs.job.subprocess.Popen", lambda command, **_: asked.append(command) or Quiet())
    app = open_page()
    app.button(key="start_samples").click().run()
    (job,) = import_job.list_jobs()
    assert (job.kind, job.name, job.then, job.is_live) == ("sample", "sample-artworks", "quick", True)
    assert asked[0][-2:] == ["core.jobs.import_job", str(job.folder)]
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
    assert app.button(key="next_train").label == "Start training on pets"
    assert not app.exception and not app.error


def test_a_failed_run_says_why_and_nothing_breaks():
    add_failed_run(add_pictures(), "The loss became infinite; lower the learning rate.")
    app = open_page()
    assert "The loss became infinite" in said(app)
    assert not app.exception and not app.error


def test_a_finished_run_shows_pictures_it_never_saw_with_its_answers():
    add_finished_run(add_pictures())
    app = open_page()
    assert "no better than guessing**\n3 of 4 test pictures of pets" in said(app)  # 3 of 4 may be luck
    hero, bar = (
        "".join(html.proto.body for html in app.get("html") if sign in html.proto.body)
        for sign in ('hero"', 'interval"')
    )
    assert ">75.0 %<" in hero and "75.0 % with the interval from 30.1 % to 95.4 %; guessing gives 50.0 %" in bar
    assert len(app.get("plotly_chart")) == 4
    assert not app.exception and not app.error


def test_a_deleted_dataset_leaves_the_numbers_without_pictures():
    add_finished_run(add_pictures())
    delete_dataset("pets")
    app = open_page()
    assert "3 of 4 test pictures of pets" in said(app)
    assert not app.get("plotly_chart")
    assert not app.exception and not app.error


def test_other_pictures_under_the_same_name_are_not_shown_as_those_of_the_run():
    dataset = add_pictures()
    add_finished_run(dataset)
    delete_dataset("pets")
    labels = dataset.labels.tolist()  # the same classes, labels and number of pictures
    others = [(f"{i}.png", dataset.classes[label], None, png(900 + i)) for i, label in enumerate(labels)]
    assert finish(import_pictures("pets", others, "zip", False)).labels.tolist() == labels
    app = open_page()
    assert "3 of 4 test pictures of pets" in said(app) and not app.get("plotly_chart") and not app.exception


def test_guesses_are_counted_with_the_way_to_the_notebook():
    dataset = add_pictures()
    done = add_finished_run(dataset)  # 3 of 4 right: 30.1 % to 95.4 %
    for accuracy in (0.75, 0.5, 0.02):
        write_guess(done.id, accuracy=accuracy)
    write_guess(new_run_on(dataset).id, accuracy=0.9)
    write_guess("gone", accuracy=0.9)
    app = open_page()
    assert "Your guesses: 1 open, 2 of 3 right" in said(app) and not app.exception and not app.error
    (link,) = [link.proto for link in app.get("page_link") if link.proto.label == "Open the notebook"]
    assert link.query_string == "show=Notebook"


def test_without_guesses_of_ones_own_nothing_is_said_of_them():
    write_guess("gone", accuracy=0.9, owner={"id": "another", "name": "<b>Another</b>"})
    assert "guesses" not in said(open_page())
    write_guess("gone", accuracy=0.9)
    assert "Your guesses: 1, none of them decided" in said(open_page())
    notebook_path().write_bytes(b"{broken")
    app = open_page()
    assert "guesses" not in said(app) and not app.exception
