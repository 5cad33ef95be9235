"""What the tests of the cluster share: its two machines, which take a quarter of a minute to begin."""

import pytest

from tests.core.cluster.machines import machines


@pytest.fixture(scope="package")
def cluster(tmp_path_factory):
    pytest.importorskip("ray")
    with machines(tmp_path_factory.mktemp("machines")) as cluster:
        yield cluster


@pytest.fixture
def two_machines(cluster):
    """The cluster with two machines that live, whatever the tests before have killed."""
    while len(cluster.nodes) < 2:
        cluster.add()
    return cluster
