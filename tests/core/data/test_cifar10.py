"""CIFAR-10 from every form in which it comes, with a tiny edition in the real layout."""

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.datasets.dataset import list_datasets
from core.data.imports.cifar10 import CIFAR10, Edition, import_cifar10
from core.data.imports.pipeline import import_dataset
from core.download import RetryPolicy
from core.errors import UserMistake
from core.settings import downloads_root
from tests.broken_server import serve
from tests.pictures import write_folder, write_zip

pytestmark = pytest.mark.usefixtures("home")

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
HASTE = RetryPolicy(connect=1.0, read=0.5, tries=2, pause=0.01)


def batch(seed: int) -> bytes:
    """20 pictures, two a class, as the real files hold them."""
    data = np.random.default_rng(seed).integers(0, 256, (20, 3072), dtype=np.uint8)
    return pickle.dumps({"data": data, "labels": list(range(10)) * 2, "batch_label": "", "filenames": [""] * 20})


@pytest.fixture
def files() -> dict[str, bytes]:
    batches = {f"data_batch_{i}": batch(i) for i in range(1, 6)}
    return {**batches, "test_batch": batch(6), "batches.meta": pickle.dumps({"label_names": CLASSES})}


@pytest.fixture
def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in {**files, "../../escaped": b"x", "readme.html": b"<p>"}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def edition_of(archive: bytes, files: dict[str, bytes], url: str = "http://nowhere.invalid/cifar.tar.gz") -> Edition:
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    return Edition(url, hashlib.sha256(archive).hexdigest(), len(archive), md5, 120)


def check(dataset, files: dict[str, bytes]) -> None:
    assert (dataset.name, dataset.source, dataset.classes) == ("cifar10", "cifar10", tuple(CLASSES))
    assert (dataset.given, dataset.used) == (120, 120)
    assert np.bincount(dataset.given_parts).tolist() == [100, 0, 20]
    i = list(dataset.names).index("test/cat/0001.png")  # the second cat is row 13 of its batch
    there = np.asarray(Image.open(io.BytesIO(dataset.original(i))))
    row = pickle.loads(files["test_batch"])["data"][13]  # noqa: S301 - written above
    assert (there == row.reshape(3, 32, 32).transpose(1, 2, 0)).all()


def test_the_pinned_edition_is_the_one_of_torchvision():
    from torchvision.datasets import CIFAR10 as Reader

    batches = dict([*Reader.train_list, *Reader.test_list, [Reader.meta["filename"], Reader.meta["md5"]]])
    assert (CIFAR10.url, CIFAR10.md5) == (Reader.url, batches)
    assert len(CIFAR10.sha256) == 64


def test_it_is_downloaded_read_and_the_archive_removed_and_not_fetched_twice(archive, files):
    with serve(archive, "half") as server:
        edition = edition_of(archive, files, server.url)
        steps = list(import_cifar10(edition=edition, retry=HASTE))
        again = list(import_cifar10(edition=edition, retry=HASTE))
    check(steps[-1].dataset, files)
    assert {"downloading", "checking", "reading", "done"} <= {progress.phase for progress in steps}
    assert {path.name for path in downloads_root().iterdir()} <= {"cifar-10-python.tar.gz.lock"}
    assert len(server.ranges) == 2 and again[-1].dataset == steps[-1].dataset


@pytest.fixture
def batches(files, tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.slow
def test_a_folder_that_holds_the_batches_is_read(archive, files, batches):
    last = list(import_cifar10(batches.parent, edition_of(archive, files)))[-1]
    check(last.dataset, files)


@pytest.mark.slow
def test_the_archive_and_the_batches_themselves_give_the_same_dataset(archive, files, batches, tmp_path):
    (tmp_path / "mine.tgz").write_bytes(archive)
    for path in (tmp_path / "mine.tgz", batches):
        check(list(import_cifar10(path, edition_of(archive, files)))[-1].dataset, files)
    assert len(list_datasets()) == 1
    assert (tmp_path / "mine.tgz").exists() and not (tmp_path / "escaped").exists()


def packed(path: Path, files: dict[str, bytes], folder: str) -> Path:
    """The batches as a tar without gzip or as a zip, with a note beside them."""
    everything = {**{f"{folder}{name}": content for name, content in files.items()}, f"{folder}README.md": b"hello"}
    if path.suffix == ".zip":
        return write_zip(path, everything, zipfile.ZIP_DEFLATED)
    with tarfile.open(path, "w") as tar:
        for name, content in everything.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("cifar-10-python.tar", "cifar-10-batches-py/"),
        ("archive.zip", "cifar-10-batches-py/"),
        ("archive.zip", ""),
        ("repo-main.zip", "repo-main/data/cifar-10-batches-py/"),
    ],
)
def test_batches_are_found_in_a_tar_and_in_zips(archive, files, tmp_path, monkeypatch, name, folder):
    def checked(batches: Path, edition: Edition):
        yield {path.name: path.read_bytes() for path in batches.iterdir()}

    monkeypatch.setattr("core.data.imports.cifar10._import_batches", checked)  # reading them takes a child with torch
    *_, last = import_cifar10(packed(tmp_path / name, files, folder), edition_of(archive, files))
    assert last == files


@pytest.mark.parametrize("name", ["cifar-10-python.tar", "archive.zip", "folder"])
def test_batches_of_other_content_are_refused_in_every_form(archive, files, tmp_path, name):
    path = tmp_path / name
    wrong = dict.fromkeys(files, b"other")
    if name == "folder":
        write_folder(path / "repo/data/cifar-10-batches-py", wrong)
    else:
        packed(path, wrong, "cifar-10-batches-py/")
    with pytest.raises(UserMistake, match="is not CIFAR-10's own file"):
        list(import_cifar10(path, edition_of(archive, files)))


def test_batches_under_another_name_and_a_tar_of_something_else_are_refused_in_words(archive, files, tmp_path):
    for name in ("cifar-10-python.tar", "archive.zip"):
        with pytest.raises(UserMistake, match="holds the batches of CIFAR-10, not pictures; add it under the name"):
            list(import_dataset("mine", packed(tmp_path / name, files, "cifar-10-batches-py/")))
    with pytest.raises(UserMistake, match="holds no batches of CIFAR-10"):
        list(import_cifar10(packed(tmp_path / "other.tar", {"data_batch_1.bin": b"x"}, ""), edition_of(archive, files)))


def test_another_archive_is_refused_by_its_checksum(archive, files, tmp_path):
    (tmp_path / "mine.tgz").write_bytes(archive[:-1])
    with pytest.raises(UserMistake, match=r"'mine\.tgz' is not CIFAR-10's own archive"):
        list(import_cifar10(tmp_path / "mine.tgz", edition_of(archive, files)))
    assert list_datasets() == []


def test_a_pickle_that_was_changed_is_never_opened(archive, files, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    for name, content in {**files, "data_batch_3": pickle.dumps(Bomb())}.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserMistake, match="'data_batch_3' is not CIFAR-10's own file"):
        list(import_cifar10(tmp_path, edition_of(archive, files)))
    assert not (tmp_path / "exploded").exists()


def test_a_missing_batch_is_named(archive, files, tmp_path):
    (tmp_path / "batches.meta").write_bytes(files["batches.meta"])
    with pytest.raises(UserMistake, match="has no file 'data_batch_1'"):
        list(import_cifar10(tmp_path, edition_of(archive, files)))


def test_a_folder_of_pictures_is_imported_as_it_is(tmp_path):
    for class_name in ("cat", "dog"):
        for part in ("train", "test"):
            folder = tmp_path / "pictures" / part / class_name
            folder.mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (32, 32), (i, len(part), len(class_name))).save(folder / f"{i}.png")
    dataset = list(import_cifar10(tmp_path / "pictures"))[-1].dataset
    assert (dataset.name, dataset.source, dataset.used) == ("cifar10", "folder", 12)


def test_offline_says_where_to_get_it_and_the_command(archive, files):
    edition = edition_of(archive, files, "http://127.0.0.1:9/cifar.tar.gz")
    with pytest.raises(UserMistake, match=r"get http://127.* data add cifar10 --from FILE"):
        list(import_cifar10(edition=edition, retry=HASTE))


def test_a_cancelled_import_leaves_nothing(archive, files, tmp_path):
    (tmp_path / "mine.tgz").write_bytes(archive)
    work = import_cifar10(tmp_path / "mine.tgz", edition_of(archive, files))
    while next(work).phase != "reading":
        pass
    work.close()
    assert list_datasets() == [] and not list(downloads_root().glob("unpacked-*"))


def test_the_caller_never_imports_torch():
    code = "import sys, core.data.imports.cifar10, core.data.imports.samples\n"
    code += "assert not {'torch', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[3])
