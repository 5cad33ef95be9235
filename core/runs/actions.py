"""Run actions: create, stop, resume, clone, rename, star, note, hide, delete, restore. (The queue: queue.py.)

Each action is one step under the lock of the queue: it happens as a whole or not at all.
"""

import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from core.config import RunConfig, change_config
from core.disk import read_json, sync_folder, write_json
from core.errors import UserMistake
from core.people import may_change, must_be_own
from core.runs.checkpoint import Checkpoint, read_checkpoint
from core.runs.process import mark_process, read_launch, request_stop, write_launch
from core.runs.queue import refuse_if_full, submit
from core.runs.queue_entries import drop_queue_entry, move_queue_entry, queue_lock
from core.runs.requester import Requester, plain, requester_document, requester_for, requester_now
from core.runs.run import SCHEMA_VERSION, Marks, Run, match_id, open_run, run_ids, scan_runs
from core.runs.state import (
    BRIEFLY,
    RunState,
    must_exist,
    now,
    read_state,
    replace_state,
    run_lock,
    write_state,
)
from core.runs.teacher_facts import TeacherFacts
from core.runs.teachers import pin_teacher, read_teacher_facts
from core.settings import calibrations_root, must_have_room, novelty_root, runs_root, trash_root
from core.typed import visible

TITLE_CHARACTERS = 80
NOTE_CHARACTERS = 10_000
_ID = re.compile(r"[a-z0-9]{12}")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_EMPTIED = ".emptied-"
_NEWEST_RUNS = 50  # among which a run with the same key is searched


def create_run(
    config: RunConfig,
    fingerprint: str,
    classes: tuple[str, ...],
    requester: Requester | None = None,
    key: str = "",
    threads: int | None = None,
    teacher: TeacherFacts | None = None,
) -> Run:
    """Write a new run folder with status "queued", for train_run(folder) or queue.submit(run). Checks no setting, as
    core/submit.py does; a teacher is named by its weights.

    `key` names the request: asked again with the same key (a double click), it is the run that is there already.
    `threads`: that it is trained on whenever it is, so that others train beside it; None: on all cores, alone.
    `teacher`: what is known of it where it is not here; None: as it is here.
    UserMistake where the disk has no room for a run.
    """
    must_have_room()
    requester = requester_now(requester)
    if not key:
        return _write_run(config, fingerprint, classes, requester, key, threads, teacher)
    with queue_lock():
        return _run_with_key(key) or _write_run(config, fingerprint, classes, requester, key, threads, teacher)


def _run_with_key(key: str) -> Run | None:
    """The run of that key, searched among the newest ones: a key lives as long as a form on the screen."""
    for run_id in sorted(run_ids(), reverse=True)[:_NEWEST_RUNS]:
        try:
            if read_json(runs_root() / run_id / "config.json").get("key") == key:
                return open_run(runs_root() / run_id)
        except (OSError, ValueError, AttributeError):
            continue
    return None


def _write_run(
    config: RunConfig,
    fingerprint: str,
    classes: tuple[str, ...],
    requester: Requester | None,
    key: str,
    threads: int | None,
    teacher: TeacherFacts | None,
) -> Run:
    config = pin_teacher(config)
    teacher = teacher or read_teacher_facts(config)
    runs_root().mkdir(parents=True, exist_ok=True)
    run_id = _new_id()
    draft = runs_root() / f".{run_id}.draft"
    draft.mkdir()
    try:
        write_json(
            draft / "config.json",
            {
                "schema_version": SCHEMA_VERSION,
                "created": now(),
                "fingerprint": fingerprint,
                "classes": list(classes),
                "config": config.model_dump(mode="json"),
                "requester": requester_document(requester),
                "key": key,
                "threads": threads,
            }
            | ({"teacher": teacher.model_dump(mode="json")} if teacher else {}),
        )
        write_launch(draft, mark_process(), role="requester", attempt=1)
        write_state(draft, RunState(epochs=config.train.epochs))
        draft.rename(runs_root() / run_id)  # a reader finds the whole folder or none
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return open_run(runs_root() / run_id)


def ask_to_stop(run: Run) -> str:
    """Ask a run to stop and keep its model; a waiting one is cancelled. Returns what came of it, in one sentence.

    May be called any number of times, at any time.
    """
    _must_be_own(run)
    with queue_lock(), suppress(Timeout):
        must_exist(run.folder)
        state = read_state(run.folder)
        if state.status == "queued":
            with run_lock(run.folder).acquire(timeout=BRIEFLY):  # it may be starting in this very moment
                if cancel(run.folder):
                    return f"Run {run.id} was cancelled before it started."
        if state.ended:
            return f"Run {run.id} had already ended ({state.status})."
    must_exist(run.folder)
    request_stop(run.folder)
    return f"Run {run.id} was asked to stop. It keeps what it has learnt."


def cancel(folder: Path) -> bool:
    """End a run that no worker has begun; whether that was so. Under queue_lock and run_lock."""
    state, launch = read_state(folder), read_launch(folder)
    if state.status != "queued" or (launch and launch.role == "worker"):
        return False
    drop_queue_entry(folder.name)
    write_state(folder, replace_state(state, status="stopped", message="Cancelled before it started."))
    return True


def resume_run(
    run: Run,
    fingerprint: str,
    pictures: int,
    epochs: int | None = None,
    queue: bool = False,
    requester: Requester | None = None,
    retry: str = "",
) -> Run:
    """Begin the next attempt of a run that has ended: it goes on from its newest checkpoint, or from the beginning
    where there is none yet. With `epochs` a finished run trains on; one that had stopped early trains all its epochs,
    bit for bit as it would have without early stopping.

    `fingerprint` and `pictures` (their number) are those of its dataset as it is now. `queue`: put it in the queue;
    else it waits for train_run(folder). `requester`: who resumes it. `retry`: why the program itself does, a sentence;
    then it is the next one in the queue, because it was training.

    UserMistake where the run is live, has diverged or has nothing left to train, where its dataset has changed, and
    where every checkpoint is damaged.
    """
    with queue_lock():
        run = open_run(run.folder)
        _must_be_own(run)
        _must_be_resumable(run)
        requester = requester_for(run.owner, requester) or run.requester  # it stays whose it was
        checkpoint = read_checkpoint(run.folder)
        if fingerprint != run.fingerprint:
            raise dataset_changed(run, checkpoint, pictures)
        config = _with_epochs(run, checkpoint, epochs)
        must_have_room()
        if queue:
            refuse_if_full(requester)
        attempt = run.state.attempt + 1
        (run.folder / "stop").unlink(missing_ok=True)
        # the process first: killed after this line, the run still reads as it ended
        _take_over(run, attempt)
        if config != run.config or requester != run.requester:
            _rewrite_config(run, config, requester)
        write_state(run.folder, _next_attempt(run.state, attempt, config.train.epochs, retry))
        run = open_run(run.folder)
        if queue:
            submit(run)
        if retry:
            move_queue_entry(run.id, 1)
        return run


def _must_be_resumable(run: Run) -> None:
    if run.state.is_live:
        raise UserMistake(f"Run {run.id} has not ended ({run.state.status}); there is nothing to resume.")
    if run.state.try_rate is not None:  # the same steps would follow: a page offers the clone instead
        raise UserMistake(
            f"Run {run.id} diverged, and resumed it would diverge again. Clone it with a learning rate of "
            f"{run.state.try_rate:g}: python -m core runs clone {run.id} --set "
            f"train.learning_rate={run.state.try_rate:g}"
        )


def _rewrite_config(run: Run, config: RunConfig, requester: Requester | None) -> None:
    document = read_json(run.folder / "config.json")
    document.pop("asker", None)  # as version 0.1.0 called it
    changed = {"config": config.model_dump(mode="json"), "requester": requester_document(requester)}
    write_json(run.folder / "config.json", document | changed)


def _take_over(run: Run, attempt: int) -> None:
    """Make the run this process's, once its former process has finished the file that it writes."""
    try:
        with run_lock(run.folder).acquire(timeout=BRIEFLY):
            write_launch(run.folder, mark_process(), role="requester", attempt=attempt)
    except Timeout as error:
        raise UserMistake(
            f"Run {run.id} is still held by a process that does not respond. End that process, then resume the run."
        ) from error


def clone_config(run: Run, changes: dict[str, Any]) -> RunConfig:
    """The settings of `run` with dotted fields changed, for a new run that begins from scratch."""
    return change_config(run.config, changes)


def dataset_changed(run: Run, checkpoint: Checkpoint | None, pictures: int) -> UserMistake:
    """The mistake of resuming a run whose dataset has other pictures now; `pictures`: how many."""
    before = checkpoint.numbers.get("pictures") if checkpoint else None
    difference = pictures - before if isinstance(before, int) else None
    if not difference:
        detail = "" if difference is None else " (its pictures are others)"
    else:
        count, change = abs(difference), "added" if difference > 0 else "removed"
        detail = f" ({count:,} picture{'s' * (count > 1)} {change})"
    return UserMistake(
        f"The dataset {run.config.data.dataset!r} changed since this run started{detail}. Its model was kept. "
        "Start a new run instead?"
    )


def rename_run(run: Run, title: str) -> Run:
    """Give a run a title of at most 80 characters; "": the one that is made of preset and dataset."""
    title = " ".join(plain(title).split())
    if len(title) > TITLE_CHARACTERS:
        raise UserMistake(f"A title may have {TITLE_CHARACTERS} characters; this one has {len(title)}.")
    return _mark(run, title=title)


def star_run(run: Run, star: bool = True) -> Run:
    return _mark(run, star=star)


def note_run(run: Run, note: str) -> Run:
    """Replace the note of a run by one of at most 10,000 characters; "" removes it."""
    note = "\n".join(plain(line).rstrip() for line in note.splitlines()).strip()
    if len(note) > NOTE_CHARACTERS:
        raise UserMistake(f"A note may have {NOTE_CHARACTERS:,} characters; this one has {len(note):,}.")
    return _mark(run, note=note)


def hide_run(run: Run, hidden: bool = True) -> Run:
    """Leave a run out of lists; its folder stays where it is."""
    return _mark(run, hidden=hidden)


def delete_run(run: Run) -> Run:
    """Move a run to the trash, from where restore_run brings it back; a waiting one is cancelled first.

    Returns the run in the trash. UserMistake while it trains.
    """
    with queue_lock():
        must_exist(run.folder)
        _must_be_own(run)
        if (trash_root() / run.id).exists():
            raise UserMistake(f"A run {run.id} is in the trash already; nothing was deleted.")
        if read_state(run.folder).is_live and not _cancelled(run):
            raise UserMistake(f"Run {run.id} is training. Stop it first: python -m core runs stop {run.id}")
        trash_root().mkdir(parents=True, exist_ok=True)
        return open_run(_move(run.folder, trash_root() / run.id))


def _cancelled(run: Run) -> bool:
    try:
        with run_lock(run.folder).acquire(timeout=BRIEFLY):
            return cancel(run.folder)
    except Timeout:
        return False  # a worker writes it


def restore_run(run_id: str) -> Run:
    """Move a deleted run back from the trash. A unique beginning or ending of its id will do, and so will "latest".

    UserMistake where there is no such run in the trash."""
    run_id = visible(run_id)
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
        _must_be_own(open_run(trash_root() / found[0]))
        return open_run(_move(trash_root() / found[0], runs_root() / found[0]))


def list_deleted() -> list[Run]:
    """The readable runs in the trash, newest first."""
    return scan_deleted()[0]


def scan_deleted() -> tuple[list[Run], list[str]]:
    """The readable runs in the trash, newest first, and a sentence about each that is damaged."""
    return scan_runs(_deleted())


def empty_trash(older_than_days: float | None = None) -> int:
    """Delete the runs in the trash for good, or those that have been there for so many days; returns how many. Of
    somebody who may not change other people's runs: their own.

    Killed half-way, the next call deletes what is left of them."""
    latest = time.time() - (older_than_days or 0.0) * 86_400
    with queue_lock():  # one step takes each out of restore_run's reach, before the first of its files goes
        old = [folder for folder in _deleted() if older_than_days is None or folder.stat().st_ctime <= latest]
        for folder in filter(_is_own, old):
            folder.rename(folder.with_name(f"{_EMPTIED}{folder.name}"))
        emptied = list(trash_root().glob(f"{_EMPTIED}*"))
    for folder in emptied:
        _forget_measurements(folder.name.removeprefix(_EMPTIED))
        shutil.rmtree(folder)
    return len(emptied)


def _forget_measurements(run_id: str) -> None:
    """Remove what was kept outside the run's folder because it can be made again."""
    for folder in novelty_root().glob(f"{run_id}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    for path in calibrations_root().glob(f"{run_id}-*.json"):
        path.unlink(missing_ok=True)


def trash_bytes() -> int:
    """Bytes on the disk that the trash takes."""
    sizes = 0
    for path in trash_root().rglob("*"):
        with suppress(OSError):  # somebody may empty it at this moment
            sizes += path.lstat().st_size
    return sizes


def _with_epochs(run: Run, checkpoint: Checkpoint | None, epochs: int | None) -> RunConfig:
    """The settings of the next attempt, with `epochs` if given; UserMistake where it would have nothing to train."""
    if checkpoint is None and run.has_model and run.state.is_finished:
        raise UserMistake(
            f"Run {run.id} has no checkpoint to go on from; its model was kept. Clone it to train it again."
        )
    before = run.config.train.epochs
    config = run.config if epochs is None else change_config(run.config, {"train.epochs": epochs})
    if _stopped_early(run):  # whoever resumes it wants the epochs that early stopping left out
        config = change_config(config, {"train.patience": 0})
    if config.train.epochs < before:
        raise UserMistake(f"Run {run.id} has {before} epochs; it can be given more, not {epochs}.")
    if run.state.status == "done" and checkpoint and checkpoint.numbers["epoch"] > config.train.epochs:
        raise UserMistake(
            f"Run {run.id} has trained all its {before} epochs; ask for more of them, e.g. with --epochs {2 * before}"
        )
    return config


def _stopped_early(run: Run) -> bool:
    if run.state.status != "done" or not run.config.train.patience:
        return False
    trained = run.epochs()
    return bool(trained) and trained[-1].epoch < run.config.train.epochs


def _next_attempt(state: RunState, attempt: int, epochs: int, retry: str) -> RunState:
    return replace_state(
        state,
        status="queued",
        attempt=attempt,
        epochs=epochs,
        machine="",
        message="",
        seconds_left=None,
        score=None,
        model="last",
        retry=retry,
    )


def _mark(run: Run, **changes: Any) -> Run:
    _must_be_own(run)
    with queue_lock():
        marks = open_run(run.folder).marks.model_dump() | changes
        write_json(run.folder / "marks.json", Marks.model_validate(marks).model_dump(mode="json"))
        return open_run(run.folder)


def _must_be_own(run: Run) -> None:
    must_be_own(run.owner, f"Run {run.id}")


def _is_own(folder: Path) -> bool:
    """Whether who asks may empty this run out of the trash; a damaged one is the owner's of the store."""
    try:
        return may_change(open_run(folder).owner)
    except UserMistake:
        return may_change(None)


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


def _new_id() -> str:
    """Twelve characters that sort by time: eight of milliseconds, then four random ones, the run's short name."""
    number, digits = time.time_ns() // 1_000_000, ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits.rjust(8, "0")[-8:] + "".join(secrets.choice(_DIGITS) for _ in range(4))
