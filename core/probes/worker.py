"""The process of a probe: answers one question on the device.

python -m core.probes.worker PROBE_FOLDER
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import RunConfig
from core.disk import finite, read_json
from core.engine.machine_load import OtherLoad
from core.errors import UserMistake
from core.incidents import report_incident
from core.probes.probes import ProbeWriter

if TYPE_CHECKING:
    from torch import nn

    from core.data.store.batches import Part
    from core.engine.hardware import Hardware

NOISE_BATCHES = 8
NOT_ENOUGH = "There was not enough memory for it. Try half the batch size or a smaller image size."


def answer_probe(folder: Path) -> None:
    """Answer the question in `folder`, and write the answer there or why there is none."""
    writer = ProbeWriter(folder)
    try:
        question = read_json(folder / "question.json")
        config = RunConfig.model_validate(question["config"])
        writer.finish(finite((_answer_speed if question["kind"] == "speed" else _answer_rate)(config, writer)))
    except UserMistake as mistake:
        writer.fail(str(mistake))
    except Exception as fault:
        writer.fail(_describe_fault(fault))


def _answer_speed(config: RunConfig, writer: ProbeWriter) -> dict[str, Any]:
    """Seconds, memory and size of a run with this config; noise is used where no store has its pictures yet."""
    from core.data.datasets.dataset import find_dataset
    from core.engine.estimate import Speed, time_run
    from core.engine.hardware import choose_hardware
    from core.models.summary import count_parameters, layer_table
    from core.probes.kernels import find_kernels

    began = time.perf_counter()
    dataset = find_dataset(config.data.dataset)
    kernels = find_kernels(config, dataset, None, lambda message: writer.report(message, 0, 1))  # as the run will
    hardware = choose_hardware(config, kernels=kernels)
    parts, pictures, classes = open_parts(config, hardware)
    model = build(config, classes)
    loaded = time.perf_counter() - began
    learner, backbone_seconds = trained_part(model, parts, pictures, config, hardware)
    layers = layer_table(model, config.data.image_size)
    parameters = count_parameters(model)
    others = OtherLoad()
    for step in time_run(learner, parts, pictures, classes, config.train, hardware):
        if isinstance(step, Speed):
            speed = step
        else:
            writer.report("Timing a few batches.", step.done, step.total)
    per_picture = parts["train"].images[:1].nbytes  # its pixels, or its features
    missing = sum(pictures.values()) - sum(len(part) for part in parts.values())  # a run holds them all, at the end
    return {
        "parameters": parameters,
        "multiply_adds": sum(layer.multiply_adds for layer in layers),
        "images_per_second": speed.images_per_second,
        "seconds_per_epoch": speed.seconds_per_epoch,
        "evaluation_seconds": speed.evaluation_seconds,
        "start_seconds": loaded + backbone_seconds + speed.warm_seconds,
        "memory_bytes": peak_bytes(hardware) + missing * per_picture,
        "batches": speed.batches,
        "others": others.share(),
    }


def _answer_rate(config: RunConfig, writer: ProbeWriter) -> dict[str, Any]:
    """The curve of the range test, and the rate that it suggests."""
    from core.data.datasets.dataset import find_dataset
    from core.data.store.batches import load_part
    from core.data.store.store import build_store, open_store
    from core.engine.find_rate import BATCHES, find_rate, suggest_rate
    from core.engine.hardware import choose_hardware

    hardware = choose_hardware(config)
    dataset = find_dataset(config.data.dataset)
    for progress in build_store(dataset, config.data):
        writer.report("Reading the pictures.", progress.done, progress.total)
    store = open_store(dataset, config.data, config.model)
    train = load_part(store, "train", hardware.device)
    points = []
    for point in find_rate(build(config, len(store.classes)), train, len(store.classes), config.train, hardware):
        points.append(point)
        writer.report("Trying learning rates.", len(points), BATCHES)
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


def noise_parts(config: RunConfig, hardware: "Hardware") -> "tuple[dict[str, Part], dict[str, int], int]":
    """As open_parts, without a store: a few batches of random pictures, in as many classes as the dataset has."""
    import torch

    from core.data.datasets.dataset import find_dataset
    from core.data.pictures.preprocess import Preprocess
    from core.data.store.batches import Part

    classes, side = len(find_dataset(config.data.dataset).classes), config.data.image_size
    count = NOISE_BATCHES * config.train.batch_size
    images = torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, device=hardware.device)
    labels = torch.arange(count, device=hardware.device) % classes
    part = Part(images, labels, torch.arange(count), Preprocess(image_size=side, fit=config.data.fit), hardware.device)
    return {"train": part}, {"train": count}, classes


def build(config: RunConfig, classes: int) -> "nn.Module":
    from core.models.build import build_model

    return build_model(config.model, classes, config.data.image_size, seed=config.train.seed)


def trained_part(
    model: "nn.Module", parts: "dict[str, Part]", pictures: dict[str, int], config: RunConfig, hardware: "Hardware"
) -> "tuple[nn.Module, float]":
    """What `fit` trains, and the seconds that a frozen backbone takes for the features of every picture; `parts` then
    hold features of noise. (model, 0.0) where features are not computed once before the first epoch."""
    import torch

    from core.engine.estimate import first_pictures
    from core.engine.evaluate import evaluation_batch
    from core.engine.features import uses_fixed_features
    from core.models.transfer import TransferModel

    if not (uses_fixed_features(config) and isinstance(model, TransferModel)):
        return model, 0.0
    at_once = evaluation_batch(config.data.image_size)
    few = first_pictures(parts["train"], 3 * at_once)
    model.to(hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    began, timed = time.perf_counter(), 0
    with torch.no_grad():
        for places in torch.arange(len(few), device=hardware.device).split(at_once):
            model.backbone(few.normalise(few.gather(places))).cpu()  # which also waits for a graphics card
            if not timed and len(few) > at_once:  # not timed: the first ones choose kernels
                began = time.perf_counter()
            else:
                timed += len(places)
    seconds = time.perf_counter() - began
    for name, part in parts.items():
        features = torch.randn(len(part), model.head.in_features, device=hardware.device)
        parts[name] = replace(part, images=features)
    return model.head, seconds / max(1, timed) * sum(pictures.values())


def open_parts(config: RunConfig, hardware: "Hardware") -> tuple[dict[str, "Part"], dict[str, int], int]:
    """(parts that training holds, pictures in each part, classes).

    Where no store has the pictures in this size, which takes minutes to make, noise is used: speed does not depend on
    what they show.
    """
    from core.data.datasets.dataset import find_dataset
    from core.data.storage import has_store
    from core.data.store.batches import load_part
    from core.data.store.store import count_parts, open_store, store_fingerprint

    dataset = find_dataset(config.data.dataset)
    classes, pictures = len(dataset.classes), count_parts(dataset, config.data)
    if has_store(store_fingerprint(dataset, config.data)):
        store = open_store(dataset, config.data, config.model)
        return {name: load_part(store, name, hardware.device) for name in ("train", "val")}, pictures, classes
    if not pictures["train"]:
        raise UserMistake("The split leaves no picture to learn from; change the shares")
    most = max(2 * config.train.batch_size, 64 * 2**20 // (3 * config.data.image_size**2))  # 64 MB, or two batches
    return {"train": _noise(config, min(most, pictures["train"]), classes, hardware)}, pictures, classes


def _noise(config: RunConfig, count: int, classes: int, hardware: "Hardware") -> "Part":
    import torch

    from core.data.store.batches import Part
    from core.data.store.store import preprocess_of

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


def _describe_fault(fault: Exception) -> str:
    if isinstance(fault, MemoryError) or "out of memory" in str(fault).lower() or "can't allocate memory" in str(fault):
        return NOT_ENOUGH
    number = report_incident(fault)
    return f"It could not be measured because of a fault in the program (incident {number}, see the log)."


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m core.probes.worker PROBE_FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    answer_probe(folder)
    state = read_json(folder / "state.json")
    if state["status"] == "failed":
        print(state["message"], file=sys.stderr)
    return 0 if state["status"] == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
