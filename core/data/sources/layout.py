"""Layout: which folders of a source wrap the others, which are classes, and which are parts (train, val, test)."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from core.data.splits import NO_PART, PARTS
from core.errors import UserMistake

Reading = Literal["auto", "outer", "inner"]  # which folders are the classes: found by shape, the top ones, those inside
READINGS: dict[str, Reading] = {"auto": "auto", "outer": "outer", "inner": "inner"}
Parts = tuple[str, ...]  # the folders of a file and its name
File = tuple[Parts, int, str | None]  # path parts, key, reason to refuse it

PART_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), 0),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), 1),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout", "heldout"), 2),
    # in German, French, Spanish, Portuguese and Italian, without accents
    **dict.fromkeys(("trainings", "entrainement", "apprentissage", "entrenamiento", "treino", "treinamento"), 0),
    **dict.fromkeys(("addestramento", "allenamento"), 0),
    **dict.fromkeys(("validierung", "validierungs", "validacion", "validacao", "validazione"), 1),
    **dict.fromkeys(("tests", "prueba", "pruebas", "teste", "testes"), 2),
}
FILLERS = {"set", "sets", "data", "dataset", "images", "image", "imgs", "img", "pictures", "photos", "split", "folder"}
SHOWN = 6  # folders that a note names


@dataclass(frozen=True)
class PartName:
    """A folder's name read as a part: number 0 train, 1 val, 2 test; rest: its other words, "" for a usual name."""

    number: int
    rest: str


def part_name(folder: str) -> PartName | None:
    """The part that a folder is named after, as in "train", "Test_set", "val2017" or "seg_train"; None for no part."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFC", folder).casefold())
    found = [(word, PART_WORDS[plain]) for word in words if (plain := _plain(word)) in PART_WORDS]
    if len(found) != 1 or folder.startswith("_"):  # an export writes "_train" for a class that is called train
        return None
    word, number = found[0]
    others = [other for other in words if other != word and not other.isdecimal() and other not in FILLERS]
    return PartName(number, _without(folder, word) if others else "")


def is_usual_part(folder: str) -> bool:
    """Whether a folder's name is that of a part and nothing else: "train", "val_data", but not "seg_train"."""
    named = part_name(folder)
    return named is not None and not named.rest


def _plain(word: str) -> str:
    """train2017 -> train, testset -> test, trainingsdaten -> trainings, entraînement -> entrainement."""
    letters = unicodedata.normalize("NFD", word)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return plain if plain in PART_WORDS else re.sub(r"(?:sets?|data|daten|satz)?\d*$", "", plain)


def _without(folder: str, word: str) -> str:
    """The folder's name without the word of the part: "cat_train" -> "cat"."""
    at = folder.casefold().find(word)
    if len(folder.casefold()) != len(folder):
        folder = folder.casefold()
    left, right = folder[:at].rstrip(" _-."), folder[at + len(word) :].lstrip(" _-.")
    return f"{left}_{right}" if left and right else left + right


@dataclass
class Layout:
    """Where the class and the part stand in a path below the wrappers."""

    kind: Literal["classes", "parts", "inside", "named"] = "classes"
    # classes: cat/1.png; parts: train/cat/1.png; inside: cat/train/1.png; named: cat_train/1.png
    parts: dict[str, PartName] = field(default_factory=dict)  # of the top folders; unused where parts are inside
    between: int = 0  # folders that only wrap the classes of each part: train/images/cat/1.png
    guess: str = ""  # a sentence where the names leave a doubt

    @property
    def parts_where(self) -> str:
        """Words before the parts in a sentence on the classes."""
        return {"inside": "each with", "named": "split by their names into"}.get(self.kind, "below")

    @property
    def depth(self) -> int:
        """How many folders say the class and the part."""
        return 2 + self.between if self.kind in ("parts", "inside") else 1

    def place(self, path: Parts) -> tuple[str, int] | None:
        """(folder of the class, part) of a file; None where it is in no class."""
        if len(path) <= (2 + self.between if self.kind == "parts" else 1):
            return None
        top = path[0]
        if self.kind == "parts":
            return (path[1 + self.between], self.parts[top].number) if top in self.parts else None
        if self.kind == "named":
            return (self.parts[top].rest, self.parts[top].number) if top in self.parts else None
        if self.kind == "inside" and len(path) > 2 and is_usual_part(path[1]):
            named = part_name(path[1])
            assert named is not None, path
            return top, named.number
        return top, NO_PART


def find_layout(files: list[File], reading: Reading) -> Layout:
    """The layout of files without wrappers. UserMistake where parts cannot be those of a training."""
    paths = [path for path, _, reason in files if reason is None and len(path) > 1]
    tops = dict.fromkeys(path[0] for path in paths)
    if reading == "inner":
        unnamed = PartName(NO_PART, "")
        return Layout("parts", {top: part_name(top) or unnamed for top in tops})
    if reading == "outer" or not paths:
        return Layout()
    _must_train(paths)
    flat, deep = Counter(p[0] for p in paths if len(p) == 2), Counter(p[0] for p in paths if len(p) > 2)
    named = {top: part for top in tops if (part := part_name(top)) is not None}
    return (
        _part_folders(list(tops), named, flat, deep, paths)
        or _parts_in_names(list(tops), named, deep)
        or _parts_inside(paths)
        or _same_inside(paths, flat, named)
        or _classes_like_parts(named)
    )


def _must_train(paths: list[Parts]) -> None:
    """UserMistake for val/ and test/ with classes inside but no train/: they are not two classes of those names."""
    tops = sorted({path[0].casefold() for path in paths})
    named = [part_name(top) for top in tops]
    if all(part and not part.rest and part.number for part in named) and all(len(path) > 2 for path in paths):
        raise UserMistake(
            f"it has a {' and a '.join(tops)} folder but no train folder to learn from; nothing was imported"
        )


def _part_folders(
    tops: list[str], named: dict[str, PartName], flat: Counter[str], deep: Counter[str], paths: list[Parts]
) -> Layout | None:
    """train/cat/1.png, also seg_train/cat/1.png: top folders that differ only in the word of the part."""
    for rest in dict.fromkeys(part.rest.casefold() for part in named.values()):
        group = {top: part for top, part in named.items() if part.rest.casefold() == rest}
        numbers = {part.number for part in group.values()}
        is_deep = sum(deep[top] for top in group) > sum(flat[top] for top in group)
        if 0 not in numbers or (rest and (len(numbers) < 2 or not is_deep)):
            continue
        if len(group) == len(tops) and not sum(deep[top] for top in group):
            raise UserMistake(
                "it has train and test folders but no folder for each class inside them; nothing was imported"
            )
        if len(group) == len(tops) or (len(numbers) > 1 and is_deep):
            guess = f"{listed(group)} are read as parts by their names: {_and_parts(numbers)}." if rest else ""
            return Layout("parts", group, _between([path for path in paths if path[0] in group]), guess)
    return None


def _between(paths: list[Parts]) -> int:
    """How many folders wrap the classes of every part: 1 for train/images/cat/1.png, where no part has another one."""
    depth = 1
    while paths and all(len(path) > depth + 2 for path in paths):
        inside = {path[depth] for path in paths}
        if len(inside) > 1 or not set(re.findall(r"[^\W_]+", min(inside).casefold())) <= FILLERS:
            break
        depth += 1
    return depth - 1


def _and_parts(numbers: set[int]) -> str:
    return " and ".join(PARTS[number] for number in sorted(numbers))


def _parts_in_names(tops: list[str], named: dict[str, PartName], deep: Counter[str]) -> Layout | None:
    """cat_train/1.png and cat_test/2.png: each class has a train folder of its own, beside a test folder."""
    learnt = {part.rest for part in named.values() if part.number == 0}
    rests, numbers = {part.rest for part in named.values()}, {part.number for part in named.values()}
    if len(named) < len(tops) or len(rests) < 2 or len(numbers) < 2 or rests != learnt or "" in rests or deep:
        return None
    guess = f"{listed(tops)} are read as parts of the classes {listed(sorted(rests))}."
    return Layout("named", named, 0, guess)


def _parts_inside(paths: list[Parts]) -> Layout | None:
    """cat/train/1.png and cat/test/2.png: the parts are inside the classes."""
    inside = [path for path in paths if len(path) > 2 and is_usual_part(path[1])]
    numbers = {part.number for path in inside if (part := part_name(path[1]))}
    if 0 not in numbers or len(numbers) < 2 or len({path[0] for path in inside}) < 2 or len(inside) * 2 <= len(paths):
        return None
    names = dict.fromkeys(path[1] for path in inside)
    return Layout("inside", guess=f"{listed(names)} inside the classes are read as parts of each.")


def _same_inside(paths: list[Parts], flat: Counter[str], named: dict[str, PartName]) -> Layout | None:
    """old/cat, old/dog, new/cat, new/dog: either level could be the classes. The outer one is taken, except where it
    is numbered, as fold1, fold2 and patient_07 are, or named as a part of a training."""
    inside: dict[str, set[str]] = {}
    for path in paths:
        if len(path) > 2:
            inside.setdefault(path[0], set()).add(path[1])
    shared = set.intersection(*inside.values()) if inside else set()
    every = set().union(*inside.values())
    if flat or len(inside) < 2 or len(shared) < 2 or len(shared) * 2 <= len(every):
        return None
    guess = f"{listed(inside)} all hold the same folders ({listed(sorted(shared))}); the"
    numbered = (
        re.match(r"[^\W\d]{2,}[\W_]*\d+$", min(inside)) and len({re.sub(r"\d+$", "", top) for top in inside}) == 1
    )
    if numbered or any(map(is_usual_part, inside)):
        unnamed = PartName(NO_PART, "")
        parts = {top: named.get(top, unnamed) if not numbered else unnamed for top in inside}
        return Layout("parts", parts, 0, f"{guess} inner ones are the classes.")
    return Layout("classes", {}, 0, f"{guess} outer ones are the classes.")


def _classes_like_parts(named: dict[str, PartName]) -> Layout:
    """Folders side by side of which some are named as parts, without classes inside: classes, with a word on it."""
    if len({part.number for part in named.values()}) < 2 or 0 not in {part.number for part in named.values()}:
        return Layout()
    guess = f"{listed(named)} are read as classes: they hold no folder for each class."
    return Layout("classes", {}, 0, guess)


def listed(names: Iterable[str]) -> str:
    """Names for a sentence, at most SHOWN of them."""
    every = list(names)
    more = [f"{len(every) - SHOWN:,} more"] if len(every) > SHOWN else []
    words = [*(repr(name) for name in every[:SHOWN]), *more]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def without_wrappers(files: list[File]) -> tuple[list[File], Parts]:
    """The files without the folders around everything, and those folders: top/cat/1.png becomes cat/1.png and "top".

    Loose files beside the class folders, such as README.md, do not keep a wrapper; many loose pictures do.
    """
    wrapper: list[str] = []
    while top := _wrapper(files):
        wrapper.append(top)
        files = [(path[1:] if len(path) > 1 else path, key, reason) for path, key, reason in files]
    return files, tuple(wrapper)


def _wrapper(files: list[File]) -> str | None:
    tops = {path[0] for path, _, _ in files if len(path) > 1}
    inside = [path for path, _, reason in files if len(path) > 1 and reason is None]
    if len(tops) != 1 or not inside:
        return None
    loose = sum(len(path) == 2 and not is_no_picture(path[1]) for path in inside)
    folders = {path[1] for path in inside if len(path) > 2}
    if not folders or (loose and (len(folders) < 2 or loose * 4 > len(inside))):
        return None
    (top,) = tops
    return None if is_usual_part(top) and not any(map(is_usual_part, folders)) else top


def without_doubles(files: list[File]) -> list[File]:
    """train/train/cat/1.png becomes train/cat/1.png: some archives hold each part folder twice."""
    inside: dict[str, set[str]] = {}
    for path, _, reason in files:
        if reason is None and len(path) > 1 and not is_no_picture(path[-1]):
            inside.setdefault(path[0], set()).add(path[1] if len(path) > 2 else "")
    doubled = {top: _double_of(top, folders) for top, folders in inside.items()}
    return [
        (path[:1] + path[2:] if len(path) > 2 and path[1] == doubled.get(path[0]) else path, key, reason)
        for path, key, reason in files
    ]


def _double_of(top: str, folders: set[str]) -> str | None:
    """The one folder in `top` that is named as it is, and is a part."""
    if len(folders) != 1:
        return None
    (only,) = folders
    same = only.casefold() == top.casefold() or part_name(only) == part_name(top)
    return only if only and part_name(top) and same else None


def empty_folders(files: list[File]) -> set[str]:
    """Top folders without any file that could be a picture, such as src/ or annotations/."""
    tops = {path[0] for path, _, _ in files if len(path) > 1}
    return tops - {path[0] for path, _, _ in files if len(path) > 1 and not is_no_picture(path[-1])}


def is_no_picture(name: str) -> bool:
    """Whether a file's name alone says that it is no picture."""
    stem, dot, ending = name.casefold().rpartition(".")
    return (ending in OTHER_ENDINGS) if dot and stem else ending in OTHER_NAMES


def is_table(name: str) -> bool:
    """Whether a file may hold labels."""
    return name.casefold().rpartition(".")[2] in ("csv", "tsv", "json", "jsonl", "xlsx", "xls", "parquet")


OTHER_ENDINGS = frozenset(
    (
        *("txt", "md", "rst", "log", "csv", "tsv", "json", "jsonl", "xml", "yaml", "yml", "toml", "ini", "cfg", "conf"),
        *("lock", "xlsx", "xls", "ods", "doc", "docx", "odt", "ppt", "pptx", "parquet", "h5", "hdf5", "npy", "npz"),
        *("mat", "pkl", "pt", "pth", "onnx", "safetensors", "tfrecord", "py", "pyc", "ipynb", "r", "m", "js"),
        *("ts", "css", "java", "c", "cpp", "h", "hpp", "cu", "rs", "go", "sh", "bat", "ps1", "sql", "db", "sqlite"),
        *("mp3", "wav", "ogg", "flac", "md5", "sha1", "sha256", "sum", "url", "lnk"),
    )
)
OTHER_NAMES = frozenset(
    (
        *("readme", "license", "licence", "copying", "notice", "authors", "contributors", "contributing", "changelog"),
        *("changes", "citation", "makefile", "dockerfile", "install", "news", "todo", "version", "checksums"),
    )
)
