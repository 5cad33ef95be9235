"""Ticks in a table of runs: kept as ids, and forgotten by beginning another table."""

from types import SimpleNamespace

from pages.parts.widgets import run_ticks
from pages.parts.widgets.run_ticks import forget_ticks, holds_words


def test_a_tick_is_kept_as_the_id_of_its_row(monkeypatch):
    rows = SimpleNamespace(selection=SimpleNamespace(rows=[2, 0, 7]))  # the eighth is gone since the page was drawn
    state, told = {"table": rows}, []
    monkeypatch.setattr(run_ticks.st, "session_state", state)
    run_ticks._tick(["a", "b", "c"], "ticked", "table", told.append)
    assert state["ticked"] == ["a", "c"] and told == [["a", "c"]]
    forget_ticks("ticked")
    forget_ticks("ticked")
    assert state["ticked"] == [] and state["ticked.turn"] == 2


def test_every_word_has_to_be_there_in_any_order_and_case():
    assert holds_words("Quick · Artworks", "artworks QUICK") and holds_words("Quick", "  ")
    assert not holds_words("Quick · Artworks", "quick slow")
