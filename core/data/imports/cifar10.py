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
import zipfile
import zlib
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image

from core.data.datasets.dataset import disk_troubles, list_datasets
from core.data.imports.pipeline import import_dataset, import_pictures
from core.data.pictures.child import read_block, start_child, write_block
from core.disk import sha256_of
from core.download import RetryPolicy, download
from core.errors import UserMistake
from core.progress import Progress
from core.settings import downloads_root

NAME = "cifar10"
_FOLDER = "cifar-10-batches-py"
_MEMBER_BYTES = 2**26  # a batch of 10,000 pictures has 31 MB


@dataclass(frozen=True)
class Edition:
    """The published archive and its checksums. Tests use a tiny one of their own."""

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
    path: Path | None = None, edition: Edition = CIFAR10, retry: RetryPolicy | None = None
) -> Iterator[Progress]:
    """Import CIFAR-10 under the name "cifar10", with its own train and test part; the last Progress has the dataset.

    path: a zip or a folder of pictures, the archive cifar-10-python.tar.gz, or its batches in a folder, a tar or a zip,
    also deep in those, as a repository has them; None downloads the archive, resuming an earlier download. In the
    phases "downloading", "waiting" and "checking" done and total are bytes. Raises UserMistake; only the unfinished
    download is kept then.
    """
    if path is None:
        yield from _import_download(edition, retry)
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
    elif path.is_file() and (_is_tar(path) or _holds_batches(path)):
        yield from _import_archive(path, edition)
    else:
        yield from import_dataset(NAME, path)


def _import_download(edition: Edition, retry: RetryPolicy | None) -> Iterator[Progress]:
    for dataset in list_datasets():
        if dataset.name == NAME:
            yield Progress("done", dataset.used, dataset.used, 0.0, dataset)
            return
    archive = downloads_root() / "cifar-10-python.tar.gz"
    otherwise = (
        f"Without a network: get {edition.url} on another machine, then run python -m core data add cifar10 --from FILE"
    )
    for part in download(edition.url, archive, edition.sha256, edition.size, otherwise=otherwise, retry=retry):
        if part.phase != "done":
            yield Progress(part.phase, part.done, part.total, part.seconds_left)
    yield from _import_archive(archive, edition)
    archive.unlink(missing_ok=True)  # its pictures are in the dataset now


def _import_archive(archive: Path, edition: Edition) -> Iterator[Progress]:
    """Unpack an archive into the downloads folder and import its batches; each is checked before it is opened."""
    root = downloads_root()
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    with tempfile.TemporaryDirectory(prefix="unpacked-", dir=root) as folder:
        yield Progress("unpacking", 0, 0, None)
        with disk_troubles():
            _unpack(archive, Path(folder) / _FOLDER, edition)
        yield from _import_batches(Path(folder) / _FOLDER, edition)


def _unpack(archive: Path, target: Path, edition: Edition) -> None:
    """Extract the files that CIFAR-10 consists of; no name in the archive is ever used as a path."""
    target.mkdir()
    try:
        for name, content in _files_in(archive, set(edition.md5)):
            with (target / name).open("wb") as file:
                file.write(content.read(_MEMBER_BYTES))
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserMistake(f"{archive.name!r} is damaged ({error}); nothing was imported") from error
    if not any(target.iterdir()):
        raise UserMistake(
            f"{archive.name!r} holds no batches of CIFAR-10 (data_batch_1 and so on, the edition for Python); nothing "
            f"was imported; get {edition.url}"
        )


def _files_in(archive: Path, wanted: set[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """(file name, content) of the wanted files of a zip or a tar, whatever folders they lie in."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                if (name := info.filename.rsplit("/", 1)[-1]) in wanted and not info.flag_bits & 1:
                    with packed.open(info) as content:
                        yield name, content
        return
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            file_name = member.name.rsplit("/", 1)[-1]
            extracted = tar.extractfile(member) if file_name in wanted and member.isreg() else None
            if extracted is not None:
                yield file_name, extracted


def _import_batches(batches: Path, edition: Edition) -> Iterator[Progress]:
    """Import the batches; they are pickles, which can hold code, so each checksum is verified before any is opened."""
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
    """(name, class, part, PNG) of every picture; a child process loads torch, which the web server must not."""
    with start_child("core.data.imports.cifar10", str(batches.resolve()), json.dumps(edition.md5)) as pipe:
        while header := read_block(pipe):
            name, class_name, part = json.loads(header)
            yield name, class_name, part, read_block(pipe)


def main(batches: str, md5: dict[str, str]) -> None:
    """The child: torchvision reads the batches; each picture is written to stdout as a header and a PNG."""
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
    picture.save(buffer, "PNG", compress_level=1)  # higher levels hardly compress 32 x 32 pixels and take twice as long
    return buffer.getvalue()


def _batches_folder(path: Path) -> Path | None:
    for folder in (path, path / _FOLDER, *(found.parent for found in _deeper(path))):
        if (folder / "batches.meta").is_file():
            return folder
    return None


def _deeper(path: Path) -> Iterator[Path]:
    """batches.meta up to three folders deep: data/cifar-10-batches-py of a repository, say."""
    for pattern in ("*/batches.meta", "*/*/batches.meta", "*/*/*/batches.meta"):
        yield from sorted(path.glob(pattern))


def _holds_batches(path: Path) -> bool:
    """Whether it is a zip of CIFAR-10's batches, and not one of pictures."""
    try:
        with zipfile.ZipFile(path) as packed:
            return any(name.rsplit("/", 1)[-1] == "batches.meta" for name in packed.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # the import of pictures says what is wrong with it


def _is_tar(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(262)[257:] == b"ustar"


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _sweep(root: Path) -> None:
    """Remove what an import that was killed more than a day ago has left."""
    for left in root.glob("unpacked-*"):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
