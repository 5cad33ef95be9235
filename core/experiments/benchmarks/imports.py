"""bench_import: an import, its child processes and its log included, against ImageFolder with PIL reading them once.

python -m core bench import
python -m core.experiments.benchmarks.imports ours FOLDER              one import, in a process and a home of its own
python -m core.experiments.benchmarks.imports imagefolder FOLDER 2     ImageFolder in a DataLoader with 2 workers
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from core.data.datasets.dataset import Dataset, find_dataset
from core.data.imports.pipeline import import_dataset
from core.data.pictures.child import ROOT, usable_cores
from core.experiments.benchmarks.training import Bench, BenchRow, Step

LARGE = 500  # JPEGs of 12 megapixels
DRAWN = 20  # of them that differ: decoding the same bytes again is not quicker
LARGE_SIZE = (4000, 3000)  # pixels, width and height
TARGET_RATIOS = {"artworks": 1.5, "12 megapixels": 4.0}  # on two cores


def bench_import(artworks: str = "artworks", rounds: int = 3, large: int = LARGE) -> Iterator[Step | Bench]:
    """Yields a Step before each piece of work, and the Bench at last. Takes about 4 minutes and 4 GB of the disk for
    temporary files on two cores.

    Baseline and ours take turns; a figure is the median of the rounds. The baseline is timed from its first picture to
    its last, ours from the call to the dataset: start of the children, hashing and the copy of the originals included.
    UserMistake where the dataset has not been added.
    """
    from core.engine.hardware import choose_hardware

    dataset = find_dataset(artworks)
    workers = usable_cores()
    done, total = 0, 6 * rounds + 2
    rows: list[BenchRow] = []
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as scratch:
        for name, target in TARGET_RATIOS.items():
            yield Step(f"{name}: writing the files", done, total)
            folder = Path(scratch) / "pictures"
            count = _write_files(dataset, folder) if name == "artworks" else _write_large(folder, large)
            done += 1
            kinds = {"ours": "ours", str(workers): f"ImageFolder, {workers} workers", "0": "ImageFolder, one process"}
            times: dict[str, list[float]] = {kind: [] for kind in kinds}
            for number in range(rounds):
                for kind, label in kinds.items():
                    yield Step(f"{name}: {label} (round {number + 1})", done, total)
                    os.sync()  # what one has written is not to be waited for by the next
                    times[kind].append(_time(folder, kind, count, Path(scratch)))
                    done += 1
            ours = statistics.median(times["ours"])
            for kind in (str(workers), "0"):
                baseline = statistics.median(times[kind])
                note = f"{count:,} pictures; {target:g} is the target" if kind != "0" else ""
                rows.append(BenchRow(f"{name}, {kinds[kind]}", baseline, ours, baseline / ours, note))
            shutil.rmtree(folder)
    yield Bench(machine=choose_hardware().name, rows=tuple(rows), accuracy=None, limit=None)


def _time(folder: Path, kind: str, count: int, scratch: Path) -> float:
    """Seconds for all pictures of the folder."""
    with tempfile.TemporaryDirectory(prefix="home-", dir=scratch) as home:
        arguments = ["ours", str(folder)] if kind == "ours" else ["imagefolder", str(folder), kind]
        process = subprocess.run(
            [sys.executable, "-m", "core.experiments.benchmarks.imports", *arguments],
            env={**os.environ, "ATELIER_HOME": home},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    if process.returncode:
        raise RuntimeError(f"{kind} failed:\n{process.stderr[-2000:]}")
    answer = json.loads(process.stdout)
    assert answer["pictures"] == count, (kind, answer, count)
    return answer["seconds"]


def _write_files(dataset: Dataset, folder: Path) -> int:
    """The originals as files, a folder a class."""
    for row in range(dataset.used):
        place = folder / f"{dataset.labels[row]:04d}"  # a number, never the class's own name
        place.mkdir(exist_ok=True, parents=True)
        content = dataset.original(row)
        suffix = ".png" if content[:4] == b"\x89PNG" else ".jpg"  # ImageFolder asks for an ending
        (place / f"{row:08d}{suffix}").write_bytes(content)
    return dataset.used


def _write_large(folder: Path, count: int) -> int:
    """JPEGs of 12 megapixels with as much detail as photos have, about 3 MB each."""
    for number in range(min(DRAWN, count)):
        random = np.random.default_rng(number)
        shapes = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).resize(
            LARGE_SIZE, Image.Resampling.BICUBIC
        )
        grain = Image.fromarray(random.integers(0, 24, (LARGE_SIZE[1], LARGE_SIZE[0]), np.uint8)).convert("RGB")
        picture = Image.blend(shapes, grain, 0.3)
        for copy in range(number, count, DRAWN):
            place = folder / f"{copy % 2}"
            place.mkdir(exist_ok=True, parents=True)
            if copy == number:
                picture.save(place / f"{copy}.jpg", quality=90)
                content = (place / f"{copy}.jpg").read_bytes()
            (place / f"{copy}.jpg").write_bytes(content)
    return count


def _ours(folder: Path) -> tuple[float, int]:
    began = time.perf_counter()
    *_, last = import_dataset("bench", folder)
    assert last.dataset is not None
    return time.perf_counter() - began, last.dataset.used


def _imagefolder(folder: Path, workers: int) -> tuple[float, int]:
    """What a notebook does: PIL, the transforms of the paper's pictures, batches of 32."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    torch.set_num_threads(1)  # each worker has one anyway
    change = transforms.Compose([transforms.Resize(32), transforms.CenterCrop(32), transforms.ToTensor()])
    began, seen = time.perf_counter(), 0
    for images, _ in DataLoader(ImageFolder(str(folder), change), batch_size=32, num_workers=workers):
        seen += len(images)
    return time.perf_counter() - began, seen


def main(kind: str, folder: str, workers: str = "0") -> None:
    seconds, seen = _ours(Path(folder)) if kind == "ours" else _imagefolder(Path(folder), int(workers))
    print(json.dumps({"seconds": seconds, "pictures": seen}))


if __name__ == "__main__":
    main(*sys.argv[1:])
