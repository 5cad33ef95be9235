"""Which runs need a dataset, before it is deleted."""

import pytest

from core.config import DataConfig, RunConfig
from core.errors import UserMistake
from core.runs.actions import ask_to_stop, create_run
from core.runs.dataset_use import describe_use, kept_when_undone, refuse_if_needed
from core.runs.queue import submit
from core.runs.run import list_runs
from core.runs.writer import RunWriter

pytestmark = pytest.mark.usefixtures("home")


def run_on(dataset: str):
    return create_run(RunConfig(data=DataConfig(dataset=dataset)), "f" * 64, ("a", "b"))


def test_a_dataset_says_which_runs_use_it_and_is_kept_while_one_needs_it():
    assert describe_use("ours", list_runs()) == ""
    refuse_if_needed("ours", list_runs())
    run_on("theirs")
    ended, waits, trains = run_on("ours"), run_on("ours"), run_on("ours")
    ask_to_stop(ended)
    assert describe_use("ours", list_runs()) == "It is used by 2 waiting and 1 finished runs."
    submit(waits)
    writer = RunWriter(trains.folder)
    writer.starting()
    writer.running()
    assert describe_use("ours", list_runs()) == "It is used by 1 running, 1 waiting and 1 finished runs."
    with pytest.raises(
        UserMistake, match=f"'ours' was not deleted.*Stop those that train or wait first: .*{trains.id}"
    ):
        refuse_if_needed("ours", list_runs())
    with pytest.raises(UserMistake, match="'ours' was not undone"):
        kept_when_undone("ours", list_runs())
    writer.finish("done")
    ask_to_stop(waits)
    refuse_if_needed("ours", list_runs())
    assert describe_use("ours", list_runs()) == "It is used by 3 finished runs."
    assert kept_when_undone("ours", list_runs()) and not kept_when_undone("nobody's", list_runs())
