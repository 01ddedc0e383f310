"""Single numbers of as many axes as the tensors that they meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy

from onnx import ModelProto, NodeProto, numpy_helper

from hedge.graph.shapes import Shape

ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})


def with_full_rank_scalars(model: ModelProto, shapes: Mapping[str, Shape]) -> ModelProto:
    """The model with single numbers of as many axes as the tensors they meet: (1, 1) beside (n, 1).

    The result is the same. onnxruntime walks through a column (n, 1) number by number where the
    other operand has fewer axes: 1,024 rows take 12 µs instead of 2.
    """
    changed = deepcopy(model)
    graph = changed.graph
    singles = {t.name: t for t in graph.initializer if all(size == 1 for size in t.dims)}
    taken = {t.name for t in (*graph.initializer, *graph.input)}
    taken |= {name for node in graph.node for name in node.output}
    added: dict[tuple[str, int], str] = {}
    for node in graph.node:
        rank = max(_ranks(node, shapes), default=0)
        if node.domain or node.op_type not in ARITHMETIC or rank < 2:
            continue
        for position, name in enumerate(node.input):
            single = singles.get(name)
            if single is None or len(single.dims) >= rank:
                continue
            if (name, rank) not in added:
                full = f"{name}.rank{rank}"
                while full in taken:
                    full += "."
                values = numpy_helper.to_array(single).reshape((1,) * rank)
                graph.initializer.append(numpy_helper.from_array(values, full))
                added[name, rank] = full
                taken.add(full)
            node.input[position] = added[name, rank]
    return _without_unread(changed)


def _ranks(node: NodeProto, shapes: Mapping[str, Shape]) -> Iterable[int]:
    return (len(shapes[name]) for name in node.input if name in shapes)


def _without_unread(model: ModelProto) -> ModelProto:
    graph = model.graph
    read = {name for node in graph.node for name in node.input}
    read |= {value.name for value in graph.output}
    kept = [t for t in graph.initializer if t.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model
