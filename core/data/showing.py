"""Pictures for the screen: read in a child process, as those for training are. No server decodes what it was given.

python -m core.data.showing         the child; it reads one picture after the other until its input ends
"""

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

from PIL import Image

from core.data.child import ONE_THREAD, ROOT, read_block, write_block
from core.data.decoding import START_SECONDS, limit_memory
from core.data.picture import Refusal, open_picture, receive_picture
from core.data.preprocess import Preprocess
from core.settings import Limits, load_limits

CHILD = [sys.executable, "-m", "core.data.showing"]
LARGEST = 512  # pixels; larger ones are not asked for, whatever a screen has


def show_picture(content: bytes, size: int) -> Image.Image:
    """A picture file as RGB, the right way up, for a place of about `size` pixels: one whose longest side is above
    1,024 is reduced, to at least twice the size. Raises Refusal."""
    return _reader.ask(content, Preprocess(image_size=min(size, LARGEST)), received=False)


def show_received(content: bytes, preprocess: Preprocess) -> Image.Image:
    """What a network receives of a picture file, as receive_picture() of core/data/picture.py, as RGB (S, S). Raises
    Refusal."""
    return _reader.ask(content, preprocess, received=True)


class Reader:
    """The child, started when the first picture is asked for and again after it has died. Threads take turns."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def ask(self, content: bytes, preprocess: Preprocess, received: bool) -> Image.Image:
        limits = load_limits()
        question = {
            "limits": limits.model_dump(mode="json"),
            "preprocess": preprocess.model_dump(mode="json"),
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
                told = "could not be read safely (it made the decoder fail)"
                raise Refusal(told if clock.is_alive() else f"took longer than {most:g} seconds to read") from None
            finally:
                clock.cancel()
                if answer is None:  # also of one that was only interrupted, lest its answer be taken for the next one's
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
    """The child's life: a question and a picture at a time, answered with size or refusal, and the pixels."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not be taken for an answer
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
            preprocess = Preprocess.model_validate(question["preprocess"])
            try:
                picture = _read(content, preprocess, question["received"], limits)
                answer["size"], pixels = picture.size, picture.tobytes()
            except Refusal as refusal:
                answer["refusal"] = str(refusal)
            write_block(answers, json.dumps(answer).encode())
            write_block(answers, pixels)
            answers.flush()


def _read(content: bytes, preprocess: Preprocess, received: bool, limits: Limits) -> Image.Image:
    if received:
        return Image.fromarray(receive_picture(content, preprocess, limits).transpose(1, 2, 0))
    return open_picture(content, limits, preprocess)


if __name__ == "__main__":
    main()
