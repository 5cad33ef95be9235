"""From page to page with a bound parameter in the address: each button leads on, and what it hands over is shown."""

from tests import tiny
from tests.app import add_pictures, open_page, widget


def at_rest_on(app, heading):
    assert not app.exception and not app.error and app.title[0].value == heading
    return app


def test_a_tab_in_the_address_does_not_hold_back_the_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    add_pictures("pets")
    add_pictures("birds", ("crow", "owl"))
    app = open_page("pages/data.py", tab="Balance and split", dataset="pets")
    app.toggle(key="data_balance").set_value(True).run()
    at_rest_on(app.button(key="start_training").click().run(), "Train")
    assert app.selectbox(key="train_dataset").value == "pets"
    assert widget(app, "form.data.balance").value == "smallest"
    assert "tab" not in app.query_params and "dataset" not in app.query_params


def test_a_measure_in_the_address_does_not_hold_back_the_missing_side(trained_home):
    add_pictures("cifar10")
    app = open_page("pages/results.py", measure="As the paper did", view="Loss")
    at_rest_on(app.button(key="train_cifar").click().run(), "Train")
    assert app.selectbox(key="train_dataset").value == "cifar10"


def test_the_run_that_was_watched_is_the_one_whose_results_and_whose_network_are_shown(trained_home, tiny_run):
    at_rest_on(open_page("pages/train.py", run=tiny_run.id).button(key="to_results").click().run(), "Results")
    app = open_page("pages/train.py", run=tiny_run.id)
    at_rest_on(app.button(key="to_try_it").click().run(), "Try-It")
    assert app.selectbox(key="run").value == tiny_run.id and app.query_params["run"] == tiny_run.id


def test_every_page_opens_after_every_other_in_one_session(trained_home, tiny_run):
    """Widgets of two pages must not share a key: what one keeps in the session would be the other's value."""
    app = open_page("pages/data.py", dataset="colours")
    pages = ("pages/try_it.py", "pages/data.py", "pages/results.py", "pages/train.py", "pages/try_it.py")
    for page in pages:
        app = app.switch_page(page).run()
        assert not app.exception and not app.error, (page, [error.value for error in app.error])


def test_arriving_writes_no_step_into_the_history_and_choosing_does(trained_home, tiny_run):
    """Each writing of the address is a step of the browser's history: Back would need one press more."""
    older = tiny.new_run()
    for page, key in (("pages/train.py", "run"), ("pages/try_it.py", "run"), ("pages/results.py", "own")):
        assert key not in open_page(page).query_params, page
    app = open_page("pages/train.py")
    shown = app.selectbox(key="run").value
    other = next(run_id for run_id in (older.id, tiny_run.id) if run_id != shown)
    app.selectbox(key="run").set_value(other).run()
    assert app.query_params["run"] == other
    del app.query_params["run"]  # the browser's Back
    app.run()
    assert app.selectbox(key="run").value == shown and "run" not in app.query_params


def test_a_choice_stays_on_another_page_without_a_step_in_the_history(trained_home, tiny_run):
    other = tiny.new_run()
    app = open_page("pages/train.py")
    wanted = tiny_run.id if app.selectbox(key="run").value == other.id else other.id
    app.selectbox(key="run").set_value(wanted).run()
    app.query_params.clear()
    app.switch_page("pages/data.py").run()
    app.switch_page("pages/train.py").run()
    assert app.selectbox(key="run").value == wanted and "run" not in app.query_params
