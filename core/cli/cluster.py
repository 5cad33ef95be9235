"""cluster up, join, use, status, down: the machines of a Ray cluster train the queue."""

from typing import Annotated

import typer

from core.cli.options import AsJson
from core.cli.output import print_json, print_table

cluster_app = typer.Typer(
    help="Train the queue on several machines, with Ray (requirements-cluster.txt).", no_args_is_help=True
)
Cpus = Annotated[int, typer.Option("--cpus-per-run", min=1, help="Processors and threads that one run gets.")]
Gpus = Annotated[float, typer.Option("--gpus-per-run", min=0, help="GPUs that one run gets; 0.5: two share one.")]
Given = Annotated[int | None, typer.Option("--cpus", min=0, help="That this machine gives; all where left out.")]


@cluster_app.command("up")
def cluster_up(
    host: Annotated[str, typer.Option("--host", help="The address of this machine for the others.")] = "",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 6379,
    cpus: Given = None,
    cpus_per_run: Cpus = 1,
    gpus_per_run: Gpus = 0.0,
    as_json: AsJson = False,
) -> None:
    """Begin a cluster on this machine; from now on it trains the queue."""
    from core.cluster.ray_commands import begin

    address = begin(host, port, cpus, (cpus_per_run, gpus_per_run))
    _say(f"The cluster is at {address}. On other machines: python -m core cluster join {address}", address, as_json)


@cluster_app.command("join")
def cluster_join(
    address: Annotated[str, typer.Argument(help="HOST:PORT of the head.")], cpus: Given = None, as_json: AsJson = False
) -> None:
    """Let this machine train runs of a cluster. The same version of Atelier has to be here."""
    from core.cluster.ray_commands import join

    join(address, cpus)
    _say(f"This machine trains for the cluster at {address}. To leave: python -m core cluster down", address, as_json)


@cluster_app.command("use")
def cluster_use(
    address: Annotated[str, typer.Argument(help='HOST:PORT of its head, or "auto": the one this machine is in.')],
    cpus_per_run: Cpus = 1,
    gpus_per_run: Gpus = 0.0,
    as_json: AsJson = False,
) -> None:
    """Train the queue in a cluster that is there (KubeRay, SkyPilot, Slurm)."""
    from core.cluster.ray_commands import use

    use(address, cpus_per_run, gpus_per_run)
    _say(f"The queue is trained in the cluster at {address}.", address, as_json)


@cluster_app.command("status")
def cluster_status(as_json: AsJson = False) -> None:
    """The machines of the cluster, and how many runs they train at once."""
    from core.cluster.settings import read_cluster

    cluster = read_cluster()
    if cluster is None:
        if as_json:
            print_json({"address": None, "machines": []})
        else:
            print("This machine trains the queue; no cluster is in use.")
        return
    from core.cluster.connection import connect, count_places, list_machines

    ray = connect(cluster)
    machines, places = list_machines(ray), count_places(ray, cluster)
    if as_json:
        print_json({"address": cluster.address, "places": places, "machines": machines})
        return
    print(f"{cluster.address}: {places} run{'s' * (places != 1)} at once, each on {cluster.cpus} CPUs")
    print_table(["machine", "alive", "CPUs", "GPUs"], [[str(value) for value in one.values()] for one in machines])


@cluster_app.command("down")
def cluster_down(as_json: AsJson = False) -> None:
    """Leave the cluster: this machine trains the queue again."""
    from core.cluster.ray_commands import leave

    _say(leave(), None, as_json)


def _say(sentence: str, address: str | None, as_json: bool) -> None:
    print_json({"address": address, "message": sentence}) if as_json else print(sentence)
