"""A teacher: what it answers, who may be one, and what a student makes of it."""

import html
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.cli.app import main
from core.config import RunConfig, TrainConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.data.store.batches import load_part
from core.data.store.store import load_store
from core.disk import read_json, write_json
from core.engine.fit import fit
from core.engine.hardware import Hardware
from core.errors import UserMistake
from core.experiments.ablation.components import own_component
from core.experiments.ablation.spec import plan_experiment
from core.experiments.audits.cross_validation import predict_cross_validated
from core.experiments.audits.trial import train_trial
from core.export.card import model_card
from core.export.export import facts_of
from core.export.facts import ExportFacts
from core.inference.predictor import load_model
from core.inference.teacher import answers_path, build_answers, with_answers
from core.receipts.receipt import make_receipt, write_receipt
from core.receipts.verify import train_again, verify_receipt
from core.rows import EpochRow, TickRow
from core.runs.actions import create_run, delete_run, resume_run
from core.runs.naming import name_runs
from core.runs.run import open_run, read_run
from core.runs.teachers import find_teacher, pin_teacher, teacher_name, teacher_sentence
from core.scripts.writing import write_script
from core.settings import features_root
from core.submit import create_checked_run
from core.train import train_rows, train_run
from tests import tiny
from tests.core.engine.test_fit import network
from tests.core.test_resume import broken_off, resumed, rows_of, same, saved_often  # noqa: F401

ROOT, CPU = Path(__file__).resolve().parents[3], Hardware(torch.device("cpu"))
MODEL_FILES = ("model.safetensors", "model-best.safetensors")


@pytest.fixture(autouse=True)
def one_thread_afterwards():
    yield
    torch.set_num_threads(1)


def settings(teacher: str, **changes) -> RunConfig:
    config = RunConfig(preset="quick", data=tiny.DATA, train=tiny.TRAIN)
    given = {name.replace("__", "."): value for name, value in changes.items()}
    return pin_teacher(change_config(config, {"train.teacher": teacher} | given))


def new_student(teacher: str, **changes):
    return create_checked_run(settings(teacher, **changes))


def student(teacher: str, **changes):
    run = new_student(teacher, **changes)
    train_run(run.folder)
    return open_run(run.folder)


# --------------------------------------------------------------------------------------------- its answers


@pytest.mark.parametrize("flip_tta", [False, True])
def test_the_answers_are_the_teachers_logits_for_both_sides_of_each_training_picture(trained_home, flip_tta):
    teacher = tiny.train_tiny_run(model__flip_tta=flip_tta)
    config = settings(teacher.id)
    store = load_store(config.data)
    list(build_answers(config, store, torch.device("cpu")))
    part = with_answers(load_part(store, "train"), config.train.teacher, store)
    model, images = load_model(teacher), part.normalise(part.gather(torch.arange(len(part))))
    with torch.no_grad():
        plain, flipped = model(images), model(images.flip(3))
    expected = [(plain + flipped) / 2] * 2 if flip_tta else [plain, flipped]
    assert part.answers.dtype == torch.float32 and part.answers.shape == (len(part), 2, 2)
    assert torch.allclose(part.answers, torch.stack(expected, 1), atol=1e-5)


def test_a_teacher_of_larger_pictures_is_shown_them_in_its_own_size(trained_home):
    teacher = tiny.train_tiny_run(data__image_size=24)
    run = student(teacher.id)
    assert run.state.status == "done" and run.config.data.image_size == 16
    kept = np.load(answers_path(run.config.train.teacher, load_store(run.config.data)))
    theirs = load_store(teacher.config.data)
    part = load_part(theirs, "train")
    with torch.no_grad():
        plain = load_model(teacher)(part.normalise(part.gather(torch.arange(len(part)))))
    assert np.allclose(kept[:, :2], plain.numpy(), atol=1e-5)


def test_answers_are_made_once_for_all_students_and_anew_for_other_weights(tiny_run, monkeypatch):
    from core.inference import teacher as module

    asked, real = [], module.both_sides
    monkeypatch.setattr(module, "both_sides", lambda *given: asked.append(1) or real(*given))
    first = student(tiny_run.id, train__epochs=1)
    assert asked and first.state.backbone_seconds > 0
    asked.clear()
    student(tiny_run.id, train__epochs=1, train__seed=5, train__temperature=2.0, train__augment="flip,mixup")
    assert not asked and len(list(features_root().glob("*/teacher.npy"))) == 1
    train_run(resumed(tiny_run, epochs=4).folder)
    student(tiny_run.id, train__epochs=1)
    assert asked and len(list(features_root().glob("*/teacher.npy"))) == 2


def test_answers_that_were_broken_off_go_on_and_are_the_same(tiny_run, monkeypatch):
    config = settings(tiny_run.id)
    store = load_store(config.data)
    list(build_answers(config, store, torch.device("cpu")))
    path = answers_path(config.train.teacher, store)
    whole = np.load(path)
    path.unlink()
    monkeypatch.setattr("core.inference.teacher.evaluation_batch", lambda side: 8)
    monkeypatch.setattr("core.progress.TICK_SECONDS", -1.0)
    steps = build_answers(config, store, torch.device("cpu"))
    assert [next(steps).done for _ in range(2)] == [8, 16] and not path.exists()
    steps.close()
    again = list(build_answers(config, store, torch.device("cpu")))
    assert again[0].done == 24 and {step.phase for step in again} == {"teacher"}
    assert np.allclose(np.load(path), whole, atol=1e-5)


# ------------------------------------------------------------------------------------------ what a student learns


def test_a_student_that_learns_from_the_teacher_alone_follows_it_where_the_labels_are_wrong(tiny_store):
    part = load_part(tiny_store, "train")
    contrary = 4.0 * torch.nn.functional.one_hot(1 - part.labels, 2).float()
    taught = replace(part, answers=torch.stack([contrary, contrary], 1))
    for share, agrees in ((1.0, 0.0), (0.0, 1.0)):  # with the labels
        config = TrainConfig(epochs=8, batch_size=8, learning_rate=0.05, augment=("flip",), teacher="a")
        config = config.model_copy(update={"distill_share": share})
        rows = list(fit(network(tiny_store, 0), taught, load_part(tiny_store, "val"), 2, config, CPU))
        last = [row for row in rows if isinstance(row, EpochRow)][-1]
        assert last.val_accuracy == agrees


def test_training_with_a_teacher_but_without_its_answers_is_a_fault(tiny_store):
    with pytest.raises(AssertionError, match="with_answers"):
        next(fit(network(tiny_store, 0), load_part(tiny_store, "train"), None, 2, TrainConfig(teacher="a"), CPU))


def test_a_student_says_from_whom_it_learnt_and_how_good_that_one_is(tiny_run):
    run = student(tiny_run.id)
    assert run.state.status == "done" and run.config.train.teacher == teacher_name(tiny_run)
    assert run.teacher.run == tiny_run.id and run.teacher.score == tiny_run.state.score
    right, n = tiny_run.state.score
    teacher = f"{tiny_run.title} ({100 * right / n:.1f} % of {n} test pictures)"
    sentence = f"Learnt 90 % from the answers of {teacher} and 10 % from the labels."
    assert teacher_sentence(run) == sentence
    delete_run(tiny_run)
    assert teacher_sentence(open_run(run.folder)) == sentence


def test_beside_its_student_a_run_is_one_without_a_teacher(tiny_run):
    run = student(tiny_run.id)
    names = name_runs([tiny_run, run])
    assert names[tiny_run.id].endswith("no teacher") and names[run.id].endswith(f"teacher run {tiny_run.id[-4:]}")


def test_a_run_without_a_teacher_has_nothing_of_one_in_its_files(tiny_run):
    document = read_json(tiny_run.folder / "config.json")
    assert "teacher" not in document and not {"teacher", "distill_share", "temperature"} & {
        *document["config"]["train"]
    }
    assert teacher_sentence(tiny_run) == "" and tiny_run.teacher is None


def test_a_frozen_backbone_learns_from_a_teacher_on_its_features(tiny_run):
    from core.runs.backbones import pin_backbone

    config = settings(tiny_run.id, model__name="transfer", model__backbone=tiny_run.id, train__epochs=2)
    run = create_checked_run(pin_backbone(config))
    train_run(run.folder)
    assert open_run(run.folder).state.status == "done"


# ------------------------------------------------------------------------------------------------- going on


def test_a_student_that_broke_off_goes_on_bit_for_bit_without_its_teacher(tiny_run, saved_often):  # noqa: F811
    choices = {"train__epochs": 3, "train__augment": "flip,shift_crop,mixup", "train__class_weights": "balanced"}
    whole = student(tiny_run.id, **choices)
    run = broken_off(new_student(tiny_run.id, **choices), step=6)
    delete_run(tiny_run)
    run = resumed(run)
    list(train_rows(run.folder))
    run = open_run(run.folder)
    assert run.state.status == "done" and same(run, whole)


def test_a_student_without_teacher_and_answers_says_so(tiny_run):
    run = new_student(tiny_run.id)
    delete_run(tiny_run)
    with pytest.raises(UserMistake, match=r"There is no run .* to take as the teacher"):
        train_run(run.folder)
    assert "to take as the teacher" in open_run(run.folder).state.message


def test_a_stop_while_the_teacher_answers_keeps_what_it_has_said(tiny_run, monkeypatch):
    monkeypatch.setattr("core.inference.teacher.evaluation_batch", lambda side: 8)
    monkeypatch.setattr("core.progress.TICK_SECONDS", -1.0)
    run = new_student(tiny_run.id)
    (run.folder / "stop").touch()
    monkeypatch.setattr("core.train.build_store", lambda *_: iter(()))
    train_run(run.folder)
    run = open_run(run.folder)
    assert run.state.status == "stopped" and "kept for the next time" in run.state.message
    run = resume_run(run, run.fingerprint, 48)
    train_run(run.folder)
    assert open_run(run.folder).state.status == "done"


@pytest.mark.slow
def test_two_ranks_learn_from_one_teacher(tiny_run):
    run = new_student(tiny_run.id, train__augment="flip,mixup")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run([*command, "-m", "core.train", run.folder], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert open_run(run.folder).state.status == "done"


# ---------------------------------------------------------------------------------------------- who may be one


def test_settings_name_the_teacher_by_its_weights_however_it_was_called(tiny_run):
    for called in ("latest", tiny_run.id, tiny_run.id[:9], tiny_run.id[-6:], teacher_name(tiny_run)):
        assert settings(called).train.teacher == teacher_name(tiny_run)
    assert pin_teacher(tiny_run.config) == tiny_run.config


def test_an_unknown_teacher_is_refused(trained_home):
    with pytest.raises(UserMistake, match="There is no run 'zzz' to take as the teacher"):
        settings("zzz")
    with pytest.raises(UserMistake, match=r"train\.teacher"):
        change_config(RunConfig(), {"train.teacher": "../elsewhere"})


def test_a_teacher_that_has_not_finished_is_refused(trained_home):
    with pytest.raises(UserMistake, match="still trains"):
        settings(tiny.new_run().id)


def test_a_teacher_that_failed_or_has_no_model_is_refused(tiny_run):
    for name in MODEL_FILES:
        (tiny_run.folder / name).unlink(missing_ok=True)
    with pytest.raises(UserMistake, match="has no model"):
        settings(tiny_run.id)
    write_json(tiny_run.folder / "state.json", read_json(tiny_run.folder / "state.json") | {"status": "failed"})
    with pytest.raises(UserMistake, match="ended as failed"):
        settings(tiny_run.id)


def test_a_teacher_that_was_trained_on_since_is_refused(tiny_run):
    config = settings(tiny_run.id)
    train_run(resumed(tiny_run, epochs=4).folder)
    for name in MODEL_FILES[1:]:
        (tiny_run.folder / name).unlink(missing_ok=True)
    with pytest.raises(UserMistake, match="has other weights now"):
        create_checked_run(config)


def test_a_teacher_of_other_classes_is_refused(tiny_run):
    document = read_json(tiny_run.folder / "config.json")
    write_json(tiny_run.folder / "config.json", document | {"classes": ["orange", "blue"]})
    with pytest.raises(UserMistake, match=r"it tells 2 classes \(orange, blue\) apart, and 'colours' has 2 classes"):
        new_student(tiny_run.id)


def test_a_teacher_of_other_pictures_is_refused(tiny_run):
    tiny.add_colours("more")
    shutil.rmtree(find_dataset("more").folder)
    document = read_json(tiny_run.folder / "config.json")
    write_json(tiny_run.folder / "config.json", document | {"fingerprint": "0" * 64})
    with pytest.raises(UserMistake, match="was trained on other pictures than 'colours' has now"):
        new_student(tiny_run.id)


@pytest.mark.parametrize(
    "changes", [{"data__seed": 1}, {"data__test_fraction": 0.5}, {"data__val_fraction": 0.0}], ids=str
)
def test_a_teacher_of_other_parts_is_refused_when_asked_and_when_trained(tiny_run, changes):
    with pytest.raises(UserMistake, match="may have learnt pictures by which this run is judged"):
        new_student(tiny_run.id, **changes)
    config = settings(tiny_run.id, **changes)  # as a clone comes, which nobody checks before
    run = create_run(config, tiny_run.fingerprint, tiny_run.classes)
    with pytest.raises(UserMistake, match="may have learnt pictures by which this run is judged"):
        train_run(run.folder)


def test_a_run_that_nobody_checked_names_its_teacher_by_its_weights_too(tiny_run):
    assert tiny.new_run(train__teacher=tiny_run.id[:8]).config.train.teacher == teacher_name(tiny_run)


def test_settings_of_the_split_that_draw_the_same_parts_are_the_same(tiny_run):
    assert new_student(tiny_run.id, data__duplicates="together").state.status == "queued"


def test_a_teacher_on_a_run_of_the_same_pictures_is_refused(tiny_run):
    from core.runs.backbones import pin_backbone

    config = change_config(tiny_run.config, {"model.name": "transfer", "model.backbone": tiny_run.id})
    run = create_checked_run(pin_backbone(config))
    train_run(run.folder)
    with pytest.raises(UserMistake, match="parts that nobody compared"):
        new_student(run.id)


# --------------------------------------------------------------------------------------------- who else asks


def test_questions_that_train_on_other_parts_refuse_a_student(tiny_run):
    run = student(tiny_run.id, train__epochs=1)
    with pytest.raises(UserMistake, match="learnt from a teacher"):
        next(predict_cross_validated(find_dataset("colours"), run))
    with pytest.raises(UserMistake, match="ask about a run without a teacher"):
        next(train_trial(run.config, load_store(run.config.data), CPU))


def test_an_experiment_switches_a_teacher_and_names_it_by_its_weights(tiny_run):
    plan = plan_experiment(tiny_run.config, [own_component({"train.teacher": tiny_run.id[:8]}, 1)])
    assert plan.variants[0].config.train.teacher == teacher_name(tiny_run)
    assert plan.base.config.train.teacher == ""
    assert plan.variants[0].changed == f"train.teacher: none -> {teacher_name(tiny_run)}"


def test_a_parcel_for_another_machine_has_the_teacher(tiny_run):
    from core.cluster.parcel import pack

    files = {part.path for part in pack(new_student(tiny_run.id))}
    assert {f"runs/{tiny_run.id}/{name}" for name in ("config.json", "state.json", "manifest.json")} <= files
    assert {f"runs/{tiny_run.id}/model.safetensors", f"runs/{tiny_run.id}/model.json"} <= files


def test_the_command_line_takes_a_teacher(tiny_run, capsys):
    split = [f"data.{name}={getattr(tiny.DATA, name)}" for name in ("image_size", "test_fraction", "val_fraction")]
    given = [*split, f"train.teacher={tiny_run.id[:8]}", "train.epochs=1", "train.batch_size=8"]
    arguments = [word for setting in given for word in ("--set", setting)]
    assert main(["train", "--data", "colours", "--preset", "quick", *arguments, "--json"]) == 0
    run = read_run(json.loads(capsys.readouterr().out)["run"])
    assert run.config.train.teacher == teacher_name(tiny_run) and run.state.status == "done"
    assert find_teacher(run.config.train.teacher)[0].id == tiny_run.id
    assert [row for row in rows_of(run) if not isinstance(row, TickRow)]


def test_report_card_and_command_line_say_whose_answers_it_learnt_from(tiny_run, tmp_path, capsys):
    run = student(tiny_run.id, train__epochs=1, train__distill_share=0.75)
    sentence = f"Learnt 75 % from the answers of {tiny_run.title}"
    assert main(["runs", "show", run.id]) == 0 and sentence in capsys.readouterr().out
    assert main(["runs", "show", run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["teacher"]["run"] == tiny_run.id
    assert main(["report", run.id, "--out", str(tmp_path / "report.html")]) == 0
    text = (tmp_path / "report.html").read_text()
    assert sentence.split(" · ")[0] in text and "the same settings without a teacher give another accuracy" in text
    assert "s for the teacher's answers" in html.unescape(text)
    card = model_card(run, facts_of(run, "last", "0" * 64), ())
    assert "Learnt 75 \\% from the answers of" in card


def test_an_export_tells_of_the_teacher_where_there_was_one(tiny_run):
    assert "teacher" not in facts_of(tiny_run, "last", "0" * 64).model_dump(mode="json")
    run = student(tiny_run.id, train__epochs=1)
    facts = facts_of(run, "last", "0" * 64)
    assert ExportFacts.model_validate_json(facts.model_dump_json()).teacher == run.teacher


def test_a_script_of_a_student_is_refused_in_a_sentence(tiny_run, tmp_path):
    run = student(tiny_run.id, train__epochs=1)
    with pytest.raises(UserMistake, match="it learnt from the answers of another run"):
        list(write_script(run, tmp_path / "run.py"))


@pytest.mark.slow
def test_a_receipt_of_a_student_holds_when_it_is_trained_again(tiny_run, tmp_path):
    run = student(tiny_run.id, train__augment="flip,mixup")
    write_receipt(make_receipt(run), tmp_path / "receipt.json")
    *_, verdict = train_again(verify_receipt(tmp_path / "receipt.json"))
    assert verdict.verdict == "equal", verdict.reason
