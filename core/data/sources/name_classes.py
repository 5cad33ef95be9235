"""Classes in the names of files: cat.0.jpg, cat.1.jpg and dog.0.jpg side by side, as competitions hand them out. It is
a guess, and is said to be one."""

import re
from collections import Counter

from core.data.sources.layout import FILLERS, File, Parts, is_no_picture, is_usual_part, listed, part_name

NUMBERED = re.compile(r"([^\W\d_](?:.*[^\W\d_])?)[\s._-]*\(?\d+\)?\.\w{2,5}")  # word, number, ending
CAMERAS = frozenset(  # words by which cameras, telephones and programs call every picture
    (
        *("img", "imgp", "imag", "dsc", "dscf", "dscn", "dcim", "cimg", "pxl", "mvi", "gopr", "gp", "sam", "sdc"),
        *("hpim", "dji", "pict", "wp", "wa", "vid", "fb", "received", "signal", "whatsapp", "telegram", "burst"),
        *("pano", "hdr", "image", "images", "photo", "photos", "picture", "pictures", "pic", "pics", "foto"),
        *("fotos", "bild", "bilder", "imagen", "screenshot", "screen", "shot", "bildschirmfoto", "scan", "frame"),
        *("page", "seite", "capture", "snapshot", "untitled", "unnamed", "file", "download", "sample"),
    )
)
DATE = re.compile(r"\d{6}")  # of a picture, in its name
SHARE = 0.9  # of the pictures to learn from, whose names have to say a class
LEAST = 2  # pictures of a class; a word that fewer have is none
LETTERS = 3  # of a word, or more: a1.png and b1.png are numbered, not named


def classes_in_names(files: list[File]) -> tuple[list[File], str]:
    """The files with the class that the name says as the last folder of each, and a sentence on it; the same files and
    "" where there are folders of classes, or the names do not look like classes.

    The pictures lie side by side, in one folder that is called like "images", or in folders of parts (train, val,
    test). Of the last, those of a test folder may say nothing. A file that says no class is left in no class.
    """
    pictures = [path for path, _, reason in files if reason is None and not is_no_picture(path[-1])]
    tops = {path[0] for path in pictures if len(path) > 1}
    in_parts = bool(tops) and all(map(is_usual_part, tops))
    is_flat = not tops or (len(tops) == 1 and _is_filler(min(tops)))
    if any(len(path) > 2 for path in pictures) or not (in_parts or is_flat):
        return files, ""
    if tops and any(len(path) == 1 for path in pictures):
        return files, ""
    tests = {top for top in tops if in_parts and (part := part_name(top)) and part.number == 2}
    learnt = [_word(path[-1]) for path in pictures if path[0] not in tests]
    counts = Counter(word for word in learnt if word)
    classes = {word for word, count in counts.items() if count >= LEAST and not is_usual_part(word)}
    said = sum(counts[word] for word in classes)
    if len(classes) < 2 or said < SHARE * len(learnt) or any(map(_is_of_a_camera, classes)):
        return files, ""
    placed = [(_placed(path, classes, in_parts), key, reason) for path, key, reason in files]
    return placed, f"The classes {listed(sorted(classes))} are read from the names of the files."


def _word(name: str) -> str | None:
    found = NUMBERED.fullmatch(name)
    word = found.group(1) if found else ""
    return word if len(word) >= LETTERS and not DATE.search(word) else None


def _is_of_a_camera(word: str) -> bool:
    letters = re.findall(r"[^\W\d_]+", word.casefold())
    return letters[0] in CAMERAS or letters[-1] in CAMERAS


def _is_filler(folder: str) -> bool:
    return set(re.findall(r"[^\W_]+", folder.casefold())) <= FILLERS


def _placed(path: Parts, classes: set[str], in_parts: bool) -> Parts:
    """Where it would lie in folders of classes; directly below the top, and so in none, where it says no class."""
    word = _word(path[-1])
    folders = path[:1] if in_parts and len(path) > 1 else ()
    return (*folders, word, path[-1]) if word in classes and word else (*folders, path[-1])
