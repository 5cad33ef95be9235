"""Which layers of a network are drawn as one group: the blocks of its family, or the parts of a published network."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pages.parts.architecture.layer_texts import MINOR, Layer

MOST = 26  # layers of a group that are drawn; the table has all
BLOCKS = 24  # parts of a larger group that become groups themselves; with more it stays one
_NAME = re.compile(r"(?:conv|pool|drop|block)(\d+)")


@dataclass(frozen=True)
class LayerGroup:
    """Layers that belong together: a block, or one linear layer with what follows it."""

    title: str
    layers: tuple[Layer, ...]
    shape: tuple[int, ...]  # of what leaves it: the maps of all its branches

    @property
    def parameters(self) -> int:
        return sum(layer["parameters"] for layer in self.layers)

    @property
    def learns(self) -> bool:
        return any(layer["trainable"] for layer in self.layers)

    @property
    def main(self) -> Layer:
        return max(self.layers, key=lambda layer: layer["parameters"])


def group_layers(layers: Sequence[Layer]) -> list[LayerGroup]:
    """Convolutions with what follows them as blocks; a pooling or a flattening between blocks goes with what comes.

    A part with several layers is a group of its own, whatever its first layer is; what is left of one that was split
    goes with its neighbours.
    """
    groups: list[tuple[str, list[Layer]]] = []
    waiting: list[Layer] = []
    keys = _keys(layers)
    split = {key.rpartition(".")[0] for key in keys}
    for layer, key in zip(layers, keys, strict=True):
        learns = layer["parameters"] > 0 and layer["kind"] not in MINOR
        inside = len(_path(layer)) > key.count(".") + 1 and not any(part.startswith(key) for part in split)
        inside &= layer["kind"] != "Identity"  # a head that was cut off
        if groups and (key == groups[-1][0] or not (learns or inside or _ends(layer, key))) and not waiting:
            groups[-1][1].append(layer)
        elif not learns and (waiting or (groups and _ends(layer, key))):
            waiting.append(layer)
        else:
            groups.append((key, [*waiting, layer]))
            waiting = []
    if waiting:
        groups.append((_key(waiting[0], 1), waiting))
    given = [inside[0].get("input_shape", ()) for _, inside in groups[1:]]
    return [
        # branches are put together before the next group, which may also begin by laying its input out anew
        LayerGroup(
            _title(key), tuple(inside), tuple(after if len(after) == len(gives) and after[1:] == gives[1:] else gives)
        )
        for (key, inside), after in zip(groups, [*given, ()], strict=True)
        for gives in [inside[-1]["output_shape"]]
    ]


def _keys(layers: Sequence[Layer]) -> list[str]:
    """What each layer belongs to: its outermost part, or where that is too large to be drawn a part of it, and so on.

    Where torchvision has all blocks in one list, `features`, the blocks are the parts, whatever their size.
    """
    sizes: Counter[str] = Counter()
    parts: dict[str, set[str]] = {}
    for layer in layers:
        path = _path(layer)
        for depth in range(1, len(path)):
            whole = ".".join(path[:depth])
            sizes[whole] += 1
            parts.setdefault(whole, set()).add(path[depth])
    keys = []
    for layer in layers:
        path, depth = _path(layer), 1
        while path[0] != "features" and depth < len(path) - 1:
            whole = ".".join(path[:depth])
            if sizes[whole] <= MOST or len(parts[whole]) > BLOCKS:
                break
            depth += 1
        keys.append(_key(layer, depth))
    return keys


def _path(layer: Layer) -> list[str]:
    return str(layer["name"]).removeprefix("backbone.").split(".")


def _key(layer: Layer, depth: int) -> str:
    path = _path(layer)
    first = path[0]
    if len(path) > 1:
        return ".".join(path[: 2 if first == "features" else depth])
    if numbered := _NAME.match(first):
        return f"block{numbered[1]}"
    return re.sub(r"_(bn|act|drop)$", "", first)


def _title(key: str) -> str:
    numbered = re.fullmatch(r"block(\d+)", key)
    if numbered:
        return f"Block {numbered[1]}"
    *before, last = key.split(".")
    return f"{before[-1]}.{last}" if before and last.isdigit() else last


def _ends(layer: Layer, key: str) -> bool:
    """Whether it leads from the maps to the linear layers."""
    top = "." not in layer["name"].removeprefix("backbone.")
    return layer["kind"] == "Flatten" or (layer["kind"].startswith("Adaptive") and top)
