"""Trials of sweeps and trainings of audits on two machines of a Ray cluster: as at home, also where one is lost."""

import random
import shutil

import numpy as np
import pytest

from core.cluster.settings import forget_cluster
from core.config import change_config
from core.evaluation import Evaluation
from core.experiments.audits import cue_controls
from core.experiments.audits.folds import cross_validate
from core.experiments.audits.leakage import measure_leakage
from core.experiments.audits.trial_task import TrialTask, answer_all
from core.experiments.sweeps.actions import create_sweep
from core.experiments.sweeps.ranges import range_for
from core.experiments.sweeps.spec import plan_sweep
from core.experiments.sweeps.sweep import open_sweep
from core.experiments.sweeps.trials import list_trials
from core.experiments.sweeps.worker import run_trials
from core.runs.backbones import keep_backbone
from core.runs.run import read_run
from core.settings import trials_root
from tests.core.cluster.machines import use

pytestmark = pytest.mark.slow


def answers():
    """Name -> probabilities of every trial that is kept."""
    return {path.stem: Evaluation.from_bytes(path.read_bytes()).probabilities for path in trials_root().rglob("*.npz")}


def folds_at_home(config):
    """What the folds answer on one thread of this machine; nothing of it is kept."""
    list(cross_validate(config, 3))
    found = answers()
    shutil.rmtree(trials_root())
    return found


def are_equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_folds_answer_the_same_there_and_are_kept_here(tiny_run, two_machines):
    config = change_config(tiny_run.config, {"train.epochs": 40, "train.augment": "flip,shift_crop"})
    here = folds_at_home(config)
    use(two_machines)
    *steps, found = cross_validate(config, 3)
    assert found.n == 48 and are_equal(answers(), here) and steps[-1].done == steps[-1].total == 300
    assert {step.phase for step in steps} >= {"fold-1", "fold-2", "fold-3"}
    (again,) = [step for step in cross_validate(config, 3) if not hasattr(step, "phase")]
    assert again == found
    kept = list(two_machines.folder.glob("machine-*/stores/*/images.npy"))
    assert kept and not list(two_machines.folder.glob("machine-*/stores/*/.*.draft"))


def test_folds_of_a_frozen_backbone_answer_the_same_there(tiny_run, two_machines):
    changes = {"model.name": "transfer", "model.backbone": keep_backbone(tiny_run), "train.epochs": 3}
    config = change_config(tiny_run.config, changes)
    here = folds_at_home(config)
    use(two_machines)
    list(cross_validate(config, 3))
    assert are_equal(answers(), here) and list(two_machines.folder.glob("machine-*/features/*/features.npy"))


def test_a_machine_is_killed_and_no_fold_is_lost(tiny_run, two_machines, capsys):
    config = change_config(tiny_run.config, {"train.epochs": 300})
    here = folds_at_home(config)
    use(two_machines)
    is_killed = False
    for step in cross_validate(config, 3):
        if not is_killed and getattr(step, "done", 0) >= 20:
            is_killed = True
            two_machines.kill(random.Random(1).choice(sorted(two_machines.nodes)))
    assert is_killed and are_equal(answers(), here)
    assert "was lost" in capsys.readouterr().err


def test_trainings_that_are_not_kept_are_done_there_too(tiny_run, two_machines):
    edit = cue_controls.without_cue("grey", tiny_run.config.data.seed)
    tasks = [TrialTask("control", tiny_run.config, {}, edit), TrialTask("plain", tiny_run.config, {})]
    settings = {"train.epochs": 2, "data.image_size": 16}
    (*_, home) = measure_leakage("colours", 1, settings=settings)
    here = yield_from(answer_all(tasks))
    use(two_machines)
    there = yield_from(answer_all(tasks))
    (*_, found) = measure_leakage("colours", 1, settings=settings)
    assert found == home
    assert all(np.array_equal(one.probabilities, other.probabilities) for one, other in zip(here, there, strict=True))


def yield_from(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_the_trials_of_a_sweep_are_trained_there(tiny_run, two_machines, monkeypatch):
    monkeypatch.setattr("optuna.Trial.should_prune", lambda trial: trial.number == 3)
    base = change_config(tiny_run.config, {"train.epochs": 300})
    sweep = create_sweep(plan_sweep(base, [range_for("train.learning_rate", "0.001..0.1")], 600, 4))
    use(two_machines)
    run_trials(sweep.folder)
    trials = list_trials(sweep)
    assert [one.status for one in trials] == ["complete"] * 3 + ["pruned"], trials
    runs = [read_run(one.run) for one in trials]
    assert all(run.state.machine in two_machines.nodes and run.marks.hidden for run in runs)
    assert runs[3].state.status == "stopped" and runs[3].state.epoch < 300  # some epochs later
    assert all(run.epochs()[-1].val_accuracy == one.accuracy for run, one in zip(runs[:3], trials[:3], strict=True))
    assert open_sweep(sweep.folder).status == "done" and not open_sweep(sweep.folder).message


def test_a_machine_is_killed_and_no_trial_is_lost(tiny_run, two_machines, monkeypatch):
    from core.experiments.sweeps.at_once import _Trainer

    note, killed = _Trainer.note, []

    def note_and_kill(self, epoch, accuracy):
        note(self, epoch, accuracy)
        if not killed and epoch > 20:
            killed.append(read_run(self.run.id).state.machine)
            two_machines.kill(killed[0])

    monkeypatch.setattr(_Trainer, "note", note_and_kill)
    monkeypatch.setattr("optuna.Trial.should_prune", lambda trial: False)
    base = change_config(tiny_run.config, {"train.epochs": 200})
    sweep = create_sweep(plan_sweep(base, [range_for("train.learning_rate", "0.001..0.1")], 600, 3))
    use(two_machines)
    run_trials(sweep.folder)
    trials = list_trials(sweep)
    assert [one.status for one in trials] == ["complete"] * 3 and killed, trials
    runs = [read_run(one.run) for one in trials]
    assert all(len(run.epochs()) == 200 and run.state.machine != killed[0] for run in runs)
    assert sum("was lost" in run.log() for run in runs) <= 1


def test_a_sweep_goes_on_at_home_once_no_cluster_is_used(tiny_run, two_machines, monkeypatch):
    from core.experiments.sweeps.at_once import _Trainer

    note = _Trainer.note

    def note_and_leave(self, epoch, accuracy):
        note(self, epoch, accuracy)
        forget_cluster()

    monkeypatch.setattr(_Trainer, "note", note_and_leave)
    base = change_config(tiny_run.config, {"train.epochs": 20})
    sweep = create_sweep(plan_sweep(base, [range_for("train.learning_rate", "0.001..0.1")], 600, 4))
    use(two_machines)
    run_trials(sweep.folder)
    trials = list_trials(sweep)
    assert [one.status for one in trials] == ["complete"] * 4, trials
    places = [read_run(one.run).state.machine for one in trials]
    assert places[0] in two_machines.nodes and places[3] == "" and open_sweep(sweep.folder).status == "done"


def test_a_sweep_whose_cluster_does_not_answer_ends_with_a_sentence_and_goes_on_at_home(tiny_run):
    from core.cluster.settings import ClusterSettings, use_cluster
    from core.experiments.sweeps.actions import resume_sweep

    base = change_config(tiny_run.config, {"train.epochs": 1})
    sweep = create_sweep(plan_sweep(base, [range_for("train.learning_rate", "0.001..0.1")], 600, 2))
    use_cluster(ClusterSettings(address="127.0.0.1:1"))
    run_trials(sweep.folder)
    assert "does not answer" in open_sweep(sweep.folder).message and not list_trials(sweep)
    forget_cluster()
    resume_sweep(sweep)
    run_trials(sweep.folder)
    assert [one.status for one in list_trials(sweep)] == ["complete"] * 2
