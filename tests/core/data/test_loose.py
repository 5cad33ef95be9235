"""Pictures that are only to be classified: a zip or folder of any shape, as untrusted as one that is imported."""

import zipfile

import pytest

from core.data.sources.loose import open_loose
from core.errors import UserMistake
from core.settings import Limits
from tests.pictures import png


def names(path):
    with open_loose(path, Limits()) as source:
        return [entry.name for entry in source.listing.entries], [name for name, _ in source.listing.refused]


def test_a_folder_and_its_zip_list_the_same_files_by_name(tmp_path):
    folder = tmp_path / "mixed"
    for name in ("b.png", "a.png", "in/c.png", ".hidden/d.png", "in/Thumbs.db"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png())
    with zipfile.ZipFile(tmp_path / "mixed.zip", "w") as archive:
        for path in folder.rglob("*.*"):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    assert names(folder) == names(tmp_path / "mixed.zip") == (["a.png", "b.png", "in/c.png"], [])
    with open_loose(tmp_path / "mixed.zip", Limits()) as source:
        assert source.read(source.listing.entries[2]) == png()


def test_a_zip_that_leads_outside_and_a_path_without_anything_are_refused_without_talking_of_an_import(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil.png", png())
    with pytest.raises(UserMistake, match="points outside") as refused:
        names(tmp_path / "evil.zip")
    assert "imported" not in str(refused.value)
    with pytest.raises(UserMistake, match="could not be opened: no such file"):
        names(tmp_path / "gone.zip")


def test_an_empty_folder_lists_nothing(tmp_path):
    assert names(tmp_path) == ([], [])
