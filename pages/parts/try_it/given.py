"""The pictures that somebody wants an answer for: dropped, pasted, photographed, from a folder or zip, or of the test
part."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.data.pictures.picture import Refusal, picture_kind
from core.data.sources.loose import open_loose
from core.errors import UserMistake
from core.jobs.uploads import save_upload
from core.runs.run import Run
from core.settings import load_limits
from pages.parts.shell.cache import grey, uncut
from pages.parts.shell.escape import escape
from pages.parts.widgets.picture_picker import pick_offered
from pages.parts.widgets.prediction_grid import evaluation_or_none, pictures_of

AT_ONCE = 24  # pictures that are answered at once, with a card each
CLICKED = "asked"  # of pick_offered: the test picture that was clicked last
FOCUS = "try_focus"  # SHA-256 of the picture that is looked at closely
KNOWN = "try_known"  # ids of the uploads that were there before


@dataclass(frozen=True)
class GivenPicture:
    """A picture that somebody wants a prediction for."""

    name: str  # as it was given: data, never a path
    content: bytes
    true: str | None = None  # its class, where it is known
    place: int | None = None  # in the run's dataset, of a test picture
    is_example: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def draw_drop_area() -> list[UploadedFile]:
    """The page's hero: where pictures and zips are dropped; what was given."""
    return st.file_uploader(
        "Your pictures",
        accept_multiple_files=True,
        key="pictures",
        max_upload_size=max(1, load_limits().zip_bytes // 2**20),
        on_change=_look_at_new,
        args=("pictures",),
        label_visibility="collapsed",
    )


def draw_other_ways(draw_folder_here: Callable[[], None]) -> list[UploadedFile]:
    """Below it: a whole folder, also one on this machine, and the camera."""
    found: list[UploadedFile] = []
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        with st.popover("A folder", icon=":material/folder:", type="tertiary", key="folder-open"):
            found += _dropped_folder()
            draw_folder_here()
        camera = st.toggle("Camera", key="camera-on")
    if camera:
        photo = st.camera_input("Photograph an artwork", key="camera", on_change=_look_at_new, args=("camera",))
        found += [photo] if photo is not None else []
    st.caption("One or many, a zip, or paste with Ctrl+V. What a file holds counts, not what it is called.")
    return found


def _dropped_folder() -> list[UploadedFile]:
    return st.file_uploader(
        "Every picture in it, also in folders within it",
        accept_multiple_files="directory",
        key="folder",
        max_upload_size=max(1, load_limits().picture_bytes // 2**20),
        on_change=_look_at_new,
        args=("folder",),
    )


def opened(uploads: Sequence[UploadedFile]) -> Iterable[GivenPicture]:
    """The pictures, those of zips among them, of many the first; what a zip is refused for is said."""
    for upload in uploads[: AT_ONCE + 1]:
        if not is_zip(upload):
            yield GivenPicture(upload.name, upload.getvalue())
            continue
        try:
            yield from read_pack(saved_zip(upload))
        except UserMistake as mistake:
            st.warning(f"**{escape(upload.name, 60)}**: {escape(mistake, 400)}", icon=":material/folder_zip:")


def is_zip(upload: UploadedFile) -> bool:
    return bytes(upload.getbuffer()[:4]) in (b"PK\x03\x04", b"PK\x05\x06")


def read_pack(pack: Path) -> list[GivenPicture]:
    """The first pictures of a zip or folder, refused ones as what they are. UserMistake for a broken zip."""
    with open_loose(pack, load_limits()) as source:
        found = []
        for entry in source.listing.entries[: AT_ONCE + 1]:
            try:
                found.append(GivenPicture(entry.name, source.read(entry)))
            except Refusal:
                found.append(GivenPicture(entry.name, b""))
        if not found:
            raise UserMistake("It holds no picture.")
        return found


def saved_zip(upload: UploadedFile) -> Path:
    """Our own copy on the disk, made once; a day later it is swept."""
    known: dict[str, Path] = st.session_state.setdefault("try_zips", {})
    path = known.get(upload.file_id)
    if path is None or not path.exists():
        known[upload.file_id] = path = save_upload(upload)
    return path


def draw_test_pictures(run: Run) -> GivenPicture | None:
    """A few test pictures of the run's own dataset to click; the one that was clicked last, else an example."""
    dataset, test = pictures_of(run), evaluation_or_none(run, "test")
    if dataset is None or test is None:
        return None
    mixed = np.random.default_rng(0).permutation(test.indices).tolist()
    clicked = pick_offered("Or one of the test pictures", "Try", dataset, mixed, dataset.content_hash)
    place = mixed[0] if clicked is None else clicked
    true = dataset.classes[int(dataset.labels[place])]
    content = dataset.original(place)
    return GivenPicture(str(dataset.names[place]), content, true, place, is_example=clicked is None)


def _look_at_new(key: str) -> None:
    """What was given last is looked at, whatever was clicked before."""
    st.session_state.pop(CLICKED, None)
    given = st.session_state.get(key) or []
    uploads = given if isinstance(given, list) else [given]
    known: set[str] = st.session_state.setdefault(KNOWN, set())
    new = next((one for one in uploads if one.file_id not in known and may_be_read(one.getvalue())), None)
    known |= {one.file_id for one in uploads}
    st.session_state[FOCUS] = None if new is None else hashlib.sha256(new.getbuffer()).hexdigest()


def may_be_read(content: bytes) -> bool:
    """Whether it begins like a picture that can be read."""
    try:
        picture_kind(content, load_limits())
    except Refusal:
        return False
    return True


def preview(picture: GivenPicture, longest: int = 480) -> bytes:
    """The picture as a person knows it, uncut, its longest side at most `longest` pixels."""
    return _preview(picture.sha256, longest, picture.content)


@st.cache_data(max_entries=200, show_spinner=False)
def _preview(sha256: str, longest: int, _content: bytes) -> bytes:
    try:
        return uncut(_content, longest)
    except Refusal:
        return grey()
