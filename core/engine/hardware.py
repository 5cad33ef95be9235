"""Hardware: which device, which rank of how many, how many threads. Decided once and handed down."""

import contextlib
import ctypes
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist

from core.config import RunConfig, TrainConfig
from core.data.pictures.child import usable_cores
from core.engine.kernels import Kernels, has_bfloat16, possible_kernels, read_kernels
from core.environment import ConvAlgorithm
from core.errors import UserMistake


@dataclass(frozen=True)
class Hardware:
    device: torch.device
    rank: int = 0
    world_size: int = 1
    bfloat16: bool = True  # whether settings that ask for it get it, where the device has it: it may be the slower one
    conv_algorithm: ConvAlgorithm = "direct"

    @property
    def leads(self) -> bool:
        """Whether this process writes: exactly one of all ranks does."""
        return self.rank == 0

    @property
    def name(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{torch.get_num_threads()} CPU threads"


def choose_hardware(
    config: RunConfig | None = None, threads: int | None = None, kernels: Kernels | None = None
) -> Hardware:
    """One GPU where there is one, else the CPU; under torchrun the rank that the environment names.

    config: of the only run that this process trains; the kernels of the CPU are chosen for it, once a process: those
    that are given, else what was measured for it, else what is known of its processor. Whoever has set
    ONEDNN_MAX_CPU_ISA is not overruled.
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
    if kernels is None and config is not None:
        kernels = read_kernels(config, threads) or possible_kernels(config)[0]
    kernels = kernels or Kernels("bfloat16")  # nothing is known of what will be trained: as its settings ask
    if kernels.isa:
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", kernels.isa)  # before oneDNN's first call
    return Hardware(torch.device("cpu"), rank, world_size, kernels.precision == "bfloat16", kernels.conv_algorithm)


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


def autocast(config: TrainConfig, hardware: Hardware) -> contextlib.AbstractContextManager[object]:
    """For the forward pass: bfloat16 where the config asks for it and the hardware computes in it, else nothing."""
    if precision_of(config, hardware) == "bfloat16":
        return torch.autocast(hardware.device.type, torch.bfloat16)
    return contextlib.nullcontext()


def precision_of(config: TrainConfig, hardware: Hardware) -> Literal["float32", "bfloat16"]:
    """What the forward pass is computed in. Where the device has no bfloat16 it would be many times slower than
    float32, and on some processors that have it, it was measured to be slower as well."""
    if config.precision == "float32" or not hardware.bfloat16:
        return "float32"
    if hardware.device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if has_bfloat16() else "float32"


def is_first_rank() -> bool:
    """Whether this process writes; known before anything that can fail, so that the failure can be written."""
    return int(os.environ.get("RANK", 0)) == 0


def join_ranks(hardware: Hardware) -> Hardware:
    """Under torchrun, join the process group; gloo on the CPU, NCCL on GPUs."""
    if hardware.world_size > 1:
        backend = "nccl" if hardware.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(minutes=30))
    return hardware
