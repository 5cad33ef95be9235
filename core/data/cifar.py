"""CIFAR-10 (Krizhevsky 2009): downloaded or given, checked, and read by torchvision in a child process."""

import gzip
import hashlib
import io
import json
import shutil
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from core.data.child import read_block, start_child, write_block
from core.data.dataset import Progress, disk_troubles, import_dataset, import_pictures, list_datasets
from core.disk import sha256_of
from core.download import Patience, download
from core.errors import UserMistake
from core.settings import downloads_root

NAME = "cifar10"
_FOLDER = "cifar-10-batches-py"
_MEMBER_BYTES = 2**26  # a batch of 10,000 pictures has 31 MB


@dataclass(frozen=True)
class Edition:
    """Which file is the right one. Tests bring a tiny edition of their own."""

    url: str
    sha256: str
    size: int  # bytes
    md5: dict[str, str]  # of each file in the archive, as torchvision checks them
    pictures: int = 60_000


CIFAR10 = Edition(  # a test holds url and md5 against torchvision.datasets.CIFAR10; the SHA-256 is the one Keras pins
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size=170_498_071,
    md5={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)


def import_cifar10(
    path: Path | None = None, edition: Edition = CIFAR10, patience: Patience | None = None
) -> Iterator[Progress]:
    """Import CIFAR-10 under the name "cifar10", with its own train and test part; the last Progress has the dataset.

    path: a zip or a folder of pictures, the archive cifar-10-python.tar.gz, or a folder that holds its batches; None
    downloads the archive, and goes on where an earlier download broke off. While the phase is "downloading", "waiting"
    or "checking", done and total are bytes. Raises UserMistake; nothing but the download is kept then.
    """
    if path is None:
        yield from _import_download(edition, patience)
    elif (batches := _batches_folder(path)) is not None:
        yield from _import_batches(batches, edition)
    elif path.is_file() and _is_gzip(path):
        yield Progress("checking", 0, path.stat().st_size, None)
        if (found := sha256_of(path)) != edition.sha256:
            raise UserMistake(
                f"{path.name!r} is not CIFAR-10's own archive (its SHA-256 is {found[:12]}..., expected "
                f"{edition.sha256[:12]}...); nothing was imported; get it again from {edition.url}"
            )
        yield from _import_archive(path, edition)
    else:
        yield from import_dataset(NAME, path)


def _import_download(edition: Edition, patience: Patience | None) -> Iterator[Progress]:
    for dataset in list_datasets():
        if dataset.name == NAME:
            yield Progress("done", dataset.used, dataset.used, 0.0, dataset)
            return
    archive = downloads_root() / "cifar-10-python.tar.gz"
    otherwise = (
        f"Without a network: get {edition.url} on another machine, then run python -m core data add cifar10 --from FILE"
    )
    for part in download(edition.url, archive, edition.sha256, edition.size, otherwise=otherwise, patience=patience):
        if part.phase != "done":
            yield Progress(part.phase, part.done, part.total, part.seconds_left)
    yield from _import_archive(archive, edition)
    archive.unlink(missing_ok=True)  # its pictures are in the dataset now


def _import_archive(archive: Path, edition: Edition) -> Iterator[Progress]:
    """Unpack a checked archive beside the downloads, and import what came out."""
    root = downloads_root()
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    with tempfile.TemporaryDirectory(prefix="unpacked-", dir=root) as folder:
        yield Progress("unpacking", 0, 0, None)
        with disk_troubles():
            _unpack(archive, Path(folder) / _FOLDER, edition)
        yield from _import_batches(Path(folder) / _FOLDER, edition)


def _unpack(archive: Path, target: Path, edition: Edition) -> None:
    """Copy out the files that CIFAR-10 consists of; no name in the archive is ever taken as a path."""
    target.mkdir()
    wanted = {f"{_FOLDER}/{name}": name for name in edition.md5}
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                name = wanted.get(member.name)
                content = tar.extractfile(member) if name and member.isreg() and member.size <= _MEMBER_BYTES else None
                if name and content is not None:
                    with (target / name).open("wb") as file:
                        shutil.copyfileobj(content, file)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise UserMistake(f"{archive.name!r} is damaged ({error}); nothing was imported") from error


def _import_batches(batches: Path, edition: Edition) -> Iterator[Progress]:
    """The batches are pickles, which can hold code: none is opened before its checksum was right."""
    for name, md5 in edition.md5.items():
        file = batches / name
        if not file.is_file():
            raise UserMistake(f"{batches.name!r} has no file {name!r}; nothing was imported; get {edition.url} again")
        with file.open("rb") as opened:
            if hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() != md5:
                raise UserMistake(
                    f"{name!r} is not CIFAR-10's own file (its checksum is another one); it was not opened and nothing "
                    f"was imported; get {edition.url} again"
                )
    pictures = _read_in_child(batches, edition)
    try:
        yield from import_pictures(NAME, pictures, "cifar10", False, edition.pictures)
    finally:
        pictures.close()


def _read_in_child(batches: Path, edition: Edition) -> Generator[tuple[str, str, str, bytes], None, None]:
    """(name, class, part, PNG) of every picture. The child has torch, the caller (a web server) never does."""
    with start_child("core.data.cifar", str(batches.resolve()), json.dumps(edition.md5)) as pipe:
        while header := read_block(pipe):
            name, class_name, part = json.loads(header)
            yield name, class_name, part, read_block(pipe)


def main(batches: str, md5: dict[str, str]) -> None:
    """In the child: torchvision reads the batches; each picture goes to stdout as a header and a PNG."""
    from torchvision.datasets import CIFAR10 as Reader

    class Pinned(Reader):
        base_folder = Path(batches).name
        train_list = [[name, md5[name]] for name in sorted(md5) if name.startswith("data_batch")]  # noqa: RUF012
        test_list = [["test_batch", md5["test_batch"]]]  # noqa: RUF012
        meta = {**Reader.meta, "md5": md5["batches.meta"]}  # noqa: RUF012

    answers = sys.stdout.buffer
    for part in ("train", "test"):
        reader = Pinned(Path(batches).parent, train=part == "train", download=False)
        seen: Counter[str] = Counter()
        for picture, label in reader:
            class_name = reader.classes[label]
            name = f"{part}/{class_name}/{seen[class_name]:04d}.png"
            seen[class_name] += 1
            write_block(answers, json.dumps([name, class_name, part]).encode())
            write_block(answers, _png(picture))
    write_block(answers, b"")  # the end
    answers.flush()


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)  # 32 x 32 noise hardly gets smaller; twice as quick
    return buffer.getvalue()


def _batches_folder(path: Path) -> Path | None:
    for folder in (path, path / _FOLDER):
        if (folder / "batches.meta").is_file():
            return folder
    return None


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _sweep(root: Path) -> None:
    """What a killed import left a day ago."""
    for left in root.glob("unpacked-*"):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
