"""A report says what evaluate says, opens offline, and names are harmless in it."""

import html
import io
import json
import re
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from core.cli.app import main
from core.config import ModelConfig
from core.data.datasets.dataset import find_dataset
from core.data.imports.pipeline import import_pictures
from core.errors import UserMistake
from core.experiments.ablation.actions import create_experiment
from core.experiments.ablation.components import find_components
from core.experiments.ablation.spec import plan_experiment
from core.models.build import build_model
from core.models.summary import Layer, layer_table
from core.notebook.notebook import write_experiment_guess, write_run_guess
from core.reports.blocks import Picture, Report, Section, Table
from core.reports.drawing import draw_curves
from core.reports.network_drawing import draw_network, stages_of
from core.reports.outline import SECTIONS, make_outline
from core.reports.writing import find_subject, make_report, to_html, to_zip
from core.runs.actions import note_run, rename_run
from core.runs.run import open_run
from tests.pictures import encoded, finish, noise
from tests.tiny import new_run, train_tiny_run

HOSTILE = ["<script>alert(1)</script>", "](javascript:x) | ![a](b)", "العربية 🎨" + "x" * 200]


def text_of(page):
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_the_numbers_are_those_of_evaluate(tiny_run, tmp_path, capsys):
    assert main(["evaluate", tiny_run.id, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert main(["report", tiny_run.id, "--out", str(tmp_path / "r.html")]) == 0
    text = text_of((tmp_path / "r.html").read_text())
    low, high = said["interval"]
    assert f"{said['accuracy']:.2%} of {said['n']:,} test pictures right" in text
    assert f"95 % interval {low:.2%} to {high:.2%}" in text and f"macro F1: {said['macro_f1']:.1%}" in text
    for name, one in said["per_class"].items():
        assert re.search(rf"{name} +{one['n']} +{one['right']} +{one['accuracy']:.1%}", text), name


def test_every_section_is_there_and_nothing_is_fetched(tiny_run):
    page = to_html(make_report([tiny_run]))
    headings = re.findall(r"<h3[^>]*>([^<]+)</h3>", page)
    own_words_and_guesses = ("Question", "Guesses", "Conclusion")
    assert headings == [heading for heading in SECTIONS.values() if heading not in own_words_and_guesses]
    assert not re.search(r"https?://|<script|<link", page)
    assert page.count("data:image/svg+xml;base64,") == 3 and page.count("data:image/png;base64,") >= 1


def test_sections_are_chosen_and_have_own_words(tiny_run, tmp_path):
    words = tmp_path / "words.md"
    words.write_text("# Question\nDoes it *learn*?\n\n# Results\nIt does. <script>\n\n# Conclusion\nMore epochs.\n")
    chosen = [f"--section={name}" for name in ("question", "results", "time", "conclusion")]
    for name in ("r.html", "r.zip"):
        command = ["report", tiny_run.id, "--out", str(tmp_path / name), "--words", str(words), *chosen]
        assert main([*command, "--author", "A. Person", "--date", "1 May"]) == 0
    page = (tmp_path / "r.html").read_text()
    assert re.findall(r"<h[23][^>]*>([^<]+)</h", page)[::2] == ["Question", "Results", "Conclusion"]
    assert "A. Person, 1 May" in page and "<em>learn</em>" in page and "&lt;script&gt;" in page
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        text = archive.read("report.md").decode()
    assert text.index("Does it *learn*?") < text.index("It does. &lt;script>") < text.index("More epochs.")


def test_mistakes_have_heat_maps(home):
    entries = [
        (f"{k}/{i}.png", f"class {k}", None, encoded(noise(24, 24, 50 * k + i))) for k in (0, 1) for i in range(20)
    ]
    finish(import_pictures("noise", iter(entries), "zip", False))  # nothing to learn, so some are wrong
    run = train_tiny_run(data__dataset="noise", train__epochs=1)
    report = make_report([run], make_outline(sections=["mistakes"]))
    (picture,) = [block for section in report.sections for block in section.blocks if isinstance(block, Picture)]
    wrong = int((~run.evaluation("test").correct).sum())
    width, height = Image.open(io.BytesIO(picture.content)).size
    assert "Occlusion" in picture.caption and width == 8 + 104 * min(wrong, 8) and height == 8 + 222 * -(-wrong // 8)


def test_guesses_stand_in_a_report(tiny_run):
    run = new_run()
    write_run_guess(run, "<b>it</b>: +2 points")
    text = to_html(make_report([run], make_outline(sections=["guesses"])))
    assert "&lt;b&gt;it&lt;/b&gt;: +2 points" in text and "no outcome yet" in text


def test_an_experiment_has_its_words_and_guesses(tiny_run):
    experiment = create_experiment(plan_experiment(tiny_run.config, find_components(["flip"]), 1))
    write_experiment_guess(experiment, "worse")
    text = text_of(to_html(make_report([experiment], make_outline(words={"results": "Mine.", "data": "All blue."}))))
    page = to_html(make_report([experiment]))
    assert '<table class="many">\n<thead><tr><th dir="auto" class="short">component</th>' in page
    assert '<th dir="auto" class="whole">difference, points (95 % interval)</th>' in page
    assert "<td" in page and "none → flip" in page and '<li dir="auto">Horizontal flip' in page
    assert "Mine." in text and "All blue." in text and "worse" in text and "Horizontal flip" in text


@pytest.mark.parametrize("name", ["paper_cnn", "cnn", "resnet"])
def test_every_network_is_drawn(name):
    network = build_model(ModelConfig(name=name), 10, 32)
    root = ElementTree.fromstring(draw_network(layer_table(network, 32), 32))
    texts = [node.text or "" for node in root.iter()]
    assert "3 × 32 × 32" in texts and "10" in texts and len(texts) > 20


def test_a_network_of_many_layers_is_drawn_in_few_stages():
    layers = [
        Layer(f"features.{block}.{n}", "Conv2d", (8, 8, 8), (8, 8, 8), 9, 9, 9, "", 3, ())
        for block in range(40)
        for n in range(3)
    ]
    stages = stages_of(layers)
    assert 2 <= len(stages) <= 18 and sum(map(len, stages)) == len(layers)


def test_words_of_a_table_stay_whole_and_only_a_name_without_end_breaks():
    cells = ("+2.07 (+0.70 to +3.44)", "91.39, 93.46", "model.norm_linear: first -> none", "x" * 21)
    page = to_html(Report("t", "", "", (Section("s", (Table(cells, (cells,)),), 1, "results"),)))
    assert re.findall(r'<td dir="auto"([^>]*)>', page) == [' class="whole"', ' class="short"', ' class="whole"', ""]


def test_several_runs_are_compared(tiny_run):
    other = train_tiny_run(train__epochs=1, train__seed=3)
    text = text_of(to_html(make_report([tiny_run, other], make_outline("My title", "A. Person"))))
    assert "The runs compared" in text and "exact McNemar test" in text
    assert text.count("My title") >= 2 and "A. Person, 20" in text
    assert "train.epochs" in text  # differs from the preset


def test_a_dataset_has_its_story(tiny_run):
    text = text_of(to_html(make_report([find_dataset("colours")])))
    assert "48 files given, 48 used" in text and tiny_run.id in text and "test pictures right" in text


def test_the_zip_holds_markdown_and_its_pictures(tiny_run, tmp_path):
    with zipfile.ZipFile(io.BytesIO(to_zip(make_report([tiny_run])))) as archive:
        text = archive.read("report.md").decode()
        named = re.findall(r"\]\((pictures/[\w.-]+)\)", text)
        assert set(named) == set(archive.namelist()) - {"report.md"} and len(named) >= 3
        for name in named:
            if name.endswith(".svg"):
                ElementTree.fromstring(archive.read(name))


def test_names_are_data_in_every_form(home):
    entries = [
        (f"{k}/{i}.png", name, None, encoded(noise(24, 24, 50 * k + i)))
        for k, name in enumerate(HOSTILE)
        for i in range(8)
    ]
    finish(import_pictures("<b>set</b>", iter(entries), "zip", False))
    run = train_tiny_run(data__dataset="<b>set</b>", train__epochs=1)
    note_run(rename_run(run, "<img src=x onerror=alert(1)>"), "[x](javascript:alert(1))")
    report = make_report([open_run(run.folder), find_dataset("<b>set</b>")])
    page = to_html(report)
    assert not re.search(r"<(script|b)>|<img src=x", page)
    with zipfile.ZipFile(io.BytesIO(to_zip(report))) as archive:
        text = archive.read("report.md").decode()
    assert not re.search(r"(?<!\\)<|(?<!\\)\]\((?!pictures/)", text.partition("### Network")[0])
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")]
    assert min(widths) > 2


def test_what_is_none_of_them_is_told(tiny_run, tmp_path, capsys):
    with pytest.raises(UserMistake, match="no run, experiment or dataset 'zzzz'"):
        find_subject("zzzz")
    with pytest.raises(UserMistake, match="unknown dataset"):
        find_subject("no such set")
    assert main(["report", tiny_run.id, "--out", str(tmp_path / "a.txt")]) == 2
    assert "FILE.html or FILE.zip" in capsys.readouterr().err
    assert find_subject("colours").name == "colours" and find_subject(tiny_run.id).id == tiny_run.id


def test_a_curve_stands_on_round_numbers_that_hold_all_of_it():
    drawn = draw_curves({"training": [(1, 45.6), (2, 61.7), (3, 70.7)]}, "epoch", "accuracy, %").decode()
    assert re.findall(r'text-anchor="end">([^<]*)<', drawn) == ["40", "50", "60", "70", "80"]


def test_a_curve_of_one_point_and_names_with_markup_are_drawn():
    root = ElementTree.fromstring(draw_curves({"<a&b>": [(1.0, 0.5)]}, "epoch", "loss"))
    assert any("<a&b>" in (node.text or "") for node in root.iter())
    assert np.isfinite([float(x) for x in re.findall(r'x="([-\d.]+)"', ElementTree.tostring(root).decode())]).all()
