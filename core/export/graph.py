"""Graph: the nodes of an ONNX model written down as sums and calls, each Value one result."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 18  # what the exporter of torch writes
IR_VERSION = 10  # onnxruntime from 1.19 and onnxruntime-web from 1.19 on read it


@dataclass
class Graph:
    """Nodes and constants in the order of writing; `call` adds a node."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def constant(self, value: Any, dtype: str) -> "Value":
        """A number or list that stands in the file."""
        name = f"constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return Value(self, name)

    def input(self, name: str) -> "Value":
        return Value(self, name)

    def either(self, condition: "Value", then: Callable[[], "Value"], otherwise: Callable[[], "Value"]) -> "Value":
        """What one of two pieces of the graph gives; the other is not computed. condition: bool (1,)."""
        branches = {"then_branch": self._branch(then), "else_branch": self._branch(otherwise)}
        return self.call("If", condition, **branches)

    def _branch(self, write: Callable[[], "Value"]) -> onnx.GraphProto:
        outer, self.nodes = self.nodes, []
        result = write()
        nodes, self.nodes = self.nodes, outer
        return helper.make_graph(nodes, "branch", [], [helper.make_empty_tensor_value_info(result.name)])

    def call(self, op: str, *inputs: "Value", name: str | None = None, **attributes: Any) -> "Value":
        """The first output of a new node; `name`: under which the result can be asked for."""
        name = name or f"{op}.{next(self._numbers)}"
        self.nodes.append(helper.make_node(op, [one.name for one in inputs], [name], **attributes))
        return Value(self, name)

    def model(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, name, list(inputs), list(outputs), self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


@dataclass(frozen=True)
class Value:
    """One result in a graph. Numbers beside it must be constants of its own dtype, which `like` makes."""

    graph: Graph
    name: str

    def __add__(self, other: "Value") -> "Value":
        return self.graph.call("Add", self, other)

    def __sub__(self, other: "Value") -> "Value":
        return self.graph.call("Sub", self, other)

    def __mul__(self, other: "Value") -> "Value":
        return self.graph.call("Mul", self, other)

    def __truediv__(self, other: "Value") -> "Value":
        """A quotient of floats; of whole numbers what Python calls //, where neither is negative."""
        return self.graph.call("Div", self, other)

    def __matmul__(self, other: "Value") -> "Value":
        return self.graph.call("MatMul", self, other)

    def cast(self, dtype: str) -> "Value":
        return self.graph.call("Cast", self, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def reshape(self, *shape: "Value") -> "Value":
        """With these sizes, each int64 (1,)."""
        return self.graph.call("Reshape", self, self.graph.call("Concat", *shape, axis=0))
