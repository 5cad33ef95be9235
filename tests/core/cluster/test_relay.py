"""RelayingWriter: what a machine of the cluster writes of its run stands at home as well."""

import shutil
import time

import pytest

from core.cluster.relay import RelayingWriter, apply
from core.config import RunConfig
from core.environment import describe_environment
from core.runs.actions import create_run
from core.runs.run import read_run
from core.runs.writer import RunWriter


@pytest.mark.usefixtures("home")
def test_the_seconds_until_the_pictures_were_read_stand_at_home(tmp_path):
    run, messages = create_run(RunConfig(), "f" * 64, ("noir", "cartoon")), []
    folder = shutil.copytree(run.folder, tmp_path / "machine" / run.id)
    there, home = RelayingWriter(folder, messages.append), RunWriter(run.folder)
    home.starting()
    there.starting()
    there.add_environment(describe_environment("cpu", 1))
    time.sleep(0.05)
    there.pictures_in()
    for message in messages:
        apply(message, home, "machine-1")
    home.finish("stopped")
    state = read_run(run.id).state
    assert state.machine == "machine-1" and 0.05 <= state.pictures_seconds < 60
