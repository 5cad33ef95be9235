"""What the tests of runs share: a run that has not begun, in the home of the test."""

import pytest

from core.config import RunConfig
from core.runs.actions import create_run
from core.runs.run import Run


@pytest.fixture
def run() -> Run:
    return create_run(RunConfig(), "f" * 64, ("noir", "cartoon"))
