"""Verification of a receipt: its signature, the sums of the run where it is here, and a training again."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from core.config import RunConfig, change_config
from core.data.store.content import dataset_with
from core.data.store.store import split_dataset
from core.disk import write_json
from core.environment import Environment
from core.errors import UserMistake
from core.progress import Progress
from core.receipts.receipt import Receipt, hash_part, read_receipt, results_of
from core.receipts.signing import signer, store_key
from core.runs.environments import add_environment, read_environments
from core.runs.run import SCHEMA_VERSION, Run, open_run, read_run
from core.runs.state import RunState, now, read_stored_state, write_state
from core.settings import atelier_home, runs_root

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS_A_LOOK = 0.2
_MADE_AGAIN = ("datasets", "runs")  # whose entries a scratch home shares; stores and features it makes itself


@dataclass(frozen=True)
class Verdict:
    """What became of a verification; equal, differs or forged."""

    receipt: Receipt
    verdict: Literal["equal", "differs", "forged"]
    reason: str  # one sentence
    key: str | None  # of the signature that holds, None where none does
    differences: tuple[str, ...] = ()  # each number that is another one, the first in the order of training first
    explained_by: tuple[str, ...] = ()  # what differs between the environments
    in_store: bool = False  # whether the run is here and its files were compared
    trained_again: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.receipt.run,
            "verdict": self.verdict,
            "reason": self.reason,
            "key": self.key,
            "in_store": self.in_store,
            "trained_again": self.trained_again,
            "differences": list(self.differences),
            "explained_by": list(self.explained_by),
        }


def verify_receipt(path: Path, trusted: str = "") -> Verdict:
    """Check the signature and, where the run is here, everything that the receipt says about it. Trains nothing.

    trusted: a public key (64 hexadecimal digits) to be accepted beside the store's own. UserMistake: no receipt.
    """
    document, receipt = read_receipt(path)
    key = signer(document)
    if key is None:
        return Verdict(
            receipt, "forged", "The signature does not hold: the receipt was changed after it was signed.", None
        )
    if key not in (store_key(), trusted.lower()) or not key:
        reason = (
            f"It is signed, but not with the key of this store: with {key}. If that is the key of whom you "
            "have it from, name it with --key."
        )
        return Verdict(receipt, "forged", reason, key)
    run = _run_here(receipt)
    if run is None:
        reason = "The signature holds. The run is not here (any more), so its files were not compared."
        return Verdict(receipt, "equal", reason, key)
    differences = _differences(receipt, run)
    if differences:
        reason = f"The signature holds, but run {run.id} is not now as the receipt says: {differences[0]}."
        return Verdict(receipt, "differs", reason, key, tuple(differences), in_store=True)
    reason = (
        "The signature holds, and the settings, rows, numbers, weights and parts of the run are those of the receipt."
    )
    return Verdict(receipt, "equal", reason, key, in_store=True)


def train_again(found: Verdict) -> Iterator[Progress | Verdict]:
    """Progress, and at last the verdict: the run of a receipt whose signature holds trained once more, in a scratch
    home that is thrown away; the pictures are decoded anew. UserMistake where its dataset is not here."""
    config = _config_of(found.receipt)
    if found.receipt.results.get("status") != "done":
        raise UserMistake(
            "The run was stopped by a person, and a training again would not be stopped at the same step."
        )
    dataset = dataset_with(config.data, content_hash=found.receipt.dataset.content_hash)
    config = change_config(config, {"data.dataset": dataset.name})
    with tempfile.TemporaryDirectory(prefix="atelier-verify-", ignore_cleanup_errors=True) as scratch:
        folder = _make_home(Path(scratch), found.receipt, config)
        yield from _train(folder, config)
        run = replace(open_run(folder), id=found.receipt.run)
        yield _compare_training(found, run, read_environments(folder)[-1:])


def _compare_training(found: Verdict, run: Run, here: tuple[Environment, ...]) -> Verdict:
    differences = tuple(_paths(found.receipt.results, results_of(run)))
    if not differences:
        reason = f"Trained again: equal, every row, number and weight. {found.reason}"
        return replace(found, trained_again=True, reason=reason)
    explained = _explanations(found.receipt.environments, here)
    reason = f"Trained again: {differences[0]}."
    if not found.receipt.environments:
        reason += " The receipt does not say in which environment the run was trained, so nothing can be ruled out."
    elif explained:
        reason += (
            f" That is explained by another environment, in which sums are rounded otherwise: {'; '.join(explained)}."
        )
    else:
        reason += " CPU, build and number of threads are the same: nothing explains it."
    return replace(
        found, verdict="differs", reason=reason, differences=differences, explained_by=explained, trained_again=True
    )


def _explanations(there: tuple[Environment, ...], here: tuple[Environment, ...]) -> tuple[str, ...]:
    if not there or not here:
        return ()
    if len(there) > 1:
        return (f"it was trained in {len(there)} environments, one after the other: {'; '.join(_turns(there))}",)
    return tuple(there[0].differences(here[0]))


def _turns(environments: tuple[Environment, ...]) -> list[str]:
    return [line for one, next_one in pairwise(environments) for line in one.differences(next_one)]


def _run_here(receipt: Receipt) -> Run | None:
    if not (runs_root() / receipt.run).is_dir():
        return None
    with suppress(UserMistake):
        run = read_run(receipt.run)
        return run if run.id == receipt.run else None
    return None


def _differences(receipt: Receipt, run: Run) -> list[str]:
    """Of the run in the store. What is missing or damaged there is a difference too."""
    try:
        there = {"settings": receipt.settings, "results": receipt.results, "parts": _dump(receipt.parts)}
        here = {"settings": run.config.model_dump(mode="json"), "results": results_of(run)}
        dataset = dataset_with(run.config.data, content_hash=receipt.dataset.content_hash)
        parts = split_dataset(dataset, run.config.data)
        here["parts"] = _dump({name: hash_part(rows, dataset.labels) for name, rows in parts.items()})
    except UserMistake as mistake:
        return [str(mistake).rstrip(".")]
    return list(_paths(there, here))


def _dump(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: part.model_dump(mode="json") for name, part in parts.items()}


def _paths(there: Any, here: Any, path: str = "") -> Iterator[str]:
    """Every value that differs, in words, in the order of the receipt."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in [*there, *(name for name in here if name not in there)]:
            yield from _paths(there.get(name), here.get(name), f"{path} {name}".strip())
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for number, (one, other) in enumerate(zip(there, here, strict=True), start=1):
            yield from _paths(one, other, f"{path} {number}")
    elif there != here:
        yield f"{path} is {_short(there)} in the receipt and {_short(here)} here"


def _short(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{len(value):,} entries"
    text = str(value)
    return f"{text[:16]}..." if len(text) > 40 else text


def _config_of(receipt: Receipt) -> RunConfig:
    try:
        return RunConfig.model_validate(receipt.settings)
    except ValidationError as error:
        raise UserMistake("The receipt has settings that this version of Atelier does not know.") from error


def _make_home(scratch: Path, receipt: Receipt, config: RunConfig) -> Path:
    """A home of links to this one's datasets and runs, with a run of its own that waits; the folder of that run."""
    home = atelier_home().resolve()
    for root in _MADE_AGAIN:
        (scratch / root).mkdir()
        for entry in (home / root).glob("[!.]*"):
            (scratch / root / entry.name).symlink_to(entry)
    for name in ("weights", "limits.json"):
        if (home / name).exists():
            (scratch / name).symlink_to(home / name)
    folder = scratch / "runs" / _free_id(home)
    folder.mkdir()
    document = {"schema_version": SCHEMA_VERSION, "created": now(), "fingerprint": receipt.dataset.fingerprint}
    document |= {"classes": list(receipt.dataset.classes), "config": config.model_dump(mode="json")}
    if receipt.environments and all(one.threads == 1 for one in receipt.environments):
        document["threads"] = 1  # as one of several runs that trained at once
    write_json(folder / "config.json", document)
    for one in receipt.environments:  # it computes with the same kernels, where this processor is the same
        add_environment(folder, one)
    write_state(folder, RunState(epochs=config.train.epochs))
    return folder


def _free_id(home: Path) -> str:
    number = 0
    while (home / "runs" / f"again{number:07d}").exists():
        number += 1
    return f"again{number:07d}"


def _train(folder: Path, config: RunConfig) -> Iterator[Progress]:
    """Train it in a process of its own, whose threads are chosen as for any run."""
    environment = os.environ | {"ATELIER_HOME": str(folder.parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-m", "core.train", str(folder)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            time.sleep(SECONDS_A_LOOK)
            state = read_stored_state(folder)
            yield Progress("training again", state.step, state.steps, state.seconds_left)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    state = read_stored_state(folder)
    if not state.is_finished:
        raise UserMistake(f"It could not be trained again: {state.message or 'its process ended early'}")
