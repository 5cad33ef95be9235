"""The folders of experiments and sweeps: written as a whole, found by a part of the id, else refused."""

import re

import pytest
from pydantic import BaseModel

from core.errors import UserMistake
from core.experiments import folders
from core.experiments.folders import SpecFolders


class Small(BaseModel):
    trials: int = 3


@pytest.fixture
def plans(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return SpecFolders("sweep")


def test_they_are_found_by_a_part_of_their_id_and_newest_last(plans):
    assert plans.folders() == [] and plans.oldest_at_work() is None
    first, second = plans.write(Small()), plans.write(Small())
    assert plans.folders() == [first, second] and plans.find("latest") == second
    assert plans.find(first.name) == plans.find(first.name[-8:]) == first == plans.oldest_at_work()
    (first / "done").touch()
    (second / "stop").touch()
    assert plans.oldest_at_work() is None


def test_one_that_is_not_there_is_refused_once(plans):
    message = "No such sweep: 'ffff'. The sweeps there are: python -m core sweep list"
    with pytest.raises(UserMistake, match=f"^{re.escape(message)}$"):
        plans.find("ffff")
    first, second = plans.write(Small()), plans.write(Small())
    assert first.name[:6] == second.name[:6]
    with pytest.raises(UserMistake, match="2 sweeps match"):
        plans.find(first.name[:6])
    with pytest.raises(UserMistake, match="No such sweep"):
        plans.find("../sweeps")


def test_one_that_cannot_be_written_is_not_there(plans, monkeypatch):
    def full(path, value):
        raise OSError("no space")

    monkeypatch.setattr(folders, "write_json", full)
    with pytest.raises(OSError, match="no space"):
        plans.write(Small())
    assert plans.folders() == [] == list(plans.root.iterdir())
