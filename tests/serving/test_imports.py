"""The first page, the supervisor and the command line: what nobody asked for is not loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADED = "print(sorted({'ray', 'authlib', 'httpx', 'torch'} & set(sys.modules)))"
FIRST_PAGE = "from streamlit.testing.v1 import AppTest; AppTest.from_file('streamlit_app.py').run(timeout=60)"


@pytest.mark.slow
@pytest.mark.parametrize("what", [FIRST_PAGE, "import core.jobs.supervisor, core.cli.app"])
def test_optional_packages_are_loaded_by_nobody_who_did_not_ask(home, what):
    script = f"import sys; {what}; {LOADED}"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
