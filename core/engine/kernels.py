"""Kernels: which of a processor's kernels a network is trained with. Read here, measured by core/probes. No torch.

A processor's name and flags do not tell which are faster. Of two that list avx512_bf16 one trains `resnet` twice as
fast in bfloat16 as in float32, the other half as fast; and vectors of 512 bits, mostly empty where a network has few
channels, cost one processor something and another nothing.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import Literal

from core.config import RunConfig
from core.data.pictures.child import usable_cores
from core.disk import read_json, write_json
from core.environment import ConvAlgorithm, cpu_info, cpu_name, package_version
from core.fields import MANY, layers_of
from core.settings import kernels_root

NARROW = 16  # channels: as many as numbers in a vector of 512 bits
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


@dataclass(frozen=True)
class Kernels:
    """What a run computes with on the CPU."""

    precision: Literal["float32", "bfloat16"] = "float32"  # of the forward pass
    isa: str = ""  # ONEDNN_MAX_CPU_ISA, the widest instructions for convolutions: "AVX2"; "" where nothing limits them
    conv_algorithm: ConvAlgorithm = "direct"


def possible_kernels(config: RunConfig) -> tuple[Kernels, ...]:
    """Those among which a run with these settings has the choice on this processor: first the ones it computes with
    unless something was measured. bfloat16 is never chosen for settings that do not ask for it."""
    has_many = has_many_channels(config)
    plain = (Kernels(), Kernels(conv_algorithm="winograd")) if has_many else (Kernels(),)
    if config.train.precision == "bfloat16":
        if not has_bfloat16():
            return plain
        by_matmul = (Kernels("bfloat16", conv_algorithm="matmul"),) if has_many else ()
        return (Kernels("bfloat16"), *by_matmul, *plain)
    if has_many:
        return plain
    if not is_narrow(config) or "avx512f" not in _flags() or os.environ.get("ONEDNN_MAX_CPU_ISA"):
        return (Kernels(),)
    wide, narrow = Kernels(), Kernels(isa="AVX2")
    return (narrow, wide) if _halves_wide_vectors() else (wide, narrow)


def has_bfloat16() -> bool:
    """Whether the processor says that it computes in bfloat16 itself."""
    return bool(_flags() & BFLOAT16_FLAGS)


def is_narrow(config: RunConfig) -> bool:
    """Whether vectors of 512 bits would be mostly empty. bfloat16 is computed in such vectors only."""
    if config.train.precision == "bfloat16":
        return False
    model = config.model
    return model.name == "paper_cnn" or (model.name == "cnn" and max(model.channels) <= NARROW)


def has_many_channels(config: RunConfig) -> bool:
    """Whether a network has convolutions that may be faster otherwise than directly: its widest blocks have four times
    as many channels as the first."""
    return config.model.name == "resnet" and (4 * config.model.width) ** 2 >= MANY


def read_kernels(config: RunConfig, threads: int | None = None) -> Kernels | None:
    """What was measured to be the fastest for these settings on this processor with so many threads (None: all
    cores); None where nothing was."""
    try:
        found = Kernels(**read_json(kernels_root() / _file(config, threads))["kernels"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if found in possible_kernels(config) else None


def keep_kernels(config: RunConfig, threads: int | None, kernels: Kernels, rates: list[float]) -> None:
    """For read_kernels. rates: pictures a second with each of possible_kernels, in their order."""
    write_json(kernels_root() / _file(config, threads), {"kernels": asdict(kernels), "rates": rates})


def _file(config: RunConfig, threads: int | None) -> str:
    """Named after everything that the answer depends on; never after the load of the machine."""
    train = config.train
    network = layers_of(config.model).model_dump(mode="json")
    asked = [network, config.data.image_size, train.batch_size, train.precision]
    asked += [train.optimizer, threads or usable_cores(), cpu_name(), package_version("torch")]
    asked += sorted(_flags() & (BFLOAT16_FLAGS | {"avx512f"}))  # a cloud calls processors of several sorts the same
    asked += ["winograd", "matmul"] if has_many_channels(config) else []  # what was measured before lacks them
    return f"{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:24]}.json"


def _flags() -> set[str]:
    cpu = cpu_info()
    return set(f"{cpu.get('flags')} {cpu.get('Features')}".split())


def _halves_wide_vectors() -> bool:
    """Whether the processor is known to compute vectors of 512 bits in two halves: AMD's Zen 4."""
    cpu = cpu_info()
    return cpu.get("vendor_id") == "AuthenticAMD" and cpu.get("cpu family") == "25"
