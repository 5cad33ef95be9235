"""Faults: the traceback is kept under the number that the person gets, and a log that fails stops nobody."""

import json

import pytest

from core.disk import read_lines
from core.incidents import incidents_path, report_incident


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return tmp_path


def fault(words: str = "the reason") -> Exception:
    try:
        raise RuntimeError(words)
    except RuntimeError as error:
        return error


def test_a_traceback_is_found_under_its_number():
    numbers = [report_incident(fault(f"reason {n}")) for n in range(3)]
    told = read_lines(incidents_path())
    assert [line["incident"] for line in told] == numbers and len(set(numbers)) == 3
    assert "RuntimeError: reason 2" in told[2]["traceback"] and "raise RuntimeError" in told[2]["traceback"]


def test_what_people_wrote_cannot_forge_a_line():
    report_incident(fault('\n{"incident": "FORGED"}\x1b[2J'))
    lines = incidents_path().read_bytes().splitlines()
    assert len(lines) == 1 and b"\x1b" not in lines[0] and json.loads(lines[0])["incident"] != "FORGED"


def test_a_log_that_has_grown_is_put_aside(monkeypatch):
    monkeypatch.setattr("core.incidents.Limits", lambda: type("Small", (), {"log_bytes": 2000}))
    for _ in range(70):
        report_incident(fault())
    logs = sorted(incidents_path().parent.iterdir())
    assert len(logs) == 6 and all(log.stat().st_size < 3000 for log in logs)


def test_a_log_that_cannot_be_written_stops_nobody(home, capsys):
    (home / "log").write_text("a file where the folder should be")
    number = report_incident(fault())
    told = capsys.readouterr().err
    assert len(number) == 6 and number in told and "RuntimeError: the reason" in told
