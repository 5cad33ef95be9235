"""What every test stands on: an ATELIER_HOME of its own, one thread, and small real pictures, stores and runs."""

import os
import shutil
import sys
from pathlib import Path
from zlib import crc32

import pytest

from core import people
from core.runs.queue import stop_supervisor
from tests import slowest, tiny

# browser tests that are never left out: the net over all pages
ALWAYS = ("test_whole_way.py", "test_every_button.py", "test_random_clicks.py", "test_accessibility.py")


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(config, items):
    """Mark what slow.txt lists; tests/slowest.py says how that list comes to be. With ATELIER_DRAW, any text, only
    half of the slow and of the browser tests are kept, another half with another text."""
    moved = set() if os.environ.get("ATELIER_ALL_QUICK") else slowest.listed()
    for item in items:
        if item.nodeid.partition("[")[0] in moved:
            item.add_marker(pytest.mark.slow)
    if draw := os.environ.get("ATELIER_DRAW"):
        left_out = [item for item in items if not _is_drawn(item, draw)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _is_drawn(item, draw)]


def _is_drawn(item, draw: str) -> bool:
    if item.path.name in ALWAYS or not (item.get_closest_marker("slow") or item.get_closest_marker("browser")):
        return True
    return crc32(f"{draw} {item.nodeid}".encode()) % 2 == 0


@pytest.fixture(scope="session", autouse=True)
def no_test_writes_into_var(tmp_path_factory):
    """Whatever a test forgets to move lands in a folder that is thrown away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tests share the machine with others; tiny networks are faster on one thread anyway."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)  # what choose_hardware counts
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for the processes that a test starts
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def nobody_stays(monkeypatch):
    """A supervisor that a test has started ends with the test; `monkeypatch`, so that the home is still that test's."""
    yield
    stop_supervisor()


@pytest.fixture(autouse=True)
def owner_of_the_store(monkeypatch):
    """Who acts outside of a server, also after a page was drawn in this process."""
    monkeypatch.setattr(people, "_who", [])


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An ATELIER_HOME of the test's own, which is not there yet."""
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def pictures():
    """[(name, class, part, bytes)]: 24 blue and 24 orange pictures of 16 x 16, as import_pictures takes them."""
    return tiny.colour_pictures()


@pytest.fixture
def tiny_store():
    """48 pictures of two colours, 16 x 16: 32 train, 8 watch, 8 test."""
    return tiny.colour_store()


@pytest.fixture(scope="session")
def home_with_a_run(tmp_path_factory):
    """A home with the dataset "colours" and one run on it that is done; never changed, only copied."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home))
        patch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
        tiny.add_colours()
        tiny.train_tiny_run()
    return home


@pytest.fixture
def trained_home(home_with_a_run, tmp_path, monkeypatch) -> Path:
    """A home of the test's own with the dataset "colours" and a finished run."""
    home = shutil.copytree(home_with_a_run, tmp_path / "home")
    monkeypatch.setenv("ATELIER_HOME", str(home))
    return home


@pytest.fixture
def tiny_run(trained_home):
    """The finished run in trained_home: two colours, three epochs, every part evaluated."""
    from core.runs.run import read_run

    return read_run("latest")


@pytest.fixture
def new_run(trained_home):
    """A run on the two colours that waits to be trained."""
    return tiny.new_run()
