"""The embedding map, cross-validated predictions and leakage: offered, at work, and shown."""

import json

import numpy as np

from core.data.datasets.dataset import find_dataset
from core.data.quality.embedding_map import EmbeddingMap, make_map
from core.disk import write_json
from core.experiments.audits.cross_validation import predict_cross_validated
from core.experiments.audits.leakage import VERSION, Leakage, read_leakage
from core.experiments.paired_comparison import compare
from core.jobs.dataset_job import DatasetJob
from core.runs.run import read_run
from pages.parts.data.map_figure import cells, in_cells_of, thinned
from pages.parts.shell.escape import plotted
from tests.app import add_failed_run, add_pictures, open_page, said

ODD = ("x" * 200, "![x](http://evil.example/t.png) :red[hot] $x$", "<b>b</b> www.evil.example")


def open_tab(tab):
    app = open_page("pages/data.py")
    app.session_state["tab"] = tab
    app.run()
    assert not app.exception and not app.error
    return app


def figure_of(app):
    (chart,) = app.get("plotly_chart")
    return json.loads(chart.proto.spec)


def done(steps):
    for _ in steps:
        pass


def test_a_map_that_nobody_drew_is_offered_and_one_at_work_shows_its_progress(home):
    dataset = add_pictures()
    app = open_tab("Embedding map")
    assert "Which pictures are alike?" in said(app) and app.button(key=f"start_{dataset.id}-map")
    folder = DatasetJob("map", dataset).folder
    folder.mkdir(parents=True)
    write_json(folder / "progress.json", {"phase": "placing", "done": 2, "total": 4, "seconds_left": 5.0})
    app.run()
    assert app.button(key=f"cancel_{dataset.id}-map") and "it goes on" in said(app)
    app.button(key=f"cancel_{dataset.id}-map").click().run()
    assert (folder / "stop").exists()


def test_odd_names_have_a_map_with_every_colour_and_kind(home):
    dataset = add_pictures("**odd** :red[set]", ODD)
    add_failed_run(dataset, "No space left")
    done(make_map(dataset))
    app = open_tab("Embedding map")
    assert "pictures most alike to one" in said(app) and "Click a picture" in said(app)
    figure = figure_of(app)
    told = [trace["name"] for trace in figure["data"] if "name" in trace]
    told += [word for trace in figure["data"] for point in trace.get("customdata", []) for word in point[1:]]
    assert {plotted(name) for name in dataset.classes} <= set(told) and not any("<" in word for word in told)
    assert all(image["source"].startswith("data:image/jpeg;base64,") for image in figure["layout"]["images"])
    app.segmented_control(key=f"map_colour_{dataset.id}").set_value("Part").run()
    app.segmented_control(key=f"map_show_{dataset.id}").set_value("Points").run()
    app.segmented_control(key=f"map_mouse_{dataset.id}").set_value("Draw a box").run()
    assert "Drag a box" in said(app)
    assert "images" not in figure_of(app)["layout"]
    assert not app.exception and not app.error and "http://evil" not in said(app)


def test_a_run_colours_the_map_by_right_and_wrong_and_can_have_one_of_its_own(trained_home):
    dataset, run = find_dataset("colours"), read_run("latest")
    done(make_map(dataset))
    app = open_tab("Embedding map")
    app.segmented_control(key=f"map_colour_{dataset.id}").set_value("Right or wrong").run()
    assert "Right" in [trace.get("name") for trace in figure_of(app)["data"]]
    app.selectbox(key=f"map_of_{dataset.id}").set_value(run.id).run()
    assert app.button(key=f"start_{dataset.id}-map-{run.id}")
    assert not app.exception and not app.error


def test_of_each_place_one_picture_is_shown_and_a_box_means_all():
    places = np.array([[0, 0], [0.01, 0.0], [0.012, 0.01], [1, 1], [0.5, 0.5]], np.float32)
    shown_at = thinned(places)
    assert shown_at.tolist() == [0, 3, 4]  # 0 lies nearest the middle of its cell
    assert len(np.unique(cells(places[shown_at]), axis=0)) == 3
    assert in_cells_of(places, [0, 3]) == [0, 1, 2, 3]


def test_a_map_counts_how_often_the_most_alike_are_of_a_class():
    near = np.array([[1, 2], [0, 2], [1, 0]], np.int32)
    found = EmbeddingMap(np.arange(3), np.zeros((3, 2), np.float32), near)
    assert found.count_same_class(np.array([5, 5, 6])) == (2, 6)  # 0 and 1 are each other's; everything else differs


def test_a_cross_validation_is_offered_then_shown(trained_home):
    dataset, run = find_dataset("colours"), read_run("latest")
    app = open_tab("Data quality")
    app.segmented_control(key=f"issues_judge_{dataset.id}").set_value("cross-validated").run()
    assert "4 networks are trained as this one was" in said(app)
    assert app.button(key=f"start_{dataset.id}-cross_validation-{run.id}")
    done(predict_cross_validated(dataset, run))
    app.run()
    assert "one of 4 networks that was not trained on it" in said(app) or "None here" in said(app)
    app.segmented_control(key=f"issues_judge_{dataset.id}").set_value("both").run()
    assert not app.exception and not app.error


def test_leakage_is_shown_with_its_interval(home):
    from tests.pages.test_statistics_on_page import add_copies

    dataset = add_copies()
    leak = Leakage(
        "pets", "quick", compare(40, [0.5, 0.5, 0.6], [0.7, 0.7, 0.9]), (4, 4, 8), (1.0, 1.0, 1.0), (0.6, 0.6, 0.7)
    )
    write_json(
        dataset.folder / "leak.json", {"version": VERSION, "content_hash": dataset.content_hash, "leak": leak.to_json()}
    )
    assert read_leakage(dataset) == leak
    from streamlit.testing.v1 import AppTest

    def script():
        from core.data.datasets.dataset import find_dataset
        from core.experiments.audits.leakage import read_leakage
        from pages.parts.data.leakage import _draw_measured

        _draw_measured(read_leakage(find_dataset("pets")))

    app = AppTest.from_function(script).run()
    # differences of 20, 20 and 30 points: 23.3 on average, and t (2 degrees of freedom) gives 14.3 more or less
    assert "**+23.3 points** (95 % interval +9.0 to +37.7)" in said(app)
    assert app.dataframe[0].value["Right"].tolist()[2:] == ["100.0 % of 16", "63.5 % of 104"]
    assert not app.exception
