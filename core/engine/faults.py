"""describe_fault: why a training broke off that no mistake of a person ended, in a sentence."""

import contextlib
from collections.abc import Callable

import torch

from core.config import RunConfig
from core.data.datasets.dataset import find_dataset
from core.data.store.store import count_parts


def describe_fault(fault: BaseException, read_config: Callable[[], RunConfig]) -> str:
    """A fault of the machine or of the program in a sentence; the log has the traceback. read_config: the settings of
    the run, which only want of memory asks for."""
    if isinstance(fault, KeyboardInterrupt | SystemExit | GeneratorExit):  # the last one: its caller left
        return "Training was interrupted; what had been saved is kept."
    if isinstance(fault, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(fault):
        return _describe_memory(read_config())
    return f"Training failed because of a fault in the program ({type(fault).__name__}); the log has the details."


def _describe_memory(config: RunConfig) -> str:
    batch, side = config.train.batch_size, config.data.image_size
    with contextlib.suppress(Exception):  # where even counting takes too much memory, the number that was asked for
        counts = count_parts(find_dataset(config.data.dataset), config.data)
        batch = min(batch, counts["train"])  # a batch larger than the part is the whole part
    smaller = [f"batches of {batch // 2}"] if batch > 3 else []  # batch norm needs 2 pictures a step
    smaller += [f"{side // 2} px"] if side > 63 else []
    tried = f" Try {' or '.join(smaller)}." if smaller else ""
    return f"There was not enough memory for batches of {batch} pictures of {side} px.{tried}"
