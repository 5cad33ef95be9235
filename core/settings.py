"""Where Atelier keeps its files, and every limit that it sets on what it is given."""

import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config import wrong_fields
from core.disk import existing, is_on_network, is_read_only, read_json
from core.errors import UserMistake


def atelier_home() -> Path:
    """The folder that holds datasets/, stores/, runs/ and weights/: $ATELIER_HOME, else var/ beside core/."""
    named = os.environ.get("ATELIER_HOME")
    return Path(named).expanduser().resolve() if named else Path(__file__).resolve().parent.parent / "var"


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
    """What frozen trunks made of pictures; all of it can be made again."""
    return atelier_home() / "features"


def downloads_root() -> Path:
    """What is being downloaded; emptied when it has become a dataset or a network."""
    return atelier_home() / "downloads"


class Limits(BaseModel):
    """What is refused, with the reason on screen. Overridden by limits.json in atelier_home()."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture_bytes: int = Field(25 * 2**20, description="largest picture file in bytes")
    picture_pixels: int = Field(50_000_000, description="most pixels in a picture (width x height)")
    picture_min_side: int = Field(16, description="shortest side in pixels that can be learnt from")
    picture_max_side: int = Field(16_384, description="longest side in pixels")
    picture_aspect: float = Field(25.0, description="longest side divided by shortest side")
    picture_seconds: float = Field(10.0, description="seconds that one picture may take to read")
    decoder_memory_bytes: int = Field(2 * 2**30, description="address space of one decoding process in bytes")
    zip_bytes: int = Field(1 * 2**30, description="largest uploaded zip in bytes")
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
    queue_per_session: int = Field(3, description="most waiting runs that one browser session asked for")
    silence_seconds: float = Field(60.0, description="seconds without a word until a training is said not to respond")
    silence_stop_seconds: float = Field(20.0, description="seconds of silence until one that shall stop is ended")
    silence_end_seconds: float = Field(600.0, description="seconds without a word until a training is ended")
    run_log_bytes: int = Field(50 * 2**20, description="largest log of a run: its beginning and its newest part stay")
    log_bytes: int = Field(10 * 2**20, description="largest log of the program until the next is begun; five stay")
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
    """The zip or folder that a path typed into a page means. There is no login, so a page reads below import_roots
    only; the command line reads whatever its user may. Raises UserMistake."""
    path = Path(given).expanduser().resolve()  # links first, so that none leads out
    roots = [Path(root).expanduser().resolve() for root in load_limits().import_roots]
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
    """UserMistake where the disk has too little space for a run to start: it would end in the middle of a save."""
    free, least = free_space(), load_limits().free_bytes
    if free is not None and free < least:
        raise UserMistake(
            f"The disk has only {free / 2**20:,.0f} MB free; a run needs {least / 2**20:,.0f} MB to start. "
            "Free some space, e.g. by emptying the trash: python -m core runs empty-trash"
        )


def short_of_room(folder: Path) -> str:
    """Why the training in `folder` pauses now, a sentence; "" while its disk has half of what a run needs to start."""
    try:
        free, least = free_space(folder), load_limits().free_bytes // 2
    except UserMistake:
        return ""  # limits that cannot be read are told where they are what it is about
    if free is None or free >= least:
        return ""
    return (
        f"Paused: the disk has only {free / 2**20:,.0f} MB free, and below {least / 2**20:,.0f} MB a save could fail. "
        "What it had learnt is kept. Free some space, then resume it."
    )


def free_space(folder: Path | None = None) -> int | None:
    """Bytes that the disk of `folder`, by default of atelier_home(), has free; None where it does not say."""
    try:
        return shutil.disk_usage(existing(folder or atelier_home())).free
    except OSError:
        return None  # whatever is wrong there is told by the first write


def home_trouble() -> str:
    """What is wrong with the place where Atelier keeps its files, in a sentence; "" where nothing is."""
    try:
        if is_read_only(atelier_home()):
            return "The workspace is read-only. You can look at runs and classify, but not train or import."
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
        pass  # whatever is wrong there is told by the first read or write
    return ""


def _names() -> str:
    return ", ".join(Limits.model_fields)
