"""Every button and link of every page is clicked once from a fresh load, in each state that a home can be in.

That takes hours, and is done at night. CI draws a state and some of its clicks, others each day: ATELIER_CLICK_SEED
repeats a draw, ATELIER_CLICK_SECONDS is its time.
"""

import os
import random
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e import homes
from tests.e2e.clicking import watch
from tests.e2e.playground import Playground
from tests.e2e.tour import Tour

SECONDS = float(os.environ.get("ATELIER_CLICK_SECONDS", "40"))  # of a drawn part
SEED = os.environ.get("ATELIER_CLICK_SEED") or os.environ.get("ATELIER_DRAW") or secrets.token_hex(4)
TABS = (
    "Balance and split",
    "What the network receives",
    "Sizes and colours",
    "Embedding map",
    "Duplicates",
    "Data quality",
    "Import log",
)
SHOWS = ("All runs", "Ablation", "Sweep")
VIEWS = (
    "Compared",
    "Confusion matrix",
    "Calibration",
    "Cues",
    "Loss",
    "Pictures",
    "Cross-validation",
    "Data size",
    "Time",
)
MAIN = ("/", "/data", "/architecture", "/train", "/results", "/try_it")
OF_RUNS = ("/", "/train", "/results", "/try_it")
ADDRESSES = {page: (page,) for page in MAIN} | {
    "/data": ("/data", *(f"/data?tab={tab}" for tab in TABS)),
    "/results": ("/results", *(f"/results?show={one}" for one in SHOWS), *(f"/results?view={one}" for one in VIEWS)),
}


class State(NamedTuple):
    """How a home comes to be, what is at work in it, and on which pages it makes a difference."""

    fill: Callable[[Path], None]
    begin: Callable[[], None] = lambda: None
    pages: tuple[str, ...] = MAIN
    every_option: bool = True  # of a form whose options another state tries out, only what opens


STATES = {
    "empty": State(homes.fill_with_nothing),
    "0.1.0": State(homes.fill_with_version_0_1),
    "at work": State(homes.fill_with_colours, homes.put_to_work, OF_RUNS, False),
    "failed": State(homes.fill_with_failures, pages=OF_RUNS, every_option=False),
}
VISITS = [pytest.param(name, page, id=f"{name}-{page}") for name, state in STATES.items() for page in state.pages]


@pytest.fixture(autouse=True)
def nobody_stays():
    """The supervisor stays from page to page, with torch in its memory; it ends with its playground."""


@pytest.fixture(scope="module")
def playground(request, tmp_path_factory):
    """A server over a home in that state, which every click finds as it was."""
    yield from play_in(STATES[request.param], tmp_path_factory.mktemp("homes"))


@pytest.fixture
def drawn(tmp_path):
    """A playground in a state that chance draws, the state, and the chance."""
    chance = random.Random(SEED)
    state = STATES[chance.choice(list(STATES))]
    for playground in play_in(state, tmp_path):
        yield playground, state, chance


def play_in(state: State, folder: Path) -> Iterator[Playground]:
    template, home = folder / "template", folder / "clicked"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("https_proxy", "http://127.0.0.1:9")  # a button that downloads finds nobody
        template.mkdir()
        patch.setenv("ATELIER_HOME", str(template))
        state.fill(template)
        patch.setenv("ATELIER_HOME", str(home))
        playground = Playground(template, home, state.begin)
        yield playground
        playground.close()


@pytest.mark.browser
def test_a_drawn_part_of_what_can_be_clicked_breaks_no_page(drawn, page):
    playground, state, chance = drawn
    addresses = [address for shown in state.pages for address in ADDRESSES[shown]]
    chance.shuffle(addresses)
    tour = Tour(watch(page), playground, openers_only=not state.every_option, chance=chance, seconds=SECONDS)
    while addresses and not tour.is_over:
        tour.visit(addresses.pop())
    assert tour.clicked
    assert not tour.wrong, "\n".join([f"ATELIER_CLICK_SEED={SEED}: of {len(tour.clicked)} clicks:", *tour.wrong])


@pytest.mark.nightly  # thousands of clicks, each from a fresh load: hours
@pytest.mark.parametrize(("playground", "shown"), VISITS, indirect=["playground"])
def test_nothing_that_can_be_clicked_breaks_a_page(playground, shown, page, request):
    state = STATES[request.node.callspec.params["playground"]]
    tour = Tour(watch(page), playground, openers_only=not state.every_option)
    for address in ADDRESSES[shown]:
        tour.visit(address)
    assert tour.clicked
    assert not tour.wrong, "\n".join([f"{len(tour.wrong)} of {len(tour.clicked)} clicks went wrong:", *tour.wrong])
