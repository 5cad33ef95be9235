"""Training that cannot be lost, in a browser: reloads, second browsers, stops, a killed worker, a killed server."""

import os
import re
import signal
from contextlib import contextmanager

import pytest

from core.data.imports.pipeline import import_pictures
from core.runs.actions import ask_to_stop
from core.runs.process import read_launch
from core.runs.queue import ensure_supervisor, stop_supervisor, submit, waiting_runs
from core.runs.run import Run, list_runs, read_run
from tests.e2e.browser import Server, at_rest
from tests.pictures import finish
from tests.tiny import colour_pictures, new_run
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.browser
EPOCH = re.compile(r"Epoch (\d+) of \d+")
LONG = 1000  # epochs of 450 pictures, longer than any test looks
WHOLE = 60  # epochs of them, some seconds: to be seen to the end


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server and one supervisor for the whole file, over a home with two colours to learn."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home))
        finish(import_pictures("colours", iter(colour_pictures(each=300)), "zip", False))
        with on_one_core():
            ensure_supervisor()
        running = Server(home)
        yield running
        running.kill()
        stop_supervisor()


@contextmanager
def on_one_core():
    """What is started here trains on one thread and leaves a core to the browser: so it is quick on a busy machine."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.fixture(autouse=True)
def nobody_stays(server):
    """The supervisor stays, with torch in its memory; what still trains or waits ends with its test."""
    yield
    for run in [*waiting_runs(), *list_runs()]:
        ask_to_stop(run)
    wait_until(lambda: all(run.state.ended for run in list_runs()))


def begin(epochs: int = LONG) -> Run:
    """A run that somebody started elsewhere, at work."""
    run = new_run(train__epochs=epochs)
    submit(run)
    ensure_supervisor()
    wait_until(lambda: read_run(run.id).state.step > 0)
    return run


def type_number(page, title: str, value: int) -> None:
    page.get_by_label(f"{title}, typed").fill(str(value))
    page.keyboard.press("Enter")


def says(page, field: str, value: int) -> None:
    """The form took it; the slider's ends have numbers too."""
    thumb = page.locator(f".st-key-number-form-train-{field}").get_by_test_id("stSliderThumbValue")
    thumb.get_by_text(str(value), exact=True).wait_for()


def start_by_click(page, epochs: int) -> Run:
    """Type the number of epochs, press the button, and see the run that it opens."""
    known = {run.id for run in list_runs()}
    type_number(page, "Epochs", epochs)
    says(page, "epochs", epochs)
    page.locator(".st-key-start button").click()
    wait_until(lambda: {run.id for run in list_runs()} - known)
    (run_id,) = {run.id for run in list_runs()} - known
    page.wait_for_url(re.compile(f"/train.*run={run_id}"))
    return read_run(run_id)


def epoch_on(page) -> int:
    """The epoch that the panel says, once it says one."""
    told = page.get_by_text(EPOCH).first
    try:
        told.wait_for(timeout=1000 * PATIENCE)
    except Exception as silence:
        runs = [(run.id, run.state.status, run.state.step, run.state.message) for run in list_runs()]
        raise AssertionError(f"no epoch on {page.url}; runs {runs}; {page.inner_text('body')[:2000]!r}") from silence
    return int(EPOCH.search(told.inner_text())[1])


def grows(number) -> None:
    """The number gets larger, and never smaller."""
    first = number()
    wait_until(lambda: number() > first)


def step_of(run: Run) -> int:
    return read_run(run.id).state.step


def said_badge(page, word: str) -> None:
    badge = page.locator(".st-key-run-head").get_by_text(re.compile(rf"\b{word}$"))  # before it is its icon's name
    badge.first.wait_for(timeout=1000 * PATIENCE)


def assert_no_trouble(page) -> None:
    assert not page.get_by_test_id("stException").count()
    assert page.problems == []


def test_two_numbers_typed_faster_than_the_page_answers_both_count(visit, page):
    visit("/train")
    type_number(page, "Epochs", 1000)
    type_number(page, "Batch size", 24)
    says(page, "epochs", 1000)
    says(page, "batch_size", 24)


def test_a_click_starts_a_run_that_a_reload_and_a_second_browser_find_at_work(visit, page, server, chromium):
    visit("/train")
    run = start_by_click(page, LONG)
    grows(lambda: epoch_on(page))
    before = epoch_on(page)

    page.reload()
    assert epoch_on(page) >= before
    assert f"run={run.id}" in page.url

    other = chromium.new_context().new_page()
    other.goto(f"{server.address}/train")  # without the id: the run at work is what one wants to see
    assert epoch_on(other) >= before
    grows(lambda: epoch_on(other))
    said_badge(other, "Training")

    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop", exact=True).click()
    said_badge(page, "Stopped")
    said_badge(other, "Stopped")  # nobody has to reload to see what somebody else did
    assert read_run(run.id).has_model
    other.context.close()
    assert_no_trouble(page)


def test_a_stopped_run_keeps_its_model_and_goes_on_to_its_end(visit, page):
    run = begin(WHOLE)
    ask_to_stop(run)
    wait_until(lambda: read_run(run.id).state.ended)
    stopped = read_run(run.id)
    assert stopped.state.status == "stopped" and stopped.has_model and stopped.card()
    visit(f"/train?run={run.id}")
    said_badge(page, "Stopped")
    page.get_by_text("what it had learnt is kept").wait_for()

    page.get_by_role("button", name="Resume", exact=True).click()
    said_badge(page, "Done")
    page.get_by_text("See the results").wait_for()
    done = read_run(run.id)
    assert done.state.status == "done" and done.state.attempt == 2
    assert [row.epoch for row in done.epochs()] == list(range(1, WHOLE + 1))  # none is missing and none is there twice
    assert_no_trouble(page)


def test_a_killed_worker_is_told_with_what_is_left_and_its_run_goes_on(visit, page):
    run = begin()
    visit(f"/train?run={run.id}")
    grows(lambda: epoch_on(page))
    launch = read_launch(run.folder)
    assert launch.role == "worker"
    os.kill(launch.process.pid, signal.SIGKILL)

    page.get_by_text("The training was lost").wait_for()
    page.get_by_text("was killed").first.wait_for()
    page.get_by_text("Resume continues from there").wait_for()
    said_badge(page, "Lost")
    before = read_run(run.id).epochs()

    page.get_by_role("button", name="Resume", exact=True).click()
    said_badge(page, "Training")
    page.get_by_text("The training was lost").wait_for(state="hidden")
    wait_until(lambda: len(read_run(run.id).epochs()) > len(before))
    again = read_run(run.id).epochs()
    told = [(row.epoch, row.train_loss, row.val_loss) for row in again]
    assert told[: len(before)] == [(row.epoch, row.train_loss, row.val_loss) for row in before]
    assert_no_trouble(page)


def test_a_run_outlives_its_server_and_every_browser(visit, page, server, chromium):
    run = begin()
    visit(f"/train?run={run.id}")
    grows(lambda: epoch_on(page))

    server.kill()
    grows(lambda: step_of(run))  # the server was redeployed; the training does not know
    server.start()
    page.goto(f"{server.address}/train?run={run.id}")
    at_rest(page)
    grows(lambda: epoch_on(page))
    assert read_run(run.id).state.attempt == 1

    page.context.close()
    grows(lambda: step_of(run))
    somebody = chromium.new_context().new_page()
    somebody.goto(f"{server.address}/train")
    assert epoch_on(somebody) > 1
    somebody.context.close()


def test_who_waits_sees_its_place_and_can_leave_the_line(visit, page):
    begin()
    visit("/train")
    page.get_by_role("button", name="Add to the queue (next)").wait_for()
    first = start_by_click(page, 20)
    said_badge(page, "Queued")
    page.get_by_role("button", name="Add to the queue (1 waiting)").wait_for()
    second = start_by_click(page, 30)
    page.get_by_text("2 ahead in the queue").wait_for()

    line = page.locator(".st-key-queue")
    line.get_by_text("Training now").wait_for()
    line.locator(f".st-key-queue-{first.id}").get_by_text("Next", exact=True).wait_for()
    line.locator(f".st-key-queue-{second.id}").get_by_text("2", exact=True).wait_for()

    line.locator(f".st-key-queue-cancel-{first.id} button:visible").first.click()  # its tooltip has another one
    line.locator(f".st-key-queue-{second.id}").get_by_text("Next", exact=True).wait_for()
    line.locator(f".st-key-queue-{first.id}").wait_for(state="detached")
    assert read_run(first.id).state.message == "Cancelled before it started."
    assert [run.id for run in waiting_runs()] == [second.id]
    assert_no_trouble(page)
