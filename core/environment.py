"""Environment: the machine and the program that trained a run; what can explain that its numbers differ elsewhere."""

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

# how convolutions of many channels are computed: core/models/conv2d.py
ConvAlgorithm = Literal["direct", "winograd", "matmul"]
PACKAGES = ("torchvision", "numpy", "pillow", "safetensors")  # beside torch, which names its own build


class Environment(BaseModel):
    """Where a run was trained. With the same environment the same settings give the same numbers, bit for bit."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    device: str  # "cpu", or the name of a GPU
    processes: int  # more than one under torchrun
    threads: int  # of the CPU, in each process
    cpu: str
    cpu_capability: str  # the widest instructions that torch uses, e.g. "AVX512"
    onednn_isa: str  # ONEDNN_MAX_CPU_ISA, "" where nothing limits it
    precision: Literal["", "float32", "bfloat16"] = ""  # that the forward pass was computed in; "" before 0.2
    conv_algorithm: ConvAlgorithm = "direct"
    system: str  # e.g. "Linux x86_64"
    python: str
    torch: str  # version and build, e.g. "2.14.1+cpu"
    packages: dict[str, str]  # name -> version
    program: str  # a hash of Atelier's own source

    def differences(self, other: "Environment") -> list[str]:
        """What differs, e.g. "threads: 2 there, 1 here"; self is there, other is here."""
        here, there = _flat(other), _flat(self)
        if not (self.precision and other.precision):
            here.pop("precision"), there.pop("precision")
        names = sorted(there.keys() | here.keys(), key=list(there | here).index)
        return [
            f"{name.replace('_', ' ')}: {there.get(name, 'none')} there, {here.get(name, 'none')} here"
            for name in names
            if there.get(name) != here.get(name)
        ]


def describe_environment(
    device: str,
    processes: int = 1,
    precision: Literal["float32", "bfloat16"] = "float32",
    conv_algorithm: ConvAlgorithm = "direct",
) -> Environment:
    """The environment of this process; device: "cpu" or "cuda", processes: those of torchrun together, precision: of
    the forward pass."""
    import torch  # here, because pages read environments and never make one

    return Environment(
        device=torch.cuda.get_device_name() if device == "cuda" else device,
        processes=processes,
        threads=torch.get_num_threads(),
        cpu=cpu_name(),
        cpu_capability=str(torch.backends.cpu.get_cpu_capability()),
        onednn_isa=os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
        precision=precision,
        conv_algorithm=conv_algorithm,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=str(torch.__version__),
        packages={name: package_version(name) for name in PACKAGES},
        program=hash_program(),
    )


def hash_program() -> str:
    """SHA-256 over the names and contents of the source below core/, the first 16 hexadecimal digits."""
    core, digest = Path(__file__).resolve().parent, hashlib.sha256()
    for path in sorted(core.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(core).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _flat(environment: Environment) -> dict[str, str]:
    fields = {name: str(value) for name, value in environment.model_dump(exclude={"packages"}).items()}
    return fields | environment.packages


def package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def cpu_name() -> str:
    """As the processor calls itself."""
    return cpu_info().get("model name") or platform.processor() or "unknown"


def cpu_info() -> dict[str, str]:
    """The fields of /proc/cpuinfo for the first processor; empty elsewhere than on Linux."""
    try:
        first = Path("/proc/cpuinfo").read_text(errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
