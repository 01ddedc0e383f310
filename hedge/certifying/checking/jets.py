"""A graph's tensors with their derivatives by the columns of the points.

A jet holds a tensor's numbers and those of its derivatives, each within a polynomial and a radius of its
own. Derivatives are named by their columns in order: (0, 1) is ∂²/∂x₀∂x₁, () the tensor itself; those that a
jet lacks are 0. All is of real numbers. The rules:

linear in x     each derivative is taken where x is
x y             Leibniz: the sum over all ways to give each differentiation to x or to y
f(z)            Faa di Bruno: f' zᵢ, and f'' zᵢ zⱼ + f' zᵢⱼ, with f' and f'' enclosed as functions
"""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from itertools import combinations

import numpy as np
from onnx import NodeProto

from hedge.certifying.checking.composition import composed
from hedge.certifying.checking.derivatives import DERIVATIVES, Triple, powers
from hedge.certifying.checking.held import Held, constant, spread_to
from hedge.certifying.checking.nodes import Graph, Node, Value, held
from hedge.certifying.checking.operators import MOVING, exponent_of, gate_of, results
from hedge.certifying.checking.rules import Rules, in_blocks
from hedge.errors import InputError

Axes = tuple[int, ...]
Jet = Mapping[Axes, Held]


def jet_of(graph: Graph, rules: Rules, points: Held, wanted: Iterable[Axes]) -> Jet:
    """The derivatives that are wanted of the graph's only output, (1,) each.

    Raises InputError for those of an order above two, and for nodes that have none or whose rule is not
    here.
    """
    return _Jets(graph, rules, lower_ones(wanted)).of_output(points)


def lower_ones(wanted: Iterable[Axes]) -> list[Axes]:
    """All derivatives that these hang on, the lowest first."""
    found = {()} | {
        part for axes in wanted for n in range(len(axes) + 1)
        for part in combinations(sorted(axes), n)
    }  # fmt: skip
    return sorted(found, key=lambda axes: (len(axes), axes))


class _Jets:
    """A walk through a graph: ``moved`` holds of each tensor all derivatives but itself."""

    def __init__(self, graph: Graph, rules: Rules, orders: Sequence[Axes]) -> None:
        if len(orders[-1]) > 2:
            raise InputError(f"{graph.name}: derivatives above the second can't be checked")
        self.graph, self.rules, self.orders = graph, rules, orders
        self.values: dict[str, Value] = dict(graph.constants)
        self.moved: dict[str, dict[Axes, Held]] = {}

    def of_output(self, points: Held) -> Jet:
        for name, places in self.graph.places.items():
            self.values[name] = points.at(places)
            self.moved[name] = {
                axes: constant((places == axes[0]) * 1.0)
                for axes in self.orders
                if len(axes) == 1 and (places == axes[0]).any()
            }
        for proto in self.graph.model.graph.node:
            self._take(Node(self.graph, proto, self.values, self.rules))
        outputs = self.graph.model.graph.output
        jet = self.jet(outputs[0].name)
        if len(outputs) != 1 or jet[()].radius.shape[0] != 1:
            raise InputError(
                f"{self.graph.name}: has more than one output column; a problem has one"
            )
        return {axes: part.at(np.zeros(1, dtype=np.intp)) for axes, part in jet.items()}

    def jet(self, name: str) -> dict[Axes, Held]:
        """What is known of a tensor."""
        return {(): held(self.values[name]), **self.moved.get(name, {})}

    def _take(self, node: Node) -> None:
        """A node's results, with their derivatives if its operands have any."""
        varies = any(self.moved.get(name) for name in node.node.input)
        if not varies or node.node.op_type in _OF_SHAPES:
            for name, value in zip(node.node.output, results(node), strict=False):
                self.values[name], self.moved[name] = value, {}
            return
        for name, jet in zip(node.node.output, _rule(node)(self, node), strict=False):
            self.values[name] = jet.pop(())
            self.moved[name] = jet

    # --------------------------------------------------------------------------- rules for jets

    def product(self, x: Jet, y: Jet) -> Jet:
        """x y."""
        found = {}
        for axes in self.orders:
            ways = _splits(axes, same=x is y)
            terms = [
                self.scaled(self.rules.multiply(x[a], y[b]), times)
                for (a, b), times in ways.items()
                if a in x and b in y
            ]
            if terms:
                found[axes] = self.total(terms)
        return found

    def function(self, f: Triple, z: Jet) -> dict[Axes, Held]:
        """f(z), a block of numbers after the other."""
        needed = f[: 1 + max(map(len, self._chained(z)), default=0)]

        def applied(_: slice, z: Mapping[Axes, Held]) -> dict[Axes, Held]:
            each = [
                Held(found.polynomials, found.radius, np.zeros_like(found.radius), ())
                for found in composed(self.rules.basis, needed, z[()])
            ]
            found: dict[Axes, Held] = {(): each[0]}
            for axes in self._chained(z):
                terms = []
                if axes in z:
                    terms.append(self.rules.multiply(each[1], z[axes]))
                if len(axes) == 2:
                    i, j = axes
                    if (i,) in z and (j,) in z:
                        both = self.rules.multiply(z[i,], z[j,])
                        terms.append(self.rules.multiply(each[2], both))
                found[axes] = self.total(terms)
            return found

        return in_blocks(applied, z)

    def _chained(self, z: Jet) -> list[Axes]:
        """The derivatives of a function of z that are not 0."""
        return [
            axes
            for axes in self.orders
            if axes and (axes in z or (len(axes) == 2 and all((i,) in z for i in axes)))
        ]

    def total(self, terms: Sequence[Held]) -> Held:
        """Their sum."""
        return reduce(partial(self.rules.combined, sign=1.0), terms)

    def scaled(self, x: Held, times: int) -> Held:
        """x, or 2 x, which is exact."""
        if times == 1:
            return x
        return Held(times * x.polynomials, times * x.radius, times * x.rounding, x.shape)


def _splits(axes: Axes, *, same: bool) -> Counter[tuple[Axes, Axes]]:
    """The ways to give each differentiation to one of two factors, and how often each occurs."""
    found: Counter[tuple[Axes, Axes]] = Counter()
    for bits in range(2 ** len(axes)):
        one = tuple(a for k, a in enumerate(axes) if bits >> k & 1)
        other = tuple(a for k, a in enumerate(axes) if not bits >> k & 1)
        found[(one, other) if not same else (min(one, other), max(one, other))] += 1
    return found


Jets = list[dict[Axes, Held]]
Rule = Callable[[_Jets, Node], Jets]


def _rule(node: Node) -> Rule:
    name = node.node.op_type
    if name in DERIVATIVES:
        return _function
    if name in MOVING:
        return _linear
    if name in _RULES:
        return _RULES[name]
    known = sorted({*DERIVATIVES, *_RULES} - {"SiLU"})
    raise node.refused(
        "it has a kink, and no derivative there"
        if name in _KINKS
        else f"derivatives are known of {', '.join(known)} and of what moves numbers"
    )


_OF_SHAPES = frozenset(("Shape", "Size"))
_KINKS = frozenset(("Abs", "Clip", "LeakyRelu", "Max", "Min", "PRelu", "Relu"))


def _function(jets: _Jets, node: Node) -> Jets:
    (name,) = node.node.input
    return [jets.function(DERIVATIVES[node.node.op_type], jets.jet(name))]


def _linear(jets: _Jets, node: Node) -> Jets:
    """Of its first operand, where no other one varies."""
    first, *others = node.node.input
    if any(jets.moved.get(name) for name in others):
        raise node.refused("its second operand varies")
    found: Jets = [{} for _ in node.node.output]
    for axes, part in jets.jet(first).items():
        inner = _without_bias(node) if axes else node
        values: Mapping[str, Value] = ChainMap({first: part}, jets.values) if axes else jets.values
        moved = results(Node(node.graph, inner.node, values, node.rules))
        for jet, value in zip(found, moved, strict=True):
            jet[axes] = held(value)
    return found


def _without_bias(node: Node) -> Node:
    if node.node.op_type != "Gemm":
        return node
    proto = NodeProto()
    proto.CopyFrom(node.node)
    del proto.input[2:]
    return Node(node.graph, proto, node.values, node.rules)


def _concatenated(jets: _Jets, node: Node) -> Jets:
    found = {}
    each = [jets.jet(name) for name in node.node.input]
    for axes in jets.orders:
        if any(axes in jet for jet in each):
            parts = {
                name: jet[axes] if axes in jet else constant(np.zeros(jet[()].shape))
                for name, jet in zip(node.node.input, each, strict=True)
            }
            (value,) = results(Node(node.graph, node.node, parts, node.rules))
            found[axes] = held(value)
    return [found]


def _added(jets: _Jets, node: Node) -> Jets:
    """x + y + …, and x − y."""
    sign = -1.0 if node.node.op_type == "Sub" else 1.0
    each = [jets.jet(name) for name in node.node.input]
    shape = np.broadcast_shapes(*(jet[()].shape for jet in each))
    found = {}
    for axes in jets.orders:
        terms = [
            spread_to(jet[axes] if sign > 0.0 or not k else _negated(jet[axes]), shape)
            for k, jet in enumerate(each)
            if axes in jet
        ]
        if terms:
            found[axes] = jets.total(terms)
    return [found]


def _negated(x: Held) -> Held:
    return Held(-x.polynomials, x.radius, x.rounding, x.shape)


def _multiplied(jets: _Jets, node: Node) -> Jets:
    """A product; z sigmoid(z) as one function."""
    gated = gate_of(node)
    if gated is not None:
        return [jets.function(DERIVATIVES["SiLU"], jets.jet(gated))]
    return [_product_of(jets, [jets.jet(name) for name in node.node.input])]


def _product_of(jets: _Jets, factors: Sequence[Jet]) -> dict[Axes, Held]:
    found = factors[0]
    for factor in factors[1:]:
        found = jets.product(found, factor)
    return dict(found)


def _divided(jets: _Jets, node: Node) -> Jets:
    x, y = (jets.jet(name) for name in node.node.input)
    return [_product_of(jets, [x, jets.function(DERIVATIVES["Reciprocal"], y)])]


def _raised(jets: _Jets, node: Node) -> Jets:
    exponent = exponent_of(node)
    jet = jets.jet(node.node.input[0])
    if exponent in (1.0, 2.0, 3.0, 4.0):
        return [_product_of(jets, [jet] * int(exponent))]
    return [jets.function(powers(exponent), jet)]


_RULES: Mapping[str, Rule] = {
    "Add": _added,
    "Cast": _linear,
    "Concat": _concatenated,
    "Div": _divided,
    "Gemm": _linear,
    "Identity": _linear,
    "MatMul": _linear,
    "Mul": _multiplied,
    "Neg": _linear,
    "Pow": _raised,
    "ReduceMean": _linear,
    "ReduceSum": _linear,
    "Sub": _added,
    "Sum": _added,
}
