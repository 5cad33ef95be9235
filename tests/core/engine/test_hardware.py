"""Hardware: which device and rank, from what torchrun and the machine say."""

import os

import pytest
import torch

from core.config import ModelConfig, RunConfig, TrainConfig
from core.engine.hardware import Hardware, choose_hardware, keep_freed_memory, precision_of
from core.engine.kernels import Kernels, keep_kernels
from core.errors import UserMistake


@pytest.fixture(autouse=True)
def cpu_only(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    yield
    torch.set_num_threads(1)


def ranks(monkeypatch, rank, world_size):
    for name, value in (
        ("RANK", rank),
        ("LOCAL_RANK", rank),
        ("WORLD_SIZE", world_size),
        ("LOCAL_WORLD_SIZE", world_size),
    ):
        monkeypatch.setenv(name, str(value))


def test_alone_one_process_leads_on_all_processors_it_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    hardware = choose_hardware()
    assert hardware == Hardware(torch.device("cpu"), 0, 1) and hardware.leads
    assert torch.get_num_threads() == 3 and hardware.name == "3 CPU threads"


def test_without_a_list_of_allowed_processors_all_are_used(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS and Windows
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    choose_hardware()
    assert torch.get_num_threads() == 2


def test_under_torchrun_the_processors_are_shared_and_one_rank_leads(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    for rank in range(2):
        ranks(monkeypatch, rank, 2)
        hardware = choose_hardware()
        assert (hardware.rank, hardware.world_size, hardware.leads) == (rank, 2, rank == 0)
        assert torch.get_num_threads() == 2
    ranks(monkeypatch, 7, 8)  # more ranks than processors
    choose_hardware()
    assert torch.get_num_threads() == 1


def test_more_processes_than_gpus_are_refused_by_every_rank(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for rank in range(2):
        ranks(monkeypatch, rank, 2)
        with pytest.raises(UserMistake, match=r"2 processes were started for 1 GPU.*--nproc-per-node=1"):
            choose_hardware()


def test_bfloat16_is_computed_in_only_where_the_kernels_have_it(monkeypatch):
    monkeypatch.setattr("core.engine.kernels.cpu_info", lambda: {"flags": "fpu avx512f avx512_bf16"})
    config = TrainConfig(precision="bfloat16")
    assert precision_of(config, Hardware(torch.device("cpu"))) == "bfloat16"
    assert precision_of(config, Hardware(torch.device("cpu"), bfloat16=False)) == "float32"
    assert precision_of(TrainConfig(), Hardware(torch.device("cpu"))) == "float32"
    monkeypatch.setattr("core.engine.kernels.cpu_info", lambda: {"flags": "fpu avx2"})
    assert precision_of(config, Hardware(torch.device("cpu"))) == "float32"


@pytest.mark.usefixtures("home")
def test_hardware_goes_by_what_was_measured_for_the_settings_unless_it_is_told(monkeypatch):
    monkeypatch.setattr("core.engine.kernels.cpu_info", lambda: {"flags": "fpu avx512f avx512_bf16"})
    config = RunConfig(model=ModelConfig(name="resnet"), train=TrainConfig(precision="bfloat16"))
    assert choose_hardware(config, threads=1).bfloat16
    keep_kernels(config, 1, Kernels("float32"), [1.0, 2.0])
    assert not choose_hardware(config, threads=1).bfloat16
    assert choose_hardware(config, threads=1, kernels=Kernels("bfloat16")).bfloat16


def test_keeping_freed_memory_may_be_asked_for_twice_and_elsewhere(monkeypatch):
    keep_freed_memory(), keep_freed_memory()
    monkeypatch.setattr("sys.platform", "win32")
    keep_freed_memory()
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())  # a C library without mallopt
    keep_freed_memory()
