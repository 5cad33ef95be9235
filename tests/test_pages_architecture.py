"""Architecture: the paper's counts, for any number of classes, with and without pictures."""

import pytest

from tests.app import add_pictures, open_page, said


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return tmp_path


def test_the_papers_network_has_81574_parameters_for_ten_classes():
    app = open_page("pages/architecture.py")
    assert app.metric[0].value == "81,574"
    assert "Total params: 81,574" in app.code[0].value
    assert app.dataframe[0].value["Parameters"].sum() == 81_574
    assert not app.exception and not app.error


def test_three_classes_of_a_dataset_have_80979():
    add_pictures(classes=("cartoon", "cyberpunk", "noir"))
    app = open_page("pages/architecture.py")
    assert app.metric[0].value == "80,979"
    assert app.dataframe[0].value["Output"].iloc[-1] == "3"
    assert not app.exception and not app.error


def test_another_image_size_changes_the_first_linear_layer():
    app = open_page("pages/architecture.py")
    app.select_slider(key="architecture_size").set_value(64).run()
    table = app.dataframe[0].value.set_index("Layer")
    assert table.loc["fc1", "Parameters"] == 16 * 14 * 14 * 120 + 120  # ((64-2)/2 - 2) // 2 = 14
    assert "64" not in said(app) and not app.exception and not app.error
