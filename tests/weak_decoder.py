"""A decoding process that fails on purpose: the last bytes of a picture name the failure."""

import ctypes
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.data.pictures import decode_pool as decoding


def spin():
    while True:
        pass


FAILURES = {
    b"abort": os.abort,
    b"segfault": lambda: ctypes.string_at(0),
    b"exit": lambda: os._exit(0),
    b"raise": lambda: 1 / 0,
    b"sleep": lambda: time.sleep(1000),
    b"spin": spin,
}
receive_noted = decoding.receive_noted


def receive_weakly(content, preprocess, limits):
    for name, fail in FAILURES.items():
        if content.endswith(name):
            fail()
    return receive_noted(content, preprocess, limits)


if __name__ == "__main__":
    decoding.receive_noted = receive_weakly
    decoding.main()
