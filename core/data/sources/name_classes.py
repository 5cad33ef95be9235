"""Classes in the names of files: cat.0.jpg, cat.1.jpg and dog.0.jpg side by side, as competitions and cameras of
scientists write them. It is a guess, and is said to be one."""

import re
from collections import Counter

from core.data.sources.layout import File, Parts, is_no_picture, is_usual_part, listed

NUMBERED = re.compile(r"([^\W\d_](?:.*[^\W\d_])?)[\s._-]*\(?\d+\)?\.\w{2,5}")  # word, number, ending
CAMERAS = frozenset(  # what cameras, telephones and programs call every picture
    (
        *("img", "dsc", "dscf", "dscn", "dcim", "pxl", "mvi", "gopr", "gp", "sam", "imag", "p", "pict", "wp", "vid"),
        *("image", "images", "photo", "photos", "picture", "pictures", "pic", "foto", "bild", "imagen", "screenshot"),
        *("screen shot", "bildschirmfoto", "scan", "frame", "page", "seite", "untitled", "file", "download", "train"),
        *("test", "val", "unnamed", "whatsapp image", "capture", "snapshot"),
    )
)
SHARE = 0.9  # of the pictures to learn from, whose names have to say a class
LEAST = 2  # pictures of each class
LETTERS = 3  # of a word, or more: a1.png and b1.png are numbered, not named


def classes_in_names(files: list[File]) -> tuple[list[File], str]:
    """The files, each with the class that its name says as its last folder, and a sentence on it; the same files and
    "" where there are folders of classes, or the names do not look like classes.

    The pictures lie side by side, in one folder, or in folders that are called train, val and test.
    """
    pictures = [path for path, _, reason in files if reason is None and not is_no_picture(path[-1])]
    tops = {path[0] for path in pictures if len(path) > 1}
    in_parts = bool(tops) and all(map(is_usual_part, tops))
    if any(len(path) > 2 for path in pictures) or (len(tops) > 1 and not in_parts):
        return files, ""
    if tops and any(len(path) == 1 for path in pictures):
        return files, ""
    said = {path: word for path in pictures if (word := _word(path[-1]))}
    counts, learnt = Counter(said.values()), [path for path in pictures if not (in_parts and _is_test(path))]
    if len(counts) < 2 or min(counts.values()) < LEAST or {word.casefold() for word in counts} & CAMERAS:
        return files, ""
    if sum(path in said for path in learnt) < SHARE * len(learnt):
        return files, ""
    found = [(_placed(path, said.get(path), in_parts), key, reason) for path, key, reason in files]
    return found, f"The classes {listed(sorted(counts))} are read from the names of the files."


def given_name(path: Parts) -> Parts:
    """The path of a file before classes_in_names has put its class into it."""
    return (*path[:-2], path[-1])


def _word(name: str) -> str | None:
    found = NUMBERED.fullmatch(name)
    return found.group(1) if found and len(found.group(1)) >= LETTERS else None


def _is_test(path: Parts) -> bool:
    """A test folder may hold pictures of which nobody says the class."""
    return "test" in path[0].casefold()


def _placed(path: Parts, word: str | None, in_parts: bool) -> Parts:
    if word is None:
        return path
    return (path[0], word, path[-1]) if in_parts else (word, path[-1])
