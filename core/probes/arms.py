"""Arm: a training in a process of its own that is timed in turns with others, and stands still in between. No torch."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import UserMistake


class Arm:
    """The process of `python -m MODULE ARGUMENTS`, which answers a first line when it is ready."""

    def __init__(self, module: str, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            cwd=Path(__file__).resolve().parents[2],
        )

    def __enter__(self) -> "Arm":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, seconds: float) -> None:
        """Let it train for about so long."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Its next line. UserMistake where it cannot train, or has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"mistake": "a training that was timed has ended"}
        if "mistake" in answer:
            raise UserMistake(answer["mistake"])
        return answer


def turn(arms: Sequence[Arm], seconds: float) -> tuple[float, float]:
    """Let all of them train at once: (pictures a second of all together, seconds that they computed)."""
    for arm in arms:
        arm.ask(seconds)
    answers = [arm.answer() for arm in arms]
    rates = [answer["pictures"] / answer["seconds"] for answer in answers]
    return sum(rates), sum(answer["busy"] for answer in answers)
