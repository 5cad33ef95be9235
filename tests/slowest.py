"""Which tests are too slow for the quick suite: slow.txt, made anew from the times of a whole run of it.

ATELIER_ALL_QUICK=1 python -m pytest --junitxml=quick.xml      # the quick tests with those of the list
python -m tests.slowest quick.xml --seconds 110

A line is the time of a test, all its cases together, and its name. The slowest are listed until the others take that
many seconds together; of every file at least one test stays in the quick suite. CI runs the listed ones as slow tests.
"""

import argparse
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

LIST = Path(__file__).with_name("slow.txt")
WHY = """\
# Made by tests/slowest.py, which says how. Each line is a test that left the quick suite because it takes long, with
# its seconds, all its cases together; CI runs it with the slow tests. Nothing was dropped.
"""


def listed() -> set[str]:
    """Names of the tests in slow.txt, such as tests/core/test_resume.py::test_a_run_that_broke_off."""
    return {line.split(maxsplit=1)[1] for line in LIST.read_text(encoding="utf-8").splitlines() if line[:1].isdigit()}


def times(report: Path) -> Counter[str]:
    """Seconds of each test in a JUnit report, all its cases together, what it sets up included."""
    seconds: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        file = case.get("classname", "").replace(".", "/") + ".py"
        seconds[f"{file}::{case.get('name', '').partition('[')[0]}"] += float(case.get("time", 0))
    return seconds


def too_slow(seconds: Counter[str], most: float) -> list[tuple[str, float]]:
    """The slowest tests, so that the others take `most` seconds together; one test of each file stays."""
    left, stays = sum(seconds.values()), Counter(name.partition("::")[0] for name in seconds)
    chosen = []
    for name, taken in seconds.most_common():
        if left <= most:
            break
        file = name.partition("::")[0]
        if stays[file] > 1:
            chosen.append((name, taken))
            left, stays[file] = left - taken, stays[file] - 1
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description="Make slow.txt anew from a JUnit report of the quick tests.")
    parser.add_argument("report", type=Path)
    parser.add_argument("--seconds", type=float, required=True, help="of the tests that stay, on one core")
    given = parser.parse_args()
    seconds = times(given.report)
    chosen = too_slow(seconds, given.seconds)
    moved, whole = sum(taken for _, taken in chosen), sum(seconds.values())
    head = f"# {len(chosen)} of {len(seconds)} tests, {moved:.0f} of {whole:.0f} s on one core\n{WHY}"
    lines = [f"{taken:.1f} {name}\n" for name, taken in chosen]
    LIST.write_text(head + "".join(lines), encoding="utf-8")
    print(head.partition("\n")[0])


if __name__ == "__main__":
    main()
