"""What people do to runs: resume, rename, star, note, hide, delete, restore. (Stopping: run.py; the line: queue.py.)

Every deed is done in one step under the lock of the queue: it happens wholly or not at all.
"""

import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from core.config import RunConfig, change_config
from core.disk import read_json, sync_folder, write_json
from core.errors import UserMistake
from core.runs.checkpoint import Checkpoint, read_checkpoint
from core.runs.people import Asker, plain
from core.runs.process import mark_process
from core.runs.queue import refuse_if_full, submit
from core.runs.run import (
    BRIEFLY,
    Marks,
    Run,
    RunState,
    cancel,
    match_id,
    must_exist,
    open_run,
    read_state,
    replace_state,
    run_lock,
    write_launch,
    write_state,
)
from core.runs.tickets import move_ticket, queue_lock
from core.settings import must_have_room, runs_root, trash_root

TITLE_CHARACTERS = 80
NOTE_CHARACTERS = 10_000
_ID = re.compile(r"[a-z0-9]{12}")
_EMPTIED = ".emptied-"


def resume_run(
    run: Run,
    fingerprint: str,
    pictures: int,
    epochs: int | None = None,
    in_line: bool = False,
    asker: Asker | None = None,
    retry: str = "",
) -> Run:
    """Begin the next attempt of a run that has ended: it goes on from its newest checkpoint, or from the beginning
    where there is none yet. With `epochs` a finished run trains on; one that had stopped early trains all its epochs,
    bit for bit as it would have without early stopping.

    `fingerprint` and `pictures` are those of its dataset as it is now. `in_line` also puts the run in the line; else
    it waits for train_run(folder). `asker` is who wants it now; `retry` says why the program itself does: then it is
    the next one, because it was at work.

    UserMistake where the run is active, has diverged, has nothing left to train, or where the dataset or every
    checkpoint has changed.
    """
    with queue_lock():
        run = open_run(run.folder)
        if not run.state.ended:
            raise UserMistake(f"Run {run.id} has not ended ({run.state.status}); there is nothing to resume.")
        if run.state.try_rate is not None:  # the same steps from the same place: a page offers the clone instead
            raise UserMistake(
                f"Run {run.id} diverged, and resumed it would diverge again. Clone it with a learning rate of "
                f"{run.state.try_rate:g}: python -m core runs clone {run.id} --set "
                f"train.learning_rate={run.state.try_rate:g}"
            )
        checkpoint = read_checkpoint(run.folder)
        if fingerprint != run.fingerprint:
            raise dataset_changed(run, checkpoint, pictures)
        config = _with_epochs(run, checkpoint, epochs)
        must_have_room()
        if in_line:
            refuse_if_full(asker or run.asker)
        attempt = run.state.attempt + 1
        (run.folder / "stop").unlink(missing_ok=True)
        # the process first: killed after this line, the run still reads as it ended
        _take_over(run, attempt)
        if config != run.config or asker not in (None, run.asker):
            told = {"config": config.model_dump(mode="json"), "asker": _document(asker or run.asker)}
            write_json(run.folder / "config.json", read_json(run.folder / "config.json") | told)
        write_state(run.folder, _next_attempt(run.state, attempt, config.train.epochs, retry))
        run = open_run(run.folder)
        if in_line:
            submit(run)
        if retry:
            move_ticket(run.id, 1)
        return run


def _take_over(run: Run, attempt: int) -> None:
    """Make the run this process's, once whoever wrote it before has put down the file at hand."""
    try:
        with run_lock(run.folder).acquire(timeout=BRIEFLY):
            write_launch(run.folder, mark_process(), role="asker", attempt=attempt)
    except Timeout as error:
        raise UserMistake(
            f"Run {run.id} is still held by a process that does not respond. End that process, then resume the run."
        ) from error


def _cancelled(run: Run) -> bool:
    try:
        with run_lock(run.folder).acquire(timeout=BRIEFLY):
            return cancel(run.folder)
    except Timeout:
        return False  # a worker is at it


def clone_config(run: Run, changes: dict[str, Any]) -> RunConfig:
    """The settings of `run` with dotted fields changed, for create_run; what the clone learns is all its own."""
    return change_config(run.config, changes)


def dataset_changed(run: Run, checkpoint: Checkpoint | None, pictures: int) -> UserMistake:
    """The sentence for a run whose pictures are no longer those that it was made for."""
    before = checkpoint.numbers.get("pictures") if checkpoint else None
    difference = pictures - before if isinstance(before, int) else None
    if not difference:
        told = "" if difference is None else " (its pictures are others)"
    else:
        told = f" ({abs(difference):,} picture{'s' * (abs(difference) > 1)} {'added' if difference > 0 else 'removed'})"
    return UserMistake(
        f"The dataset {run.config.data.dataset!r} changed since this run started{told}. Its model was kept. "
        "Start a new run instead?"
    )


def rename_run(run: Run, title: str) -> Run:
    """Give a run a title of at most 80 characters; "" brings back the one that is made of preset and dataset."""
    title = " ".join(plain(title).split())
    if len(title) > TITLE_CHARACTERS:
        raise UserMistake(f"A title may have {TITLE_CHARACTERS} characters; this one has {len(title)}.")
    return _mark(run, title=title)


def star_run(run: Run, star: bool = True) -> Run:
    return _mark(run, star=star)


def note_run(run: Run, note: str) -> Run:
    """Keep a note of at most 10,000 characters with a run, instead of the one before; "" removes it."""
    note = "\n".join(plain(line).rstrip() for line in note.splitlines()).strip()
    if len(note) > NOTE_CHARACTERS:
        raise UserMistake(f"A note may have {NOTE_CHARACTERS:,} characters; this one has {len(note):,}.")
    return _mark(run, note=note)


def hide_run(run: Run, hidden: bool = True) -> Run:
    """Leave a run out of lists; it stays where it is."""
    return _mark(run, hidden=hidden)


def delete_run(run: Run) -> Run:
    """Move a run to the trash, from where restore_run brings it back whole; a waiting one is cancelled first.

    Returns the run as it lies there. UserMistake while it trains.
    """
    with queue_lock():
        must_exist(run.folder)
        if (trash_root() / run.id).exists():
            raise UserMistake(f"A run {run.id} is in the trash already; nothing was deleted.")
        if not read_state(run.folder).ended and not _cancelled(run):
            raise UserMistake(f"Run {run.id} is training. Stop it first: python -m core runs stop {run.id}")
        trash_root().mkdir(parents=True, exist_ok=True)
        return open_run(_move(run.folder, trash_root() / run.id))


def restore_run(run_id: str) -> Run:
    """Bring a deleted run back, as it was. A unique beginning or ending of its id will do.

    UserMistake where there is no such run in the trash."""
    with queue_lock():
        deleted = [path.name for path in _deleted()]
        if run_id == "latest":
            run_id = max(deleted, key=lambda name: (trash_root() / name).stat().st_ctime_ns, default=run_id)
        found = match_id(run_id, deleted)
        if len(found) != 1:
            there = f"{len(found)} deleted runs match" if found else "No such deleted run:"
            raise UserMistake(f"{there} {run_id[:40]!r}. The trash: python -m core runs list --deleted")
        if (runs_root() / found[0]).exists():
            raise UserMistake(f"A run {found[0]} is there already; nothing was restored.")
        return open_run(_move(trash_root() / found[0], runs_root() / found[0]))


def list_deleted() -> list[Run]:
    """The runs in the trash, newest first; damaged ones are left out."""
    runs = []
    for folder in _deleted():
        try:
            runs.append(open_run(folder))
        except (OSError, ValueError):
            continue
    return sorted(runs, key=lambda run: (run.created, run.id), reverse=True)


def empty_trash(older_than_days: float | None = None) -> int:
    """Delete the runs in the trash for good, or those that have been there for so many days; how many there were.

    Killed half-way, the rest of what it had begun is swept by the next one."""
    latest = time.time() - (older_than_days or 0.0) * 86_400
    with queue_lock():  # each is out of restore_run's sight in one step, before the first of its files goes
        old = [folder for folder in _deleted() if older_than_days is None or folder.stat().st_ctime <= latest]
        for folder in old:
            folder.rename(folder.with_name(f"{_EMPTIED}{folder.name}"))
        emptied = list(trash_root().glob(f"{_EMPTIED}*"))
    for folder in emptied:
        shutil.rmtree(folder)
    return len(emptied)


def trash_bytes() -> int:
    """How much of the disk the trash takes."""
    sizes = 0
    for path in trash_root().rglob("*"):
        with suppress(OSError):  # somebody may be emptying it
            sizes += path.lstat().st_size
    return sizes


def _with_epochs(run: Run, checkpoint: Checkpoint | None, epochs: int | None) -> RunConfig:
    """The settings of the next attempt; UserMistake where it would have nothing to do."""
    if checkpoint is None and run.has_model and run.state.status in ("done", "stopped"):
        raise UserMistake(
            f"Run {run.id} has no checkpoint to go on from; its model was kept. Clone it to train it again."
        )
    before = run.config.train.epochs
    config = run.config if epochs is None else change_config(run.config, {"train.epochs": epochs})
    if _stopped_early(run):  # whoever resumes it all the same has overruled that
        config = change_config(config, {"train.patience": 0})
    if config.train.epochs < before:
        raise UserMistake(f"Run {run.id} has {before} epochs; it can be given more, not {epochs}.")
    if run.state.status == "done" and checkpoint and checkpoint.numbers["epoch"] > config.train.epochs:
        raise UserMistake(
            f"Run {run.id} has trained all its {before} epochs; ask for more of them, e.g. with --epochs {2 * before}"
        )
    return config


def _document(asker: Asker | None) -> dict[str, Any] | None:
    return asker.model_dump(mode="json") if asker else None


def _stopped_early(run: Run) -> bool:
    if run.state.status != "done" or not run.config.train.patience:
        return False
    trained = run.epochs()
    return bool(trained) and trained[-1].epoch < run.config.train.epochs


def _next_attempt(state: RunState, attempt: int, epochs: int, retry: str) -> RunState:
    return replace_state(
        state, status="queued", attempt=attempt, epochs=epochs, message="", seconds_left=None, score=None, retry=retry
    )


def _mark(run: Run, **changes: Any) -> Run:
    with queue_lock():
        marks = open_run(run.folder).marks.model_dump() | changes
        write_json(run.folder / "marks.json", Marks.model_validate(marks).model_dump(mode="json"))
        return open_run(run.folder)


def _deleted() -> list[Path]:
    try:
        return [path for path in trash_root().iterdir() if _ID.fullmatch(path.name)]
    except FileNotFoundError:
        return []


def _move(source: Path, target: Path) -> Path:
    source.rename(target)  # within one file system: wholly or not at all
    sync_folder(source.parent)
    sync_folder(target.parent)
    return target
