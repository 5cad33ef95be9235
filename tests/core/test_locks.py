"""Locks: a limit, the holder's name, a disk without locks, and what a held lock tells of its holder."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import Timeout

from core.errors import UserMistake
from core.locks import give_back, hold_for_life, is_held, process_lock

HOLD = (
    "import sys, time; from pathlib import Path; from core.locks import hold_for_life\n"
    "hold_for_life(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_lock_that_a_halted_process_holds_is_waited_for_within_limits_and_its_holder_is_named(tmp_path, holder):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(UserMistake, match=rf"Process {holder.pid} \(.+\) has held .*\.lock for 0 seconds"):
        process_lock(tmp_path / ".lock", seconds=0.1).acquire()
    with pytest.raises(Timeout):  # whoever gives a limit of his own has an answer of his own
        process_lock(tmp_path / ".lock").acquire(timeout=0)


def test_a_lock_is_held_until_its_holder_ends(tmp_path, holder):
    path = tmp_path / ".lock"
    assert is_held(path) and is_held(path)
    holder.kill()
    holder.wait()
    assert not is_held(path) and not is_held(tmp_path / "none")
    with process_lock(path):
        assert is_held(path)


def test_a_lock_can_be_given_back_and_taken_again(tmp_path):
    path = tmp_path / ".lock"
    for _ in range(2):
        hold_for_life(path)
        hold_for_life(path)
        assert is_held(path)
        give_back(path)
        give_back(path)
        assert not is_held(path)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_disk_without_locks_is_refused_and_never_gets_a_file_in_place_of_a_lock(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserMistake, match=r"cannot lock files.*Choose a folder on another disk in ATELIER_HOME"):
        process_lock(tmp_path / ".lock").acquire()
