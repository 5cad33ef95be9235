"""network.py: a network written out as torch's operations, for whoever has its weights and nothing of Atelier."""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from core.errors import UserMistake

BEGINNING = '''"""The network, one operation of torch after the other, as torch.export wrote them down."""

import torch

inf = float("inf")


@torch.no_grad()
def logits(weights, received):
    """received uint8 (B, 3, {side}, {side}), RGB -> float32 (B, {classes}).

    weights: the tensors of model.safetensors by name.
    """
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in ({mean}, {std}))
'''
OPERATORS = {operator.mul: "*", operator.add: "+", operator.sub: "-", operator.floordiv: "//"}
# checks of the tracer, which compute nothing
LEFT_OUT = {torch.ops.aten._assert_tensor_metadata.default}


def network_source(program: ExportedProgram, side: int, classes: int) -> str:
    """Python with a function logits(weights, received) that does what `program`, a traced Answering, does.

    UserMistake where a network does something that is no call of an operation.
    """
    state = program.state_dict
    mean, std = (state[name].flatten().tolist() for name in ("mean", "std"))
    lines = [BEGINNING.format(side=side, classes=classes, mean=mean, std=std).rstrip("\n")]
    names = _names_of_inputs(program)
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target not in LEFT_OUT:
            lines.append(f"    {node.name} = {_call(node, names)}")
        elif node.op == "output":
            lines.append(f"    return {_text(node.args[0][0], names)}")
        elif node.op not in ("placeholder", "call_function"):
            raise UserMistake(f"This network cannot be written out as Python: it has a {node.op} of {node.target}")
    return "\n".join(lines) + "\n"


def _names_of_inputs(program: ExportedProgram) -> dict[str, str]:
    """What stands in the source for each input of the graph."""
    names = {}
    for one in program.graph_signature.input_specs:
        given = getattr(one.arg, "name", "")
        if one.kind is InputKind.USER_INPUT:
            names[given] = "received"
        elif one.target in ("mean", "std"):
            names[given] = one.target
        elif one.kind is InputKind.CONSTANT_TENSOR or one.persistent is False:
            names[given] = _constant(program.constants[str(one.target)])
        else:
            names[given] = f"weights[{str(one.target).removeprefix('model.')!r}]"
    return names


def _constant(value: Any) -> str:
    return f"torch.tensor({value.tolist()!r}, dtype={value.dtype})"


def _call(node: fx.Node, names: Mapping[str, str]) -> str:
    arguments = [_text(one, names) for one in node.args]
    if node.target is operator.getitem:
        return f"{arguments[0]}[{arguments[1]}]"
    if node.target in OPERATORS:
        return f" {OPERATORS[node.target]} ".join(arguments)
    assert isinstance(node.target, torch._ops.OpOverload), node.target
    arguments += [f"{key}={_text(value, names)}" for key, value in node.kwargs.items()]
    return f"torch.ops.{node.target}({', '.join(arguments)})"


def _text(value: Any, names: Mapping[str, str]) -> str:
    """An argument of an operation in Python."""
    if isinstance(value, fx.Node):
        return names.get(value.name, value.name)
    if isinstance(value, list | tuple):
        inner = ", ".join(_text(one, names) for one in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)"
    if isinstance(value, torch.device):
        return f"torch.device({str(value)!r})"
    return repr(value)
