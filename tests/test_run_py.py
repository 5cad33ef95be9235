"""run.py: when it installs, what it says where it cannot, and real installs of two tiny wheels, without a network."""

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import run

RUN_PY = Path(run.__file__)
PYTHON = run.venv_python(Path(".venv"), sys.platform)
GB = run.GB


def start(project, *arguments, **environment):
    """What `python run.py` prints in a project; pip sees no settings of whoever passes the tests."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    return subprocess.run(
        [sys.executable, "run.py", *arguments],
        cwd=project,
        env={**clean, "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def refusal(done):
    """The one line on stderr of a start that gave up."""
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = [
        line for line in done.stderr.splitlines() if not line.startswith("WARNING")
    ]  # pip's, while it tries again
    assert line.startswith("run.py: ") and line.endswith(".")
    return line


@pytest.fixture
def copy(tmp_path):
    """A folder with run.py and requirement files of tiny packages, nothing installed."""
    project = tmp_path / "atelier"
    project.mkdir()
    shutil.copy(RUN_PY, project)
    (project / "requirements.txt").write_text("streamlit==1.0\n")
    (project / "requirements-dev.txt").write_text("-r requirements.txt\npytest==1.0\n")
    return project


# what it decides


def test_a_requirement_file_that_is_new_or_has_changed_is_installed():
    assert run.needs_install({}, {"a": "1"})
    assert run.needs_install({"a": "1"}, {"a": "2"})
    assert run.needs_install({"a": "1"}, {"a": "1", "b": "1"})
    assert not run.needs_install({"a": "1", "b": "1"}, {"a": "1"})


@pytest.mark.parametrize(
    "platform, place", [("linux", "bin/python"), ("darwin", "bin/python"), ("win32", "Scripts/python.exe")]
)
def test_the_interpreter_lies_where_each_system_puts_it(platform, place):
    assert run.venv_python(Path(".venv"), platform).as_posix() == f".venv/{place}"


def test_arguments_are_handed_on_in_their_order():
    assert run.parse([]) == ("app", None, [])
    assert run.parse(["--server.port", "8600"]) == ("app", None, ["--server.port", "8600"])
    assert run.parse(["test", "-k", "test"]) == ("test", None, ["-k", "test"])


def test_the_folder_of_wheels_may_stand_before_or_after_the_task(tmp_path):
    (tmp_path / "a.whl").touch()
    assert run.parse(["--wheels", str(tmp_path), "test", "-x"]) == ("test", tmp_path, ["-x"])
    assert run.parse(["test", f"--wheels={tmp_path}", "-x"]) == ("test", tmp_path, ["-x"])


def test_a_disk_is_too_small_below_what_is_missing():
    assert run.disk_sentence(run.ROOT, 8 * GB, 8 * GB, True) == ""
    sentence = run.disk_sentence(run.ROOT, 7.9 * GB, 8 * GB, True)
    assert "7.9 GB free" in sentence and "8.0 GB" in sentence and run.CPU_INDEX in sentence
    assert run.CPU_INDEX not in run.disk_sentence(run.ROOT, 1 * GB, 2 * GB, False)
    assert "TMPDIR" in run.disk_sentence(Path("another"), 1 * GB, 2 * GB, False)


def test_what_is_there_already_needs_no_room(monkeypatch):
    monkeypatch.setattr(run.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100 * GB, 97 * GB, 3 * GB))
    monkeypatch.setattr(run, "size_of", lambda _: 6 * GB)  # of 6.8
    run.check_disk("torch==2.0  # the network\n", None)
    monkeypatch.setattr(run, "size_of", lambda _: 0)
    with pytest.raises(run.SetupError, match=r"3\.0 GB free"):
        run.check_disk("torch==2.0  # the network\n", None)
    run.check_disk("torchsummary==1.5\n", None)


def test_cuda_is_counted_where_it_comes_with_torch(tmp_path):
    assert run.has_cuda("linux", None, {})
    assert not run.has_cuda("darwin", None, {})
    assert not run.has_cuda("linux", None, {"PIP_EXTRA_INDEX_URL": run.CPU_INDEX})
    assert not run.has_cuda("linux", tmp_path, {})
    (tmp_path / "nvidia_cublas-13-py3-none-any.whl").touch()
    assert run.has_cuda("linux", tmp_path, {})


def test_only_what_venv_has_made_is_made_anew():
    assert not run.is_foreign([]) and not run.is_foreign(["bin", "Include", "lib64"])
    assert not run.is_foreign(["pyvenv.cfg", "notes.txt"])
    assert run.is_foreign(["bin", "conda-meta"])


NONE = "ERROR: No matching distribution found for torch==2.0\n"
RETRYING = "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'\n"
REASONS = [
    (RETRYING + NONE, None, ["torch==2.0", "network", "--wheels FOLDER"]),
    ("TimeoutError: timed out\n", None, ["pandas==3.0", "network", "--wheels FOLDER"]),
    (NONE, None, ["torch==2.0", "not published for this Python"]),
    (NONE, Path("wheels"), ["torch==2.0 is not in wheels"]),
    ("ERROR: Could not install: [Errno 28] No space left on device\n", None, ["disk became full"]),
    ("ERROR: Could not install: [Errno 13] Permission denied: 'x'\n", None, [".venv cannot be written"]),
    ("ERROR: Exception:\nTraceback ...\nKeyError: 'x'\n", None, ["pandas==3.0", "KeyError: 'x'", "pip.log"]),
    ("ERROR: these do not go together\nhint: none\n", None, ["(these do not go together)"]),
]


@pytest.mark.parametrize("said, wheels, parts", REASONS)
def test_what_stopped_pip_becomes_one_sentence(said, wheels, parts):
    sentence = run.explain_pip(said, "pandas==3.0", wheels)
    assert all(part in sentence for part in parts), sentence
    assert "\n" not in sentence


# a Python that is too old

NEWER = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Starred, ast.Nonlocal, ast.Match, ast.AsyncFunctionDef)


def test_every_python_can_read_the_file():
    """What Python 2.7 has no grammar for would be a SyntaxError instead of the sentence."""
    RUN_PY.read_bytes().decode("ascii")
    for node in ast.walk(ast.parse(RUN_PY.read_text())):
        line = getattr(node, "lineno", 0)
        assert not isinstance(node, NEWER), line
        assert not (isinstance(node, ast.Raise) and node.cause), line
        assert not (isinstance(node, ast.Name) and node.id == "print"), line
        assert not (isinstance(node, ast.arg) and node.annotation), line
        assert not (isinstance(node, ast.FunctionDef) and (node.returns or node.args.kwonlyargs)), line


@pytest.mark.parametrize("name", ["python2.7", "python3.6", "python3.8", "python3.10"])
def test_an_old_python_answers_with_a_sentence(name):
    command = shutil.which(name)
    if not command or subprocess.run([command, "--version"], capture_output=True).returncode:
        pytest.skip(f"no {name} here")
    done = subprocess.run([command, str(RUN_PY)], capture_output=True, text=True)
    assert "Atelier needs Python 3.11 or newer" in refusal(done)


# what it refuses before it installs


def test_help_is_printed_and_nothing_is_made(copy):
    done = start(copy, "--help")
    assert done.returncode == 0 and "python run.py test" in done.stdout
    assert not (copy / ".venv").exists()


def test_an_unknown_task_is_refused_with_the_known_one(copy):
    assert "unknown task 'tests'; known: test" in refusal(start(copy, "tests"))


@pytest.mark.parametrize("arguments", [["--wheels", "missing"], ["--wheels"], ["test", "--wheels=."]])
def test_a_folder_without_wheels_is_refused(copy, arguments):
    assert "no wheels (*.whl)" in refusal(start(copy, *arguments))


def test_a_python_without_ensurepip_names_the_package_to_install(copy):
    (copy / "sitecustomize.py").write_text("import sys\nsys.modules['ensurepip'] = None\n")  # as Debian delivers it
    sentence = refusal(start(copy, PYTHONPATH=str(copy)))
    assert f"sudo apt install python3.{sys.version_info.minor}-venv" in sentence


def test_a_folder_that_is_no_environment_is_left_alone(copy):
    (copy / ".venv").mkdir()
    (copy / ".venv" / "diary.txt").write_text("mine")
    assert "move it away" in refusal(start(copy))
    assert (copy / ".venv" / "diary.txt").read_text() == "mine"


def test_a_file_in_the_place_of_the_environment_is_named(copy):
    (copy / ".venv").write_text("mine")
    assert f"{copy / '.venv'} could not be made" in refusal(start(copy))


def test_a_requirement_file_that_is_gone_is_named(copy, monkeypatch, capsys):
    monkeypatch.setattr(run, "ROOT", copy)
    monkeypatch.setattr(run, "runs", lambda *_: True)
    (copy / "requirements.txt").unlink()
    assert run.main([]) == 2
    assert "requirements.txt" in capsys.readouterr().err


def test_of_two_first_starts_one_installs_and_the_other_waits(copy):
    """Each stands where the other may begin to install: they would empty .venv under each other."""
    waiting = (
        "import pathlib, run, time\n"
        "run.runs = lambda *_: run.VENV.is_dir()\n"
        "run.install = lambda *_: time.sleep(0.3)\n"
        "run.make_venv = lambda: (run.say('makes'), time.sleep(0.3), run.VENV.mkdir())\n"
        "run.prepare('app', None)\n"
    )
    command = [sys.executable, "-c", waiting]
    both = [subprocess.Popen(command, cwd=copy, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(one.communicate(timeout=60)[0] for one in both)
    assert [one.returncode for one in both] == [0, 0]
    assert said == ["Atelier: another start is installing in .venv; waits for it\n", "makes\n"]


def test_a_start_that_was_killed_while_it_installed_keeps_nobody_out(copy):
    holder = "import run, time\nwith run.only_one():\n    run.say('held')\n    time.sleep(60)\n"
    held = subprocess.Popen([sys.executable, "-c", holder], cwd=copy, stdout=subprocess.PIPE, text=True)
    assert held.stdout.readline() == "held\n"
    held.kill()
    held.wait()
    assert (
        subprocess.run([sys.executable, "-c", "import run\nwith run.only_one(): pass"], cwd=copy, timeout=20).returncode
        == 0
    )


# real environments: seconds each


def write_wheel(folder, name, version):
    """A package that prints its name, its version and its arguments when it is started with -m."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "",
        f"{name}/__main__.py": f"import sys\nprint('{name} {version}', *sys.argv[1:])\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A project after its first `python run.py`; never changed, only copied."""
    project = tmp_path_factory.mktemp("started")
    shutil.copy(RUN_PY, project)
    (project / "wheels").mkdir()
    for name, version in [("streamlit", "1.0"), ("streamlit", "2.0"), ("pytest", "1.0")]:
        write_wheel(project / "wheels", name, version)
    (project / "requirements.txt").write_text("streamlit==1.0\n")
    (project / "requirements-dev.txt").write_text("-r requirements.txt\npytest==1.0\n")
    (project / "out.txt").write_text(start(project, "--wheels", "wheels", "--server.port", "8600").stdout)
    return project


@pytest.fixture
def project(started, tmp_path):
    """The started project, to be changed."""
    return shutil.copytree(started, tmp_path / "atelier", symlinks=True)


def site_packages(project):
    (folder,) = [*project.glob(".venv/lib/python*/site-packages"), *project.glob(".venv/Lib/site-packages")]
    return folder


@pytest.mark.slow
def test_the_first_start_makes_installs_and_becomes_the_app(started):
    out = (started / "out.txt").read_text()
    assert "makes an environment" in out and "installs what requirements.txt pins" in out
    assert out.splitlines()[-1] == "streamlit 1.0 run streamlit_app.py --server.port 8600"


@pytest.mark.slow
def test_the_next_start_installs_nothing(project):
    (project / ".venv" / "pip.log").unlink()
    assert start(project).stdout == "streamlit 1.0 run streamlit_app.py\n"
    assert not (project / ".venv" / "pip.log").exists()


@pytest.mark.slow
def test_a_changed_requirement_is_installed_once(project):
    (project / "requirements.txt").write_text("streamlit==2.0\n")
    done = start(project, "--wheels", "wheels")
    assert "installs what" in done.stdout and done.stdout.endswith("streamlit 2.0 run streamlit_app.py\n")
    assert start(project).stdout == "streamlit 2.0 run streamlit_app.py\n"


@pytest.mark.slow
def test_the_tests_bring_their_own_packages_and_the_app_does_not_undo_them(project):
    done = start(project, "test", "--wheels", "wheels", "-k", "cnn", PIP_USER="1")
    assert "installs what requirements-dev.txt pins" in done.stdout
    assert done.stdout.endswith("pytest 1.0 -k cnn\n")
    assert start(project).stdout == "streamlit 1.0 run streamlit_app.py\n"
    assert start(project, "test").stdout == "pytest 1.0\n"


@pytest.mark.slow
def test_a_failed_install_is_one_sentence_and_the_next_try_mends_it(project):
    (project / "requirements.txt").write_text("streamlit==3.0\n")
    assert f"streamlit==3.0 is not in {project / 'wheels'}" in refusal(start(project, "--wheels", "wheels"))
    (project / "requirements.txt").write_text("streamlit==1.0\n")
    done = start(project, "--wheels", "wheels")
    assert done.returncode == 0 and "installs what" in done.stdout


@pytest.mark.slow
def test_without_a_network_the_package_and_the_way_out_are_named(project):
    (project / "requirements.txt").write_text("streamlit==3.0\n")
    sentence = refusal(start(project, PIP_INDEX_URL="http://127.0.0.1:1/simple"))
    assert "streamlit==3.0 could not be fetched" in sentence and "--wheels FOLDER" in sentence


def lose_python(project):
    (project / PYTHON).unlink()


def lose_pip(project):
    shutil.rmtree(site_packages(project) / "pip")
    (project / ".venv" / "requirements.sha256").unlink()


def lose_everything_but_folders(project):
    shutil.rmtree(project / ".venv")
    (project / ".venv" / "lib").mkdir(parents=True)


def stop_amid_the_files_of_a_package(project):
    (project / ".venv" / "requirements.sha256").unlink()
    (site_packages(project) / "streamlit-1.0.dist-info" / "INSTALLER").unlink()
    (site_packages(project) / "streamlit" / "__main__.py").write_text("")
    (site_packages(project) / "~treamlit").mkdir()


DAMAGES = [
    lose_python,
    stop_amid_the_files_of_a_package,
    *(pytest.param(one, marks=pytest.mark.nightly) for one in (lose_pip, lose_everything_but_folders)),
]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_environment_is_mended(project, damage):
    damage(project)
    done = start(project, "--wheels", "wheels")
    assert done.returncode == 0 and done.stdout.endswith("streamlit 1.0 run streamlit_app.py\n"), done.stderr
    assert not (site_packages(project) / "~treamlit").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C as a terminal sends it: to the whole process group")
def test_ctrl_c_while_pip_waits_is_one_line(project):
    (project / "requirements.txt").write_text("streamlit==3.0\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [sys.executable, "run.py"],
            cwd=project,
            env={**os.environ, "PIP_INDEX_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/simple"},
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(60)
        silent.accept()  # pip is at work
        os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and errors.split() and "Traceback" not in errors
    assert errors.strip().splitlines()[-1] == "run.py: stopped; the next start goes on from here."
