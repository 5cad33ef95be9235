"""ZipSource: a zip that holds a folder for each class, with or without train/ and test/ above them.

Nothing is extracted to disk: names are compared as text only, and none ever becomes a path.
"""

import contextlib
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from core.data.pictures.picture import Refusal, too_large
from core.data.sources.layout import Parts, Reading
from core.data.sources.listing import CIFAR, HEAD_BYTES, Arrange, Entry, Found, arrange
from core.data.sources.names import shortened
from core.errors import UserMistake
from core.settings import Limits, atelier_home


class ZipSource:
    """An untrusted zip: bytes are counted as they are decompressed, whatever the headers claim."""

    arranged = staticmethod(arrange)

    def __init__(
        self,
        file: IO[bytes],
        limits: Limits,
        encoding: str | None = None,
        reading: Reading = "auto",
        labels: Arrange | None = None,
    ) -> None:
        """labels: arranges the files where a table says their classes."""
        if encoding is not None and encoding not in ENCODINGS:
            raise UserMistake(f"unknown encoding {encoding!r}; known: {', '.join(ENCODINGS)}; nothing was imported")
        self.file, self.limits, self.encoding = file, limits, encoding
        self.size = os.fstat(file.fileno()).st_size
        self.produced = self.consumed = self.damaged = self.tried = 0
        self.budget = min(limits.expanded_bytes, _free_bytes() // 2)
        self._check_kind()
        self.infos = self._listed()
        self._check_overlaps()
        self.garbled = 0
        self.folders: list[Parts] = []
        files = list(self._files())
        self.listing = labels(files, limits) if labels else self.arranged(files, limits, reading, self.folders)
        self.listing.garbled = self.garbled
        if self.garbled and encoding is None:
            self.listing.notes.append(
                f"{self.garbled} name(s) are in an old code page and may look garbled; choose the encoding, or pack "
                "the zip with UTF-8 names to have them right."
            )
        elif self.garbled:
            self.listing.notes.append(f"{self.garbled} name(s) were read as {ENCODINGS[self.encoding or '']}.")

    def _check_kind(self) -> None:
        if self.size > self.limits.zip_bytes:
            raise UserMistake(
                f"the zip has {_mb(self.size)}; the limit is {_mb(self.limits.zip_bytes)}; unpack it and import the "
                "folder, or raise zip_bytes in limits.json"
            )
        head = self.file.read(512)
        if head.startswith(b"cifar-10-batches"):  # a tar begins with the name of its first file
            raise UserMistake(CIFAR)
        for kind, offset, magic in OTHER_ARCHIVES:
            if head[offset:].startswith(magic):
                raise UserMistake(f"this file is {kind}, not a zip; please pack it as zip; nothing was imported")
        if not head:
            raise UserMistake("the file is empty (0 bytes); nothing was imported")
        if head.startswith(b"PK\x05\x06"):
            raise UserMistake("the zip contains no pictures; expected one folder for each class; nothing was imported")
        if not head.startswith(b"PK\x03\x04"):
            raise UserMistake(f"this is not a plain zip file{_prefixed(self.file)}; nothing was imported")

    def _listed(self) -> list[zipfile.ZipInfo]:
        count, directory = _end_record(self.file, self.size)
        most = self.limits.zip_entries
        if count > most or directory > max(2**20, most * 512):
            raise UserMistake(
                f"the zip lists {count:,} files in a directory of {_mb(directory)}; the limit is {most:,} files; "
                "nothing was imported"
            )
        try:
            with zipfile.ZipFile(self.file) as archive:
                self.directory_start = archive.start_dir
                infos = archive.infolist()
        except Exception as error:  # mutated zips raise seven kinds, none more helpful than this sentence
            raise UserMistake(INCOMPLETE) from error
        if len(infos) > most:
            raise UserMistake(f"the zip lists {len(infos):,} files; the limit is {most:,}; nothing was imported")
        if (claimed := sum(info.file_size for info in infos)) > self.budget:
            raise self._bomb(claimed)
        return infos

    def _check_overlaps(self) -> None:
        """Each file's bytes end before the next file's begin, and the last one's before the directory."""
        ordered = sorted(self.infos, key=lambda info: info.header_offset)
        ends = [*(info.header_offset for info in ordered), self.directory_start][1:]
        if ordered and ordered[0].header_offset < 0:
            raise UserMistake(INCOMPLETE)
        self.ends = {id(info): end for info, end in zip(ordered, ends, strict=True)}
        for info, end in zip(ordered, ends, strict=True):
            if info.header_offset + LOCAL_HEADER.size + info.compress_size > end:
                raise UserMistake(OVERLAP)

    def _files(self) -> Iterator[Found]:
        for key, info in enumerate(self.infos):
            name, guessed = _entry_name(info, self.encoding)
            self.garbled += guessed
            path = name.replace("\\", "/")
            parts = tuple(part for part in path.split("/") if part not in ("", "."))
            if ".." in parts or path.startswith("/") or re.match(r"[A-Za-z]:(/|$)", path):
                raise UserMistake(
                    f"this zip was refused: it contains a path that points outside the archive ({shortened(name)!r}); "
                    "nothing was imported"
                )
            mode = info.external_attr >> 16
            if path.endswith("/") or stat.S_ISDIR(mode) or not parts:
                self.folders.append(parts)
                continue
            yield parts, key, self._reason(info, mode)

    def _reason(self, info: zipfile.ZipInfo, mode: int) -> str | None:
        if stat.S_ISLNK(mode):
            return "is a link inside the zip, not a picture"
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            return "is a device or a pipe, not a picture"
        if info.flag_bits & 0x41:
            raise UserMistake("this zip is password-protected; please pack it without a password; nothing was imported")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserMistake(
                f"this zip uses an unsupported compression (method {info.compress_type}); please pack it again with "
                "the standard option; nothing was imported"
            )
        if info.file_size > self.limits.picture_bytes:
            return str(too_large(self.limits))
        return None

    def read(self, entry: Entry) -> bytes:
        info = self.infos[entry.key]
        self.tried += 1
        try:
            return self._expanded(info, self._packed(info))
        except Refusal as refusal:
            self.damaged += str(refusal) == DAMAGED
            if self.damaged >= 10 and self.damaged * 5 > len(self.listing.entries):
                raise UserMistake(
                    f"more than a fifth of the files in this zip are damaged ({self.damaged} of the first "
                    f"{self.tried}); please download or pack it again; nothing was imported"
                ) from refusal
            raise

    def length(self, entry: Entry) -> int:
        return self.infos[entry.key].file_size

    def checksum(self, entry: Entry) -> int | None:
        return self.infos[entry.key].CRC

    def head(self, entry: Entry) -> bytes:
        info = self.infos[entry.key]
        packed = self._packed(info, 4 * HEAD_BYTES)
        if info.compress_type == zipfile.ZIP_STORED:
            return packed[:HEAD_BYTES]
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, HEAD_BYTES)
        except zlib.error:
            raise Refusal(DAMAGED) from None

    def _packed(self, info: zipfile.ZipInfo, most: int | None = None) -> bytes:
        """The compressed bytes of a file, or the first `most` of them."""
        self.file.seek(info.header_offset)
        header = self.file.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise Refusal(DAMAGED)
        *_, name_bytes, extra_bytes = LOCAL_HEADER.unpack(header)
        start = info.header_offset + LOCAL_HEADER.size + name_bytes + extra_bytes
        if start + info.compress_size > self.ends[id(info)]:
            raise UserMistake(OVERLAP)
        self.file.seek(start)
        return self.file.read(info.compress_size if most is None else min(most, info.compress_size))

    def _expanded(self, info: zipfile.ZipInfo, packed: bytes) -> bytes:
        most = self.limits.picture_bytes
        if info.compress_type == zipfile.ZIP_STORED:
            content, ended = packed[: most + 1], True
        else:
            most = min(most, max(2**20, int(self.limits.ratio_entry * len(packed))))
            expander = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                content = expander.decompress(packed, most + 1)
            except zlib.error:
                raise Refusal(DAMAGED) from None
            ended = expander.eof
        self._count(len(packed), len(content))
        if len(content) > self.limits.picture_bytes:
            raise too_large(self.limits)
        if len(content) > most:
            raise Refusal(f"expands to more than {self.limits.ratio_entry:g} times its packed size")
        if not ended or len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise Refusal(DAMAGED)
        return content

    def _count(self, consumed: int, produced: int) -> None:
        self.consumed += consumed
        self.produced += produced
        beyond = self.produced > 100e6 and self.produced > self.limits.ratio_whole * self.consumed
        if self.produced > self.budget or beyond:
            raise self._bomb(self.produced)

    def _bomb(self, size: int) -> UserMistake:
        if size <= self.limits.expanded_bytes and size > self.budget:
            return UserMistake(
                f"the pictures have {_mb(size)}; {_mb(2 * self.budget)} are free where Atelier keeps its files, half "
                "of which may be used; nothing was imported; free some space, or move ATELIER_HOME"
            )
        return UserMistake(
            f"this zip would expand to more than {_mb(self.budget)} or {self.limits.ratio_whole:g} times its size "
            "(limit); nothing was imported; split it, or raise the limit in limits.json"
        )


LOCAL_HEADER = struct.Struct("<4s5H3I2H")
INCOMPLETE = (
    "the zip is incomplete or damaged (the upload or the original download was cut short); please download it again; "
    "nothing was imported"
)


OVERLAP = "this zip is malformed (files overlap); nothing was imported"
DAMAGED = "is damaged in the zip"
OTHER_ARCHIVES = (
    ("a RAR archive", 0, b"Rar!"),
    ("a 7-Zip archive", 0, b"7z\xbc\xaf\x27\x1c"),
    ("a gzip archive", 0, b"\x1f\x8b"),
    ("a bzip2 archive", 0, b"BZh"),
    ("an xz archive", 0, b"\xfd7zXZ\x00"),
    ("a tar archive", 257, b"ustar"),
    ("a Zstandard archive", 0, b"\x28\xb5\x2f\xfd"),
)


ENCODINGS = {  # code pages in which zips without UTF-8 names are found, and what to call them
    "cp932": "Japanese (Shift-JIS)",
    "gb18030": "Chinese, simplified (GBK)",
    "big5": "Chinese, traditional (Big5)",
    "cp949": "Korean",
    "cp866": "Cyrillic (DOS)",
    "cp1251": "Cyrillic (Windows)",
    "cp1252": "Western European (Windows)",
    "cp850": "Western European (DOS)",
    "cp1250": "Central European (Windows)",
    "cp1253": "Greek (Windows)",
    "cp1254": "Turkish (Windows)",
    "cp1255": "Hebrew (Windows)",
    "cp1256": "Arabic (Windows)",
}


def _entry_name(info: zipfile.ZipInfo, encoding: str | None = None) -> tuple[str, bool]:
    """The name in the zip, and whether its code page is a guess; names without the UTF-8 flag often are UTF-8 too."""
    name = info.orig_filename
    if (better := _unicode_name(info)) is not None:
        return better, False
    if info.flag_bits & 0x800 or name.isascii():
        return name, False
    try:
        return name.encode("cp437").decode("utf-8"), False
    except UnicodeError:
        return (name.encode("cp437").decode(encoding, "replace") if encoding else name), True


def _unicode_name(info: zipfile.ZipInfo) -> str | None:
    """The name in the extra field 0x7075, which WinRAR and Info-ZIP write beside a stand-in such as "??/1.png".

    None without such a field, or where its CRC-32 is not that of the name in the header.
    """
    extra, raw = info.extra, info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        content, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == 0x7075 and len(content) == length > 5 and content[0] == 1:
            if struct.unpack("<I", content[1:5])[0] != zlib.crc32(raw):
                continue
            with contextlib.suppress(UnicodeError):
                return content[5:].decode("utf-8")
    return None


def _end_record(file: IO[bytes], size: int) -> tuple[int, int]:
    """(number of files, bytes of the directory) as the end record claims, read before the directory is parsed."""
    file.seek(max(0, size - 65_557))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise UserMistake(INCOMPLETE)
    count, directory = struct.unpack("<HI", tail[at + 10 : at + 16])
    wide = tail.rfind(b"PK\x06\x06", 0, at)
    if (count == 0xFFFF or directory == 0xFFFFFFFF) and wide >= 0 and at - wide >= 56:
        count, directory = struct.unpack("<QQ", tail[wide + 32 : wide + 48])
    return count, directory


def _prefixed(file: IO[bytes]) -> str:
    return " (other data stands before it)" if zipfile.is_zipfile(file) else ""


def _free_bytes() -> int:
    folder = atelier_home()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _mb(size: int) -> str:
    return f"{size / 2**30:.3g} GB" if size >= 2**30 else f"{size / 2**20:.3g} MB"
