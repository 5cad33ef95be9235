"""A home that version 0.1.0 wrote: every document as that version gave it, its stopped run goes on, every page opens.

The archive is looked for in $ATELIER_CASES, else in ../shared/cases beside the repository.
"""

import os
from pathlib import Path

import pytest

from tests import recorded
from tests.app import open_page
from tests.recorded import DATASETS, QUICK_RUNS, RUNS, STOPPED, TORCH, ask, differences

ROOT = Path(__file__).resolve().parent.parent
CASES = Path(os.environ.get("ATELIER_CASES", ROOT.parent / "shared" / "cases"))
COMMANDS = recorded.commands()
# the preset "pretrained" begins with the backbone that comes with pip
CHANGED_ON_PURPOSE = (
    "document[3].config.train.epochs is 10, not 14",  # best, with Muon
    "document[3].config.train.optimizer is 'muon', not 'nesterov'",
    "document[3].config.train.schedule is 'linear', not 'one_cycle'",
    "document[5].config.model.trunk is 'efficientnet_lite0', not 'googlenet'",
)
PAGES = ["streamlit_app.py", *(f"pages/{name}.py" for name in ("data", "architecture", "train", "results", "try_it"))]


@pytest.fixture(scope="session")
def archive() -> Path:
    path = CASES / "home-0.1.0.tar.gz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in {CASES}: set ATELIER_CASES")
    return path


@pytest.fixture(scope="module")
def unpacked(archive, tmp_path_factory) -> Path:
    """The folder with the home, which is only read, and with the pictures to predict."""
    work = tmp_path_factory.mktemp("read")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(recorded.unpack(archive, work)))
        recorded.take_pictures(work)
    return work


@pytest.fixture
def work(unpacked, monkeypatch) -> Path:
    monkeypatch.setenv("ATELIER_HOME", str(unpacked / "home"))
    return unpacked


@pytest.fixture
def home(archive, tmp_path, monkeypatch) -> Path:
    """A home of the test's own, which it may change."""
    folder = recorded.unpack(archive, tmp_path)
    monkeypatch.setenv("ATELIER_HOME", str(folder))
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
def test_a_command_gives_the_document_that_it_gave(work, command):
    document = ask(command.arguments, work)
    if command.line == "weights list":  # what comes with pip came after 0.1.0
        document["published"] = [row for row in document["published"] if row["origin"] != "package"]
    if command.line == "presets list":  # as did the preset for the fewest seconds
        document = [preset for preset in document if preset["name"] not in ("tiny", "scratch")]
    found = differences(recorded.recorded(command), document, command.tolerance)
    assert [line for line in found if line not in CHANGED_ON_PURPOSE] == []


@pytest.mark.parametrize("run", RUNS)
def test_a_network_that_is_asked_again_gives_the_stored_answers(home, tmp_path, run):
    recorded.forget_answers(home)
    for command in COMMANDS:
        if command.arguments[:2] == ("evaluate", run):
            assert differences(recorded.recorded(command), ask(command.arguments, tmp_path), TORCH) == []


def test_the_stopped_run_resumes_and_learns_what_it_would_have(home, tmp_path):
    recorded.shorten(home)
    assert differences(recorded.resumed_before(), recorded.resumed(tmp_path), TORCH) == []


@pytest.mark.nightly  # a minute: 998 epochs
def test_the_stopped_run_resumes_and_finishes(home, tmp_path):
    assert ask(("runs", "resume", STOPPED), tmp_path)["status"] == "done"
    run = ask(("runs", "show", STOPPED), tmp_path)
    assert (run["status"], run["epoch"], run["attempt"]) == ("done", 1000, 2)
    assert [row["epoch"] for row in run["epochs_done"]] == list(range(1, 1001))
    assert run["epochs_done"][-1]["train_accuracy"] == 1.0


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens(home, page):
    must_be_well(home, open_page(page))


VIEWS = ("Embedding map", "What the network receives", "Sizes and colours", "Duplicates")  # behind the first of a tab


@pytest.mark.slow  # ten seconds: eight pages a dataset
@pytest.mark.parametrize("name", DATASETS)
def test_every_tab_of_a_dataset_opens(home, name):
    tabs = [tab.label for tab in open_page("pages/data.py", dataset=name).tabs]
    assert len(tabs) == 4
    for view in (*tabs, *VIEWS):
        must_be_well(home, open_page("pages/data.py", dataset=name, tab=view))


@pytest.mark.parametrize("page", ["pages/train.py", "pages/results.py", "pages/try_it.py"])
def test_a_page_opens_on_a_hidden_run(home, page):
    run = QUICK_RUNS[1]
    must_be_well(home, open_page(page, run=run, own=run))


def must_be_well(home, app):
    assert app.main and not app.exception
    assert not app.error, app.error[0].value
    assert not list(home.rglob("incidents*"))


def test_a_changed_number_is_noticed():
    before = {"run": {"epochs": [{"loss": 0.5}, {"loss": 0.25}]}}
    after = {"run": {"epochs": [{"loss": 0.5}, {"loss": 0.2500001}]}}
    assert differences(before, before) == []
    assert differences(before, after) == ["document.run.epochs[1].loss is 0.2500001, not 0.25"]
    assert differences(before, after, TORCH) == []


def test_what_is_gone_is_noticed_and_what_came_is_not():
    before = {"a": [1, 2], "b": None, "c": True}
    assert differences(before, before | {"new": 3}) == []
    assert differences(before, {"a": [1, 2], "c": True}) == ["document.b is gone"]
    assert differences(before, before | {"a": [1]}) == ["document.a has 1 entries, not 2"]
    assert differences(before, before | {"c": 1}) == ["document.c is 1, not True"]
