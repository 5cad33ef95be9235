"""Measures how cost grows with the number of pictures. No test: it takes minutes and gigabytes; run it alone.

python -m tests.measure_scale 10000 100000 1000000          everything, in a home that is removed afterwards
python -m tests.measure_scale 1000000 --home FOLDER         the same in a home that stays, where datasets are made once

Pictures are JPEGs of 32 pixels: 4,096 that differ, each again with another comment in it, so that no two files are the
same. What it found, and where: docs/performance.md.
"""

import argparse
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from core.config import DataConfig, TrainConfig
from core.data.datasets.dataset import find_dataset, list_datasets
from core.data.imports.pipeline import import_pictures
from core.data.pictures.child import ROOT
from core.data.store.store import load_store, split_dataset

DIFFERENT = 4096
CLASSES = 10
STEPS = 300
MB = 2**20


def generated(count: int, side: int = 32) -> Iterator[tuple[str, str, None, bytes]]:
    """(name, class, part, bytes) of `count` JPEGs, no two the same, class after class as an import lists them."""
    drawn: list[bytes] = []
    for number in range(count):
        if len(drawn) < DIFFERENT:
            drawn.append(_draw(len(drawn), side))
        content = drawn[number % len(drawn)]
        comment = b"\xff\xfe" + (10).to_bytes(2, "big") + number.to_bytes(8, "big")
        label = number * CLASSES // count
        yield f"class {label}/{number:08d}.jpg", f"class {label}", None, content[:2] + comment + content[2:]


def _draw(number: int, side: int) -> bytes:
    coarse = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def name_of(count: int) -> str:
    return f"generated {count}"


def bring(count: int) -> dict[str, float]:
    """Import so many; seconds, and the most memory in MB that this process and any of its children had."""
    before = peak()
    began = time.perf_counter()
    *_, last = import_pictures(name_of(count), generated(count), "samples", True, count)
    seconds = time.perf_counter() - began
    assert last.dataset is not None and last.dataset.used == count
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"seconds": seconds, "before": before, "peak": peak(), "child": child}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_opening(count: int) -> dict[str, float]:
    """Milliseconds of what pages and runs ask of a dataset first, and again."""
    data = DataConfig(dataset=name_of(count), duplicates="ignore")
    dataset = find_dataset(data.dataset)
    told = {"labels": timed(lambda: dataset.labels), "a name": timed(lambda: dataset.names[count // 2])}
    told["a name again"] = timed(lambda: dataset.names[count // 3])
    told["search, one found"] = timed(lambda: dataset.names.containing(f"{count // 2:08d}"))
    told["search, all found"] = timed(lambda: dataset.names.containing("JPG"))
    told["split"] = timed(lambda: split_dataset(dataset, data))
    told["store"] = timed(lambda: load_store(data))
    folder = dataset.folder
    told["MB of index and names"] = sum((folder / name).stat().st_size for name in ("index.npy", "names.jsonl")) / MB
    return told


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


def measure_training(count: int) -> dict[str, float]:
    """Memory in MB while some hundred steps at batch 512 go by; steps a second."""
    from core.config import ModelConfig
    from core.data.store.batches import load_part
    from core.engine.fit import fit
    from core.engine.hardware import choose_hardware
    from core.models.build import build_model
    from core.rows import TickRow

    hardware = choose_hardware()
    store = load_store(DataConfig(dataset=name_of(count), duplicates="ignore"))
    part = load_part(store, "train", hardware.device)
    model = build_model(ModelConfig(), len(store.classes), 32, seed=0)
    config = TrainConfig(epochs=4 + 2 * STEPS * 512 // len(part), batch_size=512)  # more than is waited for
    memory, steps, began = [], 0, time.perf_counter()
    for row in fit(model, part, None, len(store.classes), config, hardware):
        if isinstance(row, TickRow):  # about twice a second
            memory.append(psutil.Process().memory_info().rss / MB)
            steps = row.step
            if steps >= STEPS:
                break
    return {
        "mapped": float(isinstance(part.images, np.ndarray)),
        "MB at the first look": memory[0],
        "MB at most": max(memory),
        "looks": len(memory),
        "steps": steps,
        "steps a second": steps / (time.perf_counter() - began),
    }


def measure_page(count: int, home: Path) -> None:
    """The Data page on a real server: as it is sent over the wire, and in Chromium until nothing is drawn any more."""
    from urllib.parse import quote

    from tests.e2e.browser import Server, at_rest
    from tests.e2e.measure_train_page import chromium
    from tests.e2e.wire import Wire

    server = Server(home, threads=None)
    process = psutil.Process(server.process.pid)
    try:
        query = f"dataset={quote(name_of(count))}"
        with Wire(server.address, "data", query) as wire:
            print(f"  first page of a fresh server, on the wire: {wire.rerun():.2f} s", flush=True)
        opened = []
        for _ in range(5):
            with Wire(server.address, "data", query) as wire:
                opened.append(wire.rerun())
        print(
            f"  on the wire: {statistics.median(opened):.2f} s; the server has {process.memory_info().rss / MB:.0f} MB"
        )
        for tab in ("Balance and split", "What the network receives", "Sizes and colours", "Import log"):
            with Wire(server.address, "data", f"{query}&tab={quote(tab)}") as wire:
                first = wire.rerun()
                print(f"  tab {tab}: {first:.2f} s, again {wire.rerun():.2f} s", flush=True)
        with chromium() as browser:
            page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
            page.set_default_timeout(120_000)
            seen = []
            for _ in range(5):
                page.goto("about:blank")
                began = time.monotonic()
                page.goto(f"{server.address}/data?{query}")
                page.wait_for_selector("[class*='st-key-card_'] img")
                at_rest(page)
                seen.append(time.monotonic() - began)
            print(f"  in Chromium, until all is there: {statistics.median(seen):.2f} s", flush=True)
            box = page.get_by_role("textbox", name="Name contains")
            for wanted in (f"{count // 2:08d}", "jpg"):
                began = time.monotonic()
                box.fill(wanted)
                box.press("Enter")
                page.wait_for_timeout(50)
                at_rest(page)
                print(f"  a search for {wanted} in Chromium: {time.monotonic() - began:.2f} s", flush=True)
        print(f"  the server has {process.memory_info().rss / MB:.0f} MB", flush=True)
    finally:
        server.kill()


def in_a_process(action: str, count: int) -> dict[str, float]:
    """Run a deed in a process of its own, so that its memory is its own."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.measure_scale", str(count), "--only", action],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    if told.returncode:
        raise RuntimeError(told.stderr[-2000:])
    return json.loads(told.stdout.splitlines()[-1])


def measure_mapped(count: int) -> dict[str, float]:
    """As measure_training, with pictures that are read from the map however few they are."""
    from core.data.store import batches

    batches.RESIDENT_BYTES = 0
    return measure_training(count)


DEEDS = {"bring": bring, "opening": measure_opening, "training": measure_training, "mapped": measure_mapped}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.measure_scale")
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--home", type=Path, help="an ATELIER_HOME to measure in, which stays")
    parser.add_argument("--only", choices=DEEDS, help="one deed, in this process and the home of the environment")
    chosen = parser.parse_args(arguments)
    if chosen.only:
        print(json.dumps(DEEDS[chosen.only](chosen.counts[0])))
        return 0
    home = chosen.home or Path(tempfile.mkdtemp(prefix="measure-scale-"))
    os.environ["ATELIER_HOME"] = str(home)
    try:
        for count in chosen.counts:
            print(f"{count:,} pictures; load of the machine {os.getloadavg()[0]:.1f}", flush=True)
            if all(dataset.name != name_of(count) for dataset in list_datasets()):
                tell("import", in_a_process("bring", count))
            tell("opening, ms", in_a_process("opening", count))
            tell("training", in_a_process("training", count))
            measure_page(count, home)
    finally:
        if not chosen.home:
            shutil.rmtree(home, ignore_errors=True)
    return 0


def tell(what: str, told: dict[str, float]) -> None:
    print(f"  {what}: {', '.join(f'{name} {number:,.1f}' for name, number in told.items())}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
