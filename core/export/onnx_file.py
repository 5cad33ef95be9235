"""One ONNX file that takes a picture of any size: preprocessing, network and softmax, and what its classes are."""

import json
import warnings
from typing import Any

import onnx
import torch
from onnx import TensorProto, compose, helper
from torch.export import ExportedProgram

from core.data.pictures.preprocess import Preprocess
from core.errors import UserMistake
from core.export.graph import IR_VERSION, OPSET, Graph
from core.export.receiving import receive

MOST_BYTES = 2 * 10**9  # of a file in protobuf, which ONNX is


def onnx_file(program: ExportedProgram, preprocess: Preprocess, facts: dict[str, Any]) -> bytes:
    """A model with input `image` uint8 (height, width, 3) RGB and output `probabilities` float32 (classes,).

    On the way the values `received`, uint8 (1, 3, S, S), and `logits`, float32 (1, classes), can be asked for. facts:
    what stands in its metadata, texts as they are and all else as JSON. UserMistake where a file cannot be so large.
    """
    weights = sum(value.nbytes for value in program.state_dict.values())
    if weights > MOST_BYTES:
        raise UserMistake(
            f"The network has {weights / 1e9:.1f} GB of weights, and an ONNX file can hold {MOST_BYTES / 1e9:.0f}. "
            "Export it with --format safetensors or --format torch"
        )
    model = compose.merge_models(_first_part(preprocess), _network(program), io_map=[("received", "received")])
    _add_softmax(model)
    for name, value in facts.items():
        model.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _first_part(preprocess: Preprocess) -> onnx.ModelProto:
    """image -> received."""
    graph, side = Graph(), preprocess.image_size
    pixels = receive(graph, graph.input("image"), preprocess).cast("uint8")
    shape = graph.constant([1, 3, side, side], "int64")
    graph.call("Reshape", pixels, shape, name="received")
    return graph.model(
        "atelier",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", 3])],
        [helper.make_tensor_value_info("received", TensorProto.UINT8, [1, 3, side, side])],
    )


def _network(program: ExportedProgram) -> onnx.ModelProto:
    """received -> logits, as torch's own exporter writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about operators of its own that nobody chose
        exported = torch.onnx.export(
            program,
            input_names=["received"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    model.ir_version = IR_VERSION
    for node in model.graph.node:
        del node.metadata_props[:]  # paths of this machine, from which each node was made
        node.doc_string = ""
    for value in model.graph.value_info:
        del value.metadata_props[:]
    return model


def _add_softmax(model: onnx.ModelProto) -> None:
    """logits -> probabilities, the only output."""
    classes = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    model.graph.initializer.append(helper.make_tensor("atelier.classes", TensorProto.INT64, [1], [classes]))
    model.graph.node.extend(
        [
            helper.make_node("Softmax", ["logits"], ["atelier.rows"], axis=1),
            helper.make_node("Reshape", ["atelier.rows", "atelier.classes"], ["probabilities"]),
        ]
    )
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [classes]))
