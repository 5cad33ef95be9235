"""Where the files lie, and the limits that limits.json may change."""

import stat
import sys
from pathlib import Path

import pytest

from core import settings
from core.cli.app import main
from core.errors import UserMistake
from core.settings import Limits, atelier_home, load_limits, make_home, readable_from_page

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


def test_without_a_home_it_is_var_next_to_core(monkeypatch):
    next_to_core = Path(settings.__file__).resolve().parent.parent / "var"
    for named in (None, ""):
        monkeypatch.setenv("ATELIER_HOME", named) if named is not None else monkeypatch.delenv("ATELIER_HOME")
        assert atelier_home() == next_to_core


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


def test_limits_of_version_0_1_0_are_read_under_their_former_names(home):
    (home / "limits.json").write_text('{"silence_seconds": 5, "silence_stop_seconds": 6, "watchdog_end_seconds": 7}')
    limits = load_limits()
    found = (limits.watchdog_warn_seconds, limits.watchdog_stop_seconds, limits.watchdog_end_seconds)
    assert found == (5, 6, 7) and Limits.model_validate(limits.model_dump()) == limits


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
def test_a_wrong_limits_file_is_reported_in_one_line(home, content, said):
    (home / "limits.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserMistake, match=said) as caught:
        load_limits()
    assert "\n" not in str(caught.value)


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


@pytest.mark.skipif(sys.platform == "win32", reason="rights of another kind")
def test_a_new_home_is_its_owners_alone_and_one_that_is_there_keeps_its_rights(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "deep" / "home"))
    make_home()
    assert stat.S_IMODE((tmp_path / "deep" / "home").stat().st_mode) == 0o700
    (tmp_path / "deep" / "home").chmod(0o770)  # a group that works together
    make_home()
    assert stat.S_IMODE((tmp_path / "deep" / "home").stat().st_mode) == 0o770


def test_a_command_makes_the_home(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    assert main(["data", "list"]) == 0
    assert (tmp_path / "home").is_dir()
