"""Answering: the network of a run with all that it does between the pixels it receives and its logits."""

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from core.engine.evaluate import predict_logits
from core.inference.predictor import Predictor

MOST_AT_ONCE = 1024  # pictures in a batch of the exported program


class Answering(nn.Module):
    """received uint8 (B, 3, S, S) -> logits float32 (B, classes), as Predictor computes them before the softmax:
    normalised by the same sums, with flip test-time augmentation where the run has it."""

    mean: Tensor
    std: Tensor

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.model = predictor.model
        for name in ("mean", "std"):
            triple = torch.tensor(getattr(predictor.preprocess, name), dtype=torch.float32)
            self.register_buffer(name, triple.view(1, 3, 1, 1))

    def forward(self, received: Tensor) -> Tensor:
        images = (received.to(torch.float32) / 255 - self.mean) / self.std
        return predict_logits(self.model, images)


@torch.no_grad()
def trace(predictor: Predictor, most: int = MOST_AT_ONCE) -> ExportedProgram:
    """The operations of Answering as a program of torch.export, for batches of 1 to `most` pictures.

    most=1 makes a program of fixed sizes, of which ONNX is written in a quarter of the time.
    """
    side = predictor.preprocess.image_size
    network = copy.deepcopy(Answering(predictor)).eval().requires_grad_(False)  # else its derivatives are traced too
    # two: of one picture it would learn that there is only one
    received = torch.zeros(min(2, most), 3, side, side, dtype=torch.uint8)
    sizes = ({0: Dim("batch", min=1, max=most)},) if most > 1 else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to whoever wrote the network
        program = torch.export.export(network, (received,), dynamic_shapes=sizes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine, which nobody else need know
    return program
