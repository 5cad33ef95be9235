"""Versions: pictures left out, relabelled and added make a new dataset that shares the originals of the old one."""

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.cli.app import main
from core.config import DataConfig
from core.data.datasets.dataset import delete_dataset, export_path, find_dataset, list_datasets
from core.data.datasets.sizes import picture_sizes
from core.data.duplicates.duplicates import read_duplicates
from core.data.imports.pipeline import import_dataset, import_pictures
from core.data.store import store as store_module
from core.data.store.store import find_duplicates_of, load_store, split_dataset
from core.data.versions.extending import extend_dataset, teach_pictures
from core.data.versions.versions import (
    Edit,
    describe_changes,
    describe_version,
    earlier_versions,
    find_picture,
    make_version,
    newest_version,
    newest_versions,
    next_name,
    own_changes,
    own_reasons,
    restore_version,
    rows_in,
    undo_version,
    versions_of,
)
from core.errors import UserMistake
from core.runs.run import list_runs
from core.settings import datasets_root, stores_root
from tests.pictures import encoded, finish, noise, png, two_classes, write_zip


@pytest.fixture
def animals(home, tmp_path):
    """Six cats and six dogs, and one file that is no picture."""
    files = two_classes() | {"cat/notes.txt": b"no picture"}
    return finish(import_dataset("animals", write_zip(tmp_path / "animals.zip", files)))


def contents(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def left_out(dataset, *rows, why="by hand"):
    return finish(make_version(dataset, {row: Edit(None, why) for row in rows}))


def test_left_out_and_relabelled_pictures_make_a_version_and_the_first_one_stays_as_it_was(animals):
    before = contents(animals.folder)
    edits = {0: Edit(None, "copy"), 1: Edit(1, "doubtful label"), 8: Edit(None, "by hand")}
    second = finish(make_version(animals, edits))
    assert (second.name, second.version, second.parent) == ("animals v2", 2, animals.id)
    assert second.class_counts == {"cat": 4, "dog": 6} and animals.class_counts == {"cat": 6, "dog": 6}
    assert (second.given, second.used, len(second.refused), len(second.excluded)) == (13, 10, 1, 2)
    assert own_changes(second) == {"relabelled": 1, "left out": 2, "added": 0}
    assert describe_changes(own_changes(second)) == "1 picture relabelled, 2 left out"
    assert own_reasons(second) == {"copy": 1, "doubtful label": 1, "by hand": 1}
    assert contents(animals.folder) == before and not (second.folder / "pictures.pack").exists()
    assert find_dataset("animals") == animals and find_dataset("animals v2") == second
    moved = find_picture(second, "cat/001.png")
    assert second.classes[second.labels[moved]] == "dog" and second.original(moved) == png(1)
    assert [second.original(row) for row in range(10)] == [
        animals.original(row) for row in rows_in(animals, second).tolist()
    ]


def test_what_was_relabelled_back_or_left_out_twice_is_listed_once(animals):
    second = finish(make_version(animals, {1: Edit(1)}))
    row = find_picture(second, "cat/001.png")
    third = finish(make_version(second, {row: Edit(None, "copy"), 0: Edit(None)}))
    assert [(change.was, change.now, change.why) for change in third.changes] == [
        ("cat", None, "copy"), ("cat", None, "by hand")
    ]  # fmt: skip
    with pytest.raises(UserMistake, match="exactly the pictures of 'animals'; nothing was changed"):
        finish(make_version(second, {row: Edit(0)}))
    with pytest.raises(UserMistake, match="every picture has the label that was asked for already"):
        finish(make_version(second, {row: Edit(1)}))
    assert [one.name for one in versions_of(animals, list_datasets())] == ["animals", "animals v2", "animals v3"]


def test_a_version_that_only_takes_changes_back_says_so(home, tmp_path):
    files = {f"{name}/{i}.png": png(10 * k + i) for k, name in enumerate("abc") for i in range(4)}
    dataset = finish(import_dataset("letters", write_zip(tmp_path / "letters.zip", files)))
    second = finish(make_version(dataset, {0: Edit(1), 4: Edit(None)}))
    third = finish(make_version(second, {find_picture(second, "a/0.png"): Edit(0)}))
    assert [describe_version(one) for one in (dataset, second, third)] == [
        "as imported", "1 picture relabelled, 1 left out", "earlier changes taken back"
    ]  # fmt: skip


def test_a_version_has_the_content_hash_of_an_import_of_the_same_pictures(animals, tmp_path):
    files = two_classes()
    del files["cat/000.png"], files["dog/005.png"]
    other = finish(import_dataset("fewer", write_zip(tmp_path / "fewer.zip", files)))
    assert left_out(animals, 0, 11).content_hash == other.content_hash


def test_a_class_that_loses_all_its_pictures_is_gone_and_one_class_alone_is_refused(home, tmp_path):
    files = {f"{name}/{i}.png": png(10 * k + i) for k, name in enumerate("abc") for i in range(3)}
    dataset = finish(import_dataset("letters", write_zip(tmp_path / "letters.zip", files)))
    two = left_out(dataset, 0, 1, 2)
    assert two.classes == ("b", "c") and two.labels.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(UserMistake, match=r"only one class, 'c'.*nothing was changed"):
        left_out(two, 0, 1, 2)
    with pytest.raises(UserMistake, match=r"class 'b' has 1 usable picture.*nothing was changed"):
        left_out(two, 0, 1)


def test_added_pictures_lie_in_a_pack_of_their_own_and_known_ones_are_refused(animals, tmp_path):
    before = contents(animals.folder)
    files = {"cat/new.png": png(500), "cat/again.png": png(0), "dog/cat.png": png(1), "bird/1.png": png(501)}
    files |= {"bird/2.png": png(502), "bird/broken.png": png(503)[:200], "top.png": png(504)}
    second = finish(extend_dataset(animals, write_zip(tmp_path / "more.zip", files)))
    assert second.class_counts == {"bird": 2, "cat": 7, "dog": 7} and second.added == 4
    assert (second.given, second.used, len(second.refused)) == (20, 16, 4)
    assert ("cat/again.png", "is in 'animals' already") in [(one.name, one.reason) for one in second.refused]
    assert second.original(find_picture(second, "new.png")) == png(500)
    assert second.original(find_picture(second, "cat/003.png")) == png(3)
    assert contents(animals.folder) == before and (second.folder / "pictures.pack").stat().st_size < 40_000
    third = left_out(second, find_picture(second, "bird/1.png"), find_picture(second, "bird/2.png"))
    assert third.original(find_picture(third, "new.png")) == png(500) and third.classes == ("cat", "dog")
    with pytest.raises(UserMistake, match="this picture is in 'animals v3' already"):
        finish(extend_dataset(third, write_zip(tmp_path / "known.zip", {"cat/9.png": png(500)})))
    with pytest.raises(UserMistake, match=r"was made from it"):
        delete_dataset("animals v2")


def test_what_is_added_may_be_a_part_or_a_class_that_could_not_be_learnt_alone(home, tmp_path):
    entries = [(f"{i}.png", "ab"[i % 2], "test" if i > 15 else "train", png(i)) for i in range(20)]
    given = finish(import_pictures("given", iter(entries), "zip", False))
    files = {"test/a/new.png": png(500), "train/b/new.png": png(501), "test/b/broken.png": png(502)[:200]}
    second = finish(extend_dataset(given, write_zip(tmp_path / "tested.zip", files)))
    assert second.class_counts == {"a": 11, "b": 11} and (second.given_parts == 2).sum() == 5
    files = {"train/a/more.png": png(503), "train/c/broken.png": png(504)[:200]}  # nothing of class c can be used
    third = finish(extend_dataset(second, write_zip(tmp_path / "broken.zip", files)))
    assert third.classes == ("a", "b") and third.used == 23 and len(third.refused) == 2
    with pytest.raises(UserMistake, match=r"no picture .* among the 1 file\(s\); .*cut short.*; nothing was changed"):
        finish(extend_dataset(third, write_zip(tmp_path / "none.zip", {"a/broken.png": png(505)[:200]})))


def test_stores_take_over_what_is_known_and_are_what_reading_everything_would_give(animals, tmp_path, monkeypatch):
    files = {"cat/new.png": png(500), "dog/new.png": png(501)}
    second = finish(make_version(animals, {0: Edit(None), 2: Edit(1)}))
    third = finish(extend_dataset(second, write_zip(tmp_path / "more.zip", files)))
    read = []
    decode = store_module.decode
    monkeypatch.setattr(store_module, "decode", lambda chunks, *rest: decode(_noted(chunks, read), *rest))
    data = [DataConfig(dataset=name, test_fraction=0.3) for name in ("animals v2", "animals v3")]
    taken = [np.array(load_store(one).images) for one in data]
    assert len(read) == 2  # the two new ones
    shutil.rmtree(stores_root())
    alone = [np.array(load_store(one).images) for one in (data[1], data[0])]
    assert np.array_equal(alone[0], taken[1]) and np.array_equal(alone[1], taken[0])
    assert third.used == len(taken[1]) == 13 and len(read) == 2 + 13 + 11


def _noted(chunks, read):
    for chunk in chunks:
        read.extend(chunk)
        yield chunk


@pytest.fixture
def many(home):
    """60 pictures of each of two classes, five of them copies of one in the other class."""
    entries = [(f"{i:03}.png", "ab"[i % 2], None, png(i % 115)) for i in range(120)]
    return finish(import_pictures("many", iter(entries), "zip", False))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(1, 4))])
@pytest.mark.parametrize("duplicates", ["ignore", "together"])
def test_pictures_stay_in_the_part_in_which_they_were(many, tmp_path, seed, duplicates):
    for _ in find_duplicates_of(many):
        pass
    data = DataConfig(dataset="many", seed=seed, duplicates=duplicates)
    out = np.random.default_rng(seed).permutation(120)[:10].tolist()
    second = finish(make_version(many, {row: Edit(None) for row in out} | {(out[0] + 1) % 120: Edit(1)}))
    for _ in find_duplicates_of(second):
        pass
    more = {f"{name}/{i}.png": png(1000 * k + i + 300) for k, name in enumerate("ab") for i in range(10)}
    third = finish(extend_dataset(second, write_zip(tmp_path / "more.zip", more)))
    for _ in find_duplicates_of(third):
        pass
    parts = [part_of(dataset, data) for dataset in (many, second, third)]
    moved = [
        int((now[rows_in(old, new) >= 0] != before[rows_in(old, new)][rows_in(old, new) >= 0]).sum())
        for (old, before), (new, now) in zip(
            [(many, parts[0]), (second, parts[1])], [(second, parts[1]), (third, parts[2])], strict=True
        )
    ]
    assert max(moved) <= (0 if duplicates == "ignore" else 2)  # together, one makes room for another of a group
    assert abs(np.mean(parts[2] == 2) - 0.2) < 0.04 and (parts[2] >= 0).all()


def part_of(dataset, data):
    place = np.full(dataset.used, -1)
    for at, rows in enumerate(split_dataset(dataset, data).values()):
        place[rows] = at
    return place


def test_a_part_that_loses_all_pictures_of_a_class_gets_one_again(many):
    data = DataConfig(dataset="many")
    tested = [row for row in split_dataset(many, data)["test"].tolist() if many.labels[row] == 0]
    second = left_out(many, *tested)
    rows = split_dataset(second, data)["test"]
    assert (second.labels[rows] == 0).sum() == 1


def test_the_split_of_the_first_version_and_given_parts_are_what_they_were(home):
    entries = [(f"{i}.png", "ab"[i % 2], "test" if i > 15 else "train", png(i)) for i in range(20)]
    dataset = finish(import_pictures("given", iter(entries), "zip", False))
    second = left_out(dataset, 0, 19)
    rows = split_dataset(second, DataConfig(dataset="given v2"))["test"]
    assert sorted(second.names[row] for row in rows) == ["16.png", "17.png", "18.png"]


def test_what_was_found_of_duplicates_and_sizes_goes_along(many):
    for _ in find_duplicates_of(many):
        pass
    picture_sizes(many)
    found = read_duplicates(many)
    assert len(found.pairs) == 5
    second = left_out(many, int(found.pairs[0, 1]), why="copy")
    kept = read_duplicates(second)
    assert len(kept.pairs) == 4 and len(np.unique(kept.groups)) == second.used - 4
    for one, other in kept.pairs.tolist():
        assert second.original(one) == second.original(other)
    assert np.array_equal(np.load(second.folder / "sizes.npz")["sizes"], picture_sizes(second))
    assert second.notes and not any("identical" in note for note in left_out(second, *kept.pairs[:, 1].tolist()).notes)


def test_a_version_is_undone_and_one_that_a_run_learnt_from_is_put_aside(animals):
    second = left_out(animals, 0)
    third = left_out(second, 0)
    with pytest.raises(UserMistake, match="'animals v3' was made from 'animals v2'; undo that first"):
        undo_version(second, keep=False)
    with pytest.raises(UserMistake, match="what was imported"):
        undo_version(animals, keep=False)
    undo_version(third, keep=True)
    assert find_dataset("animals v3").undone and newest_version(animals, list_datasets()).id == second.id
    assert [one.name for one in newest_versions(list_datasets())] == ["animals v2"]
    undo_version(second, keep=False)  # the one made from it needs it
    assert newest_version(animals, list_datasets()).id == animals.id and len(list_datasets()) == 3
    restore_version(find_dataset("animals v3"))
    assert newest_version(animals, list_datasets()).name == "animals v3"
    undo_version(find_dataset("animals v3"), keep=False)
    assert [one.name for one in list_datasets()] == ["animals", "animals v2"]
    assert left_out(animals, 5).name == "animals v3"


def test_deleting_asks_about_versions_and_takes_their_stores_along(animals):
    second = left_out(animals, 0)
    load_store(DataConfig(dataset="animals v2"))
    third = left_out(second, 0)
    for one in (animals, second, third):
        export_path(one).parent.mkdir(exist_ok=True)
        export_path(one).write_bytes(b"a zip")
    undo_version(third, keep=False)
    assert [export_path(one).exists() for one in (animals, second, third)] == [True, True, False]
    with pytest.raises(UserMistake, match="'animals v2' was made from it"):
        delete_dataset("animals")
    assert len(list_datasets()) == 2
    delete_dataset("animals", versions=True)
    assert not export_path(animals).exists() and not export_path(second).exists()
    assert not list_datasets() and not list(stores_root().glob("*/images.npy")) and not second.folder.exists()


def test_a_name_that_somebody_gave_to_other_pictures_is_passed_over(animals, tmp_path):
    files = two_classes(3)
    finish(import_dataset("animals v2", write_zip(tmp_path / "other.zip", files)))
    assert next_name(animals, list_datasets()) == (3, "animals v3")
    assert next_name(animals, []) == (2, "animals v2")  # where it was deleted in another tab
    assert left_out(animals, 0).name == "animals v3"


def test_two_people_who_change_one_dataset_at_once_each_get_a_version_of_what_they_saw(animals):
    with ThreadPoolExecutor(2) as two:
        made = list(two.map(lambda row: left_out(animals, row), (0, 8)))
    assert {dataset.name for dataset in made} == {"animals v2", "animals v3"}
    assert [len(dataset.excluded) for dataset in made] == [1, 1] and {one.parent for one in made} == {animals.id}
    assert [dataset.class_counts for dataset in made] == [{"cat": 5, "dog": 6}, {"cat": 6, "dog": 5}]
    in_order = [animals, *sorted(made, key=lambda one: one.version)]
    assert animals.used == 12 and versions_of(animals, list_datasets()) == in_order


def test_a_version_that_is_broken_off_leaves_nothing(animals, tmp_path):
    files = {f"cat/{i}.png": png(900 + i) for i in range(200)}
    steps = extend_dataset(animals, write_zip(tmp_path / "more.zip", files))
    next(steps), next(steps)
    steps.close()
    steps = make_version(animals, {0: Edit(None)})
    next(steps)
    steps.close()
    assert sorted(path.name for path in datasets_root().iterdir()) == [".lock", animals.id]


def test_a_version_whose_originals_are_gone_is_not_listed(animals):
    left_out(animals, 0)
    shutil.rmtree(animals.folder)
    assert list_datasets() == []


def test_a_run_keeps_the_version_that_it_learnt_from(trained_home, tiny_run):
    first = find_dataset("colours")
    before = {part: rows.tolist() for part, rows in split_dataset(first, tiny_run.config.data).items()}
    second = left_out(first, 0, 30)
    store = load_store(tiny_run.config.data)
    assert store.fingerprint == tiny_run.fingerprint and {p: r.tolist() for p, r in store.parts.items()} == before
    assert second.name == "colours v2" and [next(earlier_versions(second)).id] == [first.id]
    assert len(list_runs()) == 1


def test_a_picture_is_found_by_its_name_or_the_end_of_it(animals):
    assert animals.names[find_picture(animals, "dog/003.png")] == "dog/003.png"
    with pytest.raises(UserMistake, match=r"2 pictures of 'animals' are called '003.png'; e.g. 'cat/003.png'"):
        find_picture(animals, "003.png")
    with pytest.raises(UserMistake, match=r"has no picture called '../x'; nothing was changed"):
        find_picture(animals, "../x")
    for none in ("og/003.png", "DOG/003.png", ""):
        with pytest.raises(UserMistake, match="has no picture called"):
            find_picture(animals, none)


def test_pictures_of_many_formats_are_read_out_of_two_packs(home, tmp_path):
    kinds = ("PNG", "JPEG", "BMP", "WEBP")
    first = {f"{name}/{k}.{kind.lower()}": encoded(noise(seed=10 * c + k), kind) for c, name in enumerate("ab")
             for k, kind in enumerate(kinds)}  # fmt: skip
    more = {f"c/{k}.{kind.lower()}": encoded(noise(50, 40, seed=100 + k), kind) for k, kind in enumerate(kinds)}
    dataset = finish(import_dataset("kinds", write_zip(tmp_path / "kinds.zip", first)))
    second = finish(extend_dataset(dataset, write_zip(tmp_path / "more.zip", more)))
    assert len(load_store(DataConfig(dataset="kinds v2", test_fraction=0.25)).images) == 12
    assert {tuple(size) for size in picture_sizes(second).tolist()} == {(40, 30), (50, 40)}


def test_the_command_line_leaves_out_relabels_extends_undoes_and_restores(animals, tmp_path, capsys):
    def ask(*words):
        assert main(["data", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    second = ask("exclude", "animals", "cat/000.png", "dog/000.png", "--why", "copy")
    assert (second["name"], second["told"], second["why"]) == ("animals v2", "2 pictures left out", {"copy": 2})
    assert ask("relabel", "animals v2", "cat/001.png=dog")["changes"] == {
        "relabelled": 1,
        "left out": 0,
        "added": 0,
    }
    more = write_zip(tmp_path / "more.zip", {"cat/=1.png": png(500)})
    assert ask("extend", "animals v3", str(more))["told"] == "1 picture added"
    assert ask("undo", "animals v4") == {"undone": "animals v4", "kept": False}
    assert [one["newest"] for one in ask("versions", "animals")] == [False, False, True]
    log = ask("ledger", "animals v3")
    assert (log["given"], log["used"], log["refused"], log["excluded"]) == (13, 10, 1, 2)
    assert len(log["files"]) == 13 and {"name", "state", "class_name", "part", "why"} == set(log["files"][0])
    zipped = tmp_path / "out.zip"
    assert ask("export", "animals v3", str(zipped))["pictures"] == 10 and zipped.exists()
    assert main(["data", "ledger", "animals v3", "--csv"]) == 0
    assert capsys.readouterr().out.startswith("file,state,class,part,why\r\n")
    for words in (["exclude", "animals", "nothing.png"], ["relabel", "animals", "cat/000.png=bird"],
                  ["relabel", "animals", "cat/000.png"], ["undo", "animals"], ["delete", "animals"]):  # fmt: skip
        assert main(["data", *words]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert ask("delete", "animals", "--versions") == {
        "deleted": "animals",
        "versions": ["animals v2", "animals v3"],
    }


def test_the_same_pictures_under_another_name_are_reported_and_can_be_had_twice(animals, tmp_path, capsys):
    again = ["data", "add", "twins", "--from", str(tmp_path / "animals.zip")]
    assert main(again) == 2
    assert "these pictures are here already, as 'animals'" in capsys.readouterr().err
    assert (
        main(["data", "add", "animals", "--from", str(tmp_path / "animals.zip")]) == 0
    )  # the same name: nothing to do
    assert len(list_datasets()) == 1
    assert main([*again, "--twice"]) == 0 and len(list_datasets()) == 2


@pytest.mark.parametrize("each", [6, 9, 10, 14])  # so that a part lacks a picture of the class, or none does
def test_what_is_taught_is_trained_on_whatever_the_split_lacks(home, each):
    data = DataConfig(dataset="taught", test_fraction=0.2, val_fraction=0.1)
    files = [(f"{label}{i}.png", label, None, png(100 * k + i)) for k, label in enumerate("ab") for i in range(each)]
    first = finish(import_pictures("taught", iter(files), "zip", False))
    second = finish(teach_pictures(first, [("mine.png", "b", png(900)), ("other.png", "a", png(901))]))
    before, after = names_by_part(first, data), names_by_part(second, data)
    assert after["test"] == before["test"] and after["val"] == before["val"]
    assert after["train"] == before["train"] | {"mine.png", "other.png"} and second.taught and not first.taught


def test_of_a_new_class_that_is_taught_one_picture_tests_and_the_others_train(home):
    data = DataConfig(dataset="taught", test_fraction=0.2, val_fraction=0)
    files = [(f"{label}{i}.png", label, None, png(100 * k + i)) for k, label in enumerate("ab") for i in range(6)]
    first = finish(import_pictures("taught", iter(files), "zip", False))
    shown = [(f"none{i}.png", "none of these", png(900 + i)) for i in range(3)]
    second = finish(teach_pictures(first, shown))
    before, after = names_by_part(first, data), names_by_part(second, data)
    assert second.classes == ("a", "b", "none of these")
    assert after["test"] > before["test"] and len(after["test"] - before["test"]) == 1
    assert len(after["train"] - before["train"]) == 2


def names_by_part(dataset, data):
    return {part: {dataset.names[row] for row in rows} for part, rows in split_dataset(dataset, data).items()}


def test_a_new_class_of_one_picture_is_refused_and_nothing_is_left(home):
    files = [(f"{label}{i}.png", label, None, png(100 * k + i)) for k, label in enumerate("ab") for i in range(6)]
    first = finish(import_pictures("taught", iter(files), "zip", False))
    with pytest.raises(UserMistake, match="none of these"):
        finish(teach_pictures(first, [("one.png", "none of these", png(902))]))
    with pytest.raises(UserMistake, match="in 'taught' already"):
        finish(teach_pictures(first, [("copy.png", "a", png(3))]))
    assert [one.name for one in list_datasets()] == ["taught"]
