"""Broken pictures and zips by the thousand: no crash, no file where none belongs, and a sentence for each refusal.

ATELIER_MUTATED_SEED draws others than those that were drawn before; python -m tests.mutations makes one again.
"""

import re
import time
import tracemalloc

import numpy as np
import psutil
import pytest

from core.data.datasets.dataset import list_datasets
from core.data.imports.pipeline import import_dataset
from core.data.imports.preview import scan_source
from core.data.pictures.decode_pool import Task, decode, receive_in_child
from core.data.pictures.picture import Refusal
from core.data.pictures.preprocess import Preprocess
from core.data.sources.names import UNSHOWABLE
from core.data.sources.open import open_source
from core.errors import UserMistake
from core.settings import Limits, datasets_root, stores_root
from tests.mutations import mutated_picture, mutated_zip, picture_seeds
from tests.pictures import finish

PIECE = 5000  # mutants that are held at a time
LIMITS = Limits(picture_seconds=10.0, picture_bytes=2 * 2**20, expanded_bytes=32 * 2**20)
OF_PICTURES = re.compile(
    r"is empty|is larger than [\d.e-]+ MB, the limit for one picture|is not a picture \(.*\)"
    r"|is (a|an) [\w ]+(, which is not supported; export .*|, not a picture|; archives within are not opened)"
    r"|is an? (zip|archive) inside; archives within are not opened"
    r"|has \d+ x \d+ pixels( \([\d.e+]+ million\); the limit is 50 million|, too small to learn from .*"
    r"|; a side may be at most 16384|; a picture may be at most 25 times longer than wide)"
    r"|has more pixels than the limit of 50 million|has oversized metadata|has Lab colours, .*"
    r"|is incomplete \(the file was cut short\)|is damaged and cannot be read as (JPEG|PNG|WebP|GIF|TIFF|BMP)"
    r"|needs more memory than a picture may take"
    r"|took longer than [\d.]+ seconds to read|could not be read safely \(it made the decoder fail\)"
)
OF_FILES = re.compile(
    r"is damaged in the zip|is a link inside the zip, not a picture|is a device or a pipe, not a picture"
    r"|is not inside the folder of a class|lies deeper than 10 folders|has a name or a folder longer than 255 bytes"
    r"|is larger than 2 MB, the limit for one picture|expands to more than 100 times its packed size"
)
OF_ZIPS = re.compile(
    r"(it contains no pictures|the zip contains no pictures|it has (train and test folders|a \w+( and a \w+)? folder)"
    r"|it holds [\d,]+ file\(s\) side by side|a class folder has no visible name|this file is an? [\w-]+ archive"
    r"|the file is empty|this is not a plain zip file|the zip lists [\d,]+ files|the zip is incomplete or damaged"
    r"|this zip is malformed \(files overlap\)|this zip was refused: it contains a path that points outside"
    r"|this zip is password-protected|this zip uses an unsupported compression|more than a fifth of the files"
    r"|this zip would expand|the pictures have .* are free"
    r"|found only one class|found no folder with pictures|class .* has (no|\d+) usable picture"
    r"|class .* has no picture to learn"
    r").*nothing was imported.*",
    re.DOTALL,
)


def sizes(quick, slow):
    """So many in the quick suite, more with -m slow, 100,000 with -m nightly."""
    return pytest.mark.parametrize(
        "count",
        [quick, pytest.param(slow, marks=pytest.mark.slow), pytest.param(100_000, marks=pytest.mark.nightly)],
    )


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Names that lead away from where something is unpacked would lead to somewhere below tmp_path."""
    (tmp_path / "a" / "b" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b" / "here")
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "a" / "b" / "home"))


def everything(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def answers_of(contents, folder):
    """What decode() says of each: a refusal, or None."""
    pack, images = folder / "pack", folder / "images"
    pack.write_bytes(b"".join(contents))
    images.write_bytes(b"")
    begins = np.cumsum([0, *map(len, contents)]).tolist()
    tasks = [Task(row, begins[row], len(content)) for row, content in enumerate(contents)]
    chunks = (tasks[first : first + 64] for first in range(0, len(tasks), 64))
    answers = {}
    for outcomes in decode(chunks, pack, images, 0, Preprocess(image_size=8), LIMITS):
        for row, refusal, _ in outcomes:
            assert row not in answers, row
            answers[row] = refusal
    assert len(answers) == len(contents)
    return answers


@sizes(300, 2_000)
def test_broken_pictures_are_read_or_refused_in_a_sentence(tmp_path, count):
    counts: dict[str, int] = {}
    here = everything(tmp_path)
    for first in range(0, count, PIECE):
        numbers = range(first, min(first + PIECE, count))
        answers = answers_of([mutated_picture(number) for number in numbers], tmp_path)
        for number, refusal in zip(numbers, (answers[row] for row in range(len(numbers))), strict=True):
            assert refusal is None or OF_PICTURES.fullmatch(refusal), (number, refusal)
            kind = re.sub(r"[\d.]+( x \d+)?", "N", refusal or "read")
            counts[kind] = counts.get(kind, 0) + 1
    assert everything(tmp_path) - here == {"pack", "images"}
    assert not [child for child in psutil.Process().children() if "core.data.pictures.decode_pool" in child.cmdline()]
    assert counts["read"] > count / 20 and len(counts) > 8  # neither everything nor nothing is broken
    print(sorted(counts.items(), key=lambda item: -item[1]))


def test_try_it_says_of_broken_pictures_what_an_import_says(tmp_path):
    contents = [mutated_picture(number) for number in range(60)]
    answers = answers_of(contents, tmp_path)
    received = receive_in_child(contents, Preprocess(image_size=8), LIMITS)
    assert [str(a) if isinstance(a, Refusal) else None for a in received] == [answers[row] for row in range(60)]


def test_what_is_not_broken_is_read(tmp_path):
    seeds = [content for contents in picture_seeds().values() for content in contents]
    assert set(answers_of(seeds, tmp_path).values()) == {None}


def list_zip(path):
    """What comes of a zip: the sentence that refuses it whole, or (files read, reasons of the others)."""
    read, reasons = 0, []
    try:
        with open_source(path, LIMITS) as source:
            for name, reason in source.listing.refused:
                assert len(name) <= 120 and not UNSHOWABLE.search(name), name
                reasons.append(reason)
            for entry in source.listing.entries:
                assert ".." not in entry.name.split("/") and not entry.name.startswith("/"), entry.name
                assert not UNSHOWABLE.search(entry.name + entry.class_name), entry.name
                try:
                    read += len(source.read(entry)) <= LIMITS.picture_bytes
                except Refusal as refusal:
                    reasons.append(str(refusal))
    except UserMistake as mistake:
        return str(mistake)
    return read, reasons


@pytest.mark.parametrize(
    "numbers",
    [
        range(300),
        pytest.param(range(1_000), marks=pytest.mark.slow),
        *(pytest.param(range(n, n + 10_000), marks=pytest.mark.nightly) for n in range(0, 100_000, 10_000)),
    ],
    ids=str,
)
def test_broken_zips_are_listed_or_refused_in_a_sentence(tmp_path, numbers):
    here, path, counts = everything(tmp_path), tmp_path / "a.zip", [0, 0]
    slowest, most = 0.0, 0
    for number in numbers:
        path.write_bytes(mutated_zip(number))
        tracemalloc.start()  # anew each time: what makes a zip is twice as slow under it, and is not what is asked
        try:
            began = time.thread_time()
            answer = list_zip(path)
            slowest = max(slowest, time.thread_time() - began)
            most = max(most, tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        if isinstance(answer, str):
            assert OF_ZIPS.fullmatch(answer), (number, answer)
        else:
            assert all(OF_FILES.fullmatch(reason) for reason in answer[1]), (number, answer)
        counts[isinstance(answer, str)] += 1
    assert everything(tmp_path) - here == {"a.zip"}
    print(
        f"{counts[0]} listed, {counts[1]} refused whole; the slowest took {slowest:.2f} s, memory {most / 2**20:.1f} MB"
    )
    assert min(counts) > len(numbers) / 10 and slowest < 5, (counts, slowest)
    assert most < 8 * LIMITS.picture_bytes, most


@pytest.mark.parametrize(
    "count", [8, pytest.param(24, marks=pytest.mark.slow), pytest.param(150, marks=pytest.mark.nightly)]
)
def test_broken_zips_come_in_whole_or_leave_nothing(tmp_path, count):
    path, counts = tmp_path / "a.zip", [0, 0]
    for number in range(count):
        path.write_bytes(mutated_zip(10**6 + number))
        before = everything(datasets_root()) | everything(stores_root())
        try:
            preview = scan_source(path).preview()
            dataset = finish(import_dataset(f"zip {number}", path))
        except UserMistake as mistake:
            assert OF_ZIPS.fullmatch(str(mistake)), (number, mistake)
            assert everything(datasets_root()) | everything(stores_root()) == before | {".lock"}
            counts[1] += 1
        else:
            assert dataset.given == preview.given == dataset.used + len(dataset.refused), number
            for refused in dataset.refused:
                assert OF_PICTURES.fullmatch(refused.reason) or OF_FILES.fullmatch(refused.reason), (number, refused)
            counts[0] += 1
    assert len(list_datasets()) == counts[0] and min(counts) > 0
    assert {path.name for path in tmp_path.iterdir()} == {"a", "a.zip"}
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {"here", "home"}
    assert not list((tmp_path / "a" / "b" / "here").iterdir())
