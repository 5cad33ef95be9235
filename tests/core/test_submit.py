"""From preset, dataset and changes to a run: the same from page, command line and import, and nothing unchecked."""

import shutil

import pytest

from core.cli.app import main
from core.config import RunConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.data.storage import has_store
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.jobs import import_job
from core.presets import preset
from core.runs import queue
from core.runs.process import mark_process
from core.runs.queue import SupervisorHandle
from core.runs.requester import Requester
from core.runs.run import list_runs, read_run
from core.submit import check_config, choose_config, create_checked_run, fitted_config, prepare_pictures
from pages.parts.form import start_run
from pages.parts.form.run_form import DATASET, REQUESTED
from tests.app import open_page
from tests.pictures import two_classes, write_zip

MANY = 50_000  # pictures: every preset is as it stands


@pytest.fixture(scope="module")
def pets_home(tmp_path_factory):
    """A home with the dataset "pets", 12 cats and 12 dogs, and the zip that it came from. Copied, never changed."""
    home = tmp_path_factory.mktemp("pets") / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home))
        write_zip(home / "pets.zip", two_classes(12))
        assert main(["data", "add", "pets", "--from", str(home / "pets.zip")]) == 0
    return home


@pytest.fixture(autouse=True)
def home(pets_home, tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    me = mark_process()  # this process stands for the supervisor, so that what is submitted stays in the queue
    for module in (queue, start_run):
        monkeypatch.setattr(module, "ensure_supervisor", lambda: SupervisorHandle(me.pid, me.started))
    return shutil.copytree(pets_home, tmp_path / "home")


def from_command_line(preset_name: str, changes: dict[str, str]) -> RunConfig:
    settings = [part for field, value in changes.items() for part in ("--set", f"{field}={value}")]
    assert main(["train", "--data", "pets", "--preset", preset_name, *settings, "--queue"]) == 0
    return read_run("latest").config


def from_page(preset_name: str, changes: dict[str, str]) -> RunConfig:
    document = change_config(RunConfig(), changes)
    asked = {field: getattr(getattr(document, field.split(".")[0]), field.split(".")[1]) for field in changes}
    app = open_page("pages/train.py")
    app.session_state[DATASET] = "pets"
    app.session_state[REQUESTED] = asked | {"preset": preset_name}
    app.run()
    app.button(key="start").click().run()
    assert not app.exception and not app.error
    return read_run("latest").config


def from_import(home, preset_name: str) -> RunConfig:
    folder = home / "imports" / "0123456789abcdef"
    folder.mkdir(parents=True)
    document = {"name": "twins", "kind": "pictures", "path": str(home / "pets.zip"), "is_upload": False}
    document |= {"then": preset_name, "source": None, "class_mapping": {}, "into": None, "requester": None}
    write_json(folder / "job.json", document | {"created": "2026-01-01T00:00:00+00:00"})
    assert import_job.main(folder) == 0, read_json(folder / "progress.json")
    return change_config(read_run("latest").config, {"data.dataset": "pets"})


@pytest.mark.parametrize("preset_name", ["paper", "quick", "best"])
def test_a_preset_is_the_same_run_from_page_command_line_and_import(home, preset_name):
    config = from_command_line(preset_name, {})
    assert config == from_page(preset_name, {}) == from_import(home, preset_name)
    assert config == fitted_config(preset_name, find_dataset("pets"), {})


@pytest.mark.parametrize(
    "changes",
    [
        {"train.epochs": "7", "train.seed": "3"},
        {"data.image_size": "24", "data.fit": "pad", "train.augment": "flip+cutout"},
        {"model.name": "cnn", "model.channels": "8,16", "model.activation": "gelu"},
    ],
)
def test_changed_settings_are_the_same_run_from_page_and_command_line(changes):
    config = from_command_line("quick", changes)
    assert config == from_page("quick", changes) == choose_config("quick", "pets", changes)


def test_a_preset_is_fitted_to_the_split_that_the_changes_ask_for():
    counted = []
    config = fitted_config(
        "quick", find_dataset("pets"), {"data.val_fraction": 0.3}, lambda _, data: counted.append(data) or 700
    )
    assert counted[0].val_fraction == 0.3 and counted[0].dataset == "pets"
    assert config.train == preset("quick", 700).train != preset("quick", MANY).train


def test_what_was_set_by_hand_wins_over_what_the_fit_changes():
    fitted = preset("quick", 16).train  # of 12 cats 3 test, 1 validates and 8 train, and of the dogs as many
    config = choose_config("quick", "pets", {"train.batch_size": "8"})
    assert config.train == fitted.model_copy(update={"batch_size": 8})


def test_a_backbone_brings_its_image_size_unless_one_is_set_by_hand():
    chosen = {"model.name": "pretrained", "model.backbone": "googlenet"}
    assert choose_config("quick", "pets", chosen).data.image_size == 224
    assert choose_config("quick", "pets", chosen | {"data.image_size": "96"}).data.image_size == 96


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.name": "cnn", "model.kernel": 11, "data.image_size": 10}, "conv1"),
        ({"model.name": "pretrained", "data.image_size": 224}, "The weights of googlenet are not here yet"),
        ({"train.batch_size": 1}, "A batch of 1 of the 16 training pictures is too small"),
        ({"train.patience": 2, "data.val_fraction": 0.0}, "Early stopping watches the loss on the validation part"),
        ({"data.dataset": "nobody"}, "nobody"),
    ],
)
def test_a_run_that_could_not_be_trained_is_not_created(changes, message):
    config = change_config(choose_config("quick", "pets", {}), changes)
    for create in (lambda: create_checked_run(config), lambda: next(prepare_pictures(config))):
        with pytest.raises(UserMistake, match=message):
            create()
    assert list_runs() == []


def test_the_settings_of_every_preset_but_the_one_without_weights_pass_the_checks():
    for name in ("paper", "quick", "better", "best", "tiny", "speedrun"):
        check_config(preset(name), 10, {"train": MANY, "val": 1000, "test": 10_000})


def test_a_checked_run_is_for_the_dataset_as_it_is_and_knows_who_asked():
    config = choose_config("quick", "pets", {"data.image_size": 24})  # a size that no store has yet
    anna = Requester(session="a" * 16, name="Anna")
    run = create_checked_run(config, anna, key="form 7")
    assert (run.config, run.requester, run.classes) == (config, anna, ("cat", "dog"))
    assert create_checked_run(config, anna, key="form 7").id == run.id and len(list_runs()) == 1
    assert not has_store(run.fingerprint)
    assert [step.phase for step in prepare_pictures(config)][-1] == "done" and has_store(run.fingerprint)
