"""Tensors of a graph under construction as numbers: a problem's lines, read as nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hedge.graph.builder import GraphBuilder


@dataclass(frozen=True)
class Expression:
    """A tensor of a graph under construction; arithmetic on it adds nodes."""

    name: str
    functions: Functions

    def __neg__(self) -> Expression:
        return self.functions.of("Neg", self)

    def __add__(self, other: Expression | float) -> Expression:
        return self.functions.of("Add", self, other)

    def __sub__(self, other: Expression | float) -> Expression:
        return self.functions.of("Sub", self, other)

    def __rsub__(self, other: float) -> Expression:
        return self.functions.of("Sub", other, self)

    def __mul__(self, other: Expression | float) -> Expression:
        return self.functions.of("Mul", self, other)

    def __truediv__(self, other: Expression | float) -> Expression:
        return self.functions.of("Div", self, other)

    def __rtruediv__(self, other: float) -> Expression:
        return self.functions.of("Div", other, self)

    __radd__ = __add__
    __rmul__ = __mul__


@dataclass(frozen=True)
class Functions:
    """The functions of a problem on tensors of a graph: a :class:`hedge.problems.Math`."""

    graph: GraphBuilder

    def sin(self, x: Expression) -> Expression:
        """sin x."""
        return self.of("Sin", x)

    def cos(self, x: Expression) -> Expression:
        """cos x."""
        return self.of("Cos", x)

    def exp(self, x: Expression) -> Expression:
        """eˣ."""
        return self.of("Exp", x)

    def log(self, x: Expression) -> Expression:
        """Natural logarithm."""
        return self.of("Log", x)

    def arctan(self, x: Expression) -> Expression:
        """Inverse of tan, within ±π/2."""
        return self.of("Atan", x)

    def sqrt(self, x: Expression) -> Expression:
        """Square root."""
        return self.of("Sqrt", x)

    def of(self, op: str, *operands: Expression | float) -> Expression:
        """What a node makes of expressions and numbers."""
        # (1, 1), for onnxruntime walks through columns one by one where the other operand has fewer axes.
        names = [
            o.name if isinstance(o, Expression) else np.full((1, 1), float(o)) for o in operands
        ]
        return Expression(self.graph.add(op, *names), self)
