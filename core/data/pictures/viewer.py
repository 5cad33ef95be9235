"""Viewer: pictures for the screen, decoded in a child process, so that the server itself never decodes one.

python -m core.data.pictures.viewer         the child; it reads one picture after the other until its input ends
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image

from core.data.pictures.child import ONE_THREAD, ROOT, read_block, write_block
from core.data.pictures.decode_pool import START_SECONDS, limit_memory
from core.data.pictures.picture import Refusal, open_picture, receive_picture
from core.data.pictures.preprocess import Preprocess
from core.settings import Limits, load_limits

CHILD = [sys.executable, "-m", "core.data.pictures.viewer"]
LARGEST = 512  # pixels, the most that a page requests


def show_picture(content: bytes, size: int) -> Image.Image:
    """A picture file as RGB, the right way up, to be shown at about `size` pixels. Raises Refusal.

    A picture whose longest side is above 1,024 pixels is reduced, to at least twice `size`.
    """
    return _reader.ask(content, Preprocess(image_size=min(size, LARGEST)), received=False)


def read_original(content: bytes) -> Image.Image:
    """A picture file as RGB, the right way up, with all its pixels. Raises Refusal."""
    return _reader.ask(content, None, received=False)


def show_received(content: bytes, preprocess: Preprocess) -> Image.Image:
    """A picture file preprocessed for the network, as by receive_picture(): RGB (S, S). Raises Refusal."""
    return _reader.ask(content, preprocess, received=True)


def receive_pictures(contents: Iterable[bytes], preprocess: Preprocess) -> list[np.ndarray | Refusal]:
    """Each picture file preprocessed, uint8 (3, S, S), or why it is refused: as decode_pool.receive_in_child, by the
    lasting child. A few pictures are there at once; many are quicker in the pool."""
    return [_receive_or_refuse(content, preprocess) for content in contents]


def _receive_or_refuse(content: bytes, preprocess: Preprocess) -> np.ndarray | Refusal:
    try:
        return np.asarray(show_received(content, preprocess)).transpose(2, 0, 1)
    except Refusal as refusal:
        return refusal


class Reader:
    """The child, started for the first picture and again after it has died. Threads take turns."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def ask(self, content: bytes, preprocess: Preprocess | None, received: bool) -> Image.Image:
        limits = load_limits()
        question = {
            "limits": limits.model_dump(mode="json"),
            "preprocess": preprocess and preprocess.model_dump(mode="json"),
            "received": received,
        }
        with self.lock:
            child, most = self.process, limits.picture_seconds
            if child is None or child.poll() is not None:
                child, most = self._start(), START_SECONDS + limits.picture_seconds
            clock = threading.Timer(most, child.kill)
            clock.start()
            answer: dict[str, Any] | None = None
            try:
                answer, pixels = _talk(child, json.dumps(question).encode(), content)
            except (RuntimeError, OSError):
                reason = "could not be read safely (it made the decoder fail)"
                raise Refusal(reason if clock.is_alive() else f"took longer than {most:g} seconds to read") from None
            finally:
                clock.cancel()
                if answer is None:  # also after an interrupt: its late answer would be read as the next picture's
                    self.process = None
                    child.kill()
                    child.communicate()
        if answer["refusal"]:
            raise Refusal(answer["refusal"])
        return Image.frombytes("RGB", tuple(answer["size"]), pixels)

    def _start(self) -> "subprocess.Popen[bytes]":
        self.process = subprocess.Popen(
            CHILD,
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD},
            stdin=subprocess.PIPE,  # closed when this process ends, however it does
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self.process


_reader = Reader()


def _talk(child: "subprocess.Popen[bytes]", question: bytes, content: bytes) -> tuple[dict[str, Any], bytes]:
    assert child.stdin is not None and child.stdout is not None
    write_block(child.stdin, question)
    write_block(child.stdin, content)
    child.stdin.flush()
    answer: dict[str, Any] = json.loads(read_block(child.stdout))
    return answer, read_block(child.stdout)


def main() -> None:
    """The child: reads a question and a picture at a time, answers with size or refusal, and the pixels."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not be read as an answer
    limited = False
    with suppress(RuntimeError):  # the input has ended
        while True:
            question, content = json.loads(read_block(sys.stdin.buffer)), read_block(sys.stdin.buffer)
            limits = Limits.model_validate(question["limits"])
            if not limited:
                limit_memory(limits.decoder_memory_bytes)
                limited = True
            answer: dict[str, Any] = {"size": [0, 0], "refusal": ""}
            pixels = b""
            preprocess = question["preprocess"] and Preprocess.model_validate(question["preprocess"])
            try:
                picture = _read(content, preprocess, question["received"], limits)
                answer["size"], pixels = picture.size, picture.tobytes()
            except Refusal as refusal:
                answer["refusal"] = str(refusal)
            write_block(answers, json.dumps(answer).encode())
            write_block(answers, pixels)
            answers.flush()


def _read(content: bytes, preprocess: Preprocess | None, received: bool, limits: Limits) -> Image.Image:
    if received and preprocess is not None:
        return Image.fromarray(receive_picture(content, preprocess, limits).transpose(1, 2, 0))
    return open_picture(content, limits, preprocess)


if __name__ == "__main__":
    main()
