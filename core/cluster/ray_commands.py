"""Ray's own commands on this machine: begin a cluster, join one, leave it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from core.cluster.settings import ClusterSettings, forget_cluster, must_have_ray, read_cluster, use_cluster
from core.data.pictures.child import ROOT
from core.errors import UserMistake
from core.settings import atelier_home

PORT = 6379  # of the head, as Ray's own default
_RAY = "from ray.scripts.scripts import main; main()"
_SECONDS = 120.0  # that a command of Ray's may take


def begin(host: str = "", port: int = PORT, cpus: int | None = None, settings: tuple[int, float] = (1, 0.0)) -> str:
    """Make this machine the head of a new cluster, and train the queue there; its address. `cpus`: that this machine
    gives, None for all; `settings`: CPUs and GPUs of a run."""
    must_have_ray()
    host = host or _own_address()
    options = ["--head", f"--node-ip-address={host}", f"--port={port}", "--include-dashboard=false"]
    _ray("start", *options, *_given(cpus))
    address = f"{host}:{port}"
    use_cluster(ClusterSettings(address=address, cpus=settings[0], gpus=settings[1], started_here=True))
    return address


def join(address: str, cpus: int | None = None) -> None:
    """Let this machine train runs of the cluster whose head is at `address`."""
    must_have_ray()
    _ray("start", f"--address={_checked(address)}", *_given(cpus))
    marker = _joined_path()
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(f"{address}\n")


def leave() -> str:
    """End what this machine gives to a cluster, and train the queue here again. Returns a sentence."""
    cluster = read_cluster()
    forget_cluster()
    if _joined_path().exists() or (cluster is not None and cluster.started_here):
        _ray("stop")
        _joined_path().unlink(missing_ok=True)
        return "Ray has ended on this machine; the queue is trained here."
    return "The queue is trained on this machine." if cluster else "This machine was in no cluster."


def use(address: str, cpus: int = 1, gpus: float = 0.0) -> None:
    """Train the queue in a cluster that is there."""
    use_cluster(ClusterSettings(address=_checked(address), cpus=cpus, gpus=gpus))


def _given(cpus: int | None) -> list[str]:
    return [] if cpus is None else [f"--num-cpus={cpus}"]


def _checked(address: str) -> str:
    """UserMistake for what is no HOST:PORT; "auto" is the cluster that this machine is in."""
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdigit() and not host.startswith("-") and "/" not in host):
        raise UserMistake(f"{address[:60]!r} is no address of a cluster; write HOST:PORT, e.g. 10.0.0.5:{PORT}")
    return address


def _ray(*words: str) -> None:
    """Run a command of Ray's; UserMistake with its last words where it fails."""
    environment = os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves these machines
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),  # Trainer is there
    }
    environment.pop("ATELIER_HOME", None)  # a machine keeps what it is brought in a place of its own
    try:
        done = subprocess.run(
            [sys.executable, "-c", _RAY, *words], env=environment, capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise UserMistake(f"Ray did not answer within {_SECONDS:.0f} s: ray {words[0]}") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise UserMistake(f"ray {words[0]} failed: {lines[-1] if lines else 'it said nothing'}")


def _own_address() -> str:
    """The address under which other machines reach this one, as far as the system knows; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _joined_path() -> Path:
    return atelier_home() / "cluster" / "joined"
