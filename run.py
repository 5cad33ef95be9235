"""Atelier on a fresh machine: an environment of its own in .venv, the pinned packages, then the app or the tests.

    python run.py                      # start the app; further arguments go to "streamlit run"
    python run.py test                 # the quick tests; further arguments go to pytest
    python run.py --wheels FOLDER      # without a network: install from a folder of wheels (before or after "test")

Every Python can read this file, so that one that is too old answers with a sentence: no f-strings, types in comments.
"""

import sys

if sys.version_info < (3, 11):
    sys.stderr.write(
        "run.py: Atelier needs Python 3.11 or newer; this is Python {}.{} ({}). "
        "Start it with a newer one (python3 run.py, py -3 run.py), or get one from https://www.python.org/downloads/.\n".format(
            sys.version_info[0], sys.version_info[1], sys.executable
        )
    )
    sys.exit(2)

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator  # noqa: F401 - in a comment on a type
from pathlib import Path
from typing import IO  # noqa: F401 - likewise

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
RECORD = VENV / "requirements.sha256"  # of what is installed; "sha256sum -c .venv/requirements.sha256" reads it as well
LOG = VENV / "pip.log"
LOCK = ROOT / ".venv.lock"  # beside .venv, which is emptied where it is broken
FILES = {"app": ["requirements.txt"], "test": ["requirements.txt", "requirements-dev.txt"]}  # the last names the others
COMMANDS = {"app": ["-m", "streamlit", "run", "streamlit_app.py"], "test": ["-m", "pytest"]}

GB = 10**9
# bytes of .venv and of its wheels, measured with requirements-dev.txt on Linux; the difference is CUDA's libraries
WITH_CUDA = (6.8 * GB, 3.3 * GB)
CPU_ONLY = (2.0 * GB, 0.9 * GB)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

DISK_FULL = r"No space left on device|Errno 28|WinError 112|not enough space"
NOT_WRITABLE = r"Permission denied|Errno 13|WinError 5\b|Access is denied|Read-only file system"
NO_NETWORK = r"Retrying \(|timed out|ConnectionError|Connection (broken|reset|aborted|refused)|SSLError|IncompleteRead"
MADE_BY_VENV = {"bin", "etc", "include", "lib", "lib64", "scripts", "share", ".gitignore", LOG.name, RECORD.name}


class SetupError(Exception):
    """What keeps Atelier from starting here, in one sentence: what was found, what to do."""


def main(arguments):
    # type: (list[str]) -> int
    """Install what is missing, then become the app or the tests; 2 where that cannot be, 130 after Ctrl-C."""
    try:
        if arguments[:1] in (["-h"], ["--help"]):
            say(__doc__.rpartition("\n\n")[0])
            return 0
        task, wheels, rest = parse(arguments)
        prepare(task, wheels)
        return hand_over([str(venv_python(VENV, sys.platform))] + COMMANDS[task] + rest)
    except SetupError as error:
        sys.stderr.write("run.py: {}\n".format(error))
        return 2
    except OSError as error:  # a folder that is read-only, a requirement file that is gone
        sys.stderr.write("run.py: {}; check that this can be read and written, then start again.\n".format(error))
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nrun.py: stopped; the next start goes on from here.\n")
        return 130


def say(text):
    # type: (str) -> None
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # before whatever pip or the app prints


def parse(arguments):
    # type: (list[str]) -> tuple[str, Path | None, list[str]]
    """The task ("app" or "test"), the folder of wheels, and what is handed on; SetupError for an unknown task."""
    wheels, rest = None, []
    words = iter(arguments)
    for word in words:
        if word == "--wheels" or word.startswith("--wheels="):
            wheels = find_wheels(word.partition("=")[2] or next(words, ""))
        else:
            rest.append(word)
    if not rest or rest[0].startswith("-"):
        return "app", wheels, rest
    if rest[0] != "test":
        raise SetupError("unknown task '{}'; known: test, or nothing to start the app.".format(rest[0]))
    return "test", wheels, rest[1:]


def find_wheels(folder):
    # type: (str) -> Path
    """The folder as a full path; SetupError where no wheel is in it."""
    path = Path(folder).expanduser().resolve()
    if not folder or not any(path.glob("*.whl")):
        raise SetupError(
            "no wheels (*.whl) in '{}'; --wheels takes a folder that was filled by "
            "pip download -r {} -d FOLDER.".format(folder, FILES["test"][-1])
        )
    return path


def venv_python(venv, platform):
    # type: (Path, str) -> Path
    """The interpreter of an environment; `platform` as in sys.platform."""
    return venv / "Scripts" / "python.exe" if platform == "win32" else venv / "bin" / "python"


def prepare(task, wheels):
    # type: (str, Path | None) -> None
    """Make .venv where there is none that runs, and install what the task's requirement files pin."""
    python = venv_python(VENV, sys.platform)
    if is_ready(python, task):
        return
    with only_one():
        if is_ready(python, task):  # by the one that was waited for
            return
        if not has_python(python):
            make_venv()
        wanted = digests(FILES[task])
        if needs_install(read_record(), wanted):
            install(python, FILES[task][-1], wheels)
            write_record(wanted)


def is_ready(python, task):
    # type: (Path, str) -> bool
    return has_python(python) and not needs_install(read_record(), digests(FILES[task]))


def has_python(python):
    # type: (Path) -> bool
    return runs(python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))")


@contextlib.contextmanager
def only_one():
    # type: () -> Iterator[None]
    """Let one of several install and the others wait. The system gives the lock back where its holder is killed."""
    with LOCK.open("a+") as file:
        waited = False
        while not take_lock(file):
            if not waited:
                say("Atelier: another start is installing in .venv; waits for it")
            waited = True
            time.sleep(0.5)
        yield


def take_lock(file):
    # type: (IO[str]) -> bool
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


def runs(python, *arguments):
    # type: (Path, str) -> bool
    """Whether an interpreter starts and ends well."""
    try:
        return subprocess.run([str(python)] + list(arguments), capture_output=True, cwd=str(ROOT)).returncode == 0
    except OSError:
        return False


def make_venv():
    # type: () -> None
    """An empty environment in .venv, in place of one that is broken; SetupError where that cannot be."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(no_venv_sentence(missing[0]))
    if VENV.is_dir() and is_foreign([path.name for path in VENV.iterdir()]):
        raise SetupError(
            "{} holds something else than an environment of Python; move it away, then start again.".format(VENV)
        )
    say("Atelier: makes an environment in .venv (Python {})".format(sys.version.split()[0]))
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        raise SetupError(explain_venv(done.stdout, VENV))


def no_venv_sentence(module):
    # type: (str) -> str
    return (
        "this Python {0}.{1} comes without its module '{2}', so no environment can be made; on Debian and Ubuntu: "
        "sudo apt install python{0}.{1}-venv, elsewhere a Python from https://www.python.org/downloads/.".format(
            sys.version_info[0], sys.version_info[1], module
        )
    )


def is_foreign(names):
    # type: (list[str]) -> bool
    """Whether a folder holds what venv and pip do not put there (a conda environment, files of a person)."""
    return "pyvenv.cfg" not in names and not {name.lower() for name in names} <= MADE_BY_VENV


def explain_venv(output, venv):
    # type: (str, Path) -> str
    """Why `python -m venv` failed, from what it printed."""
    if re.search(DISK_FULL, output, re.I):
        return "the disk became full while {} was made; free some space, then start again.".format(venv)
    if re.search(NOT_WRITABLE, output, re.I):
        return "{} cannot be written; copy Atelier into a folder of your own and start it there.".format(venv)
    last = (output.strip().splitlines() or ["no reason was given"])[-1]
    return "{} could not be made ({}); delete it if it is there, then start again.".format(venv, last)


def digests(names):
    # type: (list[str]) -> dict[str, str]
    """The SHA-256 of each requirement file."""
    return {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in names}


def read_record():
    # type: () -> dict[str, str]
    """The SHA-256 of each requirement file at the time it was installed; empty where an install did not end well."""
    try:
        lines = RECORD.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def write_record(installed):
    # type: (dict[str, str]) -> None
    draft = RECORD.with_suffix(".draft")
    draft.write_text("".join("{}  {}\n".format(installed[name], name) for name in installed), encoding="utf-8")
    draft.replace(RECORD)


def needs_install(recorded, wanted):
    # type: (dict[str, str], dict[str, str]) -> bool
    """Whether a wanted file is not the one that was installed."""
    return any(recorded.get(name) != digest for name, digest in wanted.items())


def install(python, requirements, wheels):
    # type: (Path, str, Path | None) -> None
    """What a requirement file pins, into .venv, with pip's own progress; SetupError where pip fails."""
    check_disk((ROOT / FILES["app"][0]).read_text(encoding="utf-8"), wheels)
    RECORD.unlink(missing_ok=True)  # an install that is broken off is done again
    LOG.unlink(missing_ok=True)
    remove_half_installed()
    ensure_pip(python)
    say("Atelier: installs what {} pins{}".format(requirements, " from {}".format(wheels) if wheels else ""))
    said, code = run_pip(pip_command(python, requirements, wheels))
    if code:
        raise SetupError(explain_pip(said, last_collected(), wheels))
    say("Atelier: everything is installed")


def pip_command(python, requirements, wheels):
    # type: (Path, str, Path | None) -> list[str]
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--log",
        str(LOG),
        "-r",
        requirements,
    ]
    command += ["--only-binary", ":all:"]  # a build from source takes a compiler and half an hour
    return command + (["--no-index", "--find-links", str(wheels)] if wheels else [])


def check_disk(requirements, wheels):
    # type: (str, Path | None) -> None
    """SetupError where the disk is too small for what is still missing in .venv."""
    if not re.search(r"^torch==", requirements, re.M):
        return
    with_cuda = has_cuda(sys.platform, wheels, dict(os.environ))
    installed, fetched = WITH_CUDA if with_cuda else CPU_ONLY
    missing = max(1 - size_of(VENV) / installed, 0)
    demands = {ROOT: missing * installed}
    if not wheels:
        temporary = Path(tempfile.gettempdir())
        place = ROOT if temporary.stat().st_dev == ROOT.stat().st_dev else temporary
        demands[place] = demands.get(place, 0) + missing * fetched
    for folder, needed in demands.items():
        sentence = disk_sentence(folder, shutil.disk_usage(str(folder)).free, needed, with_cuda)
        if sentence:
            raise SetupError(sentence)


def has_cuda(platform, wheels, environment):
    # type: (str, Path | None, dict[str, str]) -> bool
    """Whether torch comes with its CUDA libraries: on Linux, unless wheels or index are those for the CPU."""
    if wheels:
        return any(wheels.glob("nvidia_*.whl"))
    return platform == "linux" and not any(
        CPU_INDEX in value for key, value in environment.items() if key.startswith("PIP_")
    )


def size_of(folder):
    # type: (Path) -> int
    """Bytes of all files below a folder; 0 where it is missing."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink())


def disk_sentence(folder, free, needed, with_cuda):
    # type: (Path, float, float, bool) -> str
    """What to do where `free` bytes are fewer than `needed`; empty where they suffice."""
    if free >= needed:
        return ""
    sentence = "the disk of {} has {:.1f} GB free, and the packages need {:.1f} GB; free some space".format(
        folder, free / GB, needed / GB
    )
    if folder != ROOT:
        sentence += ", or name a larger folder for temporary files in TMPDIR"
    if with_cuda:
        sentence += ", or set PIP_EXTRA_INDEX_URL={} for the same versions without CUDA ({:.1f} GB)".format(
            CPU_INDEX, sum(CPU_ONLY) / GB
        )
    return sentence + "."


def remove_half_installed():
    # type: () -> None
    """Take away what a killed pip left: pip would believe that such a package is there."""
    for site in VENV.glob("lib/python*/site-packages" if os.name == "posix" else "Lib/site-packages"):
        half = [info for info in site.glob("*.dist-info") if not (info / "INSTALLER").is_file()]  # pip writes it last
        moved = [folder for folder in site.glob("~*") if folder.is_dir()]  # of a version that was about to be replaced
        for folder in half + moved:
            shutil.rmtree(folder)


def ensure_pip(python):
    # type: (Path) -> None
    """Give .venv its pip back where it is gone (uv makes none) or broken; a fresh .venv where that does not help."""
    if not has_pip(python):
        say("Atelier: repairs pip in .venv")
        runs(python, "-m", "ensurepip", "--upgrade")
        if not has_pip(python):
            make_venv()


def has_pip(python):
    # type: (Path) -> bool
    return runs(python, "-m", "pip", "--version")


def run_pip(command):
    # type: (list[str]) -> tuple[str, int]
    """What pip said on stderr, and its exit code; its progress and warnings go to the terminal, its errors do not."""
    settings = dict(os.environ, PIP_USER="0")  # some systems install for the user by default, which .venv refuses
    process = subprocess.Popen(
        command, cwd=str(ROOT), env=settings, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    said = []
    try:
        for line in process.stderr or ():
            said.append(line)
            if line.startswith("WARNING"):
                sys.stderr.write(line)
        return "".join(said), process.wait()
    except KeyboardInterrupt:
        try:
            process.wait(10)  # a terminal's Ctrl-C reaches pip too, and it removes its temporary files
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
        raise


def last_collected():
    # type: () -> str
    """The package that pip was busy with when it ended, from its log."""
    try:
        found = re.findall(r" Collecting (\S+)", LOG.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return found[-1] if found else ""


def explain_pip(said, collected, wheels):
    # type: (str, str, Path | None) -> str
    """Why pip failed, as one sentence, from what it said on stderr and the package that it collected last."""
    found = re.search(r"No matching distribution found for (\S+)", said)
    package = found.group(1) if found else collected or "what the requirement files pin"
    if re.search(DISK_FULL, said, re.I):
        return (
            "the disk became full during the install; free some space (also in the folder of TMPDIR), then start again."
        )
    if re.search(NOT_WRITABLE, said, re.I):
        return "{} cannot be written; close what uses it, or copy Atelier into a folder of your own.".format(VENV)
    if found and wheels:
        return "{} is not in {}, or not for this Python {}.{} and system; add its wheel, then start again.".format(
            package, wheels, sys.version_info[0], sys.version_info[1]
        )
    if re.search(NO_NETWORK, said, re.I):
        return (
            "{} could not be fetched, because the network does not answer; start again when it does, "
            "or bring the wheels yourself: python run.py --wheels FOLDER.".format(package)
        )
    if found:
        return "{} is not published for this Python {}.{} and system; try another Python from 3.11 on.".format(
            package, sys.version_info[0], sys.version_info[1]
        )
    errors = (
        re.findall(r"^ERROR: (?!Exception:)(.+)", said, re.M) or said.strip().splitlines() or ["no reason was given"]
    )
    return "pip could not install {} ({}); all that it said is in {}.".format(package, errors[-1].strip(), LOG)


def hand_over(command):
    # type: (list[str]) -> int
    """Become the command; on Windows, wait for it and give its exit code."""
    if os.name == "posix":
        os.chdir(str(ROOT))
        os.execv(command[0], command)
    process = subprocess.Popen(command, cwd=str(ROOT))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass  # the command got it as well, and ends in its own time


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
