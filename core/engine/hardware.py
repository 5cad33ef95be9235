"""Hardware: which device, which rank of how many, how many threads. Decided once and handed down."""

import contextlib
import ctypes
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from core.config import RunConfig, TrainConfig
from core.data.pictures.child import usable_cores
from core.errors import UserMistake

NARROW = 16  # channels: as many as numbers in a vector of 512 bits


@dataclass(frozen=True)
class Hardware:
    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes: exactly one of all ranks does."""
        return self.rank == 0

    @property
    def name(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{torch.get_num_threads()} CPU threads"


def choose_hardware(config: RunConfig | None = None, threads: int | None = None) -> Hardware:
    """One GPU where there is one, else the CPU; under torchrun the rank that the environment names.

    config: of the only run that this process trains; the kernels of the CPU are chosen for it, once a process.
    threads: of the CPU, where others train beside it; None: as many as there are cores.
    UserMistake where torchrun started more processes than the machine has GPUs.
    """
    world_size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    local_rank, local_world_size = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if torch.cuda.is_available():
        if local_world_size > torch.cuda.device_count():  # every rank raises, so that none waits for another
            raise UserMistake(
                f"{local_world_size} processes were started for {torch.cuda.device_count()} GPU; "
                f"start torchrun with --nproc-per-node={torch.cuda.device_count()}"
            )
        torch.cuda.set_device(local_rank)
        return Hardware(torch.device("cuda", local_rank), rank, world_size)
    torch.set_num_threads(threads or max(1, usable_cores() // local_world_size))
    keep_freed_memory()
    if config is not None and is_narrow(config):
        prefer_narrow_vectors()
    return Hardware(torch.device("cpu"), rank, world_size)


def keep_freed_memory() -> None:
    """Make glibc keep what is freed: a training step allocates the same tensors again a moment later.

    By default blocks from 128 KiB on go back to the kernel and cost a page fault for every 4 KiB when they return:
    9,700 faults a step at batch 512, a third of its time. Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch then asks for pages of 2 MiB; read at its first tensor
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    m_mmap_threshold, m_trim_threshold = -3, -1  # malloc.h
    mallopt(m_mmap_threshold, 1 << 30)
    mallopt(m_trim_threshold, 1 << 30)


def is_narrow(config: RunConfig) -> bool:
    """Whether vectors of 512 bits would be mostly empty. bfloat16 is computed in such vectors only."""
    if config.train.precision == "bfloat16":
        return False
    model = config.model
    return model.name == "paper_cnn" or (model.name == "cnn" and max(model.channels) <= NARROW)


def prefer_narrow_vectors() -> None:
    """On a processor that runs 512-bit vectors in two halves, let oneDNN use 256-bit ones; before its first call.

    The paper's network has 6 and 16 channels: 16 lanes are mostly empty, and there two vectors of 8 cost the same as
    one of 16 (AMD Zen 4: training at batch 32 takes 6 % less). `resnet`, with 64 and 256, takes 15 % less with the
    wide ones, and half of that in bfloat16. Whoever has set ONEDNN_MAX_CPU_ISA is not overruled.
    """
    cpu = _cpu_info()
    if cpu.get("vendor_id") == "AuthenticAMD" and cpu.get("cpu family") == "25":
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


def autocast(config: TrainConfig, hardware: Hardware) -> contextlib.AbstractContextManager[object]:
    """For the forward pass: bfloat16 where the config asks for it and the device has it, else nothing."""
    if config.precision == "bfloat16" and has_bfloat16(hardware):
        return torch.autocast(hardware.device.type, torch.bfloat16)
    return contextlib.nullcontext()


def has_bfloat16(hardware: Hardware) -> bool:
    """Whether the device computes in bfloat16 itself. A CPU that does not converts to and fro, which is many times
    slower than float32."""
    if hardware.device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpu = _cpu_info()
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(f"{cpu.get('flags')} {cpu.get('Features')}".split())


def _cpu_info() -> dict[str, str]:
    """The fields of /proc/cpuinfo for the first processor; empty elsewhere than on Linux."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def is_first_rank() -> bool:
    """Whether this process writes; known before anything that can fail, so that the failure can be written."""
    return int(os.environ.get("RANK", 0)) == 0


def join_ranks(hardware: Hardware) -> Hardware:
    """Under torchrun, join the process group; gloo on the CPU, NCCL on GPUs."""
    if hardware.world_size > 1:
        backend = "nccl" if hardware.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(minutes=30))
    return hardware
