"""What docs/design.md says of the rooms: the direction of imports, where torch is, what is pinned, how it is served."""

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from core.backbones.catalogue import PACKAGED

ROOT = Path(__file__).resolve().parent.parent
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
SHARED = {
    "errors",
    "setting_names",
    "disk",
    "locks",
    "people",
    "documents",
    "typed",
    "settings",
    "config",
    "fields",
    "presets",
    "display_names",
    "environment",
    "rows",
    "evaluation",
    "intervals",
    "reliability",
    "significance",
    "snapshot",
    "progress",
    "spreadsheet",
    "download",
    "incidents",
    "backbones",
}
MAY_IMPORT = {
    "data": set(),
    "models": set(),
    "runs": set(),
    "engine": {"data"},
    "inference": {"data", "models", "engine", "runs"},
    "probes": {"data", "models", "engine", "runs"},
    "submit": {"data", "models", "runs"},
    "train": {"data", "models", "engine", "runs", "inference", "probes"},
    "experiments": {"data", "models", "engine", "runs", "inference", "probes", "submit", "train", "cluster"},
    "findings": {"data", "runs", "experiments"},
    "receipts": {"data", "runs"},
    "serve": set(),
    "notebook": {"runs", "experiments"},
    "reports": {"data", "models", "runs", "inference", "experiments", "findings", "notebook"},
    "scripts": {"data", "models", "engine", "runs"},
    "export": {"data", "models", "engine", "runs", "inference"},
    "cluster": {"data", "models", "runs", "train"},
    "jobs": {"data", "models", "engine", "runs", "inference", "probes", "submit", "train", "experiments", "export"}
    | {"cluster"},
}
MOST_LINES = {"core": 450, "pages": 350}
HEAVY = {"torch", "torchvision", "torchsummary", "scipy"}
TORCH_FREE = [
    "core/*.py",
    "core/models/shapes.py",
    "core/runs/*.py",
    "core/data/**/*.py",
    "pages/**/*.py",
    "streamlit_app.py",
]
TORCH_ROOMS = {"core/data/store/batches.py", "core/data/store/augment.py", "core/train.py"}
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


def files_of(room: str) -> list[Path]:
    one = ROOT / "core" / f"{room}.py"
    return [one] if one.is_file() else list((ROOT / "core" / room).rglob("*.py"))


def tree_of_the_design() -> set[str]:
    """The paths that the tree of docs/design.md names, such as core/data/sources."""
    block = DESIGN.partition("## Rooms\n\n")[2].partition("\n\n|")[0]
    paths, above = set(), {}
    for line in block.splitlines():
        indent = len(line) - len(line.lstrip())
        names = re.match(r"(?:[\w.]+(?:/|\.py)(?:\s+|$))+", line.strip())
        assert indent % 2 == 0 and names, f"no path in: {line}"
        depth = indent // 2 - 2
        for name in names[0].split():
            above[depth] = "/".join([*([above[depth - 1]] if depth else []), name.strip("/")])
            paths.add(above[depth])
    return paths


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_stands_before_it(room):
    for path in files_of(room):
        assert rooms_of(path) <= SHARED | {room} | MAY_IMPORT[room], path


def test_the_table_of_the_design_is_the_one_that_is_held_here():
    head, rows = re.findall(r"^\| room \| (.*) \|\n\|---\|---\|\n((?:\|.*\n)+)", DESIGN, re.M)[0]
    assert set(re.findall(r"\w+", head.partition("besides")[2])) == SHARED
    allowed = {}
    for line in rows.splitlines():
        rooms, others = (cell.strip() for cell in line.strip("|").split("|"))
        for room in rooms.split(", "):
            allowed[room] = set() if others == "nothing more" else set(others.split(", "))
    assert allowed.pop("cli") == {"everything"}
    assert allowed == MAY_IMPORT


def test_what_every_room_may_import_imports_no_room():
    for name in SHARED:
        for path in files_of(name):
            assert rooms_of(path) <= SHARED, path


def test_only_the_command_line_imports_the_command_line():
    for path in FILES:
        if "cli" not in path.parts and path.name != "__main__.py":
            assert not any(name.startswith("core.cli") for name in imported(path)), path


def test_the_tree_of_the_design_is_the_tree():
    named = tree_of_the_design()
    for path in named - {"var"}:
        assert (ROOT / path).exists(), f"docs/design.md names {path}, which is not there"
    folders = [ROOT / "core", *(path for path in (ROOT / "core").iterdir() if path.is_dir())]
    there = [path for folder in folders for path in folder.iterdir() if path.is_dir()]
    there += [*(ROOT / "core").glob("*.py"), *(ROOT / "pages").glob("*.py"), *(ROOT / "pages" / "parts").iterdir()]
    for path in there:
        if not path.name.startswith((".", "__")) or path.name == "__main__.py":
            assert path.relative_to(ROOT).as_posix() in named, f"{path} is not in the tree of docs/design.md"


@pytest.mark.parametrize("room", MOST_LINES)
def test_a_module_is_read_in_one_go(room):
    for path in (ROOT / room).rglob("*.py"):
        count = len(path.read_text(encoding="utf-8").splitlines())
        assert count <= MOST_LINES[room], f"{path} has {count} lines"


def test_core_knows_no_streamlit_and_no_page():
    for path in (ROOT / "core").rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & {"streamlit", "pages", "plotly"}, path


def test_what_a_page_needs_to_open_reaches_no_torch():
    for pattern in TORCH_FREE:
        for path in ROOT.glob(pattern):
            if str(path.relative_to(ROOT)) not in TORCH_ROOMS:
                assert not {name.split(".")[0] for name in reached(path)} & HEAVY, path


def test_what_predicts_with_a_network_of_ours_reaches_no_torchvision_which_takes_a_second():
    assert "torchvision" not in {name.split(".")[0] for name in reached(ROOT / "core/inference/predictor.py")}


def test_captum_which_brings_matplotlib_is_imported_only_where_a_map_is_computed():
    for path in FILES:
        assert "captum" not in {name.split(".")[0] for name in imported(path, top_level=True)}, path


def test_no_page_is_imported_by_anyone():
    pages = {f"pages.{path.stem}" for path in (ROOT / "pages").glob("*.py")}
    for path in FILES:
        assert not imported(path) & pages, path


def test_every_package_that_is_imported_is_pinned_and_none_is_pinned_in_vain():
    others = {"PIL": "pillow", "sklearn": "scikit-learn", "markdown_it": "markdown-it-py"}
    used = {others.get(top, top) for path in FILES for top in {name.split(".")[0] for name in imported(path)}}
    used |= {known.package.replace("_", "-") for known in PACKAGED.values()}  # whose file is read, nothing imported
    used |= {"onnxscript", "python-multipart"}  # torch.onnx and fastapi import them
    used -= sys.stdlib_module_names | {"core", "pages"} | {"ray"}  # optional: requirements-cluster.txt
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
    explained = {
        word for line in serving.splitlines() for word in re.findall(r"\w+", line.split("|")[1] if "|" in line else "")
    }
    for section in settings.values():
        for name, value in section.items():
            for key in value if isinstance(value, dict) else [name]:
                assert key in explained, key


def test_no_page_imports_what_only_another_page_draws():
    pages = {"data", "architecture", "train", "results", "try_it"}
    shared = {"shell": {"shell"}, "widgets": {"shell", "widgets"}, "form": {"shell", "widgets", "form"}}
    for path in [*(ROOT / "pages").rglob("*.py"), ROOT / "streamlit_app.py"]:
        own = (
            "home"
            if path.name == "streamlit_app.py"
            else path.parent.name
            if path.parent.name != "pages"
            else path.stem
        )
        assert own in shared.keys() | pages | {"home"}, f"{path} is in no room of pages/parts"
        parts = {name.split(".")[2] for name in imported(path) if name.startswith("pages.parts.")}
        assert parts <= shared.get(own, {"shell", "widgets", "form", own}), path


def test_one_function_leads_from_page_to_page():
    for path in [*(ROOT / "pages").rglob("*.py"), ROOT / "streamlit_app.py"]:
        if path.name != "navigation.py":
            assert "switch_page" not in path.read_text(encoding="utf-8"), f"{path}: go_to leads to another page"


def test_ray_is_imported_by_nobody_who_does_not_train_in_a_cluster():
    for path in FILES:
        assert "ray" not in {name.split(".")[0] for name in imported(path, top_level=True)}, path
        if any(name.split(".")[0] == "ray" for name in imported(path)):
            assert path.parent == ROOT / "core" / "cluster", path
