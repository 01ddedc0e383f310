"""Flow through a medium: from the coefficient to the solution of −∇·(a ∇u) = 1 in the unit square.

Nodes are those of :mod:`hedge.problems.square_operators`. Between two nodes a is the mean of both, from a
node to the boundary its own: A(a) is a five-point matrix, whose rows take what flows to four neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.problems.operator_problem import OperatorProblem
from hedge.problems.random_sources import cosine_fields
from hedge.problems.square_operators import square_stiffness
from hedge.problems.unrolled import Calculus, Numbers, OnArrays, Rows

LOW, HIGH = 3.0, 12.0
# Of the Gaussian field whose sign decides, (−Δ + SHIFT)⁻²; the constant part is left out, as it is in the
# benchmark's data (Li et al. 2021), so that both values are as frequent.
SHIFT = 9.0
# Steps multiply the error by a third each, whatever the grid: the square root of the contrast is 2.
STEPS = 10
# Coefficients on which the steps' lengths are found, and their seed.
SETTLED_ON, SETTLED_SEED = 128, 20210
# Directions and residuals that have lost this much of their first size are rounding.
NOTHING_LEFT = 1e-12


def coefficients(side: int, count: int, seed: int) -> Array:
    """Random media (count, side²): 12 where a Gaussian field is positive, 3 elsewhere.

    >>> np.unique(coefficients(8, 4, seed=0))
    array([ 3., 12.])
    """
    waves = np.arange(side + 2)
    eigenvalues = np.pi**2 * np.add.outer(waves**2, waves**2) + SHIFT
    size = np.where(waves > 0, np.sqrt(2.0), 1.0)  # cosines of unit norm
    deviations = np.outer(size, size) / eigenvalues
    deviations[0, 0] = 0.0
    spread = np.broadcast_to(deviations, (count, *deviations.shape))
    fields = cosine_fields(spread, np.random.default_rng(seed))
    return np.where(fields >= 0.0, HIGH, LOW)


@dataclass(frozen=True)
class Stencil:
    """A(a): ``diagonal`` times a node's own value less ``beside`` times each neighbour's."""

    diagonal: Rows
    beside: tuple[Rows, ...]


@dataclass(frozen=True)
class Diffusion:
    """u -> A(a) u on ``side`` × ``side`` nodes."""

    side: int

    @property
    def neighbours(self) -> tuple[int, ...]:
        """How far off the four are among the numbers of a row."""
        return self.side, -self.side, 1, -1

    def stencil(self, calculus: Calculus, a: Rows) -> Stencil:
        """Of coefficients."""
        sides, beside = [], []
        for inner, other in zip(self._inner(), calculus.rolled(a, self.neighbours), strict=True):
            half = 0.5 * (self.side + 1) ** 2
            shared = calculus.multiply(other, half * inner)
            sides.append(calculus.add(calculus.multiply(a, half * (2.0 - inner)), shared))
            beside.append(calculus.multiply(sides[-1], inner))
        diagonal = sides[0]
        for one in sides[1:]:
            diagonal = calculus.add(diagonal, one)
        return Stencil(diagonal, tuple(beside))

    def times(self, calculus: Calculus, stencil: Stencil, u: Rows) -> Rows:
        """A(a) u."""
        product = calculus.multiply(stencil.diagonal, u)
        others = calculus.rolled(u, self.neighbours)
        for beside, other in zip(stencil.beside, others, strict=True):
            product = calculus.subtract(product, calculus.multiply(beside, other))
        return product

    def residual(self, solutions: Array, a: Array) -> Array:
        """A(a) u − 1 for every row, (count, n)."""
        arrays = OnArrays(lambda rows: rows)
        return np.asarray(self.times(arrays, self.stencil(arrays, a), solutions) - 1.0)

    def solve(self, a: Array) -> Array:
        """The solutions (count, n), each by a sparse factorisation.

        Raises InputError where a coefficient is not above zero.
        """
        if not (a > 0.0).all():
            raise InputError(
                "sources: a coefficient of darcy-operator is not above zero; give positive ones"
            )
        stencil = self.stencil(OnArrays(lambda rows: rows), a)
        return np.array([self._solved(stencil, row) for row in range(len(a))])

    def _solved(self, stencil: Stencil, row: int) -> Array:
        bands, offsets = [stencil.diagonal[row]], [0]
        for offset, beside in zip(self.neighbours, stencil.beside, strict=True):
            bands.append(-(beside[row, :-offset] if offset > 0 else beside[row, -offset:]))
            offsets.append(offset)
        matrix = sparse.diags_array(bands, offsets=offsets).tocsc()
        factors = linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        return np.asarray(factors.solve(np.ones(matrix.shape[0])))

    def _inner(self) -> list[Array]:
        """For each neighbour 1 where it is a node, 0 where the boundary lies between, (1, n)."""
        grid = np.ones((self.side, self.side))
        found = []
        for axis, last in ((0, -1), (0, 0), (1, -1), (1, 0)):
            inner = grid.copy()
            np.moveaxis(inner, axis, 0)[last] = 0.0
            found.append(inner.reshape(1, -1))
        return found


@dataclass(frozen=True)
class DarcySteps:
    """Steps d <- S (1 − A(a) u) + β d, u <- u + α d, the first from u = d = 0.

    S is the Green's function of −Δ, which A(a) is up to factors from 3 to 12: the steps are those of
    conjugate gradients preconditioned by S, with α and β the same for all coefficients. As 1 − A(a) u is
    taken anew in each step, an error of S costs convergence, not accuracy.
    """

    diffusion: Diffusion

    @property
    def vectors(self) -> int:
        """A step takes some 24, most of them in A(a) u."""
        return 24 * STEPS

    def settle(self, layer: Callable[[Array], Array]) -> Numbers:
        """β and α of each step, those that lower the energy E[½ uᵀ A(a) u − 1ᵀ u] most over random a."""
        side, arrays = self.diffusion.side, OnArrays(layer)
        a = coefficients(side, SETTLED_ON, SETTLED_SEED)
        stencil = self.diffusion.stencil(arrays, a)
        u = direction = np.zeros_like(a)
        residual, numbers = np.ones_like(a), []
        for _ in range(STEPS):
            ways = [layer(residual), direction]
            bent = [self.diffusion.times(arrays, stencil, way) for way in ways]
            alpha, along = _steepest(ways, bent, residual)
            beta = along / alpha if alpha else 0.0
            numbers.append((beta, alpha))
            direction = ways[0] + beta * direction
            u = u + alpha * direction
            residual = 1.0 - self.diffusion.times(arrays, stencil, u)
        return tuple(numbers)

    def __call__(self, calculus: Calculus, sources: Rows, numbers: Numbers) -> Rows:
        """The solutions for coefficients; the first step is the same for all."""
        diffusion, ones = self.diffusion, np.ones((1, self.diffusion.side**2))
        stencil = diffusion.stencil(calculus, sources)
        (_, length), *others = numbers
        direction = calculus.layer(ones)
        u = calculus.multiply(direction, length)
        for beta, alpha in others:
            residual = calculus.subtract(ones, diffusion.times(calculus, stencil, u))
            forward = calculus.layer(
                residual
            )  # without a factor, which would make it another matrix
            direction = calculus.add(forward, calculus.multiply(direction, beta))
            u = calculus.add(u, calculus.multiply(direction, alpha))
        return u


def darcy_operator(sensors: int) -> OperatorProblem:
    """−∇·(a ∇u) = 1 in the unit square, u = 0 on its boundary: from a to u, A(a) u = 1.

    a is 12 or 3, by the sign of a Gaussian field with the covariance (−Δ + 9)⁻² and cosine modes (Li et al.
    2021). The trained layer is the Green's function G of −Δ; ten steps that share it leave some 1e-5. The
    reference factorizes A(a). sensors is m², for a grid of m × m nodes.

    Raises InputError for other numbers, and for m not in 2 … 128.

    >>> darcy = darcy_operator(9)
    >>> darcy.reference(np.full((1, 9), 2.0)).reshape(3, 3).round(4)
    array([[0.0215, 0.0273, 0.0215],
           [0.0273, 0.0352, 0.0273],
           [0.0215, 0.0273, 0.0215]])
    """
    stiffness = square_stiffness("darcy-operator", sensors)
    diffusion = Diffusion(stiffness.side)
    return OperatorProblem(
        name="darcy-operator",
        title="-∇·(a ∇u) = 1 in the unit square, coefficient a to solution",
        layer=stiffness,
        solver=diffusion.solve,
        residual=diffusion.residual,
        unrolled=DarcySteps(diffusion),
        inputs=lambda count, seed: coefficients(stiffness.side, count, seed),
    )


def _steepest(ways: list[Array], bent: list[Array], residual: Array) -> tuple[float, ...]:
    """How far to go along each way, A of which is ``bent``, for the least energy."""
    curvature = np.array([[np.sum(way * other) for other in bent] for way in ways])
    slope = np.array([np.sum(way * residual) for way in ways])
    scale = np.sqrt(np.maximum(np.diag(curvature), np.finfo(np.float64).tiny))
    scaled = curvature / np.outer(scale, scale)
    found = np.linalg.lstsq(scaled, slope / scale, rcond=NOTHING_LEFT)[0] / scale
    return tuple(map(float, found))
