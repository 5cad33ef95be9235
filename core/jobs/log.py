"""log: a line of supervisor.log."""

import os
import time
from contextlib import suppress


def log(sentence: str) -> None:
    with suppress(OSError):  # a log that cannot be written stops nobody
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} supervisor {os.getpid()}: {sentence}", flush=True)
