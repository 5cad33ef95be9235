"""An import that is killed or that fills the disk leaves what was there as it was, and the next one sweeps the rest."""

import errno
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.config import DataConfig
from core.data.datasets.dataset import delete_dataset, list_datasets
from core.data.imports.pipeline import import_dataset
from core.data.store.store import load_store
from core.errors import UserMistake
from core.settings import datasets_root, stores_root
from tests.pictures import finish, two_classes, write_zip

pytestmark = pytest.mark.usefixtures("home")

ROOT = Path(__file__).resolve().parents[3]
IMPORT = """
import sys, time
from pathlib import Path
from core.data.imports.pipeline import import_dataset
print("begin", flush=True)
began = time.monotonic()
for report in import_dataset("big", Path(sys.argv[1])):
    pass
print(time.monotonic() - began, flush=True)
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="kill -9 and file systems as Linux has them")


def contents():
    """Every file of datasets and stores, with what is in it; the lock that all share is always there."""
    paths = [*datasets_root().rglob("*"), *stores_root().rglob("*")]
    files = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}
    files.pop(datasets_root() / ".lock", None)
    return files


def bring(tmp_path, name, files):
    path = write_zip(tmp_path / "small.zip", files)
    return finish(import_dataset(name, path))


def start(path):
    worker = subprocess.Popen([sys.executable, "-c", IMPORT, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "begin\n"
    return worker


def wait_for_end_of(children):
    """Decoders end with the input of theirs that a killed import leaves behind."""
    psutil.wait_procs(children, timeout=30)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


@linux
@pytest.mark.parametrize("moments", [4, pytest.param(50, marks=pytest.mark.nightly)])
def test_killed_at_any_moment_an_import_leaves_the_rest_and_is_swept(tmp_path, moments):
    draw = random.Random(moments)
    first = bring(tmp_path, "first", two_classes(4))
    path = write_zip(tmp_path / "big.zip", two_classes(300))
    before, seconds, whole = contents(), 1.0, 0
    with start(path) as worker:
        seconds = float(worker.stdout.readline())
    delete_dataset("big")
    for moment in range(moments):
        with start(path) as worker:
            time.sleep(seconds * (moment + draw.random()) / moments)  # spread over the whole of it
            children = psutil.Process(worker.pid).children(recursive=True) if worker.poll() is None else []
            worker.send_signal(signal.SIGKILL)
        there = contents()
        assert {file: there.get(file) for file in before} == before, moment
        for dataset in list_datasets():  # whole, or not there
            assert dataset == first or (dataset.name, dataset.used, len(dataset.names)) == ("big", 600, 600), moment
            assert dataset == first or load_store(DataConfig(dataset="big")).images.shape == (600, 3, 32, 32)
        if len(list_datasets()) == 2:
            delete_dataset("big")
            whole += 1
        wait_for_end_of(children)  # until then they hold its lock, and a sweep leaves it alone
        bring(tmp_path, "next", two_classes(3))
        delete_dataset("next")
        assert contents() == before, moment  # no half of anything, and no lock
    assert whole < moments


def test_a_store_whose_dataset_never_came_is_swept(tmp_path):
    bring(tmp_path, "first", two_classes(3))
    before = contents()
    shutil.rmtree(bring(tmp_path, "cut", two_classes(4)).folder)  # killed after the one and before the other
    assert contents() != before
    bring(tmp_path, "next", two_classes(5))
    delete_dataset("next")
    assert contents() == before


class Disk:
    """A disk with room for so many bytes, as far as this process is concerned."""

    def __init__(self, monkeypatch, room=2**60):
        self.room, self.written, self.path_open = room, 0, Path.open
        disk = self

        def opened(path, mode="r", *arguments, **options):
            file = disk.path_open(path, mode, *arguments, **options)
            return file if mode.startswith("r") else Taking(file, disk)

        monkeypatch.setattr(Path, "open", opened)


class Taking:
    """A file on that disk."""

    def __init__(self, file, disk):
        self.file, self.disk = file, disk

    def write(self, content):
        fits = min(len(content), self.disk.room - self.disk.written)
        self.disk.written += fits
        self.file.write(content[:fits])  # a full disk takes a part first
        if fits < len(content) and not (fits and isinstance(self.file, io.FileIO)):  # unbuffered, the next one fails
            raise OSError(errno.ENOSPC, "No space left on device")
        return fits

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


@pytest.mark.parametrize("moments", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_a_disk_that_fills_at_any_byte_is_reported_and_nothing_is_left(tmp_path, monkeypatch, moments):
    draw = random.Random(moments)
    bring(tmp_path, "first", two_classes(3))
    files = [*two_classes(40).items()]
    draw.shuffle(files)  # so that all is sorted and written again
    path, before = write_zip(tmp_path / "big.zip", dict(files)), contents()
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        finish(import_dataset("big", path))
        needed = disk.written
    delete_dataset("big")
    for moment in range(moments):
        room = int(needed * (moment + draw.random()) / moments)
        with (
            monkeypatch.context() as patch,
            pytest.raises(UserMistake, match=r"^The disk is full .* Nothing was kept\."),
        ):
            Disk(patch, room)
            finish(import_dataset("big", path))
        assert contents() == before, (moment, room, needed)
    assert finish(import_dataset("big", path)).used == 80


@linux
@pytest.mark.slow
def test_a_small_disk_fills_up_and_nothing_is_left(tmp_path):
    """On a real one: a file system in memory, in a name space of its own, so that nobody has to be root."""
    home = tmp_path / "small"
    home.mkdir()
    path = write_zip(tmp_path / "big.zip", two_classes(300))  # needs about 5 MB
    script = (
        "import sys; from pathlib import Path; from core.data.imports.pipeline import import_dataset\n"
        "try:\n    list(import_dataset('big', Path(sys.argv[1])))\n"
        "except ValueError as mistake:\n    print(mistake)\n"
        "print(*(path.relative_to(sys.argv[2]) for path in Path(sys.argv[2]).rglob('*')))"
    )
    for kilobytes in (64, 300, 1000, 2300, 3000, 3900):
        mount = f"mount -t tmpfs -o size={kilobytes}k none {home}"
        command = f'{mount} && exec {sys.executable} -c "$SCRIPT" {path} {home}'
        process = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
            cwd=ROOT,
            env={**os.environ, "SCRIPT": script, "ATELIER_HOME": str(home)},
            capture_output=True,
            text=True,
        )
        if process.returncode and ("unshare" in process.stderr or "mount" in process.stderr):
            pytest.skip(f"no file system of one's own here: {process.stderr.strip()[:200]}")
        assert process.returncode == 0, process.stderr
        sentence, left = process.stdout.splitlines()
        assert "disk is full" in sentence.lower() or "are free where Atelier keeps its files" in sentence, sentence
        assert set(left.split()) <= {"datasets", "datasets/.lock", "stores"}, left


@linux
@pytest.mark.slow
def test_a_disk_that_can_hold_no_more_files_is_said_to_be_that_and_not_full(tmp_path):
    home = tmp_path / "few"
    home.mkdir()
    script = (
        "import sys; from pathlib import Path; from core.disk import disk_trouble, write_atomic\n"
        "try:\n    for number in range(99): write_atomic(Path(sys.argv[1]) / str(number), b'x', durable=False)\n"
        "except OSError as error: print(disk_trouble(error, Path(sys.argv[1]), 'Free some.'))"
    )
    command = f'mount -t tmpfs -o nr_inodes=20 none {home} && exec {sys.executable} -c "$SCRIPT" {home}'
    process = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
        cwd=ROOT,
        env={**os.environ, "SCRIPT": script},
        capture_output=True,
        text=True,
    )
    if process.returncode and ("unshare" in process.stderr or "mount" in process.stderr):
        pytest.skip(f"no file system of one's own here: {process.stderr.strip()[:200]}")
    assert "The disk can hold no more files (all its inodes are used; " in process.stdout, process
