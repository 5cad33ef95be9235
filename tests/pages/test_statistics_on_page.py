"""The Data page: duplicates, the gallery, sizes and colours."""

import numpy as np
import pytest
from PIL import Image

from core.data.duplicates.duplicates import read_duplicates
from core.data.imports.pipeline import import_pictures
from core.data.store.store import find_duplicates_of
from core.jobs import dataset_job as jobs
from tests.app import add_pictures, open_page, said
from tests.pictures import encoded, finish
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("home")


def noise(seed):
    """A picture of coarse blocks that is like no other."""
    blocks = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return Image.fromarray(blocks).resize((120, 120), Image.Resampling.BICUBIC)


def add_copies():
    """Ten pictures; one is in two classes, and another one, mirrored, in training and in test."""
    pictures = [(f"{i}.png", "cat" if i % 2 else "dog", "test" if i > 6 else "train", noise(i)) for i in range(10)]
    pictures.append(("again.jpg", "dog", "train", noise(1)))
    pictures.append(("mirrored.png", "cat", "test", noise(3).transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    return finish(import_pictures("pets", iter((*told, encoded(one)) for *told, one in pictures), "zip", False))


def open_tab(tab):
    app = open_page("pages/data.py")
    app.session_state["tab"] = tab
    return app.run()


def test_duplicates_are_searched_in_a_child_and_shown_with_conflicts_and_leakage():
    dataset = add_copies()
    app = open_page("pages/data.py")
    app.session_state["tab"], app.session_state["data_val"] = "Duplicates", 0
    app.run()
    assert "Is one picture in here twice?" in said(app)
    app.button(key=f"start_{dataset.id}-duplicates").click().run()
    wait_until(lambda: read_duplicates(dataset) is not None)
    app.run()
    assert "**4** of 12 pictures have a duplicate among them, in **2** groups" in said(app)
    assert "1 group of duplicates across classes" in said(app) and "1 group of duplicates across the parts" in said(app)
    assert "1 of 4** test pictures are duplicates of training pictures" in said(app)
    assert "stays as it is, to be comparable with others' results: all of them stay" in said(app)
    assert "dog · Training" in said(app) and "cat · Test" in said(app) and "mirrored" in said(app)
    app.button(key="compare_1").click().run()
    assert not app.exception and not app.error


def test_a_conflict_stands_before_leakage_and_each_can_be_shown_alone():
    dataset = add_copies()
    for _ in find_duplicates_of(dataset):
        pass
    app = open_tab("Duplicates")
    (choice,) = [one for one in app.segmented_control if one.label == "Show"]
    assert choice.options == ["All groups (2)", "Across classes (1)", "Across given parts (1)"]
    beside = [button.key for button in app.button if button.key.startswith("compare_")]
    names = [dataset.names[int(key.removeprefix("compare_"))] for key in beside]
    assert names == ["1.png", "3.png"]
    choice.set_value("leakage").run()
    assert [button.key for button in app.button if button.key.startswith("compare_")] == beside[1:]
    assert not app.exception and not app.error


def test_no_duplicates_is_said():
    pictures = ((f"{i}.png", "cat" if i % 2 else "dog", None, encoded(noise(i))) for i in range(6))
    dataset = finish(import_pictures("pets", pictures, "zip", False))
    for _ in find_duplicates_of(dataset):
        pass
    app = open_tab("Duplicates")
    assert "No duplicates: all 6 pictures were compared" in said(app)
    assert not app.exception and not app.error


def test_a_search_is_cancelled_and_leaves_nothing(home, monkeypatch):
    dataset = add_copies()
    job = jobs.DatasetJob("duplicates", dataset)
    job.folder.mkdir(parents=True)
    (job.folder / "stop").touch()
    assert jobs.main("duplicates", dataset.name, job.folder) == 0
    assert not job.folder.exists() and read_duplicates(dataset) is None
    assert jobs.read_dataset_job(job) is None


def test_a_search_that_was_killed_says_so_and_can_be_begun_again(home):
    dataset = add_copies()
    folder = jobs.DatasetJob("duplicates", dataset).folder
    folder.mkdir(parents=True)
    (folder / "launch.json").write_text('{"pid": 999999999, "started": 1.0}')
    app = open_tab("Duplicates")
    assert "ended before it was done" in app.error[0].value and app.button(key=f"start_{dataset.id}-duplicates")
    assert not app.exception


def test_a_search_among_pictures_that_are_gone_tells_why(home):
    dataset = add_pictures()
    job = jobs.DatasetJob("duplicates", dataset)
    job.folder.mkdir(parents=True)
    assert jobs.main("duplicates", "nobody", job.folder) == 1
    assert "nobody" in jobs.read_dataset_job(job).message


def test_the_grid_finds_pictures_by_name_and_steps_through_them_in_the_large_view():
    add_copies()
    app = open_page("pages/data.py")
    (search,) = [one for one in app.text_input if one.label == "Name contains"]
    search.set_value("MIRR").run()
    cards = [button for button in app.button if button.key.startswith("picture_")]
    assert len(cards) == 1 and cards[0].label == "cat"
    search.set_value("[no](x)").run()
    assert "No picture has" in app.info[0].value
    search.set_value(".png").run()
    next(button for button in app.button if button.key.startswith("picture_")).click().run()
    assert "1 of 11" in said(app) and "120 × 120 pixels" in said(app) and app.button(key="previous_picture").disabled
    app.button(key="next_picture").click().run()
    assert not app.exception and not app.error


def test_sizes_means_and_channels_are_shown_and_another_dataset_is_compared():
    add_copies()
    add_pictures("other", ("x" * 200, "<b>b</b> :red[hot]"))
    wide = [("a.png", "a", None, encoded(noise(1).resize((300, 100)))), ("b.png", "b", None, encoded(noise(2)))]
    wide += [("c.png", "a", None, encoded(noise(3))), ("d.png", "b", None, encoded(noise(4)))]
    wide += [(f"{i}.png", "ab"[i % 2], None, encoded(noise(10 + i))) for i in range(10)]
    finish(import_pictures("wide", iter(wide), "zip", False))
    app = open_page("pages/data.py", dataset="pets")
    app.session_state["tab"] = "Sizes and colours"
    app.run()
    assert "All originals have 120 × 120 pixels" in said(app)
    assert app.dataframe[0].value["Channel"].tolist() == ["Red", "Green", "Blue"]
    (compare,) = [one for one in app.selectbox if one.label == "Compare with"]
    compare.set_value("wide").run()
    assert "From 300 × 100 to 300 × 100" in said(app) or "to 300 × 100 pixels" in said(app)
    assert "93% are square" in said(app) and len(app.dataframe) == 2
    compare.set_value("other").run()
    assert not app.exception and not app.error


def test_what_shrinking_loses_is_told_for_every_fit():
    pictures = [(f"{i}.png", "ab"[i % 2], None, encoded(noise(i).resize((240, 120)))) for i in range(8)]
    finish(import_pictures("wide", iter(pictures), "zip", False))
    app = open_tab("What the network receives")
    told = {  # 240 x 120 becomes 32 x 32
        "crop": "Each pixel stands for about 14 of the original's. Cropping cuts away 50 % of the picture.",
        "squash": "Each pixel stands for about 28 of the original's. Squashing makes things 2.0 times too narrow.",
        "pad": "Each pixel stands for about 56 of the original's. Bars take up 50 % of the square.",
    }
    for fit, sentence in told.items():
        app.radio(key="tab_fit").set_value(fit).run()
        assert sentence in said(app)
    app.select_slider(key="tab_size").set_value(128).run()
    assert "Each pixel stands for about 4 " in said(app) and "Bars" in said(app)  # 240 x 120 on 128 x 64
    app.radio(key="tab_fit").set_value("crop").run()
    assert "enlarging it adds pixels, not detail" in said(app)
    assert not app.exception and not app.error
