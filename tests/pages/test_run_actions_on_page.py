"""What a person does to runs on the Train page: each action, its words on screen, and somebody else who was faster."""

import re
import shutil

import pytest

from core.disk import write_json
from core.runs.actions import create_run, delete_run, list_deleted, note_run, rename_run, restore_run, star_run
from core.runs.process import mark_process, write_launch
from core.runs.queue import submit, waiting_runs
from core.runs.requester import Requester
from core.runs.run import list_runs, open_run, read_run
from core.runs.state import replace_state, write_state
from tests import tiny
from tests.app import add_pictures, open_page, said

pytestmark = pytest.mark.usefixtures("nobody_trains")

ODD = "**b** [x](http://evil.example) <b>i</b> :smile: $x$ `c` # h ![p](u) :red[r] ~~s~"  # 80 characters
DIVERGED = "Training diverged in epoch 1, iteration 3: the loss is no longer a finite number."


@pytest.fixture
def run(tiny_run):
    return tiny_run


def plain(text: str) -> str:
    """What a person reads of an escaped text."""
    return re.sub(r":color\[(.*?)\]\{\}", r"\1", text.replace("\\", ""))


def page_text(app) -> str:
    """Every sentence on the page and in its toasts, as a person reads it."""
    return plain(said(app) + "\n" + "\n".join(toast.value for toast in app.toast))


def page_of(run):
    app = open_page("pages/train.py", run=run.id)
    assert not app.exception
    return app


def click(app, key: str):
    app.button(key=key).click().run()
    assert not app.exception and not any("incident" in box.value for box in app.error)
    return app


def choose(app, action: str):
    app.get_by_key("more").click(action).run()
    assert not app.exception
    return app


def offered(app) -> set[str]:
    buttons = {button.key.removeprefix("action.") for button in app.button if str(button.key).startswith("action.")}
    menu = {option.split(": ")[-1] for option in app.get_by_key("more").options}
    return buttons | menu


def end(run, status: str, message: str = ""):
    write_state(run.folder, replace_state(run.state, status=status, message=message))
    return open_run(run.folder)


def train_for_ever(run):
    """The run as one that this process trains."""
    write_launch(run.folder, mark_process(), role="worker", attempt=1)
    write_state(run.folder, replace_state(run.state, status="running", epoch=1, step=3, steps=12, seconds_left=65.0))
    return open_run(run.folder)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ("queued", {"cancel", "star", "Name and note", "Clone", "Hide", "Delete"}),
        ("running", {"stop", "star", "Name and note", "Clone", "Hide", "Delete"}),
        ("done", {"train_longer", "clone", "star", "Name and note", "Hide", "Delete"}),
        ("stopped", {"resume", "clone", "star", "Name and note", "Hide", "Delete"}),
        ("failed", {"resume", "clone", "star", "Name and note", "Hide", "Delete"}),
        ("lost", {"resume", "clone", "star", "Name and note", "Hide", "Delete"}),
    ],
)
def test_every_state_offers_what_can_be_done_then(run, status, wanted):
    if status == "running":
        run = train_for_ever(tiny.new_run())
    elif status == "queued":
        run = tiny.new_run()
        submit(run)
    else:
        end(run, status)
    assert offered(page_of(run)) == wanted


def test_a_run_stops(trained_home):
    run = train_for_ever(tiny.new_run())
    app = click(page_of(run), "action.stop")
    assert (run.folder / "stop").exists() and "was asked to stop" in page_text(app) and run.id not in page_text(app)
    assert app.button(key="action.stop").disabled and app.button(key="action.stop").label == "Stopping …"


def test_a_stopped_run_resumes_with_one_click(run):
    end(run, "stopped")
    app = click(page_of(run), "action.resume")
    assert [waiting.id for waiting in waiting_runs()] == [run.id] and read_run(run.id).state.attempt == 2
    assert "resumes" in page_text(app) and app.selectbox(key="run").value == run.id
    assert waiting_runs()[0].requester.session  # of this browser session: it counts for the limit


def test_a_finished_run_trains_longer_and_says_what_that_does_to_the_schedule(trained_home):
    run = tiny.train_tiny_run(train__schedule="cosine", train__epochs=2)
    app = click(page_of(run), "action.train_longer")
    app.slider(key=f"more.{run.id}").set_value(4).run()
    assert "cosine schedule is stretched over all 6 epochs" in page_text(app)
    click(app, "dialog.confirm")
    (waiting,) = waiting_runs()
    assert (waiting.id, waiting.config.train.epochs, waiting.state.attempt) == (run.id, 6, 2)
    assert not app.get("dialog")


def test_a_constant_rate_goes_on_as_if_the_run_had_been_longer(run):
    app = click(page_of(run), "action.train_longer")
    assert "The learning rate stays at 0.05" in page_text(app)
    click(app, "dialog.cancel")
    assert not app.get("dialog") and not waiting_runs()


def test_a_clone_fills_the_form_with_the_dataset_too(run):
    add_pictures("pets")
    app = page_of(run)
    app.selectbox(key="train_dataset").set_value("pets").run()
    click(app, "action.clone")
    assert app.selectbox(key="train_dataset").value == "colours"
    click(app, "start")
    (waiting,) = waiting_runs()
    assert waiting.id != run.id and waiting.config == run.config


def test_a_diverged_run_offers_a_tenth_of_its_rate_first(run):
    write_state(run.folder, replace_state(run.state, status="failed", message=DIVERGED, try_rate=0.005))
    app = page_of(run)
    first = next(button for button in app.button if str(button.key).startswith("action."))
    assert first.label == "Clone with a tenth of the learning rate" and "Resume" not in offered(app)
    click(app, first.key)
    click(app, "start")
    assert waiting_runs()[0].config.train.learning_rate == 0.005


def test_name_and_note_are_kept_and_shown_as_they_were_written(run):
    app = choose(page_of(run), "name")
    app.text_input(key=f"name.{run.id}").set_value(f"\u202e{ODD}"[:80])
    app.text_area(key=f"note.{run.id}").set_value("first line\n**second** <b>line</b>").run()
    click(app, "dialog.confirm")
    marks = read_run(run.id).marks
    assert marks.title == ODD[:79].strip() and marks.note.splitlines()[1] == "**second** <b>line</b>"
    assert "first line  \n**second** <b>line</b>" in page_text(app) and not app.get("dialog")
    assert app.selectbox(key="run").value == run.id and marks.title in app.selectbox(key="run").options[0]
    assert "http://evil" not in said(app) and "<b>" not in said(app)


def test_somebody_else_s_note_is_not_overwritten_unseen(run):
    app = choose(page_of(run), "name")
    app.text_area(key=f"note.{run.id}").set_value("mine").run()
    note_run(run, "theirs")
    click(app, "dialog.confirm")
    assert read_run(run.id).marks.note == "theirs" and "changed this note meanwhile" in page_text(app)
    click(app, "dialog.confirm")
    assert read_run(run.id).marks.note == "mine" and not app.get("dialog")


def test_a_star_is_given_and_taken_and_seen_in_lists(run):
    app = click(page_of(run), "action.star")
    assert read_run(run.id).marks.star and app.selectbox(key="run").options[0].startswith("★ ")
    assert app.dataframe[0].value["star"].tolist() == ["★"]
    click(app, "action.unstar")
    assert not read_run(run.id).marks.star and app.dataframe[0].value["star"].tolist() == ["☆"]


def test_a_hidden_run_leaves_the_lists_but_not_its_address(run):
    other = tiny.train_tiny_run(train__epochs=1)
    rename_run(run, "the old one")
    rename_run(other, "the other one")
    app = choose(page_of(run), "hide")
    assert read_run(run.id).marks.hidden and "left out of lists" in page_text(app)
    assert len(app.dataframe[0].value) == 1 and app.selectbox(key="run").value == run.id  # still looked at
    app.toggle(key="show_hidden").set_value(True).run()
    assert len(app.dataframe[0].value) == 2
    for page, key in (("pages/train.py", "run"), ("pages/try_it.py", "run"), ("pages/results.py", "own")):
        first = "cifar" if key == "own" else key  # of Results the first column
        assert len(open_page(page).selectbox(key=first).options) == 1, page
        asked = open_page(page, **{key: run.id})
        assert asked.selectbox(key=key).value == run.id and not asked.exception, page
    home = plain(said(open_page()))
    assert "the other one" in home and "the old one" not in home
    click(app, "undo")
    assert not read_run(run.id).marks.hidden and "is back" in page_text(app)


def test_a_run_is_deleted_after_one_question_and_comes_back(run):
    rename_run(run, ODD)
    app = choose(page_of(run), "delete")
    assert list_runs() and ODD in page_text(app)  # the dialog names it
    click(app, "dialog.confirm")
    assert list_runs() == [] and [gone.id for gone in list_deleted()] == [run.id]
    assert "Deleted" in page_text(app) and "Trash (1)" in [one.label for one in app.expander] and not app.get("dialog")
    click(app, "undo")
    assert [back.id for back in list_runs()] == [run.id] and app.selectbox(key="run").value == run.id


def test_a_run_that_trains_is_stopped_first(trained_home):
    run = train_for_ever(tiny.new_run())
    app = choose(page_of(run), "delete")
    assert "This run is training. Stop it first?" in page_text(app)
    click(app, "dialog.confirm")
    assert (run.folder / "stop").exists() and run.folder.exists() and "Stopping …" in page_text(app)
    write_state(run.folder, replace_state(run.state, status="stopped"))
    click(app.run(), "dialog.confirm")
    assert not run.folder.exists() and list_deleted()[0].id == run.id


def test_a_run_that_somebody_deleted_says_so_and_can_be_brought_back(run):
    other = tiny.new_run()
    app = page_of(run)
    delete_run(run)
    app.run()
    assert "This run was deleted by somebody." in page_text(app) and app.selectbox(key="run").value == other.id
    click(app, "undo")
    assert read_run(run.id).state.status == "done" and app.selectbox(key="run").value == run.id


@pytest.mark.parametrize("action", ["action.star", "action.train_longer", "action.clone"])
def test_an_action_on_a_run_that_is_gone_is_one_sentence(run, action):
    app = page_of(run)
    delete_run(run)
    click(app, action)
    assert "This run was deleted by somebody." in page_text(app) and not app.error


def test_an_undo_that_somebody_else_did_already_is_none(run):
    app = choose(page_of(run), "delete")
    click(app, "dialog.confirm")
    restore_run(run.id)
    click(app, "undo")
    assert "is back" in page_text(app) and not app.error


def test_a_run_that_is_gone_for_good_says_so(run):
    app = page_of(run)
    shutil.rmtree(run.folder)
    click(app, "action.star")
    assert "nothing of it is left" in page_text(app) and not app.error


def test_a_dialog_whose_run_vanishes_closes_with_a_sentence(run):
    app = choose(page_of(run), "delete")
    delete_run(run)
    click(app, "dialog.confirm")
    assert "This run was deleted by somebody." in page_text(app) and not app.get("dialog")


def test_what_core_refuses_is_shown_with_the_title(run, trained_home):
    end(run, "stopped")
    rename_run(run, "first try")
    app = page_of(run)
    write_json(trained_home / "limits.json", {"queue_length": 0})
    click(app, "action.resume")
    assert "The queue is full" in page_text(app) and read_run(run.id).state.status == "stopped"


def test_the_trash_restores_and_is_emptied_after_one_question(run):
    gone = delete_run(tiny.new_run())
    app = page_of(run)
    app.session_state["trash"] = True
    app.run()
    click(app, f"restore.{gone.id}")
    assert {one.id for one in list_runs()} == {run.id, gone.id}
    delete_run(read_run(gone.id))
    app.session_state["trash"] = True  # a new expander: the last one went with the last deleted run
    app.run()
    click(app, "trash.empty")
    assert "This cannot be undone" in page_text(app) and list_deleted()
    click(app, "dialog.confirm")
    assert not list_deleted() and "The trash is empty" in page_text(app)


def test_several_runs_are_hidden_and_deleted_at_once(run):
    other = tiny.train_tiny_run(train__epochs=1)
    app = page_of(run)
    app.session_state["ticked"] = [run.id, other.id]
    app.run()
    click(app, "several.hide")
    assert all(one.marks.hidden for one in list_runs())
    click(app, "undo")
    assert not any(one.marks.hidden for one in list_runs())
    app.session_state["ticked"] = [run.id, other.id]
    click(click(app.run(), "several.delete"), "dialog.confirm")
    assert list_runs() == [] and "Deleted 2 runs" in page_text(app)
    click(app, "undo")
    assert len(list_runs()) == 2


def test_more_than_a_few_runs_can_be_searched(run):
    for _ in range(8):
        tiny.new_run()
    star_run(rename_run(list_runs()[0], "the **odd** one"))
    app = page_of(run)
    app.text_input(key="find").set_value("ODD one").run()
    assert app.dataframe[0].value["Run"].tolist() == ["the **odd** one"]
    app.text_input(key="find").set_value("nothing like it").run()
    assert not app.dataframe and "No matching runs" in page_text(app)
    app.text_input(key="find").set_value("").run()
    app.toggle(key="find.starred").set_value(True).run()
    assert len(app.dataframe[0].value) == 1


def queue_of(app) -> list[str]:
    return [button.key.rpartition(".")[2] for button in app.button if str(button.key).startswith("queue.open.")]


def test_the_queue_shows_who_is_next_and_can_be_changed(run):
    runs = [
        create_run(run.config, run.fingerprint, run.classes, Requester(session=str(n), name=f"Ann*a*{n}"))
        for n in range(3)
    ]
    for one in runs:
        submit(one)
    first, second, third = (one.id for one in runs)
    busy = train_for_ever(tiny.new_run())
    app = page_of(busy)
    assert queue_of(app) == [first, second, third] and "Ann*a*1" in page_text(app)
    progress = plain(app.get("progress")[0].text)
    assert busy.title in progress and "25%" in progress and "1:05 left" in progress
    click(app, f"queue.front.{third}")
    assert queue_of(app) == [third, first, second] and "is next" in page_text(app)
    click(app, f"queue.down.{third}")
    click(app, f"queue.up.{second}")
    assert queue_of(app) == [first, second, third]
    click(app, f"queue.cancel.{second}")
    assert queue_of(app) == [first, third] and read_run(second).state.status == "stopped"
    assert "was cancelled before it started" in page_text(app)


def test_one_who_left_the_queue_meanwhile_stays_out_of_it(run):
    runs = [tiny.new_run() for _ in range(2)]
    for one in runs:
        submit(one)
    app = page_of(runs[0])
    delete_run(runs[1])
    click(app, f"queue.up.{runs[1].id}")
    assert queue_of(app) == [runs[0].id] and "deleted by somebody" in page_text(app)


def test_nothing_waits_nothing_is_drawn(run):
    assert queue_of(page_of(run)) == []


def test_with_nothing_but_a_trash_the_page_shows_it(run):
    app = page_of(run)
    delete_run(run)
    app.run()
    assert "Nothing has been trained yet" in page_text(app)
    assert "star" not in app.dataframe[0].value and len(app.dataframe) == 1  # the split of what would be trained
    assert "Trash (1)" in [one.label for one in app.expander]


def test_a_name_that_is_too_long_is_said_and_what_was_typed_stays(run):
    app = choose(page_of(run), "name")
    app.text_input(key=f"name.{run.id}").set_value("n" * 81).run()
    click(app, "dialog.confirm")
    assert "A title may have 80 characters; this one has 81." in page_text(app)
    assert app.text_input(key=f"name.{run.id}").value == "n" * 81 and app.get("dialog")
    assert read_run(run.id).marks.title == ""


def test_a_class_name_of_200_characters_breaks_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    long = ("**k** <b> " * 20)[:200]
    dataset = add_pictures(ODD[:60], (long, "dog"))
    run = create_run(tiny.RunConfig(data={"dataset": dataset.name}), "f" * 64, dataset.classes)
    end(run, "stopped")
    app = choose(page_of(run), "delete")
    assert not app.error and "<b>" not in said(app)
    click(app, "dialog.confirm")
    assert "Deleted" in page_text(app)


def test_a_renamed_run_stays_picked_on_every_page(run):
    tiny.train_tiny_run(train__epochs=1)
    for page, key in (("pages/train.py", "run"), ("pages/try_it.py", "run"), ("pages/results.py", "own")):
        app = open_page(page, **{key: run.id})
        rename_run(run, f"seen on {page}")
        star_run(run)
        app.run()
        assert app.selectbox(key=key).value == run.id and not app.exception
        assert f"★ seen on {page}" in app.selectbox(key=key).options, page
