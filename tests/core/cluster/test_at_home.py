"""Runs on two machines of a Ray cluster: seen from home as if they were trained here, also where a machine is lost."""

import random
import time

import pytest

from core.environment import hash_program
from core.runs.actions import ask_to_stop, resume_run
from core.runs.environments import read_environments
from core.runs.queue import ensure_supervisor, submit
from core.runs.run import open_run
from tests import tiny
from tests.core.cluster.machines import use, wait_for, worker
from tests.core.engine.test_train_state import TIMES

pytest.importorskip("ray")
CHOICES = {"train__augment": "flip,shift_crop", "train__momentum": 0.9, "train__schedule": "one_cycle"}


def rows(run):
    return [row.model_dump(exclude=TIMES) for row in run.rows()]


def train_there(run, cluster):
    use(cluster)
    with worker(run) as process:
        process.wait(180)
    return open_run(run.folder)


@pytest.mark.nightly  # the test of a killed machine compares as much
def test_a_run_of_another_machine_is_bit_for_bit_the_one_of_this_machine(trained_home, cluster):
    here = tiny.train_tiny_run(**CHOICES)
    there = train_there(tiny.new_run(**CHOICES), cluster)
    assert there.state.status == "done", there.log()
    assert rows(there) == rows(here) and there.state.machine in cluster.nodes
    assert all((there.weights()[name] == values).all() for name, values in here.weights().items())
    for part in ("train", "val", "test"):
        assert (there.evaluation(part).probabilities == here.evaluation(part).probabilities).all()
    (environment,) = read_environments(there.folder)
    assert environment.program == hash_program() and there.snapshot() and there.has_checkpoint

    kept = list(cluster.folder.glob(f"{there.state.machine}/stores/*/images.npy"))
    assert len(kept) == 1 and not list(cluster.folder.glob("*/runs/*"))  # the store stays, the run is home
    before = kept[0].stat().st_mtime_ns
    again = train_there(tiny.new_run(), cluster)
    assert again.state.status == "done" and kept[0].stat().st_mtime_ns == before


@pytest.mark.nightly
def test_what_is_stopped_goes_on_later_where_it_was(trained_home, cluster):
    whole = tiny.train_tiny_run(train__epochs=150, **CHOICES)
    run = tiny.new_run(train__epochs=150, **CHOICES)
    use(cluster)
    with worker(run) as process:
        wait_for(run, lambda now: now.state.epoch > 5)
        ask_to_stop(run)
        process.wait(60)
    stopped = open_run(run.folder)
    assert stopped.state.status == "stopped" and stopped.has_model and 5 <= len(stopped.epochs()) < 150
    resume_run(stopped, stopped.fingerprint, 48)
    ended = train_there(run, cluster)
    assert ended.state.status == "done" and rows(ended) == rows(whole)


@pytest.mark.slow
def test_a_machine_is_killed_and_the_run_goes_on_elsewhere_bit_for_bit(trained_home, cluster):
    whole = tiny.train_tiny_run(train__epochs=200, **CHOICES)
    run = tiny.new_run(train__epochs=200, **CHOICES)
    use(cluster)
    with worker(run) as process:
        found = wait_for(run, lambda now: now.has_checkpoint and now.state.epoch > 3)
        cluster.kill(found.state.machine)
        process.wait(180)
    ended = open_run(run.folder)
    assert ended.state.status == "done" and ended.state.attempt == 1, ended.log()
    assert rows(ended) == rows(whole)  # none lost, none twice
    assert "was lost" in ended.log() and "goes on from epoch" in ended.log()


@pytest.mark.nightly
def test_the_queue_is_trained_on_both_machines_at_once(trained_home, two_machines):
    use(two_machines)
    runs = [tiny.new_run(train__epochs=400) for _ in range(2)]
    for run in runs:
        submit(run)
    ensure_supervisor()
    now = [wait_for(run, lambda now: now.state.machine and now.state.epoch) for run in runs]
    assert [run.state.machine for run in now] != [] and all(open_run(run.folder).state.is_training for run in runs)
    assert len({run.state.machine for run in now}) == 2
    for run in runs:
        ask_to_stop(run)
    assert {wait_for(run, lambda now: now.state.ended).state.status for run in runs} == {"stopped"}


@pytest.mark.nightly
def test_thirty_kills_at_random_moments_lose_no_run_and_no_row(trained_home, cluster):
    chance, left = random.Random(30), 30
    while left:
        while len(cluster.nodes) < 2:
            cluster.add()
        run = tiny.new_run(train__epochs=600, **CHOICES)
        use(cluster)
        with worker(run) as process:
            while left and process.poll() is None:
                time.sleep(chance.uniform(0.0, 6.0))
                machine = open_run(run.folder).state.machine
                if machine in cluster.nodes and process.poll() is None:
                    cluster.add()
                    cluster.kill(machine)
                    left -= 1
            process.wait(300)
        ended = open_run(run.folder)
        assert ended.state.status == "done", ended.log()
        steps = [row.step for row in ended.iterations()]
        assert len(ended.epochs()) == 600 and steps == sorted(set(steps)) and steps[-1] == ended.state.step


@pytest.mark.nightly
def test_a_cluster_that_does_not_answer_is_told(trained_home):
    from core.cluster.settings import ClusterSettings, use_cluster

    use_cluster(ClusterSettings(address="127.0.0.1:1"))
    run = tiny.new_run()
    with worker(run) as process:
        process.wait(180)
    assert "does not answer" in open_run(run.folder).state.message, open_run(run.folder).log()
