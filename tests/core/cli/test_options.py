"""Every option of every command with values that nobody would give: exit code 0, 1 or 2, and never an incident.

Nothing is trained or downloaded: whatever fetches or begins work is replaced.
"""

import random
import shutil
from importlib import import_module

import pytest
import typer

from core.cli.app import app, main
from core.incidents import incidents_path
from tests import tiny

ODD = [
    "",
    " ",
    "nan",
    "-1",
    "0",
    "inf",
    "1e309",
    "\0",
    "../x",
    "x" * 5000,
    "日本",
    "--",
    "=",
    "a=b=c",
    "+=+",
    "~nobody/x",
]
ODD += ["\u2060", "\ud800", "[]", "null", "train.epochs=1e309", "model.channels=[", "latest", "cifar10", "%s", "%(x)s"]
MORE = [
    "train.learning_rate=..",
    "train.epochs=nan",
    "data.dataset=\0",
    "1" * 5000,
    "-" * 300,
    "\n",
    "\x1b[31m",
    "a/" * 3000,
]


def commands(group, words=()):
    """(words, command) of every command, hidden ones as well."""
    for name, one in group.commands.items():
        if isinstance(one, typer.core.TyperGroup):
            yield from commands(one, (*words, name))
        else:
            yield (*words, name), one


COMMANDS = list(commands(typer.main.get_command(app)))


def arguments(command, draw):
    """A value for every argument and for some of the options; flags as they come."""
    given, positional = [], []
    for parameter in command.params:
        values = [draw.choice(ODD + MORE) for _ in range(draw.choice((1, 1, 2)) if parameter.multiple else 1)]
        if parameter.name in ("name", "data") and draw.random() < 0.7:
            values = ["colours"]
        if parameter.param_type_name == "argument":
            positional += values if parameter.nargs != 1 else values[:1]
        elif parameter.name != "help" and (parameter.required or draw.random() < 0.5):
            for value in values:
                given += [parameter.opts[0]] if parameter.is_flag else [parameter.opts[0], value]
    return [*given, "--", *positional] if draw.random() < 0.8 else [*given, *positional]


def one_by_one(command):
    """Each parameter with each odd value, the others with a plain one."""
    for parameter in command.params:
        for value in ODD:
            line, positional = [], []
            for other in command.params:
                chosen = value if other is parameter else "colours" if other.name in ("name", "data") else "1"
                if other.param_type_name == "argument":
                    positional.append(chosen)
                elif other.name != "help" and (other is parameter or other.required):
                    line += [other.opts[0]] if other.is_flag else [other.opts[0], chosen]
            yield [*line, "--", *positional]


@pytest.fixture(scope="module")
def home_with_colours(tmp_path_factory):
    home = tmp_path_factory.mktemp("colours")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home))
        tiny.add_colours()
    return home


@pytest.fixture
def idle(home_with_colours, tmp_path, monkeypatch):
    """A home with a dataset, and no network, no supervisor and no work of minutes."""

    def refuse(*_, **__):
        raise typer.Exit(1)

    monkeypatch.setenv("ATELIER_HOME", str(shutil.copytree(home_with_colours, tmp_path / "home")))
    monkeypatch.chdir(tmp_path)
    for place in (
        "core.runs.queue.ensure_supervisor",
        "core.data.imports.cifar10.import_cifar10",
        "core.data.imports.samples.import_sample",
        "core.cli.train.create_run",
        "core.cli.train._answer_of",
        "core.cli.runs.create_run",
        "core.experiments.sweeps.actions.create_sweep",
        "core.experiments.ablation.actions.create_experiment",
    ):
        monkeypatch.setattr(place, refuse)
    for module, name in (
        ("core.experiments.reproduce", "reproduce"),
        ("core.experiments.audits.leakage", "measure_leakage"),
        ("core.experiments.audits.data_curve", "measure_curve"),
        ("core.experiments.audits.folds", "cross_validate"),
        ("core.cluster.ray_commands", "_ray"),
        ("core.cluster.connection", "connect"),
        ("core.experiments.benchmarks.training", "bench_training"),
        ("core.experiments.benchmarks.imports", "bench_import"),
        ("core.experiments.benchmarks.frozen_features", "build_model"),
    ):
        monkeypatch.setattr(import_module(module), name, refuse)


def must_be_well(words, given, capsys):
    code = main([*words, *given])
    stderr = capsys.readouterr().err
    log = incidents_path().read_text() if incidents_path().exists() else ""
    assert code in (0, 1, 2) and "Incident" not in stderr and not log, (words, given, stderr, log[-3000:])


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_no_value_of_an_option_is_an_incident(words, command, idle, capsys):
    draw = random.Random(" ".join(words))
    for _ in range(4):
        must_be_well(words, arguments(command, draw), capsys)


@pytest.mark.slow
@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_odd_values_of_every_option_are_no_incident(words, command, idle, capsys):
    given = list(one_by_one(command))
    for odd in random.Random(" ".join(words)).sample(given, len(given) // 18):
        must_be_well(words, odd, capsys)


@pytest.mark.nightly
@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_every_odd_value_of_every_option_is_no_incident(words, command, idle, capsys):
    for given in one_by_one(command):
        must_be_well(words, given, capsys)


@pytest.mark.nightly
@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_a_hundred_draws_of_all_options_are_no_incident(words, command, idle, capsys):
    draw = random.Random(" ".join(words))
    for _ in range(100):
        must_be_well(words, arguments(command, draw), capsys)
