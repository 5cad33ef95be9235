"""A minute of random clicks by two people; ATELIER_CLICK_SEED repeats a walk, as does the day whose
tests CI draws (ATELIER_DRAW); ATELIER_CLICK_SECONDS is its time."""

import os
import random
import secrets
import time
from contextlib import suppress

import pytest

from tests.e2e import homes
from tests.e2e.clicking import click, controls, rest, watch, wrongs
from tests.e2e.playground import Playground

pytestmark = pytest.mark.browser
SECONDS = float(os.environ.get("ATELIER_CLICK_SECONDS", "60"))  # of both walks
FEWEST = 4  # clicks


STATES = {
    "0.1.0": (homes.fill_with_version_0_1, lambda: None),
    "everything at work": (homes.fill_with_colours, homes.put_everything_to_work),
}


@pytest.fixture
def playground(request, tmp_path, monkeypatch):
    """A server over a home in that state; nothing that is clicked is put back."""
    fill, begin = STATES[request.param]
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # a button that downloads finds nobody
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "template"))
    fill(tmp_path / "template")
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    playground = Playground(tmp_path / "template", tmp_path / "home", begin)
    yield playground
    playground.close()


@pytest.mark.parametrize("playground", STATES, indirect=True)
def test_clicks_at_random_by_two_people_one_at_a_phone_break_nothing(playground, page, phone):
    seed = os.environ.get("ATELIER_CLICK_SEED") or os.environ.get("ATELIER_DRAW") or secrets.token_hex(4)
    chance, done = random.Random(seed), []
    people = [watch(page), watch(phone)]
    for person in people:
        person.goto(playground.server.address)
        person.wait_for_selector("h1")
        rest(person)
    end = time.monotonic() + SECONDS / len(STATES)
    while time.monotonic() < end or len(done) < FEWEST:  # a busy machine takes longer
        person = chance.choice(people)
        control = chance.choice(controls(person))
        with suppress(Exception):  # of Playwright: a clock has redrawn it, or a popover lies over it
            click(person, control)
        done.append(f"{'phone' if person is phone else 'desk'}: {control} -> {person.url}")
        wrong = [*wrongs(person), *playground.new_incidents()]
        assert not wrong, "\n".join(
            [*wrong, f"ATELIER_CLICK_SEED={seed}; the last of {len(done)} clicks:", *done[-15:]]
        )
