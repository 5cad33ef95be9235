"""Where the files lie, and the limits that limits.json may change."""

from pathlib import Path

import pytest

from core import settings
from core.errors import UserMistake
from core.settings import Limits, atelier_home, load_limits, readable_from_page

ROOTS = (
    settings.datasets_root,
    settings.stores_root,
    settings.runs_root,
    settings.weights_root,
    settings.downloads_root,
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return tmp_path


def test_everything_lies_below_the_home(home):
    folders = {root() for root in ROOTS}
    assert atelier_home() == home and len(folders) == len(ROOTS)
    assert all(folder.parent == home and not folder.exists() for folder in folders)  # asking makes nothing


def test_without_a_home_it_is_var_beside_core(monkeypatch):
    beside_core = Path(settings.__file__).resolve().parent.parent / "var"
    for named in (None, ""):
        monkeypatch.setenv("ATELIER_HOME", named) if named is not None else monkeypatch.delenv("ATELIER_HOME")
        assert atelier_home() == beside_core


def test_a_home_may_be_relative_or_below_the_users_folder(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    for named in ("mine", "~/mine", "./other/../mine"):
        monkeypatch.setenv("ATELIER_HOME", named)
        assert atelier_home() == home / "mine"


def test_limits_are_the_defaults_until_the_file_names_others(home):
    assert load_limits() == Limits()
    (home / "limits.json").write_text('{"picture_bytes": 1000, "classes_max": 3}')
    limits = load_limits()
    assert (limits.picture_bytes, limits.classes_max) == (1000, 3)
    assert limits.model_copy(update={"picture_bytes": 25 * 2**20, "classes_max": 500}) == Limits()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"picture_byte": 1}', r"limits\.json has a wrong limit: picture_byte = 1: .*the limits are: picture_bytes, "),
        ('{"classes_max": "many"}', r"limits\.json has a wrong limit: classes_max = 'many': .*valid integer"),
        ("[1, 2]", r"limits\.json has a wrong limit"),
        ('{"picture_bytes": 1', r"limits\.json cannot be read as JSON"),
        ("", r"limits\.json cannot be read as JSON"),
        ("\udcff", r"limits\.json cannot be read as JSON"),
    ],
)
def test_a_wrong_limits_file_is_told_in_one_line(home, content, said):
    (home / "limits.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserMistake, match=said) as told:
        load_limits()
    assert "\n" not in str(told.value)


def test_a_page_reads_paths_below_the_named_folders_only(home, tmp_path_factory, monkeypatch):
    mine, other = tmp_path_factory.mktemp("mine"), tmp_path_factory.mktemp("other")
    (mine / "art").mkdir()
    monkeypatch.setenv("HOME", str(mine))
    assert readable_from_page("~/art") == mine / "art"
    (mine / "link").symlink_to(other)
    for path in (str(other), str(mine / "link"), f"{mine}/../{other.name}", "/etc/passwd", "../.."):
        with pytest.raises(UserMistake, match=r"Pages read from .* import_roots .* --from"):
            readable_from_page(path)
    with pytest.raises(UserMistake, match="There is no folder or zip"):
        readable_from_page(str(mine / "nowhere"))
    (home / "limits.json").write_text(f'{{"import_roots": ["{other}"]}}')
    assert readable_from_page(str(other)) == other
