"""Whose a thing is: what others may not do with it, a teacher may, and the command line always."""

import pytest

from core import people
from core.config import RunConfig
from core.data.datasets.dataset import delete_dataset, find_dataset
from core.data.versions.versions import undo_version
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.experiments.ablation.actions import create_experiment, delete_experiment, resume_experiment, stop_experiment
from core.experiments.ablation.components import find_components
from core.experiments.ablation.feed import feed
from core.experiments.ablation.spec import plan_experiment
from core.jobs.import_job import ImportJob, cancel_import
from core.people import NOBODY, OWNER, Person, acting, ask_who, may_change
from core.presets import forget_preset, keep_preset, own_presets
from core.runs.actions import (
    ask_to_stop,
    clone_config,
    create_run,
    delete_run,
    empty_trash,
    hide_run,
    list_deleted,
    note_run,
    rename_run,
    restore_run,
    resume_run,
    star_run,
)
from core.runs.queue import move_in_queue, submit, waiting_runs
from core.runs.requester import Requester
from core.runs.run import list_runs, open_run, read_run
from core.settings import readable_from_page
from tests import tiny

pytestmark = pytest.mark.usefixtures("home")

ADA, BEN = Person(id="a" * 16, name="Ada"), Person(id="b" * 16, name="Ben")
TEACHER = Person(id="c" * 16, name="Cleo", is_teacher=True)
FINGERPRINT = "f" * 64
DEEDS = [
    ask_to_stop,
    delete_run,
    lambda run: rename_run(run, "mine now"),
    star_run,
    hide_run,
    lambda run: note_run(run, "hello"),
    lambda run: resume_run(run, FINGERPRINT, 10),
    lambda run: move_in_queue(run, 1),
]


def act(person: Person) -> None:
    ask_who(lambda: person)


def run_of(person: Person):
    act(person)
    return create_run(RunConfig(), FINGERPRINT, ("a", "b"))


def test_outside_of_a_server_one_acts_as_the_owner_of_the_store():
    assert acting() == OWNER and may_change(ADA) and may_change(None)


@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_somebody_elses_is_not_changed_and_a_sentence_says_whose_it_is(deed):
    run = run_of(ADA)
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    for other in (BEN, NOBODY):
        act(other)
        with pytest.raises(UserMistake, match=f"Run {run.id} belongs to Ada. Only Ada or a teacher may change it"):
            deed(run)
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before


@pytest.mark.parametrize("person", [ADA, TEACHER, OWNER])
def test_whose_it_is_a_teacher_and_the_owner_of_the_store_may(person):
    run = run_of(ADA)
    submit(run)
    act(person)
    assert rename_run(run, "better").title == "better"
    assert "cancelled" in ask_to_stop(run)
    delete_run(run), restore_run(run.id), delete_run(read_run(run.id))
    assert empty_trash() == 1 and list_deleted() == []


def test_what_the_command_line_made_belongs_to_the_owner_of_the_store():
    run = create_run(RunConfig(), FINGERPRINT, ("a", "b"))
    act(ADA)
    with pytest.raises(UserMistake, match="belongs to the owner of this server"):
        delete_run(run)
    act(TEACHER)
    delete_run(run)


def test_everybody_may_clone():
    run = run_of(ADA)
    act(BEN)
    own = create_run(clone_config(run, {"train.epochs": 2}), FINGERPRINT, run.classes)
    assert own.owner == BEN and run.owner == ADA


def test_nobody_asks_in_another_ones_name():
    act(BEN)
    forged = Requester(session="s", name="Ada", person=ADA.id)
    assert create_run(RunConfig(), FINGERPRINT, ("a",), forged).owner == BEN


def test_a_run_that_a_teacher_resumes_stays_whose_it_was():
    run = run_of(ADA)
    submit(run)
    ask_to_stop(run)
    act(TEACHER)
    again = resume_run(run, FINGERPRINT, 10, queue=True, requester=Requester(session="t", name="Cleo"))
    assert again.owner == ADA and [one.owner for one in waiting_runs()] == [ADA]


def test_a_person_has_so_many_waiting_runs_in_however_many_tabs(home):
    for tab in range(3):
        act(ADA)
        submit(create_run(RunConfig(), FINGERPRINT, ("a",), Requester(session=f"tab {tab}")))
    with pytest.raises(UserMistake, match="You have 3 runs waiting, 3 may"):
        submit(create_run(RunConfig(), FINGERPRINT, ("a",), Requester(session="tab 3")))
    submit(run_of(BEN))
    assert len(waiting_runs()) == 4


def test_one_may_let_others_pass_but_not_overtake_them():
    first, second, third = run_of(ADA), run_of(BEN), run_of(ADA)
    for run in (first, second, third):
        submit(run)
    with pytest.raises(UserMistake, match=f"Run {second.id}, which waits before it, belongs to Ben"):
        move_in_queue(third, 1)
    move_in_queue(first, 3)
    assert [run.id for run in waiting_runs()] == [second.id, third.id, first.id]
    act(TEACHER)
    move_in_queue(first, 1)
    assert waiting_runs()[0].id == first.id


def test_emptying_the_trash_takes_ones_own():
    mine, other = run_of(ADA), run_of(BEN)
    delete_run(other)
    act(ADA)
    delete_run(mine)
    assert empty_trash() == 1 and [run.id for run in list_deleted()] == [other.id]
    with pytest.raises(UserMistake, match="belongs to Ben"):
        restore_run(other.id)


def test_a_dataset_and_a_version_that_was_made_of_it_have_their_owners():
    act(ADA)
    dataset = tiny.add_colours()
    assert find_dataset("colours").owner == ADA == dataset.owner
    act(BEN)
    with pytest.raises(UserMistake, match="'colours' belongs to Ada"):
        delete_dataset("colours")
    version = _exclude_one(dataset)
    assert version.owner == BEN
    act(ADA)
    for deed in (lambda: delete_dataset("colours", versions=True), lambda: undo_version(version, keep=True)):
        with pytest.raises(UserMistake, match="'colours v2' belongs to Ben"):
            deed()
    act(BEN)
    undo_version(version, keep=False)
    act(ADA)
    delete_dataset("colours")


def _exclude_one(dataset):
    from core.data.versions.versions import Edit, make_version

    made = None
    for progress in make_version(dataset, {0: Edit(None, "by hand")}):
        made = progress.dataset or made
    return made


def test_a_preset_is_replaced_and_forgotten_by_whose_it_is():
    act(ADA)
    keep_preset("soft", RunConfig())
    act(BEN)
    for deed in (lambda: keep_preset("soft", RunConfig(preset="quick")), lambda: forget_preset("soft")):
        with pytest.raises(UserMistake, match="Preset 'soft' belongs to Ada"):
            deed()
    act(TEACHER)
    keep_preset("soft", RunConfig())  # corrected, it stays Ada's
    act(ADA)
    forget_preset("soft")
    assert own_presets() == {}


def test_an_experiment_its_runs_and_its_end_are_whose_it_is(monkeypatch):
    act(ADA)
    tiny.add_colours()
    base = RunConfig(preset="quick", data=tiny.DATA, train=tiny.TRAIN)
    experiment = create_experiment(plan_experiment(base, find_components(["flip"]), seeds=1))
    ask_who(None)  # the supervisor
    feed(experiment.folder)
    (run,) = list_runs()
    assert run.owner == ADA and run.marks.hidden
    act(BEN)
    for deed in (stop_experiment, resume_experiment, delete_experiment):
        with pytest.raises(UserMistake, match=f"Experiment {experiment.id} belongs to Ada"):
            deed(experiment)
    act(ADA)
    stop_experiment(experiment)
    assert open_run(run.folder).state.status == "stopped"


def test_an_import_is_cancelled_by_whose_it_is(tmp_path):
    job = ImportJob(
        status="running", id="1", folder=tmp_path, name="pets", kind="pictures", then=None, created="", owner=ADA
    )
    act(BEN)
    with pytest.raises(UserMistake, match="belongs to Ada"):
        cancel_import(job)
    act(ADA)
    cancel_import(job)
    assert (tmp_path / "stop").exists()


def test_what_is_kept_of_a_person_is_an_id_and_a_name():
    run = run_of(TEACHER)
    kept = read_json(run.folder / "config.json")["requester"]
    assert kept == {"session": "", "name": "Cleo", "person": TEACHER.id}
    assert people.owner_document() == {"id": TEACHER.id, "name": "Cleo"}


def test_a_folder_of_the_server_is_read_for_teachers_only(tmp_path, home):
    write_json(home / "limits.json", {"import_roots": [str(tmp_path)]})
    act(TEACHER)
    assert readable_from_page(str(tmp_path)) == tmp_path
    act(ADA)
    with pytest.raises(UserMistake, match="Only a teacher may name a folder of this server"):
        readable_from_page(str(tmp_path))
