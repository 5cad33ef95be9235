"""A Python that has a few packages and nothing else: neither Atelier nor the rest of what it runs on."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

# what pip installs with each: its own requirements
PILLOW, NUMPY = ("PIL", "pillow.libs"), ("numpy", "numpy.libs")
TORCH = (
    "torch",
    "torchgen",
    "functorch",
    "sympy",
    "mpmath",
    "networkx",
    "jinja2",
    "markupsafe",
    "filelock",
    "fsspec",
    "typing_extensions.py",
)
OWN = {
    "onnx": ("onnxruntime", *NUMPY, *PILLOW),
    "safetensors": ("safetensors", *TORCH, *NUMPY, *PILLOW),
    "torch": (*TORCH, *NUMPY, *PILLOW),
}


def only(packages: Iterable[str], folder: Path) -> list[str]:
    """The command of a Python that finds these in `folder`, beside the standard library."""
    folder.mkdir()
    for name in packages:
        there = Path(sysconfig.get_path("platlib")) / name
        if there.exists():
            (folder / name).symlink_to(there)
    return ["env", f"PYTHONPATH={folder}", "PYTHONDONTWRITEBYTECODE=1", sys.executable, "-S"]


def run_only(command: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=os.sep, check=False)
