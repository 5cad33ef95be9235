"""Where Atelier keeps its files, and every limit that it sets on what it is given."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from core.disk import existing, is_on_network, is_read_only, read_json
from core.errors import UserMistake, wrong_fields
from core.people import must_be_teacher
from core.typed import typed_path, unquoted

SPARE_BYTES = 2**26  # that stay free beside what is computed once and kept


def atelier_home() -> Path:
    """The folder that holds datasets/, stores/, runs/ and weights/: $ATELIER_HOME, else var/ next to core/."""
    named = os.environ.get("ATELIER_HOME")
    if not named:
        return Path(__file__).resolve().parent.parent / "var"
    try:
        return typed_path(named)
    except UserMistake as mistake:
        raise UserMistake(
            f"Atelier cannot keep its files there: {mistake}; name another folder in ATELIER_HOME"
        ) from mistake


def make_home() -> None:
    """Make atelier_home() where it is not there, for its owner alone: the address of the app is no login, and neither
    is a folder that every account of the machine may read. One that is there keeps the rights that it was given."""
    with suppress(OSError, UserMistake):  # the first write reports what is wrong with it
        atelier_home().parent.mkdir(parents=True, exist_ok=True)
        atelier_home().mkdir(mode=0o700, exist_ok=True)


def datasets_root() -> Path:
    return atelier_home() / "datasets"


def stores_root() -> Path:
    return atelier_home() / "stores"


def runs_root() -> Path:
    return atelier_home() / "runs"


def trash_root() -> Path:
    """Deleted runs, until they are restored or the trash is emptied."""
    return atelier_home() / "trash"


def weights_root() -> Path:
    return atelier_home() / "weights"


def features_root() -> Path:
    """Outputs of frozen backbones; all of them can be computed again."""
    return atelier_home() / "features"


def explanations_root() -> Path:
    """How well explanations of runs were measured to be; all of it can be measured again."""
    return atelier_home() / "explanations"


def calibrations_root() -> Path:
    """Temperatures of runs, fitted on their validation parts; all of it can be fitted again."""
    return atelier_home() / "calibrations"


def novelty_root() -> Path:
    """Features of the training pictures of runs, and what tells others from them; all of it can be made again."""
    return atelier_home() / "novelty"


def cues_root() -> Path:
    """What networks were measured to go by; all of it can be measured again."""
    return atelier_home() / "cues"


def kernels_root() -> Path:
    """Which kernels of a processor are the fastest for a network; all of it can be measured again."""
    return atelier_home() / "kernels"


def at_once_root() -> Path:
    """How many runs of a network train at once on this machine; all of it can be measured again."""
    return atelier_home() / "at-once"


def trials_root() -> Path:
    """Answers of trainings that were done for a question, such as cross-validation; all of it can be made again."""
    return atelier_home() / "trials"


def downloads_root() -> Path:
    """Unfinished downloads; each is removed when it has become a dataset or weights."""
    return atelier_home() / "downloads"


class Limits(BaseModel):
    """Limits on what is imported, queued and written. Overridden by limits.json in atelier_home()."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture_bytes: int = Field(25 * 2**20, description="largest picture file in bytes")
    picture_pixels: int = Field(50_000_000, description="most pixels in a picture (width x height)")
    picture_min_side: int = Field(16, description="shortest side in pixels that can be learnt from")
    picture_max_side: int = Field(16_384, description="longest side in pixels")
    picture_aspect: float = Field(25.0, description="longest side divided by shortest side")
    picture_seconds: float = Field(10.0, description="seconds that one picture may take to read")
    decoder_memory_bytes: int = Field(2 * 2**30, description="address space of one decoding process in bytes")
    zip_bytes: int = Field(1 * 2**30, description="largest uploaded zip in bytes")
    session_upload_bytes: int = Field(
        1536 * 2**20, description="most bytes that one browser tab may have uploaded and not removed"
    )
    free_memory_bytes: int = Field(256 * 2**20, description="memory in bytes that must be free for an upload")
    zip_entries: int = Field(100_000, description="most files listed in one zip")
    expanded_bytes: int = Field(20 * 2**30, description="most bytes that one zip may expand to")
    ratio_whole: float = Field(20.0, description="expansion of a whole zip, counted from 100 MB on")
    ratio_entry: float = Field(100.0, description="expansion of one file in a zip, counted from 1 MB on")
    import_roots: tuple[str, ...] = Field(("~",), description="folders below which a page may read; ~ is one's own")
    path_depth: int = Field(10, description="most folders above a file")
    path_part_bytes: int = Field(255, description="longest file or folder name in bytes")
    classes_min: int = 2
    classes_max: int = 500
    pictures_per_class_min: int = 2
    queue_length: int = Field(20, description="most waiting runs")
    queue_per_person: int = Field(
        3,
        validation_alias=AliasChoices("queue_per_person", "queue_per_session"),
        description="most waiting runs of one person; where nobody signs in, of one browser session",
    )
    watchdog_warn_seconds: float = Field(
        60.0,
        validation_alias=AliasChoices("watchdog_warn_seconds", "silence_seconds"),
        description="seconds without a sign of life until a run is shown as not responding",
    )
    watchdog_stop_seconds: float = Field(
        20.0,
        validation_alias=AliasChoices("watchdog_stop_seconds", "silence_stop_seconds"),
        description="seconds without a sign of life until a run that was asked to stop is ended",
    )
    watchdog_end_seconds: float = Field(
        600.0,
        validation_alias=AliasChoices("watchdog_end_seconds", "silence_end_seconds"),
        description="seconds without a sign of life until a run is ended",
    )
    run_log_bytes: int = Field(50 * 2**20, description="largest log of a run; above it the middle is cut out")
    log_bytes: int = Field(10 * 2**20, description="largest log of the program until a new one is begun; five are kept")
    free_bytes: int = Field(
        1 * 2**30,
        description="free space in bytes that the disk must have for a run to start; with half of it one pauses",
    )


def load_limits() -> Limits:
    """The limits in force: the defaults, with what limits.json in atelier_home() names."""
    path = atelier_home() / "limits.json"
    if not path.exists():
        return Limits()
    try:
        return Limits.model_validate(read_json(path))
    except ValidationError as error:
        raise UserMistake(f"{path} has a wrong limit: {wrong_fields(error)}; the limits are: {_names()}") from error
    except (OSError, ValueError) as error:
        raise UserMistake(
            f"{path} cannot be read as JSON ({error}); correct it, or delete it for the defaults"
        ) from error


def readable_from_page(given: str) -> Path:
    """The zip or folder at a path that was typed into a page. UserMistake where it is missing or outside import_roots.

    Pages read below import_roots only, where people sign in for teachers only; the command line reads whatever its user
    may.
    """
    must_be_teacher("name a folder of this server; others bring their pictures as an upload")
    path = typed_path(unquoted(given))  # links first, so that none leads out
    roots = [typed_path(root) for root in load_limits().import_roots]
    if not any(path.is_relative_to(root) for root in roots):
        below = " or ".join(map(str, roots)) or "nowhere"
        raise UserMistake(
            f"Pages read from {below} only, and {given} is not there. Add its folder to import_roots in "
            f"{atelier_home() / 'limits.json'}, or use the command line: python -m core data add NAME --from {given}"
        )
    if not path.exists():
        raise UserMistake(f"There is no folder or zip at {given}. Check the path; it is one on this machine.")
    return path


def must_have_room() -> None:
    """UserMistake where the disk has too little space for a run to start: a later save would fail."""
    free, least = free_space(), load_limits().free_bytes
    if free is not None and free < least:
        raise UserMistake(
            f"The disk has only {free / 2**20:,.0f} MB free; a run needs {least / 2**20:,.0f} MB to start. "
            "Free some space, e.g. by emptying the trash: python -m core runs empty-trash"
        )


def short_of_room(folder: Path) -> str:
    """Why the training in `folder` pauses now, a sentence; "" while half of Limits.free_bytes is free."""
    try:
        free, least = free_space(folder), load_limits().free_bytes // 2
    except UserMistake:
        return ""  # unreadable limits are reported where a page or command reads them
    if free is None or free >= least:
        return ""
    return (
        f"Paused: the disk has only {free / 2**20:,.0f} MB free, and below {least / 2**20:,.0f} MB a save could fail. "
        "What it had learnt is kept. Free some space, then resume it."
    )


def free_space(folder: Path | None = None) -> int | None:
    """Free bytes on the disk of `folder`, by default of atelier_home(); None where they cannot be read."""
    try:
        return shutil.disk_usage(existing(folder or atelier_home())).free
    except OSError:
        return None  # the first write will report the trouble


def must_fit(folder: Path, needed: int, what: str) -> None:
    """UserMistake where the disk of `folder` has no room for so many bytes; what: subject and verb of its sentence."""
    free = free_space(folder)
    if free is not None and free < needed + SPARE_BYTES:
        raise UserMistake(
            f"{what} {needed / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB free. Free some space, e.g. by "
            "emptying the trash: python -m core runs empty-trash"
        )


def home_trouble() -> str:
    """What is wrong with the folder where Atelier keeps its files, a sentence; "" where nothing is."""
    try:
        if is_read_only(atelier_home()):
            return "The workspace is read-only. You can view runs and classify, but not train or import."
        if is_on_network(atelier_home()):
            return (
                "The workspace is on a network drive; locking is unreliable there, and two servers could train the "
                "same run. Choose a local folder in ATELIER_HOME."
            )
        free, least = free_space(), load_limits().free_bytes
        if free is not None and free < least:
            return (
                f"The disk has only {free / 2**20:,.0f} MB free. Runs wait until {least / 2**20:,.0f} MB are free, and "
                f"one that trains pauses below {least / 2**21:,.0f} MB. Free some space, e.g. by emptying the trash."
            )
    except (OSError, UserMistake):
        pass  # the first read or write will report the trouble
    return ""


def _names() -> str:
    return ", ".join(Limits.model_fields)
