"""A tour of a page: everything on it clicked once, its buttons and links each from a fresh load."""

import random
import time

from tests.e2e.clicking import ACTS, Control, click, controls, rest, wrongs
from tests.e2e.playground import Playground

Path = tuple[Control, ...]  # what has to be clicked before something can be seen
DEEP = 3  # clicks before the one that counts: a tab, a popover, a dialog
DRAWN = 6  # of what one look at a page finds, where chance draws
ADDRESSED = ("st-key-tab", "st-key-view", "st-key-show")  # their choice stands in the address: a visit of its own


class Tour:
    """Visits pages of a playground; `wrong` is what was found, and `clicked` how it was come by."""

    def __init__(
        self,
        page,
        playground: Playground,
        openers_only: bool = False,
        chance: random.Random | None = None,
        seconds: float = float("inf"),
    ) -> None:
        """With `openers_only` no option is tried out: another state of the same page has done that.

        With `chance` a few things of each look are drawn and clicked; after `seconds` nothing more is.
        """
        self.wrong: list[str] = []
        self.clicked: list[str] = []
        self._page, self._playground, self._openers_only = page, playground, openers_only
        self._chance, self._end = chance, time.monotonic() + seconds
        self._seen: set[Control] = set()  # on this tour
        self._here: set[Control] = set()  # on this visit

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._end

    def visit(self, address: str) -> None:
        """Everything there that no earlier visit has clicked; buttons that only stand there again, once more."""
        self._open(address, ())
        self._here.clear()
        waiting = self._choose(address, self._new(()))
        while waiting and not self.is_over:
            waiting += self._act(address, *waiting.pop(0))

    def _choose(self, address: str, waiting: list[tuple[Path, Control]]) -> list[tuple[Path, Control]]:
        """Try the options one after the other on one load; returns what is left, and what they brought to light."""
        left = []
        while waiting and not self.is_over:
            path, control = waiting.pop(0)
            if control.kind in ACTS or control.key in ADDRESSED:
                left.append((path, control))
            elif self._again(path, control) and self._click(address, path, control):
                waiting = self._new((*path, control)) + waiting
            else:
                left.append((path, control))  # what was chosen since has put it out of sight
        return left

    def _again(self, path: Path, control: Control) -> bool:
        """Whether it can be seen, if need be by going its way again."""
        for step in path:
            if control not in controls(self._page):
                click(self._page, step)
        return control in controls(self._page)

    def _act(self, address: str, path: Path, control: Control) -> list[tuple[Path, Control]]:
        """Click it on a fresh page; returns what it brought to light there. The home is then as it was before."""
        self._open(address, path)
        before = self._page.url.partition("?")[0]
        if not self._click(address, path, control, 3):
            return []  # it came with something that a fresh page does not have
        new = []
        if self._page.url.partition("?")[0] == before and control.key not in ADDRESSED:
            new = self._choose(address, self._new((*path, control)))
        if self._playground.is_changed():
            self._page.goto("about:blank")
            self._playground.restore()
        return new

    def _open(self, address: str, path: Path) -> None:
        self._page.goto(self._playground.server.address + address, wait_until="commit")
        self._page.wait_for_selector("h1")
        rest(self._page)
        self._check(address)
        for place, control in enumerate(path):
            self._try(" > ".join([address, *map(str, path[: place + 1])]), control, 3)

    def _click(self, address: str, path: Path, control: Control, seconds: float = 0) -> bool:
        where = " > ".join([address, *map(str, (*path, control))])
        if not self._try(where, control, seconds):
            return False
        self.clicked.append(where)
        self._check(where)
        return True

    def _try(self, where: str, control: Control, seconds: float) -> bool:
        try:
            return click(self._page, control, seconds)
        except Exception as error:  # of Playwright, which has many: it could not be clicked, or the page never rested
            self.wrong.append(f"{where}: {str(error).splitlines()[0]}")
            return True

    def _check(self, where: str) -> None:
        found = [*wrongs(self._page), *self._playground.new_incidents()]
        self.wrong += [f"{where}: {told}" for told in found]

    def _new(self, path: Path) -> list[tuple[Path, Control]]:
        """(path, control) of what can be seen now and was not seen before: a button on this visit, all else ever."""
        new = []
        for control in controls(self._page):
            known = self._here if control.kind == "button" else self._seen
            wanted = control.kind in (*ACTS, "opener") or not self._openers_only
            if wanted and control not in known and control.key != "st-key-links" and len(path) <= DEEP:
                new.append((path, control))
            self._here.add(control)
            self._seen.add(control)
        return new if self._chance is None else self._chance.sample(new, min(DRAWN, len(new)))
