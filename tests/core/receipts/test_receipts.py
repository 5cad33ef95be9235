"""A receipt holds while nothing in it was changed, and only then; a training again is equal, or its cause is named."""

import copy
import json
import os
import random

import psutil
import pytest

from core.cli.app import main
from core.environment import Environment
from core.errors import UserMistake
from core.receipts.receipt import make_receipt, read_receipt, write_receipt
from core.receipts.signing import key_path, sign, signer
from core.receipts.verify import train_again, verify_receipt
from core.runs.environments import add_environment, read_environments
from tests.tiny import train_tiny_run

OTHER_KEY_HOME = "another"
EDITS = 1000


@pytest.fixture
def receipt(tiny_run, tmp_path):
    path = tmp_path / "receipt.json"
    write_receipt(make_receipt(tiny_run), path)
    return path


def leaves(value, path=()):
    """The path of every value of a document that is no container."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            yield from leaves(inner, (*path, name))
    else:
        yield path


def edited(document, chance):
    """A copy in which one value is another one, or gone."""
    changed = copy.deepcopy(document)
    *way, last = chance.choice(list(leaves(changed)))
    inner = changed
    for name in way:
        inner = inner[name]
    value = inner[last]
    if isinstance(inner, dict) and chance.random() < 0.1:
        del inner[last]
    elif isinstance(value, bool) or value is None:
        inner[last] = 1
    elif isinstance(value, int | float):
        inner[last] = value + chance.choice([1, -1, 0.001])
    else:
        place = chance.randrange(len(value) + 1)
        inner[last] = value[:place] + chance.choice("0a ") + value[place:]
    return changed


def test_an_honest_receipt_is_accepted_and_the_key_is_its_owners_alone(receipt, tiny_run):
    found = verify_receipt(receipt)
    assert (found.verdict, found.in_store, found.receipt.run) == ("equal", True, tiny_run.id)
    assert key_path().stat().st_mode & 0o077 == 0


def test_a_receipt_holds_what_evaluate_says(receipt, tiny_run):
    numbers = read_receipt(receipt)[1].results["numbers"]["test"]["evaluation"]
    evaluation = tiny_run.evaluation("test")
    assert (numbers["right"], numbers["n"]) == (int(evaluation.correct.sum()), evaluation.n)
    assert numbers["interval"] == list(evaluation.interval)


def test_the_layout_of_the_file_may_change_its_values_may_not(receipt):
    document = json.loads(receipt.read_bytes())
    receipt.write_text(json.dumps(document, indent=4).replace("\n", "\r\n"))
    assert verify_receipt(receipt).verdict == "equal"


def test_no_edit_of_a_thousand_is_accepted(receipt):
    document, chance = json.loads(receipt.read_bytes()), random.Random(14)
    for _ in range(EDITS):
        changed = edited(document, chance)
        assert changed != document
        assert signer(changed) is None, changed


def test_an_edited_file_ends_in_one_and_what_is_none_in_two(receipt, capsys):
    document = json.loads(receipt.read_bytes())
    document["results"]["numbers"]["test"]["evaluation"]["right"] += 1
    receipt.write_text(json.dumps(document))
    assert main(["verify", str(receipt), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "forged"
    for content in ("{}", "[]", "no", '{"format": NaN}', "[" * 100_000, '{"a": 1, "a": 2}', ""):
        receipt.write_text(content)
        assert main(["verify", str(receipt)]) == 2, content[:20]
        assert "no receipt" in capsys.readouterr().err


def test_a_receipt_of_another_store_counts_only_with_its_key(receipt, tiny_run, tmp_path, monkeypatch):
    theirs = verify_receipt(receipt).key
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / OTHER_KEY_HOME))
    assert verify_receipt(receipt).verdict == "forged"
    assert verify_receipt(receipt, "0" * 64).verdict == "forged"
    found = verify_receipt(receipt, theirs)
    assert (found.verdict, found.in_store) == ("equal", False)


def test_a_forger_who_signs_again_with_a_key_of_their_own_is_told(receipt, tmp_path, monkeypatch):
    document = json.loads(receipt.read_bytes())
    with monkeypatch.context() as patch:
        (tmp_path / OTHER_KEY_HOME).mkdir()
        patch.setenv("ATELIER_HOME", str(tmp_path / OTHER_KEY_HOME))
        del document["signature"]
        document["title"] = "99 %"
        receipt.write_text(json.dumps(sign(document)))
        assert verify_receipt(receipt).verdict == "equal"  # in the forger's own store
    assert verify_receipt(receipt).verdict == "forged"


def test_a_run_that_was_changed_since_is_told(receipt, tiny_run):
    path = tiny_run.folder / "rows.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"learning_rate": 0.', b'"learning_rate": 1.'))
    found = verify_receipt(receipt)
    assert found.verdict == "differs" and "learning_rate" in found.reason


def test_a_damaged_key_is_a_mistake(tiny_run):
    key_path().write_bytes(b"no key")
    with pytest.raises(UserMistake, match="cannot be read"):
        make_receipt(tiny_run)


def test_only_what_ended_well_has_a_receipt(new_run):
    with pytest.raises(UserMistake, match="queued"):
        make_receipt(new_run)


def test_an_environment_is_kept_once_and_the_next_one_beside_it(tiny_run):
    (first,) = read_environments(tiny_run.folder)
    assert first.threads == 1 and first.torch and first.packages["numpy"]
    add_environment(tiny_run.folder, first)
    add_environment(tiny_run.folder, first.model_copy(update={"threads": 2}))
    assert [one.threads for one in read_environments(tiny_run.folder)] == [1, 2]
    assert first.differences(Environment.model_validate(first.model_dump() | {"threads": 8})) == [
        "threads: 1 there, 8 here"
    ]


@pytest.fixture
def one_core():
    """This process and those that it starts on one core for real: the number of threads follows from it."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    before = psutil.Process().cpu_affinity()
    psutil.Process().cpu_affinity(before[:1])
    yield
    psutil.Process().cpu_affinity(before)


def contents(home):
    return {path: path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_a_training_again_is_equal_and_changes_nothing(trained_home, tmp_path, one_core):
    run = train_tiny_run(train__augment="flip+mixup", train__epochs=2)
    path = tmp_path / "receipt.json"
    write_receipt(make_receipt(run), path)
    before = contents(trained_home)
    *_, found = train_again(verify_receipt(path))
    assert (found.verdict, found.differences, found.trained_again) == ("equal", (), True), found.reason
    assert contents(trained_home) == before


@pytest.mark.slow
def test_another_number_of_threads_or_none_is_named_as_the_cause(receipt, one_core):
    document = json.loads(receipt.read_bytes())
    del document["signature"]
    document["results"]["epochs"][0]["train_loss"] += 1e-7
    receipt.write_text(json.dumps(sign(document)))
    *_, found = train_again(verify_receipt(receipt))
    assert found.verdict == "differs" and "epochs 1 train_loss" in found.reason
    assert "nothing explains it" in found.reason
    document["environments"][0]["threads"] = 7
    receipt.write_text(json.dumps(sign(document)))
    *_, found = train_again(verify_receipt(receipt))
    assert found.explained_by == ("threads: 7 there, 1 here",)
