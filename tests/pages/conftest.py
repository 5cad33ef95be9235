"""What the tests of pages share: a dataset of pets, and a queue that nobody works on."""

import pytest

from core.runs.process import mark_process
from core.runs.queue import SupervisorHandle
from pages.parts.form import start_run as starting
from tests.app import add_pictures


@pytest.fixture(scope="module")
def pets_home(tmp_path_factory):
    """A home with the dataset "pets": 6 cats and 6 dogs. Copied, never changed."""
    home = tmp_path_factory.mktemp("pets") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home))
        add_pictures()
    return home


@pytest.fixture
def nobody_trains(monkeypatch):
    """This process stands for the supervisor, so that what is started stays in the queue."""
    me = mark_process()
    monkeypatch.setattr(starting, "ensure_supervisor", lambda: SupervisorHandle(me.pid, me.started))
