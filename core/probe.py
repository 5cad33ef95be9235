"""The door of a probe: answers one question on the device, in a process of its own.

python -m core.probe PROBE_FOLDER
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import RunConfig
from core.disk import finite, read_json
from core.engine.others import Others
from core.errors import UserMistake
from core.incidents import report_incident
from core.runs.probes import ProbeWriter

if TYPE_CHECKING:
    from torch import nn

    from core.data.batches import Part
    from core.engine.hardware import Hardware

NOT_ENOUGH = "There was not enough memory for it. Try half the batch size or a smaller image size."


def answer_probe(folder: Path) -> None:
    """Answer the question in `folder`; what came of it is written there, whatever it was."""
    pen = ProbeWriter(folder)
    try:
        told = read_json(folder / "question.json")
        config = RunConfig.model_validate(told["config"])
        pen.finish(finite((_answer_speed if told["kind"] == "speed" else _answer_rate)(config, pen)))
    except UserMistake as mistake:
        pen.fail(str(mistake))
    except Exception as fault:
        pen.fail(_sentence(fault))


def _answer_speed(config: RunConfig, pen: ProbeWriter) -> dict[str, Any]:
    """Seconds, memory and size of a run with this config; its pictures are stood in for where no store has them yet."""
    from core.engine.estimate import Speed, time_run
    from core.engine.hardware import choose_hardware
    from core.models.summary import count_parameters, layer_table

    began = time.perf_counter()
    hardware = choose_hardware(config)
    parts, pictures, classes = _open_parts(config, hardware)
    model = _build(config, classes)
    loaded = time.perf_counter() - began
    learner, seeing = _only_head(model, parts, pictures, config, hardware)
    layers = layer_table(model, config.data.image_size)
    parameters = count_parameters(model)
    others = Others()
    for told in time_run(learner, parts, pictures, classes, config.train, hardware):
        if isinstance(told, Speed):
            speed = told
        else:
            pen.say("Timing a few batches.", told.done, told.total)
    per_picture = parts["train"].images[:1].nbytes  # its pixels, or what a frozen trunk has made of them
    missing = sum(pictures.values()) - sum(len(part) for part in parts.values())  # a run holds them all, at the end
    return {
        "parameters": parameters,
        "multiply_adds": sum(layer.multiply_adds for layer in layers),
        "images_per_second": speed.images_per_second,
        "seconds_per_epoch": speed.seconds_per_epoch,
        "evaluation_seconds": speed.evaluation_seconds,
        "start_seconds": loaded + seeing + speed.warm_seconds,
        "memory_bytes": peak_bytes(hardware) + missing * per_picture,
        "batches": speed.batches,
        "others": others.share(),
    }


def _answer_rate(config: RunConfig, pen: ProbeWriter) -> dict[str, Any]:
    """The curve of the range test, and the rate that it suggests."""
    from core.data.batches import load_part
    from core.data.store import build_store, load_store
    from core.engine.find_rate import BATCHES, find_rate, suggest_rate
    from core.engine.hardware import choose_hardware

    hardware = choose_hardware(config)
    for progress in build_store(config.data):
        pen.say("Reading the pictures.", progress.done, progress.total)
    store = load_store(config.data, config.model)
    train = load_part(store, "train", hardware.device)
    points = []
    for point in find_rate(_build(config, len(store.classes)), train, len(store.classes), config.train, hardware):
        points.append(point)
        pen.say("Trying learning rates.", len(points), BATCHES)
    found = suggest_rate(points)
    return {
        "rates": [point.rate for point in points],
        "losses": [point.loss for point in points],
        "smoothed": [point.smoothed for point in points],
        "suggestion": found.rate if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "batches": len(points),
    }


def _build(config: RunConfig, classes: int) -> "nn.Module":
    from core.models.build import build_model

    return build_model(config.model, classes, config.data.image_size, seed=config.train.seed)


def _only_head(
    model: "nn.Module", parts: "dict[str, Part]", pictures: dict[str, int], config: RunConfig, hardware: "Hardware"
) -> "tuple[nn.Module, float]":
    """What `fit` would train, and the seconds that a frozen trunk takes to see every picture once; parts then hold
    features, which noise stands in for. (model, 0) where the trunk sees them in every epoch."""
    import torch

    from core.engine.estimate import first_pictures
    from core.engine.evaluate import evaluation_batch
    from core.engine.features import runs_once
    from core.models.pretrained import OnTrunk

    if not (runs_once(config) and isinstance(model, OnTrunk)):
        return model, 0.0
    at_once = evaluation_batch(config.data.image_size)
    few = first_pictures(parts["train"], 3 * at_once)
    model.to(hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    began, seen = time.perf_counter(), 0
    with torch.no_grad():
        for places in torch.arange(len(few), device=hardware.device).split(at_once):
            model.trunk(few.normalise(few.gather(places))).cpu()  # which also waits for a graphics card
            if not seen and len(few) > at_once:  # the first ones choose kernels
                began = time.perf_counter()
            else:
                seen += len(places)
    seconds = time.perf_counter() - began
    for name, part in parts.items():
        features = torch.randn(len(part), model.head.in_features, device=hardware.device)
        parts[name] = replace(part, images=features)
    return model.head, seconds / max(1, seen) * sum(pictures.values())


def _open_parts(config: RunConfig, hardware: "Hardware") -> tuple[dict[str, "Part"], dict[str, int], int]:
    """The parts that training holds, the number of pictures in each part, and the number of classes.

    Reading the pictures for a size that was never used takes minutes, and time does not depend on what they show:
    noise stands in for them.
    """
    from core.data.batches import load_part
    from core.data.dataset import find_dataset
    from core.data.images import has_store
    from core.data.store import count_parts, load_store, pictures_now

    classes = len(find_dataset(config.data.dataset).classes)
    pictures = count_parts(config.data)
    if has_store(pictures_now(config.data)[0]):
        store = load_store(config.data, config.model)
        return {name: load_part(store, name, hardware.device) for name in ("train", "val")}, pictures, classes
    if not pictures["train"]:
        raise UserMistake("The split leaves no picture to learn from; change the shares")
    most = max(2 * config.train.batch_size, 64 * 2**20 // (3 * config.data.image_size**2))  # 64 MB, or two batches
    return {"train": _noise(config, min(most, pictures["train"]), classes, hardware)}, pictures, classes


def _noise(config: RunConfig, count: int, classes: int, hardware: "Hardware") -> "Part":
    import torch

    from core.data.batches import Part
    from core.data.store import preprocess_of

    side = config.data.image_size
    return Part(
        images=torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8).to(hardware.device),
        labels=(torch.arange(count) % classes).to(hardware.device),
        indices=torch.arange(count, device=hardware.device),
        preprocess=preprocess_of(config.data, config.model),
        device=hardware.device,
    )


def peak_bytes(hardware: "Hardware") -> int:
    """The most memory that this process has had so far, in bytes: on the graphics card where it trains there."""
    import psutil
    import torch

    if hardware.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(hardware.device))
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError):
        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))  # the first one on Windows; elsewhere what it has now


def _sentence(fault: Exception) -> str:
    if isinstance(fault, MemoryError) or "out of memory" in str(fault).lower() or "can't allocate memory" in str(fault):
        return NOT_ENOUGH
    number = report_incident(fault)
    return f"It could not be measured because of a fault in the program (incident {number}, see the log)."


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m core.probe PROBE_FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    answer_probe(folder)
    told = read_json(folder / "state.json")
    if told["status"] == "failed":
        print(told["message"], file=sys.stderr)
    return 0 if told["status"] == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
