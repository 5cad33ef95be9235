"""The entries of the queue: one empty file a waiting run in queue/, named by its place. Changed under queue_lock."""

import re
from pathlib import Path

from core.locks import ProcessLock, process_lock
from core.settings import atelier_home

_ENTRY = re.compile(r"(\d{9})-([a-z0-9]{12})")
_GAP = 1000  # places between two neighbours, so that a run can be put between them


def queue_lock() -> ProcessLock:
    """The lock for every decision about who starts, cancels or waits; held for milliseconds, freed with its holder."""
    atelier_home().mkdir(parents=True, exist_ok=True)
    path = atelier_home() / "queue.lock"
    return process_lock(path, poll_interval=0.01, is_singleton=True)  # one object: may be taken twice


def waiting_ids() -> list[str]:
    """Ids of the waiting runs, the next one first."""
    return [run_id for _, run_id in _entries()]


def has_queue_entry(run_id: str) -> bool:
    return run_id in waiting_ids()


def add_queue_entry(run_id: str) -> None:
    """Put a run at the end of the queue. Under queue_lock."""
    entries = _entries()
    place = entries[-1][0] + _GAP if entries else _GAP
    _write(place, run_id)


def drop_queue_entry(run_id: str) -> bool:
    """Take a run out of the queue; whether it was in it. Under queue_lock."""
    dropped = False
    for path in _folder().glob(f"*-{run_id}"):  # more than one if a move was cut short
        path.unlink(missing_ok=True)
        dropped = True
    return dropped


def move_queue_entry(run_id: str, position: int) -> None:
    """Give a waiting run position 1, 2, ...; a run that does not wait stays out of the queue. Under queue_lock."""
    order = waiting_ids()
    if run_id not in order:
        return
    order.remove(run_id)
    order.insert(max(0, position - 1), run_id)
    old = list(_folder().iterdir())
    # all new names lie behind the old ones: killed half-way, the queue has the same runs, some of them twice
    first = _entries()[-1][0] + _GAP
    for number, waiting in enumerate(order):
        _write(first + number * _GAP, waiting)
    for path in old:
        path.unlink(missing_ok=True)


def _entries() -> list[tuple[int, str]]:
    try:
        names = [path.name for path in _folder().iterdir()]
    except FileNotFoundError:
        return []
    found = sorted((int(match[1]), match[2]) for name in names if (match := _ENTRY.fullmatch(name)))
    first: dict[str, int] = {}
    for place, run_id in found:
        first.setdefault(run_id, place)  # of a run that is there twice, because a move was cut short, the first counts
    return [(place, run_id) for run_id, place in first.items()]


def _write(place: int, run_id: str) -> None:
    _folder().mkdir(parents=True, exist_ok=True)
    (_folder() / _name(place, run_id)).touch()


def _name(place: int, run_id: str) -> str:
    return f"{place:09d}-{run_id}"


def _folder() -> Path:
    return atelier_home() / "queue"
