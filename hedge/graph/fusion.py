"""What onnxruntime makes of a graph's nodes: some run as part of others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from onnx import GraphProto, NodeProto

from hedge.devices import FUSED
from hedge.ops import op_of

GONE, GELU = "", "Gelu"
PLACEHOLDER_DOMAIN = "hedge"  # of sites, which become Gemms


def runs_as(graph: GraphProto, constants: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """By first output, what every node runs as: its op, ``Gemm+`` an activation, or GONE.

    constants holds the shapes of constant tensors. As onnxruntime 1.31 does it, seen in the graphs
    that it writes: a MatMul and the Add of a constant row behind it become a Gemm, a Gemm takes in
    the activation behind it, x σ(x) becomes QuickGelu, x (1 + erf(x / √2)) / 2 Gelu, and a
    transpose of the last two axes disappears into the MatMul that reads it, or with another one
    behind elementwise nodes.
    """
    return _Fusion(graph, constants).found


class _Fusion:
    def __init__(self, graph: GraphProto, constants: Mapping[str, tuple[int, ...]]) -> None:
        self._constants = constants
        self._readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self._readers[name].append(node)
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._uses.update(value.name for value in graph.output)
        self._writer = {name: node for node in graph.node for name in node.output}
        self.found = {node.output[0]: node.op_type for node in graph.node}
        rules = {"Erf": self._gelu, "Identity": self._identity, "MatMul": self._bias,
                 "Sigmoid": self._quick_gelu, "Transpose": self._transpose}  # fmt: skip
        for node in graph.node:
            if node.op_type in rules:
                rules[node.op_type](node)
        for node in graph.node:
            self._activation(node)

    def _only_reader(self, node: NodeProto) -> NodeProto | None:
        name = node.output[0]
        return self._readers[name][0] if self._uses[name] == 1 and self._readers[name] else None

    def _identity(self, node: NodeProto) -> None:
        self.found[node.output[0]] = GONE

    def _bias(self, product: NodeProto) -> None:
        add = self._only_reader(product)
        if add is None or add.op_type != "Add":
            return
        row = next((name for name in add.input if name != product.output[0]), "")
        if len(self._constants.get(product.input[1], ())) == 2 and row in self._constants:
            self.found |= {product.output[0]: "Gemm", add.output[0]: GONE}

    def _transpose(self, node: NodeProto) -> None:
        """Gone if a product reads it, or if only elementwise nodes lie before one that undoes it."""
        if not _swaps_last_two(node) or self.found[node.output[0]] == GONE:
            return
        following = self._only_reader(node)
        if following is not None and following.op_type == "MatMul":
            self.found[node.output[0]] = GONE
        while following is not None and op_of(following.op_type).swaps_with_transpose:
            following = self._next_elementwise(following)
        if (
            following is not None
            and following.op_type == "Transpose"
            and _swaps_last_two(following)
        ):
            self.found |= {node.output[0]: GONE, following.output[0]: GONE}

    def _next_elementwise(self, node: NodeProto) -> NodeProto | None:
        """What alone reads the node's result; of x σ(x), what reads the product."""
        readers = self._readers[node.output[0]]
        ops = {reader.op_type: reader for reader in readers}
        if set(ops) == {"Mul", "Sigmoid"} and ops["Sigmoid"].output[0] in ops["Mul"].input:
            return ops["Mul"]
        return self._only_reader(node)

    def _quick_gelu(self, sigmoid: NodeProto) -> None:
        product = self._only_reader(sigmoid)
        if product is not None and set(product.input) == {sigmoid.input[0], sigmoid.output[0]}:
            self.found |= {sigmoid.output[0]: GONE, product.output[0]: "QuickGelu"}

    def _gelu(self, erf: NodeProto) -> None:
        scaled = self._writer.get(erf.input[0])
        add = self._only_reader(erf)
        first = None if add is None else self._only_reader(add)
        if scaled is None or add is None or first is None:
            return
        x = scaled.input[0]
        chain = [scaled, erf, add, first]
        if x not in first.input:  # x / 2 is the other factor, or the product is halved at the end
            half = next((name for name in first.input if name != add.output[0]), "")
            chain.append(self._writer.get(half, erf))
        last = first if x not in first.input else self._only_reader(first)
        if last is None or {first.op_type, last.op_type} != {"Mul"}:
            return
        self.found |= {node.output[0]: GONE for node in chain} | {last.output[0]: GELU}

    def _activation(self, node: NodeProto) -> None:
        if not op_of(self.found[node.output[0]]).fused:
            return
        before = self._writer.get(node.input[0])
        if before is None or self._uses[node.input[0]] != 1:
            return
        if self.found[before.output[0]] == GONE and before.op_type == "Add":
            before = self._writer.get(before.input[0], before)
        if self.found[before.output[0]] == "Gemm" or before.domain == PLACEHOLDER_DOMAIN:
            self.found[node.output[0]] = FUSED + node.op_type


def _swaps_last_two(node: NodeProto) -> bool:
    order = next((list(a.ints) for a in node.attribute if a.name == "perm"), [1, 0])
    last = len(order) - 1
    return order == [*range(last - 1), last, last - 1]
