"""Why a worker ended that could not write it itself (killed, crashed), in one sentence for a person."""

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from core.runs.checkpoint import newest_place

# signals after which a second try may succeed; a kill is somebody's will or lack of memory, an exception comes again
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, getattr(signal, "SIGBUS", signal.SIGSEGV))


def has_crashed(exit_code: int) -> bool:
    return -exit_code in CRASHES


def describe_exit(exit_code: int, out_of_memory: bool, folder: Path, epoch: int) -> str:
    """`exit_code` as multiprocessing has it: negative for a signal; `epoch`: the current one, 0 before the first."""
    return f"{why_ended(exit_code, out_of_memory, epoch)} {where_to_resume(folder)}"


def why_ended(exit_code: int, out_of_memory: bool, epoch: int) -> str:
    if exit_code == -signal.SIGKILL and out_of_memory:
        return "The system ran out of memory and stopped the training. Use a smaller batch or image size."
    elif exit_code == -signal.SIGKILL:
        return f"Training stopped unexpectedly{_at(epoch)} (the process was killed, by somebody or for want of memory)."
    elif exit_code < 0:
        name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
        return f"The training process crashed or was ended{_at(epoch)} ({name}); the log has its last words."
    return f"The training process ended without saying why (exit code {exit_code}); the log has the details."


def where_to_resume(folder: Path) -> str:
    """What was saved, as the question that ends a message about a run that broke off."""
    place = newest_place(folder)
    return f"Resume from {place}?" if place else "Nothing had been saved yet. Start it again with Resume?"


def _at(epoch: int) -> str:
    return f" in epoch {epoch}" if epoch else ""


@dataclass
class Memory:
    """Whether memory was short when a worker died: by the kernel's own count where there is one, else as sampled."""

    kills_before: int = field(default_factory=lambda: _oom_kills())
    lowest_share: float = 1.0  # of memory that was available, over the last seconds
    sampled: float = 0.0  # time.monotonic()

    def sample(self) -> None:
        if time.monotonic() - self.sampled > 0.5:
            self.sampled = time.monotonic()
            memory = psutil.virtual_memory()
            share = memory.available / memory.total
            self.lowest_share = min(share, self.lowest_share + 0.1)  # rises slowly again

    def ran_out(self) -> bool:
        return _oom_kills() > self.kills_before or self.lowest_share < 0.05


def _oom_kills() -> int:
    try:
        lines = Path("/sys/fs/cgroup/memory.events").read_text().split("\n")
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    except (OSError, ValueError, IndexError):
        return 0
