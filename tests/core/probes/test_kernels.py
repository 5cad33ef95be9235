"""Kernels: the fastest ones are found by turns, kept where that is sure, and stay those of a run."""

import pytest

from core.config import change_config
from core.data.datasets.dataset import find_dataset
from core.engine.kernels import Kernels, keep_kernels, read_kernels
from core.environment import cpu_name, describe_environment
from core.errors import UserMistake
from core.probes import kernels
from core.probes.arms import Arm, turn
from core.probes.kernels import find_kernels, measure_kernels, settle_kernels
from core.runs.environments import add_environment
from core.runs.run import read_run
from tests import tiny

INTEL = {"flags": "avx512f avx512_bf16", "vendor_id": "GenuineIntel", "cpu family": "6"}


@pytest.fixture
def run(home, monkeypatch):
    """A run that asks for bfloat16 on a processor that has it, long enough to be measured for."""
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr("core.engine.kernels.cpu_info", lambda: INTEL)
    monkeypatch.setitem(kernels.LONG, "wide", 100)
    tiny.add_colours()
    return read_run(tiny.new_run(model__name="resnet", train__precision="bfloat16", train__epochs=20).id)


def colours():
    return find_dataset("colours")


@pytest.fixture
def speeds(monkeypatch):
    """Arms that train nothing: pictures a second by precision or algorithm, and the share that other programs take."""
    planted = {
        "float32": 100.0,
        "bfloat16": 50.0,
        "winograd": 10.0,
        "matmul": 10.0,
        "others": 0.0,
        "turns": 0,
        "device": "cpu",
    }

    class Planted:
        def __init__(self, _config, _threads, candidate):
            algorithm = candidate.conv_algorithm
            self.rate = planted[candidate.precision if algorithm == "direct" else algorithm]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def answer(self):
            return {"device": planted["device"]}

    def planted_turn(arms, _seconds):
        planted["turns"] += 1
        return arms[0].rate, 0.0

    monkeypatch.setattr(kernels, "_arm", Planted)
    monkeypatch.setattr(kernels, "turn", planted_turn)
    monkeypatch.setattr("core.engine.machine_load.OtherLoad.share", lambda *_: planted["others"])
    return planted


@pytest.mark.parametrize(("bfloat16", "chosen"), [(50.0, "float32"), (200.0, "bfloat16"), (99.0, "bfloat16")])
def test_the_faster_precision_is_taken_and_what_was_asked_for_where_they_are_alike(run, speeds, bfloat16, chosen):
    speeds["bfloat16"] = bfloat16
    assert measure_kernels(run.config, 1).precision == chosen
    assert read_kernels(run.config, 1) == Kernels(chosen)


def test_beside_busy_programs_only_a_clear_difference_counts(run, speeds):
    speeds |= {"others": 0.6, "bfloat16": 90.0}
    assert measure_kernels(run.config, 1).precision == "bfloat16" and read_kernels(run.config, 1) is None
    speeds["bfloat16"] = 50.0
    assert measure_kernels(run.config, 1).precision == "float32" and read_kernels(run.config, 1) == Kernels("float32")


@pytest.mark.parametrize("chosen", [Kernels(conv_algorithm="winograd"), Kernels("bfloat16", conv_algorithm="matmul")])
def test_an_algorithm_is_taken_where_it_is_the_fastest_and_stays_that_of_the_run(run, speeds, chosen):
    speeds[chosen.conv_algorithm] = 130.0
    assert measure_kernels(run.config, 1) == read_kernels(run.config, 1) == chosen
    add_environment(run.folder, describe_environment("cpu", 1, "float32", "direct"))
    assert settle_kernels(run, colours(), lambda _: None) == Kernels()
    add_environment(run.folder, describe_environment("cpu", 1, chosen.precision, chosen.conv_algorithm))
    assert settle_kernels(run, colours(), lambda _: None) == chosen


def test_on_a_graphics_card_nothing_is_timed_and_it_is_asked_once(run, speeds):
    speeds["device"], told = "cuda", []
    assert settle_kernels(run, colours(), told.append) == settle_kernels(run, colours(), told.append)
    assert speeds["turns"] == 0 and len(told) == 1


def test_it_is_measured_once_and_said_so(run, speeds):
    told = []
    assert (
        settle_kernels(run, colours(), told.append) == settle_kernels(run, colours(), told.append) == Kernels("float32")
    )
    assert len(told) == 1 and "once" in told[0] and speeds["turns"] == 8 * kernels.BLOCKS


def test_nothing_is_measured_for_a_short_run_or_where_there_is_no_choice(run, speeds):
    short = change_config(run.config, {"train.epochs": 1})
    plain = change_config(run.config, {"train.precision": "float32", "model.width": 8})
    told = []
    assert (
        find_kernels(short, colours(), 1, told.append) is None
        and find_kernels(plain, colours(), 1, told.append) is None
    )
    assert not told


def test_a_run_goes_on_with_the_kernels_that_it_began_with(run, speeds):
    add_environment(run.folder, describe_environment("cpu", 1, "bfloat16"))
    keep_kernels(run.config, 1, Kernels("float32"), [50.0, 100.0])
    assert settle_kernels(run, colours(), lambda _: None).precision == "bfloat16"


def test_on_another_processor_it_takes_those_that_are_fast_there(run, speeds):
    there = describe_environment("cpu", 1, "bfloat16").model_copy(update={"cpu": f"not {cpu_name()}"})
    add_environment(run.folder, there)
    assert settle_kernels(run, colours(), lambda _: None) == Kernels("float32")


@pytest.mark.slow
def test_trainings_on_noise_are_timed_in_turns(run):
    with (
        kernels._arm(run.config, 1, Kernels()) as one,
        kernels._arm(run.config, 1, Kernels("float32", "", "winograd")) as two,
    ):
        for arm in (one, two):
            assert arm.answer()["device"] == "cpu"
        for arm in (one, two):
            rate, busy = turn([arm], 0.2)
            assert rate > 0 and busy > 0


def test_a_training_that_ends_is_a_mistake_in_a_sentence(home):
    with Arm("core.no_such_module") as arm, pytest.raises(UserMistake, match="has ended"):
        arm.answer()
