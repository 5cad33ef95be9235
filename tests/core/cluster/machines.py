"""A Ray cluster of several "machines" on this one: each a node of Ray's, with a home of its own and one processor."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from core.cluster.settings import ClusterSettings, use_cluster
from core.runs.run import Run, open_run
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
STORE_BYTES = 80 * 2**20
WORK = "import sys; from pathlib import Path; from core.cluster.at_home import train_run; train_run(Path(sys.argv[1]))"


class Machines:
    """The cluster; the head gives no processor, so that every machine that trains can be killed."""

    def __init__(self, folder: Path, count: int) -> None:
        from ray.cluster_utils import Cluster

        self.folder, self.made, self.nodes = folder, 0, {}
        self._cluster = Cluster()
        self._cluster.add_node(num_cpus=0, object_store_memory=STORE_BYTES, include_dashboard=False)
        for _ in range(count):
            self.add()

    @property
    def address(self) -> str:
        return self._cluster.address

    def add(self) -> str:
        """One more machine; its name."""
        self.made += 1
        name = f"machine-{self.made}"
        environment = {
            "ATELIER_NODE_HOME": str(self.folder / name),
            "ATELIER_NODE_NAME": name,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        self.nodes[name] = self._cluster.add_node(
            num_cpus=1, object_store_memory=STORE_BYTES, env_vars=environment, wait=True
        )
        return name

    def kill(self, name: str) -> None:
        """As pulling the plug: nothing is said to anybody."""
        self._cluster.remove_node(self.nodes.pop(name), allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


@contextmanager
def machines(folder: Path, count: int = 2):
    cluster = Machines(folder, count)
    try:
        yield cluster
    finally:
        cluster.close()


def use(cluster: Machines) -> None:
    use_cluster(ClusterSettings(address=cluster.address, cpus=1))


@contextmanager
def worker(run: Run):
    """The process that trains the run in the cluster, as the supervisor would start it."""
    with (run.folder / "log.txt").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-c", WORK, str(run.folder)], cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(run: Run, is_so) -> Run:
    """The run as soon as `is_so` of it."""

    def reached():
        now = open_run(run.folder)
        assert not now.state.has_failed, (now.state, now.log())
        return now if is_so(now) else None

    return wait_until(reached, lambda: (open_run(run.folder).state, open_run(run.folder).log()))
