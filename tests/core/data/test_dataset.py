"""A dataset comes in whole or not at all, counts every file, and is found again as it was."""

import io
import json
import random
import re
import signal
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config import DataConfig
from core.data.datasets.dataset import delete_dataset, find_dataset, list_datasets
from core.data.imports.pipeline import import_dataset, import_pictures
from core.data.sources.listing import is_class_folder
from core.data.store.store import load_store
from core.data.versions.export import class_folders
from core.errors import UserMistake
from core.settings import datasets_root, stores_root
from pages.parts.shell.escape import escape, shown
from tests.pictures import NAMES_LIKE_PATHS, encoded, finish, noise, png, two_classes, write_folder, write_zip

pytestmark = pytest.mark.usefixtures("home")

ROOT = Path(__file__).resolve().parents[3]


def left_over():
    """Whatever an unfinished import would leave."""
    every = [*datasets_root().glob("*"), *stores_root().glob("*")]
    return [path.name for path in every if path.name not in (".lock",) and not path.name.endswith(".lock")]


def bring(tmp_path, files=None, name="animals", file="a.zip"):
    return finish(import_dataset(name, write_zip(tmp_path / file, files or two_classes())))


def test_a_zip_comes_in_with_its_names_classes_and_originals(tmp_path):
    files = two_classes()
    dataset = bring(tmp_path, files)
    assert (dataset.given, dataset.used, dataset.refused, dataset.ignored) == (12, 12, (), 0)
    assert dataset.classes == ("cat", "dog") and dataset.class_counts == {"cat": 6, "dog": 6}
    assert list(dataset.names) == sorted(files) and dataset.source == "zip" and not dataset.drawn
    assert dataset.labels.tolist() == [0] * 6 + [1] * 6 and dataset.labels.dtype == np.int64
    assert set(dataset.given_parts.tolist()) == {-1} and dataset.given_parts.dtype == np.int8
    assert [dataset.original(i) for i in range(12)] == [files[name] for name in sorted(files)]
    assert find_dataset("animals") == dataset and list_datasets() == [dataset]


def test_a_folder_has_the_same_content_hash_as_its_zip(tmp_path):
    zipped = bring(tmp_path)
    folder = finish(import_dataset("folder", write_folder(tmp_path / "a", two_classes())))
    wrapped = bring(tmp_path, {"top/" + name: content for name, content in two_classes().items()}, "top", "b.zip")
    assert zipped.content_hash == folder.content_hash == wrapped.content_hash and folder.source == "folder"
    other = bring(tmp_path, {**two_classes(), "cat/000.png": png(9)}, "other", "c.zip")
    assert other.content_hash != zipped.content_hash


def test_given_is_used_plus_refused_and_junk_stands_apart(tmp_path):
    files = {
        **two_classes(),
        "cat/empty.png": b"",
        "cat/notes.txt": b"hello",
        "dog/cut.png": png()[:100],
        "dog/tiny.png": encoded(Image.new("RGB", (3, 3))),
        "README.md": b"hi",
        "__MACOSX/cat/._000.png": b"x",
        "cat/.DS_Store": b"x",
    }
    dataset = bring(tmp_path, files)
    assert (dataset.given, dataset.used, len(dataset.refused), dataset.ignored) == (17, 12, 5, 2)
    reasons = {refused.name: refused.reason for refused in dataset.refused}
    assert reasons["cat/empty.png"] == "is empty" and "not a picture" in reasons["cat/notes.txt"]
    assert "incomplete" in reasons["dog/cut.png"] and "too small" in reasons["dog/tiny.png"]
    assert reasons["README.md"] == "is not inside the folder of a class"
    assert [dataset.original(i) for i in range(12)] == [two_classes()[name] for name in sorted(two_classes())]
    packed = (dataset.folder / "pictures.pack").read_bytes()
    assert packed == b"".join(two_classes()[name] for name in sorted(two_classes()))  # nothing of the refused ones


def test_the_images_of_the_default_store_fit_their_pictures(tmp_path):
    files = {**two_classes(), "cat/0005.png": b"refused in the middle"}
    dataset = bring(tmp_path, files)
    store = load_store(DataConfig(dataset="animals"))
    for i, name in enumerate(dataset.names):
        picture = Image.open(io.BytesIO(files[name]))
        assert np.array_equal(store.images[i], store.preprocess.receive(picture)), name


def test_progress_counts_up_and_ends_with_the_dataset(tmp_path):
    reports = list(import_dataset("animals", write_zip(tmp_path / "a.zip", two_classes(50))))
    assert [report.phase for report in reports[:2]] == ["listing", "reading"] and reports[-1].phase == "done"
    assert reports[1].total == 100 and reports[-1].dataset is not None
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    assert reports[-1].done == 100 and all(report.dataset is None for report in reports[:-1])


def test_the_same_content_under_the_same_name_is_already_there(tmp_path):
    first = bring(tmp_path)
    assert bring(tmp_path, file="copy.zip") == first
    assert len(list_datasets()) == 1 and len(left_over()) == 2  # one dataset, one store


@pytest.mark.parametrize("count", [6, 7])
def test_other_content_under_the_same_name_is_a_mistake(tmp_path, count):
    first = bring(tmp_path)
    other = {name: content + b"x" for name, content in two_classes(count).items()}
    with pytest.raises(UserMistake, match=r"named 'animals' with other pictures is already here \(12 pictures\)"):
        bring(tmp_path, other, file="other.zip")
    assert list_datasets() == [first]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"cat/1.png": png(1), "cat/2.png": png(2)}, "only one class, 'cat'"),
        ({**two_classes(2), "bird/1.png": b"no picture", "bird/2.png": b""}, "class 'bird' has no usable picture"),
        ({**two_classes(2), "bird/1.png": png(5)}, "class 'bird' has 1 usable picture"),
        ({"1.png": png(1), "2.png": png(2)}, "side by side and no folder for each class"),
        ({"train/cat/1.png": png(1), "train/cat/2.png": png(2), "test/dog/1.png": png(3), "test/dog/2.png": png(4)},
         "class 'dog' has no picture to learn from"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_refused_and_leaves_nothing(tmp_path, files, words):
    with pytest.raises(UserMistake, match=words):
        bring(tmp_path, files)
    assert left_over() == []


@pytest.mark.parametrize("name", ["", "  ", "\u202e", "x" * 81])
def test_a_dataset_needs_a_name(tmp_path, name):
    with pytest.raises(UserMistake, match="name"):
        bring(tmp_path, name=name)


def test_a_name_is_never_part_of_a_path(tmp_path):
    dataset = bring(tmp_path, name="../../evil/\\x")
    assert dataset.folder.parent == datasets_root() and find_dataset("../../evil/\\x").id == dataset.id
    assert not list(tmp_path.rglob("*evil*"))


def test_two_hundred_names_that_look_like_paths_are_names_and_nothing_else(tmp_path):
    pictures = [
        (f"{name}/{i}.png", name, None, png(2 * k + i, 16, 16))
        for k, name in enumerate(NAMES_LIKE_PATHS)
        for i in (0, 1)
    ]
    dataset = finish(import_pictures("~/../%2e%2e", iter(pictures), "zip", False))
    assert len(dataset.classes) == len(NAMES_LIKE_PATHS) > 200 and set(dataset.classes) == set(NAMES_LIKE_PATHS)
    ours = re.compile(r"home(/(datasets|stores)(/\.lock|/[0-9a-f]{16,64}(/[a-z]+\.(npy|jsonl?|pack))?)?)?")
    assert all(ours.fullmatch(str(path.relative_to(tmp_path))) for path in tmp_path.rglob("*"))
    for name in NAMES_LIKE_PATHS:
        text = re.sub(r"\\(.)", r"\1", re.sub(r":color\[(.+?)\]\{\}", r"\1", escape(name, 300)))
        assert text == shown(name, 300) == name
    folders = class_folders(dataset)
    assert all(map(is_class_folder, folders)) and len({folder.casefold() for folder in folders}) == len(folders)
    assert not [folder for folder in folders if set('/\\:*?"<>|') & set(folder) or len(folder.encode()) > 130]


def test_a_dataset_is_found_however_its_name_is_typed(tmp_path):
    typed = unicodedata.normalize("NFD", " Müller\x07 ")
    dataset = bring(tmp_path, name=typed)
    assert find_dataset(typed) == find_dataset("Müller\ufffd") == dataset


def test_an_unknown_dataset_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(UserMistake, match="nothing has been imported yet"):
        find_dataset("nothing")
    bring(tmp_path)
    with pytest.raises(UserMistake, match="unknown dataset 'nothing'; known: animals"):
        find_dataset("nothing")


def test_notes_say_what_was_changed_and_what_looks_wrong(tmp_path):
    files = {
        **{f"train/{name}": content for name, content in two_classes(3).items()},
        "train/cat/cmyk.jpg": encoded(noise(mode="CMYK"), "JPEG"),
        "train/dog/alpha.png": encoded(noise(mode="RGBA")),
        "train/dog/twin.png": two_classes(3)["cat/000.png"],
        "val/cat/1.png": two_classes(3)["cat/001.png"],
        "val/dog/1.png": png(55),
    }
    notes = " ".join(bring(tmp_path, files).notes)
    for words in ("1 CMYK", "1 picture(s) with transparency", "more than one class", "more than one part", "held-out"):
        assert words in notes, words


def test_pictures_that_the_program_has_at_hand_come_in_sorted(tmp_path):
    entries = [(f"{i}.png", "dog" if i % 2 else "cat", "test" if i > 7 else "train", png(i)) for i in range(12)]
    dataset = finish(import_pictures("drawn", iter(entries[::-1]), "samples", True))
    assert dataset.drawn and dataset.source == "samples" and dataset.used == 12
    assert list(dataset.names) == [f"{i}.png" for i in (0, 2, 4, 6, 1, 3, 5, 7, 10, 8, 11, 9)]
    assert dataset.given_parts.tolist() == [0] * 8 + [2] * 4
    assert dataset.original(0) == png(0) and dataset.original(11) == png(9)
    store = load_store(DataConfig(dataset="drawn"))
    assert np.array_equal(store.images[8], store.preprocess.receive(Image.open(io.BytesIO(png(10)))))


@pytest.mark.parametrize("reports", [1, 2, 3])
def test_closing_cancels_and_leaves_nothing(tmp_path, reports):
    progress = import_dataset("animals", write_zip(tmp_path / "a.zip", two_classes(500)))
    for _ in range(reports):
        next(progress)
    progress.close()
    assert left_over() == [] and list_datasets() == []


def test_an_import_that_was_killed_leaves_the_rest_as_it_was(tmp_path):
    first = bring(tmp_path)
    code = (
        "import time; from core.data.imports.pipeline import import_pictures; from tests.pictures import png\n"
        "def endless():\n"
        "    for i in range(300): yield f'{i}.png', 'ab'[i % 2], None, png(i)\n"
        "    print('at work', flush=True); time.sleep(600)\n"
        "list(import_pictures('big', endless(), 'samples', True))"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert worker.stdout.readline() == b"at work\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    assert any(name.startswith(".staging") for name in left_over())
    assert list_datasets() == [first]
    bring(tmp_path, two_classes(3), "next", "next.zip")  # sweeps
    assert not [name for name in left_over() if name.startswith(".staging")]
    assert len(list_datasets()) == 2


def test_an_import_at_work_is_not_swept_by_another(tmp_path):
    slow = import_dataset("slow", write_zip(tmp_path / "slow.zip", two_classes(40)))
    next(slow), next(slow)
    bring(tmp_path)
    assert finish(slow).used == 80 and len(list_datasets()) == 2


def test_two_who_bring_the_same_zip_at_once_have_one_dataset(tmp_path):
    path = write_zip(tmp_path / "a.zip", two_classes(20))
    code = (
        "import sys; from pathlib import Path; from core.data.imports.pipeline import import_dataset\n"
        "*_, last = import_dataset('animals', Path(sys.argv[1])); print(last.dataset.id)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ids = {worker.communicate(timeout=60)[0].strip() for worker in both}
    assert [worker.returncode for worker in both] == [0, 0]
    (dataset,) = list_datasets()
    assert ids == {dataset.id} and dataset.used == 40
    assert not [name for name in left_over() if name.startswith(".staging")]


def test_deleting_takes_its_stores_but_not_those_of_the_same_pictures(tmp_path):
    bring(tmp_path)
    bring(tmp_path, name="twin")
    delete_dataset("animals")
    assert load_store(DataConfig(dataset="twin")).images.shape == (12, 3, 32, 32)
    delete_dataset("twin")
    assert left_over() == [] and list_datasets() == []


def test_a_damaged_dataset_is_skipped_and_a_damaged_picture_reported(tmp_path):
    dataset = bring(tmp_path)
    bring(tmp_path, two_classes(3), "other", "b.zip")
    with (dataset.folder / "pictures.pack").open("r+b") as pack:
        pack.write(b"damage")
    with pytest.raises(UserMistake, match=r"'cat/000.png' of 'animals' is damaged"):
        dataset.original(0)
    (dataset.folder / "dataset.json").write_text("{")
    assert [found.name for found in list_datasets()] == ["other"]


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, monkeypatch):
    def full(file, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.data.imports.staging._write_all", full)
    with pytest.raises(UserMistake, match=r"The disk is full .* Nothing was kept"):
        bring(tmp_path)
    assert left_over() == []


def test_a_bomb_among_pictures_is_refused_by_name(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in two_classes().items():
            archive.writestr(name, content)
        archive.writestr("cat/bomb.png", bytes(20_000_000))
    dataset = finish(import_dataset("animals", path))
    assert dataset.used == 12 and dataset.refused[0].name == "cat/bomb.png"


def test_zips_within_a_zip_are_not_opened_and_rights_are_our_own(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", {"cat/bomb.png": bytes(10**6)}, zipfile.ZIP_DEFLATED).read_bytes()
    program = zipfile.ZipInfo("cat/program.png")
    program.external_attr = 0o104777 << 16
    dataset = bring(tmp_path, {**two_classes(), "cat/inner.zip": inner, program: png(99)})
    (refused,) = dataset.refused
    assert (refused.name, refused.reason) == ("cat/inner.zip", "is a zip inside; archives within are not opened")
    assert all(not path.stat().st_mode & 0o111 for path in dataset.folder.iterdir())


def test_the_content_says_what_a_file_is_and_not_its_name(tmp_path):
    files = {**two_classes(), "cat/really a png.jpg": png(7), "dog/really a jpeg.png": encoded(noise(), "JPEG")}
    assert bring(tmp_path, files).used == 14


def test_names_are_found_whatever_their_case_and_marks(tmp_path):
    odd = ["Straße 1", 'a "quoted" one', "back\\slash", "日本", "x\ty", "ÄÖ.png", "plain.PNG"]
    entries = [(name, "ab"[i % 2], None, png(i)) for i, name in enumerate(odd)]
    names = finish(import_pictures("odd", iter(entries), "samples", True)).names
    for wanted in ("STRASSE", '"quoted', "\\", "本", "äö", ".png", "1", "nowhere", '"', "class"):
        plainly = [row for row, name in enumerate(names) if wanted.casefold() in name.casefold()]
        assert names.containing(wanted).tolist() == plainly, wanted
    assert names[-1] == list(names)[-1] == names[len(names) - 1] and names[1:3] == list(names)[1:3]
    with pytest.raises(IndexError):
        names[len(odd)]


def test_what_comes_unsorted_is_sorted_in_runs_that_are_merged(tmp_path, monkeypatch):
    entries = [(f"{i:03}.png", "cb10 9 a"[i % 8 : i % 8 + 1].strip() or "_", "train", png(i)) for i in range(60)]
    random.Random(1).shuffle(entries)
    entries.insert(20, ("refused.png", "a", "train", b"no picture"))
    dataset = finish(import_pictures("whole", iter(entries), "samples", True))
    monkeypatch.setattr("core.data.imports.staging.SORTED", 7)
    monkeypatch.setattr("core.data.imports.staging.PIECE", 5)
    again = finish(import_pictures("runs", iter(entries), "samples", True))
    assert again.content_hash == dataset.content_hash and list(again.names) == list(dataset.names)
    by_name = {name: content for name, _, _, content in entries}
    assert [again.original(row) for row in range(60)] == [by_name[name] for name in again.names]
    assert (again.given, again.used, [refused.name for refused in again.refused]) == (61, 60, ["refused.png"])


def test_what_is_on_the_disk_is_as_the_design_says(tmp_path):
    dataset = bring(tmp_path)
    assert sorted(path.name for path in dataset.folder.iterdir()) == [
        "dataset.json", "index.npy", "names.jsonl", "pictures.pack"
    ]  # fmt: skip
    assert len(dataset.id) == 16 and int(dataset.id, 16) >= 0
    lines = (dataset.folder / "names.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == list(dataset.names)
