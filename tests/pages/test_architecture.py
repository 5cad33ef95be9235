"""Architecture: the paper's counts, the family's settings, what cannot be built, and activations of a picture."""

import pytest
import streamlit as st

from core.backbones.registry import IMAGENET_MEAN
from core.config import DataConfig, ModelConfig, RunConfig
from core.data.datasets.dataset import find_dataset
from core.data.storage import fingerprint_of
from core.data.store.store import preprocess_of
from core.disk import write_json
from core.presets import keep_preset
from core.probes.probes import ProbeWriter, ask_probe, probes_root
from core.runs.actions import create_run
from core.runs.process import mark_process
from core.runs.queue import SupervisorHandle
from core.runs.run import read_run
from pages.parts.architecture import chosen_model
from pages.parts.architecture.cost import WAIT_SECONDS, totals_of
from pages.parts.architecture.diagram import network_figure
from pages.parts.architecture.layer_groups import group_layers
from pages.parts.architecture.layer_texts import short_name
from pages.parts.architecture.layers import read_layers
from pages.parts.form import start_run as starting
from pages.parts.form.run_form import DEFAULT_PRESET, fit_preset
from pages.parts.shell.escape import escape
from pages.parts.widgets.activations_button import PICTURE_KEY, TAB, TABS_KEY
from tests.app import add_pictures, open_page, said, widget
from tests.tiny import add_colours

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch):
    """This process stands for the supervisor, so that nothing is measured."""
    me = mark_process()
    monkeypatch.setattr(starting, "ensure_supervisor", lambda: SupervisorHandle(me.pid, me.started))


def open_cnn():
    app = open_page("pages/architecture.py")
    return widget(app, "design.model.name").set_value("cnn").run()


def totals(app) -> dict[str, tuple[str, str]]:
    return {metric.label: (metric.value, metric.delta) for metric in app.metric}


def plain(text: str) -> str:
    """Without what disarms Markdown."""
    return text.replace("\\", "").replace("\u2060", "")


def test_the_papers_network_has_81574_parameters_for_ten_classes():
    app = open_page("pages/architecture.py")
    assert app.metric[0].value == "81,574"
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
    widget(app, "design.data.image_size").set_value(64).run()
    table = app.dataframe[0].value.set_index("Layer")
    assert table.loc["fc1", "Parameters"] == 16 * 14 * 14 * 120 + 120  # ((64-2)/2 - 2) // 2 = 14
    assert not app.exception and not app.error


def test_the_family_begins_as_the_papers_network_and_a_slider_changes_it():
    app = open_cnn()
    assert totals(app)["Parameters"][0] == "81,574"
    widget(app, "design.model.kernel").set_value(5).run()
    # 6 * (3 * 25 + 1) + 16 * (6 * 25 + 1) + 32; 120 * (16 * 5 * 5 + 1) + 240; 84 * 121; 10 * 85
    assert totals(app)["Parameters"][0] == f"{456 + 2416 + 32 + 48120 + 240 + 10164 + 850:,}" == "62,278"
    assert totals(app)["Parameters"][1].startswith("-19,296")
    assert not app.exception and not app.error


def test_only_what_acts_is_shown():
    app = open_page("pages/architecture.py")
    with pytest.raises(KeyError):
        widget(app, "design.model.kernel")
    widget(app, "design.model.name").set_value("cnn").run()
    assert widget(app, "design.model.kernel")
    widget(app, "design.model.activation").set_value("relu").run()
    with pytest.raises(KeyError):
        widget(app, "design.model.negative_slope")


def test_what_cannot_be_built_names_the_layer_and_the_last_drawing_stays():
    app = open_cnn()
    widget(app, "design.typed.model.channels").set_value("6, 16, 32, 64, 64").run()
    assert "conv4 (block 4): a map of 2 x 2 is smaller than the 3 x 3 window" in plain(app.error[0].value)
    assert totals(app)["Parameters"][0] == "81,574" and app.dataframe[0].value["Layer"].iloc[0] == "conv1"
    widget(app, "design.model.padding").set_value("same").run()
    assert not app.error and totals(app)["Parameters"][0] != "81,574" and not app.exception


def test_pictures_that_are_too_small_leave_the_last_drawing():
    app = open_cnn()
    widget(app, "design.model.padding").set_value("same").run()
    widget(app, "design.typed.model.channels").set_value("8, 8, 8, 8, 8").run()
    before = totals(app)["Parameters"][0]
    widget(app, "design.data.image_size").set_value(16).run()  # 16, 8, 4, 2, 1
    assert "pool5 (block 5): a map of 1 x 1 cannot be pooled" in plain(app.error[0].value)
    assert totals(app)["Parameters"][0] == before and not app.exception


def test_channels_that_are_none_are_said_beside_their_field():
    app = open_cnn()
    widget(app, "design.typed.model.channels").set_value("six").run()
    assert "must be 1 to 6 whole numbers" in said(app) and totals(app)["Parameters"][0] == "81,574"


def test_a_transfer_model_brings_its_image_size_also_where_a_wrong_one_was_typed():
    app = open_page("pages/architecture.py")
    widget(app, "design.typed.data.image_size").set_value("9999").run()
    assert "Image size must be" in said(app)
    widget(app, "design.model.name").set_value("pretrained").run()
    assert widget(app, "design.typed.data.image_size").value == "224"
    assert "Image size must be" not in said(app) and not app.exception and not app.error


def test_weights_above_the_limit_are_refused_in_words(home):
    write_json(home / "limits.json", {"zip_bytes": 2**20})
    app = open_page("pages/architecture.py")
    widget(app, "design.model.name").set_value("pretrained").run()
    app.selectbox(key="design.backbone.published").set_value("googlenet").run()
    app.file_uploader(key="weights.googlenet").upload("mine.pth", bytes(2**20 + 1)).run()
    app.button(key="use.googlenet").click().run()
    assert "The file is larger than 1 MB; nothing was kept." in plain(app.warning[0].value)
    assert not list((home / "uploads").iterdir()) and not app.exception and not app.error


def test_an_example_fills_the_form():
    app = open_page("pages/architecture.py")
    app.button(key="example.PyTorch").click().run()
    assert totals(app)["Parameters"][0] == "62,006"  # the tutorial's own count
    assert widget(app, "design.model.activation").value == "relu" and not app.exception


def test_what_was_kept_is_what_is_compared_with():
    app = open_cnn()
    widget(app, "design.model.kernel").set_value(5).run()
    next(button for button in app.button if button.label == "Keep this one").click().run()
    assert totals(app)["Parameters"] == ("62,278", "")
    widget(app, "design.model.kernel").set_value(3).run()
    assert totals(app)["Parameters"][1].startswith("+19,296")


def test_no_network_of_a_preset_is_offered_twice():
    keep_preset("mine", RunConfig(model=ModelConfig(name="resnet", width=96, flip_tta=True)))
    keep_preset("same", RunConfig(model=ModelConfig(name="resnet", width=96)))
    app = open_page("pages/architecture.py")
    options = app.selectbox(key="design.compared").options
    assert "Preset mine" in options and "Preset same" not in options


def test_where_the_compared_network_cannot_be_built_the_speed_has_no_difference():
    add_pictures()
    app = open_cnn()
    widget(app, "design.model.padding").set_value("same").run()
    widget(app, "design.typed.model.channels").set_value("8, 8, 8, 8, 8").run()
    next(button for button in app.button if button.label == "Keep this one").click().run()
    assert not totals(app)["Seconds an epoch"][1]
    widget(app, "design.typed.model.channels").set_value("8, 8").run()
    assert totals(app)["Seconds an epoch"][1] == "not known yet"
    widget(app, "design.data.image_size").set_value(16).run()
    assert not totals(app)["Seconds an epoch"][1] and not app.exception and not app.error


def test_where_the_compared_speed_failed_there_is_no_difference():
    dataset = add_pictures()
    config = fit_preset(DEFAULT_PRESET, dataset).model_copy(update={"model": ModelConfig()})
    probe = ask_probe("speed", config, fingerprint_of(dataset.content_hash, preprocess_of(config.data)))
    ProbeWriter(probes_root() / probe.id).fail("The machine was switched off.")
    app = open_cnn()
    assert not totals(app)["Seconds an epoch"][1]
    widget(app, "design.model.kernel").set_value(5).run()
    assert not totals(app)["Seconds an epoch"][1] and not app.exception and not app.error


def test_a_speed_that_cannot_be_known_is_not_as_before():
    dataset = add_pictures()
    config = fit_preset(DEFAULT_PRESET, dataset).model_copy(update={"model": ModelConfig()})
    probe = ask_probe("speed", config, fingerprint_of(dataset.content_hash, preprocess_of(config.data)))
    ProbeWriter(probes_root() / probe.id).fail("The machine was switched off.")
    value, difference = totals(open_page("pages/architecture.py"))["Seconds an epoch"]
    assert value == "–" and not difference


def test_while_a_run_waits_a_speed_is_looked_for_less_often_and_not_asked_for(monkeypatch):
    create_run(fit_preset(DEFAULT_PRESET, add_pictures()), "f" * 64, ("cat", "dog"))
    clocks, fragment = [], st.fragment
    monkeypatch.setattr(st, "fragment", lambda draw, **clock: clocks.append(clock) or fragment(draw, **clock))
    app = open_page("pages/architecture.py")
    assert totals(app)["Seconds an epoch"][0] == "…" and {"run_every": WAIT_SECONDS} in clocks
    assert not list(probes_root().glob("*")) and not app.exception and not app.error


def test_a_layer_is_opened_with_its_formula():
    app = open_page("pages/architecture.py")
    assert "parameters = 6 · (3 · 3 · 3 + 1) = 168" in app.code[0].value
    app.session_state["architecture.layer"] = "fc1"
    app.run()
    assert "parameters = 120 · (576 + 1) = 69,240" in app.code[0].value
    assert "the whole picture" in said(app)


def test_train_this_network_takes_it_to_the_form():
    add_colours()
    app = open_cnn()
    widget(app, "design.typed.model.channels").set_value("8, 16").run()
    next(button for button in app.button if button.label == "Train this network").click().run()
    assert widget(app, "form.model.name").value == "cnn"
    assert app.session_state["form.values"]["model.channels"] == [8, 16]
    assert app.session_state["train_dataset"] == "colours" and not app.exception


def test_without_pictures_nothing_is_trained_and_nothing_timed():
    app = open_page("pages/architecture.py")
    assert "Train this network" not in [button.label for button in app.button]
    assert "Seconds an epoch" not in totals(app)


def test_activations_of_a_run(trained_home, tiny_run):
    app = open_page("pages/architecture.py")
    app.session_state[TABS_KEY] = TAB
    app.run()
    app.selectbox(key="activations.network").set_value(tiny_run.id).run()
    assert not app.exception and not app.error and not app.warning
    assert "do nothing for any of 12 test pictures" in said(app)
    told = "\n".join(one.proto.body for one in app.get("html"))
    for name in ("conv1", "conv2_act", "fc3"):
        assert f"<b>{name}</b>" in told
    assert "First layer" in told and read_run(tiny_run.id)


def test_activations_of_a_run_without_answers_are_of_the_test_pictures_of_its_split(trained_home, tiny_run):
    (tiny_run.folder / "evaluation-test.npz").unlink()
    app = open_page("pages/architecture.py")
    app.session_state[TABS_KEY] = TAB
    app.run()
    app.selectbox(key="activations.network").set_value(tiny_run.id).run()
    assert "do nothing for any of 12 test pictures" in said(app) and not app.exception and not app.error


def test_a_single_filter_is_one_filter():
    add_pictures()
    app = open_cnn()
    app.text_input(key="design.typed.model.channels").set_value("1, 8").run()
    app.session_state[TABS_KEY] = TAB
    app.run()
    told = "\n".join(one.proto.body for one in app.get("html"))
    assert "One filter of 3 × 3 pixels" in told and not app.exception and not app.error


def test_activations_of_another_dataset_with_as_many_classes_are_computed_anew():
    add_pictures("pets"), add_pictures("plants", ("oak", "rose"))
    app = open_page("pages/architecture.py")
    app.session_state[TABS_KEY] = TAB
    asked = {}
    for name in ("pets", "plants"):
        app.selectbox(key="architecture_dataset").set_value(name).run()
        app.button(key="activations.ask.1").click().run()
        asked[name] = app.session_state[PICTURE_KEY][0]
    assert asked["pets"] != asked["plants"] and not app.exception and not app.error


def test_a_picture_of_the_gallery_stays_with_another_network(trained_home, tiny_run):
    dataset, app = find_dataset(tiny_run.config.data.dataset), open_page("pages/architecture.py")
    app.session_state[TABS_KEY] = TAB
    app.session_state[PICTURE_KEY] = (dataset.content_hash, 7)
    captions = []
    for network in (chosen_model.UNTRAINED, tiny_run.id):
        app.session_state["activations.network"] = network
        app.run()
        captions.append(
            next(one.proto.imgs[0].caption for one in app.get("image") if "received" in one.proto.imgs[0].caption)
        )
    name = escape(str(dataset.names[7]).rpartition("/")[2])
    assert captions == [f"{name}, received: 32 × 32", f"{name}, received: 16 × 16"]
    assert not app.exception and not app.error


def test_activations_of_a_transfer_model_are_of_pictures_as_its_backbone_receives_them(monkeypatch):
    monkeypatch.setattr(chosen_model.st, "selectbox", lambda *_, **__: chosen_model.UNTRAINED)
    model = ModelConfig(name="pretrained", backbone="resnet18")
    chosen = chosen_model.pick_model(None, DataConfig(image_size=64), model, 3, [])
    assert chosen.preprocess.mean == IMAGENET_MEAN and chosen.preprocess.image_size == 64


def test_a_family_of_24_convolutions_is_drawn_as_blocks():
    model = ModelConfig(name="cnn", channels=(8,) * 6, convolutions=4, padding="same", norm_conv="all")
    layers = read_layers(model.model_dump_json(), 10, 64)
    groups = group_layers(layers)
    assert [group.title for group in groups] == [*(f"Block {n}" for n in range(1, 7)), "fc1", "fc2", "fc3"]
    assert sum(len(group.layers) for group in groups) == len(layers)
    figure = network_figure(groups, 64, "conv1_1")
    assert figure.layout.height < 900
    assert set(figure.data[-1].customdata) == {layer["name"] for layer in layers}


def test_the_residual_networks_parts_are_its_groups():
    groups = group_layers(read_layers(ModelConfig(name="resnet").model_dump_json(), 10, 32))
    assert [group.title for group in groups] == ["whiten", "Block 1", "Block 2", "Block 3", "fc"]
    assert [layer["name"] for layer in groups[-1].layers] == ["pool", "flatten", "fc"]


def test_networks_that_have_all_their_blocks_in_one_list_are_drawn_block_by_block():
    layers = read_layers(ModelConfig(name="pretrained", backbone="vit_b_16").model_dump_json(), 3, 224)
    groups = group_layers(layers)
    assert [group.title for group in groups] == [
        "conv_proj",
        *(f"encoder_layer_{place}" for place in range(12)),
        "head",
    ]
    assert [short_name(layer) for layer in groups[1].layers][:2] == ["layer norm", "attention"]
    assert sum(group.parameters for group in groups) == sum(layer["parameters"] for layer in layers)
    layers = read_layers(ModelConfig(name="pretrained", backbone="swin_t").model_dump_json(), 3, 224)
    shapes = {group.title: group.shape for group in group_layers(layers)}
    assert shapes["features.0"] == shapes["features.1"] == (96, 56, 56) and shapes["features.7"] == (768, 7, 7)
    assert "linear" in [short_name(layer) for layer in layers]
    layers = read_layers(ModelConfig(name="pretrained", backbone="resnet50").model_dump_json(), 3, 224)
    titles = [group.title for group in group_layers(layers)]
    assert titles[:4] == ["Block 1", "layer1.0", "layer1.1", "layer1.2"] and len(titles) == 18


def test_a_frozen_googlenet_is_drawn_with_all_its_branches_and_only_its_head_learns():
    layers = read_layers(ModelConfig(name="pretrained", backbone="googlenet").model_dump_json(), 3, 224)
    groups = {group.title: group for group in group_layers(layers)}
    assert groups["inception3a"].shape == (256, 28, 28)  # 64 + 128 + 32 + 32 maps
    assert groups["inception5b"].shape == (1024, 7, 7)
    assert [title for title, group in groups.items() if group.learns] == ["head"]
    totals = totals_of(layers, 64)
    assert totals.learnt == 3 * 1024 + 3
    assert totals.memory == 4 * totals.parameters + 8 * totals.learnt + 64 * 8 * 3
    assert [short_name(layer) for layer in layers][:3] == ["conv 7×7", "batch norm", "max pool"]
