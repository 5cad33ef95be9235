"""Damage: every kind of file in a home is replaced by what it is not; no list and no page may fail over it.

The home is the archive of test_home_0_1_0.py, and what the archive has none of: limits, a supervisor, an import, a card
of weights.
"""

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

import pytest

import core.models.summary  # noqa: F401  the page that warms torch up in a thread would import it meanwhile
from core.__main__ import main
from core.data.datasets.dataset import list_datasets, scan_datasets
from tests import recorded
from tests.app import open_page, said
from tests.test_home_0_1_0 import CASES, PAGES

LISTS = (
    ("data", "list"),
    ("runs", "list"),
    ("runs", "list", "--deleted"),
    ("experiment", "list"),
    ("sweep", "list"),
    ("presets", "list"),
    ("weights", "list"),
)
KEYS = ("name", "run", "experiment", "sweep")  # by which a list names its lines
DAMAGE = {
    "null": lambda content: b"null\n",
    "five": lambda content: b"5\n",
    "list": lambda content: b"[]\n",
    "object": lambda content: b"{}\n",
    "nothing": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "garbage": lambda content: bytes(range(256)) * 4,
}
OTHERS = {
    "limits.json": b'{"queue_length": 20}',
    "supervisor.json": b'{"pid": 1, "started": "then"}',
    "imports/0123456789abcdef/job.json": b'{"name": "x", "kind": "pictures", "then": null, "created": "2026-01-01"}',
    "imports/0123456789abcdef/progress.json": b'{"status": "done"}',
    "imports/0123456789abcdef/launch.json": b'{"pid": 1, "started": "then"}',
    "weights/googlenet.json": b'{"sha256": "0", "origin": "file", "added": "2026-01-01"}',
    "weights/googlenet.safetensors": b"weights",
}
QUICK = 12  # of the cases of a page, which take about a second each


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home that every test leaves as it was."""
    archive = CASES / "home-0.1.0.tar.gz"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not in {CASES}: set ATELIER_CASES")
    folder = recorded.unpack(archive, tmp_path_factory.mktemp("damage"))
    for name, content in OTHERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(autouse=True)
def in_home(home, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(home))


def kinds(home: Path) -> dict[str, Path]:
    """A file of each kind: its room and name -> the first such file."""
    found: dict[str, Path] = {}
    for path in sorted(home.rglob("*")):
        if path.is_file() and not path.name.endswith(".lock") and "log" not in path.relative_to(home).parts[:1]:
            room, name = path.relative_to(home).parts[0], path.name
            found.setdefault(f"{room}/{'checkpoint' + path.suffix if 'checkpoint' in path.parts else name}", path)
    return found


class damaged:
    """`path` with other content, and back."""

    def __init__(self, home: Path, path: Path, how: str) -> None:
        self.home, self.path, self.content = home, path, path.read_bytes()
        self.other = DAMAGE[how](self.content)

    def __enter__(self) -> None:
        self.path.write_bytes(self.other)

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(self.content)
        shutil.rmtree(self.home / "log", ignore_errors=True)


def listed(command: tuple[str, ...]) -> tuple[set[str], str]:
    """What a list names, and what it says on stderr. It must not fail."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*command, "--json"])
    assert code == 0, f"{' '.join(command)}: {err.getvalue()}"
    rows = json.loads(out.getvalue())
    rows = rows["published"] if isinstance(rows, dict) else rows
    return {next(str(row[key]) for key in KEYS if key in row) for row in rows}, err.getvalue()


def may_be_gone(home: Path, path: Path) -> set[str]:
    """The lines that a damaged file may take out of the lists: its owner's, and of originals those of all versions."""
    room, *rest = path.relative_to(home).parts
    if room == "datasets":
        return set(recorded.DATASETS) if path.name == "pictures.pack" else {NAMES[rest[0]]}
    return {"mine", "quick2", *rest[:1]} if room != "presets" else {*listed(("presets", "list"))[0]}


NAMES = {"7809ad0a6d821db2": "small", "0b234bd058c807c3": "small v2"}


def check_lists(home: Path, chosen: set[tuple[str, str]] | None = None) -> None:
    before = {command: listed(command)[0] for command in LISTS}
    for kind, path in kinds(home).items():
        gone = may_be_gone(home, path)
        for how in DAMAGE:
            if chosen is not None and (kind, how) not in chosen:
                continue
            with damaged(home, path, how):
                for command in LISTS:
                    now, warning = listed(command)
                    assert before[command] - now <= gone, (kind, how, command)
                    assert before[command] <= now or "cannot be" in warning, (kind, how, command, warning)
                assert not (home / "log").exists(), (kind, how)


def test_no_list_hides_another_thing(home):
    random = Random(11)
    chosen = random.sample(list(kinds(home)), len(kinds(home)) // 2)
    check_lists(home, {(kind, random.choice(list(DAMAGE))) for kind in chosen})


@pytest.mark.nightly  # two minutes
def test_no_list_hides_another_thing_whatever_the_damage(home):
    check_lists(home)


def check_page(home: Path, kind: str, how: str, page: str) -> None:
    with damaged(home, kinds(home)[kind], how):
        app = open_page(page)
        assert app.main and not app.exception, (kind, how, page)
        if kind != "imports/progress.json":  # an import whose progress nobody can read is said to have ended
            assert not app.error, (kind, how, page, app.error[0].value)
        assert not (home / "log").exists(), (kind, how, page)


PAGE_KINDS = (
    *(f"datasets/{name}" for name in ("dataset.json", "index.npy", "names.jsonl", "pictures.pack", "sizes.npz")),
    *(f"experiments/{name}" for name in ("plan.json", "timing.jsonl", "runs.jsonl")),
    *(f"sweeps/{name}" for name in ("plan.json", "journal.log")),
    *(f"runs/{name}" for name in ("config.json", "state.json", "manifest.json", "model.json", "marks.json")),
    *("limits.json/limits.json", "supervisor.json/supervisor.json", "imports/job.json", "imports/progress.json"),
    *("weights/googlenet.json", "presets/3fd30542fe3f61b14bd4a4b2.json", "stores/store.json"),
)
PAGE_CASES = [(kind, how, page) for kind in PAGE_KINDS for how in DAMAGE for page in PAGES]


@pytest.mark.parametrize(("kind", "how", "page"), Random(11).sample(PAGE_CASES, QUICK))
def test_a_page_opens_beside_the_damage(home, kind, how, page):
    check_page(home, kind, how, page)


@pytest.mark.slow  # half a minute
@pytest.mark.parametrize("kind", PAGE_KINDS)
def test_pages_open_beside_damage_of_every_kind_of_file(home, kind):
    random = Random(kind)
    check_page(home, kind, random.choice(list(DAMAGE)), random.choice(PAGES))


@pytest.mark.nightly  # a quarter of an hour
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("kind", PAGE_KINDS)
def test_every_page_opens_beside_every_damage(home, kind, page):
    for how in DAMAGE:
        check_page(home, kind, how, page)


@pytest.mark.parametrize(("show", "kind"), [("Sweep", "sweeps/journal.log"), ("Ablation", "experiments/timing.jsonl")])
def test_what_is_damaged_is_opened_with_a_sentence(home, show, kind):
    for how in ("null", "five", "garbage"):
        with damaged(home, kinds(home)[kind], how):
            app = open_page("pages/results.py", show=show)
            assert not app.exception and not app.error, (how, app.error[0].value if app.error else "")


def test_home_names_the_damaged_dataset_and_shows_the_other(home):
    with damaged(home, home / "datasets" / "0b234bd058c807c3" / "dataset.json", "null"):
        words = said(open_page()).replace("\u2060", "").replace("\\", "")
    assert "datasets/0b234bd058c807c3 cannot be used" in words and "**small** · 72 pictures" in words


@pytest.mark.parametrize("name", ["classes", "refused", "used", "name", "packs", "id", "changes"])
@pytest.mark.parametrize("value", [None, 5, [None], {}])
def test_a_field_that_is_none_is_named(home, name, value):
    path = home / "datasets" / "0b234bd058c807c3" / "dataset.json"
    before = path.read_bytes()
    path.write_bytes(json.dumps(json.loads(before) | {name: value}).encode())
    try:
        assert {one.name for one in list_datasets()} <= {"small"} or name in ("used", "name")
        (sentence,) = scan_datasets()[1]
        assert "0b234bd058c807c3 cannot be used" in sentence
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("place", ["datasets/7809ad0a6d821db2/dataset.json", "sweeps/10557141b4e0/plan.json"])
def test_a_document_of_a_newer_version_is_said_to_be_newer(home, place):
    path = home / place
    before = path.read_bytes()
    path.write_bytes(json.dumps(json.loads(before) | {"schema_version": 99}).encode())
    try:
        command = ("data" if place.startswith("datasets") else "sweep", "list")
        assert "is of a newer version of Atelier (schema 99; this one knows 1)" in listed(command)[1]
    finally:
        path.write_bytes(before)
