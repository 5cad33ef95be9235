"""CSV files: Excel reads their letters, and no spreadsheet computes what they hold."""

import csv
import io
import re
from pathlib import Path

import pytest

from core.spreadsheet import csv_file, csv_pieces, disarm

ROOT = Path(__file__).resolve().parents[2]


def test_a_csv_file_has_the_mark_and_comes_back_as_it_was():
    content = csv_file(["name", "right"], [['B\u00e4ume, "gro\u00df"\n\u6a39', 0.5], [None, float("nan")]])
    assert content.startswith(b"\xef\xbb\xbfname,right\r\n")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert rows[1:] == [['B\u00e4ume, "gro\u00df"\n\u6a39', "0.5"], ["", ""]]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_text_is_a_formula_but_numbers_stay_numbers(name):
    assert disarm(name) == f"'{name}" and disarm("cat") == "cat"
    (head, row) = csv.reader(io.StringIO(csv_file([name], [[name, -1]]).decode("utf-8-sig"), newline=""))
    assert head == [f"'{name}"] and row == [f"'{name}", "-1"]


def test_a_long_file_comes_in_pieces():
    pieces = list(csv_pieces(["name"], ([f"{i:05d}"] for i in range(30_000))))
    assert len(pieces) > 1 and "".join(pieces).count("\r\n") == 30_001


def test_every_download_of_a_page_is_made_by_csv_file():
    """A page that writes its own CSV forgets the mark or the apostrophe."""
    sources = [path.read_text() for path in (ROOT / "pages").rglob("*.py")]
    assert not [text for text in sources if re.search(r"to_csv|csv\.writer", text)]
