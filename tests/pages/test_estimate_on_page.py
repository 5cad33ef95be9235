"""The estimate and the learning-rate finder on the Train page: asked, followed, answered, failed, taken over."""

import pytest

from core.config import change_config
from core.data.storage import fingerprint_of
from core.data.store.store import preprocess_of
from core.presets import preset
from core.probes.probes import ProbeWriter, ask_probe, find_probe, probes_root
from core.runs.process import mark_process
from core.runs.queue import SupervisorHandle, submit
from pages.parts.form import estimate
from pages.parts.form import start_run as starting
from pages.parts.form.estimate import PENDING
from tests import tiny
from tests.app import add_pictures, open_page, said, widget

SPEED = {
    "parameters": 81_574,
    "multiply_adds": 371_856,
    "images_per_second": 9_000.0,
    "seconds_per_epoch": 2.6,
    "evaluation_seconds": 3.0,
    "start_seconds": 1.0,
    "memory_bytes": 400_000_000,
    "batches": 120,
    "others": 0.0,
}


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch):
    """This process stands for the supervisor."""
    me = mark_process()
    monkeypatch.setattr(starting, "ensure_supervisor", lambda: SupervisorHandle(me.pid, me.started))


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """The dataset "pets", 6 cats and 6 dogs, and what the form proposes for it."""
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    dataset = add_pictures()
    return dataset, change_config(preset("quick", pictures=6), {"data.dataset": "pets"})


def put(kind, pets, answer=None, failed=None):
    dataset, config = pets
    probe = ask_probe(kind, config, fingerprint_of(dataset.content_hash, preprocess_of(config.data)))
    pen = ProbeWriter(probes_root() / probe.id)
    if answer is not None:
        pen.finish(answer)
    if failed is not None:
        pen.fail(failed)
    return probe


def found(kind, pets):
    dataset, config = pets
    return find_probe(kind, config, fingerprint_of(dataset.content_hash, preprocess_of(config.data)))


def test_a_speed_that_is_not_known_is_asked_once_the_form_has_come_to_rest(pets, monkeypatch):
    app = open_page("pages/train.py")
    assert "Measuring how fast this machine is" in said(app) and found("speed", pets) is None
    asked, _ = app.session_state[PENDING]
    app.session_state[PENDING] = (asked, 0.0)  # nobody has touched it for long
    app.run()
    assert found("speed", pets).status == "waiting"
    assert not app.exception and not app.error


def test_a_known_speed_is_told_in_one_line_and_follows_the_epochs(pets):
    put("speed", pets, SPEED)
    app = open_page("pages/train.py")
    widget(app, "form.train.epochs").set_value(50).run()
    line = next(caption for caption in app.caption if "parameters" in caption.value)
    assert line.value.endswith("**About 2 min 14 s**, 2.6 s an epoch · 81,574 parameters · 0.4 GB")  # 1 + 50 x 2.6 + 3
    widget(app, "form.train.epochs").set_value(100).run()
    assert "About 4 min 24 s" in said(app)
    assert not app.exception and not app.error


def test_a_crowded_machine_and_too_little_memory_are_said(pets):
    put("speed", pets, SPEED | {"others": 0.7, "memory_bytes": 10**15})
    app = open_page("pages/train.py")
    assert "other programs were busy meanwhile" in said(app)
    assert "are free: try a smaller batch or image size" in said(app)


def test_a_speed_that_could_not_be_measured_says_why_in_one_sentence(pets):
    put("speed", pets, failed="There was *not* enough memory for it.")
    app = open_page("pages/train.py")
    assert "How long it takes is not known: There was \\*not\\* enough memory" in said(app)
    assert not app.exception and not app.error


def test_while_a_run_waits_or_trains_nothing_is_asked_and_finished_runs_are_quoted(trained_home, tiny_run, monkeypatch):
    monkeypatch.setattr(estimate, "SETTLED_SECONDS", -1.0)
    submit(tiny.new_run())
    app = open_page("pages/train.py")
    assert "is measured when no run trains any more" in said(app)  # none with this size and batch
    assert not probes_root().exists()
    widget(app, "form.train.batch_size").set_value(8).run()
    widget(app, "form.data.image_size").set_value(16).run()
    assert f"by run {tiny_run.id[-4:]}" in said(app) and not probes_root().exists()
    assert not app.exception and not app.error


def test_the_finder_is_started_followed_and_stopped(pets):
    app = open_page("pages/train.py")
    app.button(key="finder.start").click().run()
    probe = found("rate", pets)
    assert probe.status == "waiting" and "Starts in a moment" in app.get("progress")[0].text
    ProbeWriter(probes_root() / probe.id)._write({"status": "running", "message": "Trying.", "done": 30, "total": 100})
    app.run()
    assert app.get("progress")[0].value == 30
    app.button(key="finder.stop").click().run()
    assert (probes_root() / probe.id / "stop").exists()
    assert not app.exception and not app.error


def test_a_suggestion_is_taken_over_with_one_click(pets):
    curve = {"rates": [1e-7, 1e-3, 1.0], "losses": [2.0, 1.0, None], "smoothed": [2.0, 1.5, None], "batches": 3}
    put("rate", pets, curve | {"suggestion": 0.023, "low": 0.001, "high": 0.3})
    app = open_page("pages/train.py")
    assert "At **0.023** half of the fall is done" in said(app)
    app.button(key="finder.use").click().run()
    assert widget(app, "form.train.learning_rate").value == 0.023
    assert app.button(key="finder.use").disabled and app.button(key="finder.use").label == "In use"
    assert not app.exception and not app.error


def test_a_finder_that_failed_says_its_sentence_and_may_be_tried_again(pets):
    probe = put("rate", pets, failed="The process that was measuring ended before it was done.")
    app = open_page("pages/train.py")
    assert "ended before it was done" in said(app)
    app.button(key="finder.again").click().run()
    assert found("rate", pets).status == "waiting" and found("rate", pets).id == probe.id
    assert not app.exception and not app.error


def test_a_loss_that_never_fell_suggests_nothing(pets):
    flat = {"rates": [1e-7, 1e-3, 1.0], "losses": [2.0, 2.0, None], "smoothed": [2.0, 2.0, None], "batches": 3}
    put("rate", pets, flat | {"suggestion": None, "low": None, "high": None})
    app = open_page("pages/train.py")
    assert "there is nothing to suggest" in said(app)
    assert not [button for button in app.button if button.key == "finder.use"]
    assert not app.exception and not app.error
