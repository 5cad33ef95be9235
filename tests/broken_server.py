"""A file server on this machine that breaks in every way the tests ask for; it understands Range and If-Range."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class BrokenServer:
    content: bytes
    troubles: list[str] = field(default_factory=list)  # one for each request, in order; after them all is well
    etag: str | None = '"one"'
    ranges: list[str | None] = field(default_factory=list)  # the Range header of each request
    url: str = ""


@contextmanager
def serve(content: bytes, *troubles: str, etag: str | None = '"one"') -> Iterator[BrokenServer]:
    """Troubles: half, stall, html, flip, longer, 503, 404, elsewhere, no-length, slow."""
    state, released = BrokenServer(content, list(troubles), etag), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.ranges.append(self.headers.get("Range"))
            trouble = state.troubles.pop(0) if state.troubles else ""
            if trouble.isdecimal():
                self.send_error(int(trouble))
            elif trouble == "elsewhere":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.2:9/secret")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.send_file(trouble)

        def send_file(self, trouble: str) -> None:
            body = state.content
            if trouble == "html":
                body = b"<!DOCTYPE html><title>Sign in</title>".ljust(len(body))
            elif trouble == "flip":
                body = bytes([body[0] ^ 1]) + body[1:]
            elif trouble == "longer":
                body = body + b"more"
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if asked and self.headers.get("If-Range", state.etag) == state.etag:
                first = int(asked[1])
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            else:
                first = 0
                self.send_response(200)
            rest = body[first:]
            if trouble != "no-length":
                self.send_header("Content-Length", str(len(rest)))
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            if trouble in ("half", "stall"):
                self.wfile.write(rest[: len(rest) // 2])
                self.wfile.flush()
                if trouble == "stall":
                    released.wait(10)
            elif trouble == "slow":
                for start in range(0, len(rest), len(rest) // 8):
                    self.wfile.write(rest[start : start + len(rest) // 8])
                    time.sleep(0.1)
            else:
                self.wfile.write(rest)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/file.bin"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield state
        finally:
            released.set()
            server.shutdown()
