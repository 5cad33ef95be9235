"""A client of the server: multipart by hand, so that nothing else is needed."""

import http.client
import json
from dataclasses import dataclass
from typing import Any

BOUNDARY = "picture-boundary"


@dataclass
class Reply:
    status: int
    document: Any
    headers: dict[str, str]


def multipart(files: list[tuple[str, bytes]]) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """One request on a connection of its own; headers as host="a", content_type="b"."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        content = response.read()
        return Reply(response.status, json.loads(content), {k.lower(): v for k, v in response.getheaders()})
    finally:
        connection.close()


def predict(port: int, files: list[tuple[str, bytes]], **headers: str) -> Reply:
    form = {"content_type": f"multipart/form-data; boundary={BOUNDARY}"}
    return ask(port, "POST", "/predict", multipart(files), **form, **headers)
