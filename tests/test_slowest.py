"""The list of slow tests: it names tests that are there, and is chosen so that each file keeps a quick one."""

import ast
from collections import Counter
from pathlib import Path

from tests import slowest

ROOT = Path(__file__).resolve().parent.parent


def test_every_test_on_the_list_is_there():
    listed = [name.split("::") for name in slowest.listed()]
    there = {file: functions_of(ROOT / file) for file in {file for file, _ in listed}}
    assert [f"{file}::{test}" for file, test in listed if test not in there[file]] == []


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_slowest_are_chosen_until_the_others_are_quick_and_every_file_keeps_one():
    seconds = Counter({"a::one": 9.0, "a::two": 1.0, "b::one": 8.0, "c::one": 3.0, "c::two": 2.0, "c::three": 1.0})
    assert slowest.too_slow(seconds, 15) == [("a::one", 9.0)]
    assert slowest.too_slow(seconds, 1) == [("a::one", 9.0), ("c::one", 3.0), ("c::two", 2.0)]
    assert slowest.too_slow(seconds, 100) == []
