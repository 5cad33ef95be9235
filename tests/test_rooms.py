"""The direction of the imports: rooms stand in the order in which data flows."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = {"errors", "disk", "settings", "config", "presets", "rows", "evaluation"}
MAY_IMPORT = {
    "data": set(),
    "models": set(),
    "runs": set(),
    "engine": {"data"},
    "inference": {"data", "models", "engine", "runs"},
    "experiments": {"data", "models", "engine", "runs", "inference", "train"},
}
TORCH_FREE = ["core/*.py", "core/runs/*.py", "core/data/*.py", "pages/*.py", "pages/parts/*.py", "streamlit_app.py"]
TORCH_ROOMS = {"core/data/batches.py", "core/data/augment.py", "core/train.py"}


def imported(path: Path, top_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_stands_before_it(room):
    for path in (ROOT / "core" / room).glob("*.py"):
        rooms = {name.split(".")[1] for name in imported(path) if name.startswith("core.")}
        assert rooms <= SHARED | {room} | MAY_IMPORT[room], path


def test_core_knows_no_streamlit_and_no_page():
    for path in (ROOT / "core").rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & {"streamlit", "pages", "plotly"}, path


def test_pages_open_without_torch():
    for pattern in TORCH_FREE:
        for path in ROOT.glob(pattern):
            if str(path.relative_to(ROOT)) not in TORCH_ROOMS:
                heavy = {name.split(".")[0] for name in imported(path, top_level=True)} & {"torch", "torchvision"}
                assert not heavy, path


def test_no_page_is_imported_by_anyone():
    pages = {f"pages.{path.stem}" for path in (ROOT / "pages").glob("*.py")}
    for path in [*ROOT.glob("core/**/*.py"), *ROOT.glob("pages/**/*.py"), ROOT / "streamlit_app.py"]:
        if path.exists():
            assert not imported(path) & pages, path
