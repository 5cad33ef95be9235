"""What turns it, on Try-It: sliders that change the picture, the answer to what it has become, and where it turns."""

import pytest

from tests.app import open_page, said


@pytest.fixture
def app(trained_home, tiny_run):
    app = open_page("pages/try_it.py")
    app.session_state["closer"] = "What turns it"
    return app.run()


def test_the_answer_to_the_changed_picture_is_shown_and_where_each_slider_turns_it(app):
    assert "At which point does the answer turn?" in said(app)
    assert not app.exception and not app.error and not app.warning
    strips = [one for one in app.get("html") if "It stays" in one.proto.body or "makes it" in one.proto.body]
    assert len(strips) == 4


def test_a_slider_changes_the_answer_and_as_it_was_takes_it_back(app):
    app.slider(key="change.size").set_value(0.0).run()
    before = said(app)
    assert "Still" in before
    app.slider(key="change.brightness").set_value(0.1).run()
    assert said(app) != before
    app.button(key="change.reset").click().run()
    assert app.slider(key="change.brightness").value == 1.0 and said(app) == before and not app.exception
