"""Zips and folders: every layout that people have, and every zip that somebody might send."""

import gzip
import io
import os
import random
import stat
import struct
import sys
import tarfile
import unicodedata
import zipfile

import pytest

from core.data.pictures.picture import Refusal
from core.data.sources.names import class_order
from core.data.sources.open import open_source
from core.errors import UserMistake
from core.settings import Limits
from tests.pictures import png, two_classes, write_folder, write_zip

pytestmark = pytest.mark.usefixtures("home")

ANYTHING = [
    *("．．／", "~", "%2e%2e", "CON", "a:b", "a:Q", "<img src=x onerror=alert(1)>", "![x](evil)", "$x$", "=1+1"),
    *("日" * 85, "🎨", "مرحبا", "a.b[0]", "-rf", "`id`", "0", "a.", "con.png", "NUL"),
]
OUTSIDE = [
    *("../../evil.png", "a/../../evil.png", "/etc/evil.png", "//host/x.png", "C:/x.png", "C:\\x.png", ".."),
    *("\\\\host\\share\\x.png", "..\\..\\evil.png", "a\\..\\b.png"),
]


def listed(path, **limits):
    with open_source(path, Limits(**limits)) as source:
        return source.listing


def read_all(path, **limits):
    """{name: bytes, or the reason of its refusal} of everything that the source lists."""
    with open_source(path, Limits(**limits)) as source:
        answers = dict(source.listing.refused)
        for entry in source.listing.entries:
            try:
                answers[entry.name] = source.read(entry)
            except Refusal as refusal:
                answers[entry.name] = str(refusal)
        return answers


def mistake(path, **limits):
    with pytest.raises(UserMistake) as caught:
        read_all(path, **limits)
    assert "nothing was imported" in str(caught.value) or "unpack it" in str(caught.value)
    return str(caught.value)


def classes_of(listing):
    return sorted({entry.class_name for entry in listing.entries})


# --- layouts


def test_a_zip_and_a_folder_of_the_same_pictures_list_the_same(tmp_path):
    files = two_classes()
    zipped, folder = write_zip(tmp_path / "a.zip", files), write_folder(tmp_path / "a", files)
    assert read_all(zipped) == read_all(folder) == files
    assert [e.name for e in listed(zipped).entries] == [e.name for e in listed(folder).entries] == sorted(files)


def test_compressed_and_stored_zips_give_the_same_bytes(tmp_path):
    files = two_classes()
    assert read_all(write_zip(tmp_path / "a.zip", files, zipfile.ZIP_DEFLATED)) == files


def test_train_and_test_folders_are_parts_and_not_classes(tmp_path):
    files = {f"{part}/{name}": content for part in ("Train", "test", "val") for name, content in two_classes(2).items()}
    listing = listed(write_zip(tmp_path / "a.zip", files))
    assert classes_of(listing) == ["cat", "dog"]
    assert [entry.part for entry in listing.entries] == [0] * 4 + [1] * 4 + [2] * 4


def test_a_class_that_is_called_train_is_a_class(tmp_path):
    listing = listed(write_zip(tmp_path / "a.zip", {"train/1.png": png(1), "plane/1.png": png(2)}))
    assert classes_of(listing) == ["plane", "train"] and {entry.part for entry in listing.entries} == {-1}


def test_train_and_test_without_class_folders_is_refused(tmp_path):
    assert "no folder for each class" in mistake(write_zip(tmp_path / "a.zip", {"train/1.png": b"", "test/1.png": b""}))


@pytest.mark.parametrize("parts", [("test",), ("val",), ("Test", "val")])
def test_test_and_val_alone_are_not_classes(tmp_path, parts):
    files = {f"top/{part}/{name}": content for part in parts for name, content in two_classes(2).items()}
    assert "no train folder to learn from" in mistake(write_zip(tmp_path / "a.zip", files))
    assert "no train folder to learn from" in mistake(write_folder(tmp_path / "a", files))


@pytest.mark.parametrize("wrapper", ["top/", "my pictures/artworks/"])
@pytest.mark.parametrize("part", ["", "train/"])
def test_a_folder_that_wraps_everything_is_stripped(tmp_path, wrapper, part):
    files = (
        two_classes(2) if not part else {f"{p}/{n}": c for p in ("train", "test") for n, c in two_classes(2).items()}
    )
    wrapped = {wrapper + name: content for name, content in files.items()}
    listing = listed(write_zip(tmp_path / "a.zip", {**wrapped, "README.txt": b"hello", "__MACOSX/top/._x": b""}))
    assert [entry.name for entry in listing.entries] == sorted(files, key=lambda n: (n.startswith("test"), n))
    assert listing.refused == [("README.txt", "is not inside the folder of a class")] and listing.ignored == 1


def test_only_a_train_folder_is_a_part(tmp_path):
    files = {f"train/{name}": content for name, content in two_classes(2).items()}
    listing = listed(write_zip(tmp_path / "a.zip", files))
    assert classes_of(listing) == ["cat", "dog"] and {entry.part for entry in listing.entries} == {0}


def test_system_files_are_ignored_and_counted_apart(tmp_path):
    junk = ["__MACOSX/cat/._1.png", "cat/.DS_Store", "cat/Thumbs.db", ".git/config", "cat/desktop.ini", "_tmp/x.png"]
    listing = listed(write_zip(tmp_path / "a.zip", {**two_classes(2), **dict.fromkeys(junk, b"x")}))
    assert listing.ignored == len(junk) and len(listing.entries) == 4 and listing.refused == []
    assert classes_of(listing) == ["cat", "dog"]


def test_pictures_in_folders_within_a_class_belong_to_it(tmp_path):
    files = {"cat/a/1.png": png(), "cat/b/c/1.png": png(), "dog/1.png": png()}
    listing = listed(write_zip(tmp_path / "a.zip", files))
    assert [entry.class_name for entry in listing.entries] == ["cat", "cat", "dog"]


def test_classes_sort_as_people_count():
    assert sorted(["10", "9", "b", "A", "a", "B2", "B10"], key=class_order) == ["9", "10", "A", "a", "b", "B2", "B10"]


# --- names


def test_two_spellings_of_one_name_are_one_class(tmp_path):
    composed, decomposed = "café", unicodedata.normalize("NFD", "café")
    listing = listed(
        write_zip(tmp_path / "a.zip", {f"{composed}/1.png": b"1", f"{decomposed}/2.png": b"2", "x/1": b""})
    )
    assert classes_of(listing) == ["café", "x"] and "look alike" in listing.notes[0]


def test_names_that_differ_only_in_case_are_kept_and_noted(tmp_path):
    listing = listed(write_zip(tmp_path / "a.zip", {"Cat/1": b"", "cat/1": b"", "cat /1": b"", "dog/1": b""}))
    assert classes_of(listing) == ["Cat", "cat", "cat ", "dog"]
    assert listing.notes == ["'Cat', 'cat', 'cat ' differ only in case or blanks; they were kept as 3 classes."]


@pytest.mark.parametrize("name", ANYTHING)
def test_a_class_may_be_called_anything(tmp_path, name):
    listing = listed(write_zip(tmp_path / "a.zip", {f"{name}/1.png": b"", "other/1.png": b""}))
    assert set(classes_of(listing)) == {name, "other"}


@pytest.mark.parametrize("name", ["\u202e", "\u200b", " ", "\u2066\u2069"])
def test_a_class_needs_a_visible_name(tmp_path, name):
    assert "visible name" in mistake(write_zip(tmp_path / "a.zip", {f"{name}/1.png": b"", "other/1.png": b""}))


def test_what_steers_a_terminal_is_replaced_in_names(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a/1\n2\x1b[31m.png": b"", "a/\u202egnp.exe": b"", "b/1%png": b""})
    path.write_bytes(path.read_bytes().replace(b"1%png", b"1\0png"))  # the module that writes zips leaves no NUL in
    assert sorted(read_all(path)) == ["a/1�2�[31m.png", "a/�gnp.exe", "b/1�png"]


def test_names_in_utf8_without_the_flag_are_read_as_utf8(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"日本/1.png": b"", "x/1.png": b""})
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.find(magic)
        content[at + offset + 1] &= ~0x08  # bit 11: names are UTF-8
    path.write_bytes(content)
    assert classes_of(listed(path)) == ["x", "日本"] and listed(path).notes == []


def test_names_in_an_old_code_page_are_noted(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"zz/1.png": b"", "x/1.png": b""})
    path.write_bytes(path.read_bytes().replace(b"zz/1", b"\x93\xfa/1"))  # the first sign of Japan in Shift-JIS
    assert "old code page" in listed(path).notes[0]


# --- zips that somebody might send


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_path_that_points_outside_refuses_the_zip(tmp_path, name):
    said = mistake(write_zip(tmp_path / "a.zip", {**two_classes(2), name: png()}))
    assert "points outside the archive" in said
    assert not list(tmp_path.rglob("*evil*"))


def test_backslashes_separate_folders(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"cat\\1.png": b"", "dog\\1.png": b""})
    assert classes_of(listed(path)) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("mode", "words"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "pipe"), (stat.S_IFCHR, "pipe")]
)
def test_links_and_devices_are_refused_by_name(tmp_path, mode, words):
    link = zipfile.ZipInfo("cat/passwd.png")
    link.external_attr = (mode | 0o777) << 16
    answers = read_all(write_zip(tmp_path / "a.zip", [*two_classes(2).items(), (link, b"/etc/passwd")]))
    assert words in answers["cat/passwd.png"] and len(answers) == 5


def test_rights_in_a_zip_are_nobody_s(tmp_path):
    root = zipfile.ZipInfo("cat/root.png")
    root.external_attr = (stat.S_IFREG | 0o4755) << 16
    assert read_all(write_zip(tmp_path / "a.zip", [*two_classes(2).items(), (root, png(7))]))["cat/root.png"] == png(7)


def test_two_files_of_one_name_are_both_kept(tmp_path):
    pairs = [*two_classes(2).items(), ("cat/000.png", png(77))]
    with pytest.warns(UserWarning, match="Duplicate"):
        path = write_zip(tmp_path / "a.zip", pairs)
    listing = listed(path)
    assert len(listing.entries) == 5 and listing.notes == ["1 file(s) had the same name as another; all were kept."]


def test_a_file_and_a_folder_of_one_name_are_no_trouble(tmp_path):
    listing = listed(write_zip(tmp_path / "a.zip", {"cat": b"x", "cat/1.png": b"", "dog/1.png": b""}))
    assert len(listing.entries) == 2 and listing.refused == [("cat", "is not inside the folder of a class")]


def test_names_that_are_too_long_or_too_deep_are_refused_one_by_one(tmp_path):
    files = {**two_classes(2), "cat/" + "x" * 300: b"", "cat/" + "d/" * 400 + "1.png": b""}
    listing = listed(write_zip(tmp_path / "a.zip", files))
    assert sorted(reason for _, reason in listing.refused) == [
        "has a name or a folder longer than 255 bytes",
        "lies deeper than 10 folders",
    ]
    assert max(len(name) for name, _ in listing.refused) <= 120


def test_a_password_is_asked_to_be_left_out(tmp_path):
    path = write_zip(tmp_path / "a.zip", two_classes(2))
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\1\2")
    content[at + 8] |= 1
    path.write_bytes(content)
    assert "password-protected" in mistake(path)


def test_an_unknown_compression_is_named(tmp_path):
    assert "unsupported compression (method 12)" in mistake(
        write_zip(tmp_path / "a.zip", two_classes(2), zipfile.ZIP_BZIP2)
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Rar!\x1a\7\0" + bytes(99), "a RAR archive, not a zip"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "a 7-Zip archive, not a zip"),
        (gzip.compress(bytes(99), mtime=0), "a gzip archive, not a zip"),
        (b"hello", "not a plain zip"),
        (b"", "is empty"),
        (b"PK\5\6" + bytes(18), "no pictures"),
        (b"PK\3\4" + bytes(99), "incomplete"),
    ],
)
def test_what_is_no_zip_is_called_by_its_name(tmp_path, content, words):
    (tmp_path / "a.zip").write_bytes(content)
    assert words in mistake(tmp_path / "a.zip")


def test_a_tar_is_called_by_its_name(tmp_path):
    with tarfile.open(tmp_path / "a.zip", "w") as archive:
        archive.addfile(tarfile.TarInfo("x"), io.BytesIO())
    assert "a tar archive" in mistake(tmp_path / "a.zip")


def test_a_zip_behind_other_data_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", two_classes(2))
    path.write_bytes(b"MZ" + bytes(62) + path.read_bytes())
    assert "other data stands before it" in mistake(path)


@pytest.mark.parametrize("kept", [0.5, 0.9, -10, -30])
def test_a_zip_that_was_cut_short_is_called_so(tmp_path, kept):
    path = write_zip(tmp_path / "a.zip", two_classes(6))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)] if kept > 0 else content[:kept])
    assert "incomplete" in mistake(path)


def test_a_directory_that_lists_nothing_is_no_pictures(tmp_path):
    path = write_zip(tmp_path / "a.zip", two_classes(2))
    content = bytearray(path.read_bytes())
    end = content.rfind(b"PK\5\6")
    content[end + 8 : end + 20] = struct.pack("<HHII", 0, 0, 0, end)
    path.write_bytes(content)
    assert "no pictures" in mistake(path)


def test_only_folders_are_no_pictures(tmp_path):
    assert "no pictures" in mistake(write_zip(tmp_path / "a.zip", {"cat/": b"", "dog/": b""}))


def test_too_many_files_are_refused_before_they_are_listed(tmp_path):
    path = write_zip(tmp_path / "a.zip", {f"cat/{i}": b"" for i in range(20)})
    assert "lists 20 files" in mistake(path, zip_entries=19)
    assert len(listed(path, zip_entries=20).entries) == 20


def test_an_end_record_that_lies_about_the_number_is_found_out(tmp_path):
    path = write_zip(tmp_path / "a.zip", {f"cat/{i}": b"" for i in range(20)})
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\5\6")
    content[at + 8 : at + 12] = struct.pack("<HH", 3, 3)
    path.write_bytes(content)
    assert "20 files" in mistake(path, zip_entries=10)


def test_a_zip_over_the_limit_is_refused_with_the_way_out(tmp_path):
    assert "unpack it and import the folder" in mistake(write_zip(tmp_path / "a.zip", two_classes()), zip_bytes=1000)


def test_files_that_overlap_refuse_the_zip(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"cat/1.png": png(1), "cat/2.png": png(1), "dog/1.png": png(2)})
    content = bytearray(path.read_bytes())
    second = content.find(b"PK\1\2", content.find(b"PK\1\2") + 1)
    content[second + 42 : second + 46] = struct.pack("<I", 0)  # its body is the first one's
    path.write_bytes(content)
    assert "files overlap" in mistake(path)


def test_a_local_header_that_reaches_into_the_next_file_refuses_the_zip(tmp_path):
    path = write_zip(tmp_path / "a.zip", two_classes(2))
    content = bytearray(path.read_bytes())
    content[28:30] = struct.pack("<H", 30)  # length of the extra field
    path.write_bytes(content)
    assert "files overlap" in mistake(path)


def test_a_file_that_expands_without_end_is_stopped(tmp_path):
    bomb = {**two_classes(2), "cat/bomb.png": bytes(20_000_000)}
    answers = read_all(write_zip(tmp_path / "a.zip", bomb, zipfile.ZIP_DEFLATED))
    assert answers["cat/bomb.png"] == "expands to more than 100 times its packed size" and len(answers) == 5


def test_a_zip_that_expands_beyond_the_budget_is_refused(tmp_path):
    files = {f"cat/{i}.png": bytes(1_000_000) for i in range(5)}
    path = write_zip(tmp_path / "a.zip", files, zipfile.ZIP_DEFLATED)
    assert "would expand" in mistake(path, expanded_bytes=4_000_000)


def test_a_zip_that_does_not_fit_on_the_disk_is_refused_because_of_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("core.data.sources.zip._free_bytes", lambda: 2**20)
    path = write_zip(tmp_path / "a.zip", {f"{name}/1.png": bytes(300_000) for name in "ab"})
    sentence = mistake(path)
    assert "the pictures have 0.572 MB; 1 MB are free" in sentence and "limits.json" not in sentence


def test_a_zip_that_expands_twenty_times_is_refused_from_100_megabytes_on(tmp_path):
    files = {f"cat/{i}.png": bytes(1_000_000) for i in range(120)}
    assert "20 times" in mistake(write_zip(tmp_path / "a.zip", files, zipfile.ZIP_DEFLATED))


def patched_size(path, claimed):
    """The zip with another size claimed for its first file."""
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\1\2")
    content[at + 24 : at + 28] = struct.pack("<I", claimed)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("claimed", [10, 100_000])
def test_a_header_that_lies_about_the_size_is_a_damaged_file(tmp_path, claimed):
    path = patched_size(write_zip(tmp_path / "a.zip", two_classes(2), zipfile.ZIP_DEFLATED), claimed)
    assert read_all(path)["cat/000.png"] == "is damaged in the zip"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_one_flipped_byte_costs_one_file(tmp_path, compression):
    path = write_zip(tmp_path / "a.zip", two_classes(), compression)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    answers = read_all(path)
    assert [a for a in answers.values() if isinstance(a, str)] == ["is damaged in the zip"] and len(answers) == 12


def test_a_zip_in_pieces_is_refused_as_a_whole(tmp_path):
    path = write_zip(tmp_path / "a.zip", two_classes(20))
    content = bytearray(path.read_bytes())
    for place in range(0, content.find(b"PK\1\2"), 3000):
        if b"PK" not in content[place : place + 60]:
            content[place + 20] ^= 0xFF
    path.write_bytes(content)
    assert "more than a fifth" in mistake(path)


def test_mutated_zips_end_in_words_and_nothing_else(tmp_path):
    draw = random.Random(0)
    path = write_zip(tmp_path / "a.zip", {"a/1": b"x" * 50, "b/2": b"y" * 50}, zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            read_all(path)
        except UserMistake:
            pass


# --- folders


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_and_pipes_in_a_folder_are_refused_and_not_followed(tmp_path):
    folder = write_folder(tmp_path / "a", two_classes(2))
    (folder / "cat" / "link.png").symlink_to("/etc/passwd")
    (folder / "cat" / "loop").symlink_to(folder)
    os.mkfifo(folder / "dog" / "pipe.png")
    listing = listed(folder)
    assert sorted(listing.refused) == [
        ("cat/link.png", "is a link, not a picture"),
        ("cat/loop", "is a link to a folder; links are not followed, so put the folder itself in its place"),
        ("dog/pipe.png", "is a device or a pipe, not a picture"),
    ]


def test_a_file_that_vanishes_or_is_too_large_is_refused_by_name(tmp_path):
    folder = write_folder(tmp_path / "a", {**two_classes(2), "cat/big.png": bytes(5000)})
    with open_source(folder, Limits(picture_bytes=4000)) as source:
        (folder / "dog" / "000.png").unlink()
        for entry in source.listing.entries:
            if entry.name in ("cat/big.png", "dog/000.png"):
                with pytest.raises(Refusal, match=r"larger than|could not be opened"):
                    source.read(entry)


def test_a_folder_that_may_not_be_opened_is_refused_by_name(tmp_path, monkeypatch):
    folder, scandir = write_folder(tmp_path / "a", {**two_classes(2), "dog/secret/1.png": png()}), os.scandir

    def guarded(path):
        if path.endswith(("secret", "closed")):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert listed(folder).refused == [("dog/secret", "is a folder that could not be opened (permission denied)")]
    (tmp_path / "closed").mkdir()
    assert "could not be opened (permission denied)" in mistake(tmp_path / "closed")


def test_a_path_that_does_not_exist_is_reported(tmp_path):
    assert "there is no file or folder" in mistake(tmp_path / "nowhere")
