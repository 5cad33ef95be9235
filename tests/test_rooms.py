"""What docs/design.md says of the rooms: the direction of imports, where torch is, what is pinned, how it is served."""

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
SHARED = {
    "errors",
    "disk",
    "settings",
    "config",
    "presets",
    "rows",
    "evaluation",
    "watch",
    "download",
    "published",
    "trunks",
}
MAY_IMPORT = {
    "data": set(),
    "models": set(),
    "runs": set(),
    "engine": {"data"},
    "inference": {"data", "models", "engine", "runs"},
    "experiments": {"data", "models", "engine", "runs", "inference", "train"},
}
HEAVY = {"torch", "torchvision", "torchsummary", "scipy"}
TORCH_FREE = [
    "core/*.py",
    "core/models/shapes.py",
    "core/runs/*.py",
    "core/data/**/*.py",
    "pages/**/*.py",
    "streamlit_app.py",
]
TORCH_ROOMS = {"core/data/batches.py", "core/data/augment.py", "core/train.py"}
FILES = [*ROOT.glob("core/**/*.py"), *ROOT.glob("pages/**/*.py"), ROOT / "streamlit_app.py"]


@cache
def imported(path: Path, top_level: bool = False) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
    return frozenset(names)


def reached(path: Path) -> set[str]:
    """Every module that importing the file imports, through our own files."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        for name in imported(waiting.pop(), top_level=True) - found:
            found.add(name)
            own = ROOT / (name.replace(".", "/") + ".py")
            if own.is_file():
                waiting.append(own)
    return found


def rooms_of(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("core.")}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_stands_before_it(room):
    for path in (ROOT / "core" / room).rglob("*.py"):
        assert rooms_of(path) <= SHARED | {room} | MAY_IMPORT[room], path


def test_the_table_of_the_design_is_the_one_that_is_held_here():
    head, rows = re.findall(r"^\| room \| (.*) \|\n\|---\|---\|\n((?:\|.*\n)+)", DESIGN, re.M)[0]
    assert set(re.findall(r"\w+", head.partition("besides")[2])) == SHARED
    told = {}
    for line in rows.splitlines():
        rooms, allowed = (cell.strip() for cell in line.strip("|").split("|"))
        for room in rooms.split(", "):
            told[room] = set() if allowed == "nothing more" else set(allowed.split(", "))
    doors = {"train.py", "probe.py", "supervise.py", "__main__.py"}
    assert {room: allowed for room, allowed in told.items() if room not in doors} == MAY_IMPORT


def test_what_every_room_may_import_imports_no_room():
    for name in SHARED | {"incidents", "terminal"}:
        assert rooms_of(ROOT / "core" / f"{name}.py") <= SHARED, name


def test_every_part_of_core_is_in_the_design():
    tree = DESIGN.partition("## Rooms")[2].partition("## Nouns")[0]
    for path in (ROOT / "core").iterdir():
        if path.name not in ("__pycache__", "__init__.py") and not path.name.startswith("."):
            assert path.name in tree, f"{path.name} is not in docs/design.md"


def test_core_knows_no_streamlit_and_no_page():
    for path in (ROOT / "core").rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & {"streamlit", "pages", "plotly"}, path


def test_what_a_page_needs_to_open_reaches_no_torch():
    for pattern in TORCH_FREE:
        for path in ROOT.glob(pattern):
            if str(path.relative_to(ROOT)) not in TORCH_ROOMS:
                assert not {name.split(".")[0] for name in reached(path)} & HEAVY, path


def test_no_page_is_imported_by_anyone():
    pages = {f"pages.{path.stem}" for path in (ROOT / "pages").glob("*.py")}
    for path in FILES:
        assert not imported(path) & pages, path


def test_every_package_that_is_imported_is_pinned_and_none_is_pinned_in_vain():
    others = {"PIL": "pillow", "sklearn": "scikit-learn"}
    used = {others.get(top, top) for path in FILES for top in {name.split(".")[0] for name in imported(path)}}
    used -= sys.stdlib_module_names | {"core", "pages"}
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+ +# .+", line) for line in lines), "each is pinned, with one reason"
    assert {line.partition("==")[0] for line in lines} == used


def test_no_file_is_opened_by_a_door_that_runs_code_out_of_it():
    doors = re.compile(
        r"weights_only\s*=\s*False|\b(pickle|cPickle|dill|joblib)\b|torch\.(jit|export)\.load|allow_pickle=True"
        r"|mmap\s*=\s*True"
    )
    for path in FILES:
        assert not doors.search(path.read_text()), path


def test_every_line_of_the_servers_settings_has_its_reason():
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    serving = DESIGN.partition("## Serving")[2]
    told = {
        word for line in serving.splitlines() for word in re.findall(r"\w+", line.split("|")[1] if "|" in line else "")
    }
    for section in settings.values():
        for name, value in section.items():
            for key in value if isinstance(value, dict) else [name]:
                assert key in told, key
