"""Downloads: resumed after a broken connection, checked against a pinned SHA-256, one at a time for all sessions."""

import errno
import http.client
import os
import random
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from core.disk import read_json, sha256_of, sync_folder, write_json
from core.errors import UserMistake
from core.locks import process_lock

PIECE = 2**16  # bytes asked of the socket at a time
TICK_SECONDS = 0.2  # between two reports of progress
SLOWEST = 1024  # bytes a second over a whole read timeout; below it the server counts as stalled
HEADROOM = 2**26  # bytes that must stay free besides the file


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts and retries of a download."""

    connect: float = 10.0  # seconds
    read: float = 30.0  # seconds without a byte
    tries: int = 4  # in a row without new bytes
    pause: float = 1.0  # seconds before the second try; doubled for each further one


@dataclass(frozen=True)
class DownloadProgress:
    phase: str  # "waiting" (for another session that downloads it), "downloading", "checking", "done"
    done: int  # bytes
    total: int  # bytes, 0 where unknown
    seconds_left: float | None = None


def download(
    url: str,
    target: Path,
    sha256: str,
    size: int | None = None,
    *,
    otherwise: str = "",
    retry: RetryPolicy | None = None,
) -> Iterator[DownloadProgress]:
    """Download `url` to `target`, which then has the pinned SHA-256; an unfinished part is kept as TARGET.partial.

    sha256: hexadecimal, or its first digits where the publisher pins no more. A file that has it is not downloaded
    again. otherwise: the sentence that ends every UserMistake and says what else can be done. Raises
    UserMistake when the server cannot be reached, stalls or sends another file, and when the disk is full.
    """
    job = _Download(url, target, sha256, size, f" {otherwise}" if otherwise else "", retry or RetryPolicy())
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = process_lock(target.with_name(f"{target.name}.lock"))
    yield from job.wait_for(lock)
    try:
        yield from job.run()
    finally:
        lock.release()


@dataclass
class _Download:
    url: str
    target: Path
    sha256: str
    size: int | None
    otherwise: str
    retry: RetryPolicy

    @property
    def partial(self) -> Path:
        return self.target.with_name(f"{self.target.name}.partial")

    @property
    def stamp(self) -> Path:
        """ETag and date of the file that .partial is the beginning of."""
        return self.target.with_name(f"{self.target.name}.partial.json")

    @property
    def host(self) -> str:
        return urllib.parse.urlsplit(self.url).netloc

    @property
    def received(self) -> int:
        """Bytes that were downloaded so far."""
        return self.partial.stat().st_size if self.partial.exists() else 0

    def is_right(self, path: Path) -> bool:
        """Whether the file has the pinned checksum."""
        return sha256_of(path).startswith(self.sha256)

    def wait_for(self, lock: FileLock) -> Iterator[DownloadProgress]:
        """Acquire the lock; yields the progress of the session that holds it meanwhile."""
        while True:
            try:
                lock.acquire(timeout=0)
                return
            except Timeout:
                yield DownloadProgress("waiting", self.received, self.size or 0)
                time.sleep(TICK_SECONDS)

    def run(self) -> Iterator[DownloadProgress]:
        if self.target.exists():
            yield DownloadProgress("checking", self.target.stat().st_size, self.size or 0)
            if self.is_right(self.target):
                yield DownloadProgress("done", self.target.stat().st_size, self.target.stat().st_size)
                return
            self.target.unlink()
        resumed = self.received > 0
        yield from self._fetch()
        yield DownloadProgress("checking", self.received, self.received)
        if resumed and not self.is_right(self.partial):  # the part that was kept may be of another file
            self._forget()
            yield from self._fetch()
        if not self.is_right(self.partial):
            raise self._other_file()
        self.partial.replace(self.target)
        sync_folder(self.target.parent)
        self.stamp.unlink(missing_ok=True)
        yield DownloadProgress("done", self.target.stat().st_size, self.target.stat().st_size)

    def _fetch(self) -> Iterator[DownloadProgress]:
        """Try until the file is complete, or RetryPolicy.tries attempts in a row brought nothing new."""
        failures = 0
        while True:
            before = self.received
            self._check_room()
            try:
                yield from self._one_try()
                return
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 416, 429):
                    raise self._mistake(f"{self.host} answered {error.code} {error.reason} for {self.url}") from error
                if isinstance(error, urllib.error.HTTPError) and error.code == 416:
                    self._forget()
                failures = 1 if self.received >= before + 2**20 else failures + 1
                if failures >= self.retry.tries:
                    raise self._mistake(self._reason(error)) from error
                yield DownloadProgress("downloading", self.received, self.size or 0)
                # jitter: many machines that lost the same server do not come back in the same second
                time.sleep(self.retry.pause * 2 ** (failures - 1) * random.uniform(0.8, 1.2))

    def _one_try(self) -> Iterator[DownloadProgress]:
        start = self.received
        if self.size is not None and start > self.size:
            self._forget()
            start = 0
        if self.size is not None and start == self.size:
            return
        request = urllib.request.Request(self.url, headers={"User-Agent": "atelier", "Accept-Encoding": "identity"})
        if start:
            request.add_header("Range", f"bytes={start}-")
            validator = self._validator()
            if validator:
                request.add_header("If-Range", validator)
        with _opener(self.retry, self.host).open(request, timeout=self.retry.connect) as response:
            start, total = self._agree(response, start)
            yield from self._receive(response, start, total)

    def _agree(self, response: http.client.HTTPResponse, start: int) -> tuple[int, int]:
        """(first byte of the response in the file, length of the file or 0); .partial is cut to that first byte."""
        length = response.headers.get("Content-Length")
        if response.status == 206:
            first, total = _content_range(response.headers.get("Content-Range", ""))
            if first != start:
                self._forget()
                raise http.client.HTTPException("the server sent another part than it was asked for")
        else:
            start, total = 0, int(length) if length and length.isdecimal() else 0
        if self.size is not None and total and total != self.size:
            self._forget()
            kind = response.headers.get_content_type()
            raise self._mistake(
                f"{self.host} offers another file than expected ({total:,} bytes of {kind} instead of {self.size:,})"
            )
        if start == 0:
            self._forget()
            headers = response.headers
            write_json(self.stamp, {"etag": headers.get("ETag"), "last_modified": headers.get("Last-Modified")})
        return start, self.size or total

    def _receive(self, response: http.client.HTTPResponse, start: int, total: int) -> Iterator[DownloadProgress]:
        began = reported = window = time.monotonic()
        done = in_window = start
        with self.partial.open("ab", buffering=0) as file:
            while piece := response.read1(PIECE):
                if total and done + len(piece) > total:
                    self._forget()
                    raise self._mistake(f"{self.host} sends more than the expected {total:,} bytes")
                _write(file, piece, self.otherwise)
                done += len(piece)
                now = time.monotonic()
                if now - window >= self.retry.read:
                    if done - in_window < SLOWEST * (now - window):
                        raise TimeoutError("the server has almost stopped sending")
                    window, in_window = now, done
                if now - reported >= TICK_SECONDS:
                    reported = now
                    pace = (done - start) / (now - began)
                    yield DownloadProgress("downloading", done, total, (total - done) / pace if total else None)
            os.fsync(file.fileno())
        if total and done < total:
            raise http.client.IncompleteRead(b"", total - done)

    def _validator(self) -> str | None:
        """The strong ETag (RFC 9110) or the date of the file that .partial is the beginning of."""
        try:
            stamp = read_json(self.stamp)
            etag, date = stamp.get("etag"), stamp.get("last_modified")
        except (OSError, ValueError, AttributeError):
            return None
        return etag if isinstance(etag, str) and not etag.startswith("W/") else date if isinstance(date, str) else None

    def _check_room(self) -> None:
        needed = (self.size or 0) - self.received + HEADROOM
        free = shutil.disk_usage(self.target.parent).free
        if free < needed:
            raise UserMistake(
                f"{self.target.name} needs {_mb(needed)} of free disk and there are {_mb(free)}; free some space and "
                f"try again.{self.otherwise}"
            )

    def _forget(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.stamp.unlink(missing_ok=True)

    def _other_file(self) -> UserMistake:
        with self.partial.open("rb") as file:
            page = file.read(256).lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml"))
        self._forget()
        what = (
            "a web page came in its place (a sign-in page of the network?)" if page else "its checksum is another one"
        )
        return self._mistake(f"what {self.host} sent is not {self.target.name}: {what}; it was deleted")

    def _reason(self, error: Exception) -> str:
        cause = getattr(error, "reason", error)
        if isinstance(cause, TimeoutError):
            reason = f"{self.host} is not responding"
        elif isinstance(error, urllib.error.HTTPError):
            reason = f"{self.host} answered {error.code} {error.reason}"
        elif isinstance(error, urllib.error.URLError):
            reason = f"{self.host} cannot be reached ({cause})"
        else:
            reason = f"the connection to {self.host} broke off"
        if not self.received:
            return reason
        total = f" of {_mb(self.size)}" if self.size else ""
        return f"{reason}; {_mb(self.received)}{total} were kept and the next try goes on from there"

    def _mistake(self, reason: str) -> UserMistake:
        return UserMistake(f"{reason}.{self.otherwise}")


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only on the pinned host and never from https to http."""

    def __init__(self, host: str) -> None:
        self.host = host

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        to = urllib.parse.urlsplit(newurl)
        if (
            to.netloc != self.host
            or to.scheme not in ("http", "https")
            or (req.type == "https" and to.scheme != "https")
        ):
            raise urllib.error.HTTPError(req.full_url, 403, f"(a redirect to {to.netloc} was refused)", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(retry: RetryPolicy, host: str) -> urllib.request.OpenerDirector:
    """urllib with its proxies; the timeout of the request is for connecting, then the read timeout takes over."""

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(retry.read)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(retry.read)

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: Any) -> Any:
            return self.do_open(Plain, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: Any) -> Any:
            return self.do_open(Secure, req, context=ssl.create_default_context())

    return urllib.request.build_opener(PlainHandler, SecureHandler, _SameHost(host))


def _content_range(text: str) -> tuple[int, int]:
    """("bytes 5-9/10") -> (5, 10); anything else raises HTTPException."""
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    first = span.partition("-")[0]
    if unit != "bytes" or not first.isdecimal() or not total.isdecimal():
        raise http.client.HTTPException(f"the server sent the range {text!r}")
    return int(first), int(total)


def _write(file: IO[bytes], piece: bytes, otherwise: str) -> None:
    """Raises what is not an OSError, so that trouble with the disk is never taken for trouble with the network."""
    view = memoryview(piece)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserMistake(
                f"the disk is full; what was downloaded so far was kept; free some space and try again.{otherwise}"
            ) from error
        raise RuntimeError(f"{file.name} cannot be written: {error}") from error


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 10_000_000 else f"{count / 1e6:,.0f} MB"
