"""The optimum is the optimum: brute force over all prunings, and every rival it must not lose to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hedge.errors import InputError
from hedge.hmatrix import (
    Cluster,
    Cost,
    HMatrix,
    StorageCost,
    build,
    by_similarity,
    cheapest,
    in_given_order,
    most_accurate,
    truncated_svd,
    weak,
)
from hedge.hmatrix.pruning import Options, best_pruning
from hedge.paper import (
    PaperEnergy,
    adaptive,
    adaptive_partition,
    energy_efficient,
    total_energy,
)
from tests.hmatrix.gallery import (
    GALLERY,
    Array,
    badly_scaled,
    coverage,
    exact_rank,
    kinked,
    noise,
    oscillatory,
    separate_parts,
    smooth,
)

Point = tuple[float, float]  # cost, squared error


def blocks_of(rows: Cluster, columns: Cluster) -> list[tuple[Cluster, Cluster]]:
    if not rows.children and not columns.children:
        return []
    return list(product(rows.children or [rows], columns.children or [columns]))


def leaf_points(block: Array, energy: PaperEnergy | None) -> list[Point]:
    """Cost and squared error of a leaf at every rank, and dense; from the definitions."""
    m, n = block.shape
    values = np.linalg.svd(block, compute_uv=False)
    ranks = range(min(m, n) + 1)
    points = [
        (
            float(k * (m + n)) if energy is None else energy.alpha * k**2 + energy.beta,
            float(np.sum(values[k:] ** 2)),
        )
        for k in ranks
    ]
    dense = float(m * n) if energy is None else energy.alpha * min(m, n) ** 2 + energy.beta
    return [*points, (dense, 0.0)]


def all_prunings(
    matrix: Array, rows: Cluster, columns: Cluster, energy: PaperEnergy | None
) -> Array:
    """(prunings, 2): cost and squared error of every pruning with every rank in every leaf."""
    own = leaf_points(matrix[rows.start : rows.stop, columns.start : columns.stop], energy)
    points = np.array(own)
    parts = blocks_of(rows, columns)
    if parts:
        sums = np.zeros((1, 2))
        for part in parts:
            below = all_prunings(matrix, *part, energy)
            sums = (sums[:, None] + below).reshape(-1, 2)
        points = np.concatenate((points, sums))
    return points


ENERGY = PaperEnergy(alpha=0.3, beta=1.1)
small = st.sampled_from([((4, 4), 2), ((6, 5), 3), ((8, 8), 4), ((3, 7), 2), ((2, 8), 2)])


@settings(max_examples=60)
@given(
    case=small,
    kind=st.sampled_from(["integers", "small integers", "noise", "kinked", "zero"]),
    energy=st.sampled_from([None, ENERGY, PaperEnergy(alpha=2.0, beta=0.01)]),
    share=st.floats(0.0, 1.2),
    seed=st.integers(0, 10**6),
)
def test_the_optimum_is_that_of_brute_force(
    case: tuple[tuple[int, int], int],
    kind: str,
    energy: PaperEnergy | None,
    share: float,
    seed: int,
) -> None:
    (m, n), leaf_size = case
    rng = np.random.default_rng(seed)
    matrix: Array = {
        "integers": rng.integers(-9, 10, (m, n)).astype(float),
        "small integers": rng.integers(0, 2, (m, n)).astype(float),
        "noise": noise(m, n, seed),
        "kinked": kinked(m, n),
        "zero": np.zeros((m, n)),
    }[kind]
    rows, columns = in_given_order(m, leaf_size), in_given_order(n, leaf_size)
    points = all_prunings(matrix, rows.root, columns.root, energy)
    norm = float(np.linalg.norm(matrix))
    cost: Cost = StorageCost() if energy is None else energy

    # limits between the points: on one of them rounding decides
    tolerance = max(share, 1e-6)
    limit = (tolerance * norm) ** 2
    if (abs(points[:, 1] - limit) > 1e-9 * (limit + 1e-300)).all() or norm == 0.0:
        best = cheapest(matrix, tolerance=tolerance, cost=cost, leaf_size=leaf_size)
        fits = points[:, 1] <= limit + 1e-24 * norm**2
        assert best.exact
        assert best.cost == pytest.approx(points[fits, 0].min(), rel=1e-9)
        assert best.lower_bound <= best.cost
        assert best.error <= tolerance * norm * (1 + 1e-9)
        check(matrix, best.matrix, best.error, best.cost, energy)

    budget = share * points[:, 0].max()
    allowed = points[points[:, 0] <= budget, 1]
    if budget > 0 and len(allowed) and (abs(points[:, 0] - budget) > 1e-9 * budget).all():
        best = most_accurate(matrix, budget=budget, cost=cost, leaf_size=leaf_size)
        assert best.exact
        assert best.cost <= budget
        assert best.error**2 == pytest.approx(allowed.min(), rel=1e-7, abs=1e-20 * norm**2)
        assert best.lower_bound <= best.error**2 * (1 + 1e-9)
        check(matrix, best.matrix, best.error, best.cost, energy)


def check(matrix: Array, h: HMatrix, error: float, cost: float, energy: PaperEnergy | None) -> None:
    """What is reported is what is there."""
    norm = float(np.linalg.norm(matrix))
    np.testing.assert_array_equal(coverage(h), 1)
    assert np.linalg.norm(matrix - h.to_dense()) == pytest.approx(error, rel=1e-6, abs=1e-13 * norm)
    found = h.numbers if energy is None else total_energy(h, energy)
    assert found == pytest.approx(cost, rel=1e-12)
    for leaf in h.leaves:
        assert bool(leaf.reason) == leaf.is_dense


def test_a_budget_on_a_point_pays_for_it() -> None:
    matrix = np.array([[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4])
    for budget, error in ((3, math.sqrt(5)), (4, 0.0), (7.99, 0.0)):
        best = most_accurate(matrix, budget=budget, leaf_size=2)  # the first quadrant, dense
        assert best.error == pytest.approx(error)
        assert best.cost in (0, 4)
        assert best.exact
    one = most_accurate(matrix, budget=4, leaf_size=4)
    assert one.error == pytest.approx(math.sqrt(5))
    two = cheapest(matrix, tolerance=1e-9, leaf_size=2)
    assert (two.cost, two.error, two.lower_bound) == (4, 0.0, 4)


# Trees of options without any matrix behind them.


def random_options(rng: np.random.Generator, nodes: int, most_children: int) -> Options:
    first_child, children, options = [], [], []
    total = 1
    while len(children) < total:
        own = int(rng.integers(0, most_children + 1)) if total < nodes else 0
        first_child.append(total)
        children.append(own)
        options.append(int(rng.integers(0 if own else 1, 4)))
        total += own
    count = sum(options)

    def amounts() -> Array:
        kind = rng.integers(5)
        if kind == 0:
            return rng.integers(0, 5, count).astype(float)  # ties, zeros
        if kind == 1:
            return rng.random(count)
        if kind == 2:
            return 10.0 ** rng.uniform(-16, 0, count)
        if kind == 3:
            return np.where(rng.random(count) < 0.4, 0.0, 10.0 ** rng.uniform(-30, 8, count))
        return np.full(count, 100.0) * rng.integers(1, 3, count)

    return Options(
        np.concatenate(([0], np.cumsum(options))),
        np.array(first_child),
        np.array(children),
        amounts(),
        amounts(),
    )


def selections(options: Options, node: int) -> Iterator[list[int]]:
    """The options taken by every pruning below a node."""
    for i in range(options.first_option[node], options.first_option[node + 1]):
        yield [int(i)]
    if options.children[node]:
        first = options.first_child[node]
        below = [
            list(selections(options, child))
            for child in range(first, first + options.children[node])
        ]
        for chosen in product(*below):
            yield [i for part in chosen for i in part]


def judge(options: Options, limit: float, points: list[Point]) -> None:
    """best_pruning against all (objective, limited) there are."""
    fits = [objective for objective, limited in points if limited <= limit]
    found = best_pruning(options, limit)
    if not fits:
        assert found is None
        return
    assert found is not None
    assert found.limited <= limit * (1 + 1e-11)
    assert found.objective == pytest.approx(min(fits), rel=1e-9, abs=0.0)
    assert found.exact
    assert found.lower_bound <= min(fits) * (1 + 1e-9)
    assert options.objective[found.chosen].sum() == pytest.approx(found.objective, rel=1e-12)
    assert options.limited[found.chosen].sum() == pytest.approx(found.limited, rel=1e-12)


def gaps(points: list[Point]) -> list[float]:
    """Limits, each well between two amounts that can be limited, and one below all."""
    amounts = sorted({limited for _, limited in points})
    between = [math.sqrt(a * b) if a else b / 2 for a, b in pairwise(amounts) if b > a * (1 + 1e-9)]
    return [*between, amounts[-1] * 2, *([amounts[0] / 2] if amounts[0] else [0.0])]


@settings(max_examples=150)
@given(nodes=st.integers(1, 8), seed=st.integers(0, 10**9))
def test_the_best_pruning_of_any_tree_is_that_of_brute_force(nodes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    options = random_options(rng, nodes, 3)
    points = [
        (float(options.objective[i].sum()), float(options.limited[i].sum()))
        for i in map(np.array, selections(options, 0))
    ]
    limits = gaps(points)
    for limit in rng.choice(limits, min(len(limits), 4), replace=False):
        judge(options, float(limit), points)


def front(options: Options, node: int) -> list[Point]:
    """All undominated points: what brute force leaves on trees too large to list all prunings."""
    first, last = options.first_option[node], options.first_option[node + 1]
    points = list(zip(options.objective[first:last], options.limited[first:last], strict=True))
    if options.children[node]:
        sums: list[Point] = [(0.0, 0.0)]
        start = options.first_child[node]
        for child in range(start, start + options.children[node]):
            below = front(options, child)
            sums = undominated([(a + c, b + d) for a, b in sums for c, d in below])
        points += sums
    return undominated(points)


def undominated(points: list[Point]) -> list[Point]:
    kept: list[Point] = []
    for point in sorted(set(points)):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept


@settings(max_examples=60)
@given(nodes=st.integers(10, 60), seed=st.integers(0, 10**9))
def test_the_best_pruning_of_larger_trees(nodes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    options = random_options(rng, nodes, 4)
    points = [(float(a), float(b)) for a, b in front(options, 0)]
    limits = gaps(points)
    for limit in rng.choice(limits, min(len(limits), 3), replace=False):
        judge(options, float(limit), points)


@pytest.mark.parametrize("near", [0.01, 0.3])
def test_a_pruning_near_the_least_is_taken_where_that_is_asked(near: float) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        options = random_options(rng, 60, 4)
        limit = float(np.median(gaps([(float(a), float(b)) for a, b in front(options, 0)])))
        best, found = best_pruning(options, limit), best_pruning(options, limit, near=near)
        assert best is not None
        assert found is not None
        assert found.lower_bound <= best.objective * (1 + 1e-9)
        assert best.objective <= found.objective * (1 + 1e-9)
        assert found.objective <= best.objective * (1 + near)
        assert found.limited <= limit * (1 + 1e-9)


def options_of_one(objective: list[float], limited: list[float]) -> Options:
    return Options(
        np.array([0, len(objective)]),
        np.array([1]),
        np.array([0]),
        np.array(objective),
        np.array(limited),
    )


def test_a_limit_that_nothing_keeps_gives_none() -> None:
    options = options_of_one([1.0, 2.0], [3.0, 2.0])
    assert best_pruning(options, 1.9) is None
    assert best_pruning(options, 0.0) is None
    found = best_pruning(options, 2.0)
    assert found is not None
    assert found.chosen.tolist() == [1]


def test_ties_in_the_objective_take_the_one_that_fits() -> None:
    for limited in ([5.0, 0.0, 3.0], [5.0, 3.0, 0.0]):
        found = best_pruning(options_of_one([2.0, 2.0, 2.0], limited), 1.0)
        assert found is not None
        assert found.limited == 0.0
        assert (found.objective, found.lower_bound, found.exact) == (2.0, 2.0, True)
    zero = best_pruning(options_of_one([0.0, 0.0], [1.0, 0.0]), 0.0)
    assert zero is not None
    assert zero.chosen.tolist() == [1]


def test_the_optimum_off_the_hull_is_found() -> None:
    # (0, 10), (6, 5), (10, 0): the middle one is above the line between its neighbours
    found = best_pruning(options_of_one([0.0, 6.0, 10.0], [10.0, 5.0, 0.0]), 7.0)
    assert found is not None
    assert (found.objective, found.exact) == (6.0, True)


# Rivals: whatever they reach, the optimum reaches for no more.


def matrices() -> st.SearchStrategy[Array]:
    def make(kind: str, seed: int) -> Array:
        rng = np.random.default_rng(seed)
        points = np.sort(rng.random(32))[:, None]
        made: dict[str, NDArray[Any]] = {
            "noise": noise(32, 32, seed),
            "integers": rng.integers(-3, 4, (32, 32)).astype(float),
            "kernel": np.exp(-rng.uniform(1, 40) * abs(points - points.T)),
            "smooth": smooth(32, 32) + 0.01 * noise(32, 32, seed),
            "oscillatory": oscillatory(32, 32),
            "exact rank": exact_rank(32, 32, 4, seed),
            "parts": separate_parts(32, 32),
            "scaled": badly_scaled(32, 32),
            "graded": noise(32, 32, seed) * np.outer(0.8 ** np.arange(32), 0.8 ** np.arange(32)),
        }
        return made[kind]

    kinds = ["noise", "integers", "kernel", "smooth", "oscillatory", "exact rank", "parts", "scaled",
             "graded"]  # fmt: skip
    return st.builds(make, st.sampled_from(kinds), st.integers(0, 10**6))


def never_worse(matrix: Array, rival: HMatrix, cost: Cost, rivals_cost: float) -> None:
    tree = in_given_order(32, 4)
    norm = float(np.linalg.norm(matrix))
    error = float(np.linalg.norm(matrix - rival.to_dense()))
    best = cheapest(
        matrix, tolerance=error / norm * (1 + 1e-9) + 1e-13, cost=cost, rows=tree, columns=tree
    )
    assert best.cost <= rivals_cost * (1 + 1e-9)
    assert best.lower_bound <= best.cost
    back = most_accurate(matrix, budget=rivals_cost * (1 + 1e-9), cost=cost, rows=tree)
    assert back.error <= error * (1 + 1e-9) + 1e-13 * norm


@settings(max_examples=12)
@given(
    matrix=matrices(),
    relative=st.floats(0.001, 0.8),
    rank=st.integers(1, 5),
    beta=st.floats(0.1, 30.0),
)
def test_no_algorithm_of_the_paper_beats_the_optimum(
    matrix: Array, relative: float, rank: int, beta: float
) -> None:
    tree = in_given_order(32, 4)
    energy = PaperEnergy(alpha=1.0, beta=beta)
    target = relative * float(np.linalg.norm(matrix))
    for rival in (
        adaptive(matrix, tolerance=target / 4, rank=rank, rows=tree),
        adaptive_partition(matrix, target=target, energy=energy, rows=tree),
        energy_efficient(matrix, target=target, energy=energy, rows=tree, blocks=4),
    ):
        never_worse(matrix, rival, energy, total_energy(rival, energy))
        if rival.numbers:
            never_worse(matrix, rival, StorageCost(), rival.numbers)


@settings(max_examples=12)
@given(matrix=matrices(), relative=st.floats(0.001, 0.8), rank=st.integers(1, 12))
def test_neither_hodlr_nor_one_svd_nor_construction_beats_it(
    matrix: Array, relative: float, rank: int
) -> None:
    tree = in_given_order(32, 4)
    hodlr = build(
        matrix, tolerance=relative, rows=tree, admissible=weak, compressor=truncated_svd,
        coarsen=False,
    )  # fmt: skip
    u, s, vt = np.linalg.svd(matrix)
    single = adaptive(matrix, tolerance=1e9 * s[0], rank=rank, leaf_size=64)
    np.testing.assert_allclose(
        single.to_dense(), (u[:, :rank] * s[:rank]) @ vt[:rank], atol=1e-9 * s[0]
    )
    assert single.numbers == 64 * rank
    for rival in (hodlr, single, build(matrix, tolerance=relative, rows=tree)):
        if rival.numbers:
            never_worse(matrix, rival, StorageCost(), rival.numbers)


@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.parametrize("tolerance", [0.3, 1e-3, 1e-9])
def test_the_optimum_is_proven_and_kept_on_the_whole_gallery(name: str, tolerance: float) -> None:
    matrix = GALLERY[name]
    norm = float(np.linalg.norm(matrix))
    rows, columns = by_similarity(matrix, 9), by_similarity(matrix.T, 9)
    best = cheapest(matrix, tolerance=tolerance, rows=rows, columns=columns)
    assert best.exact
    assert best.lower_bound == best.cost <= matrix.size
    assert np.linalg.norm(matrix - best.matrix.to_dense()) <= tolerance * norm * (1 + 1e-6)
    check(matrix, best.matrix, best.error, best.cost, None)
    if best.cost:
        back = most_accurate(matrix, budget=best.cost, rows=rows, columns=columns)
        assert back.exact
        assert back.error <= best.error * (1 + 1e-9)
        check(matrix, back.matrix, back.error, back.cost, None)


def test_more_error_or_more_budget_never_costs() -> None:
    matrix = kinked(40, 40) + 0.01 * noise(40, 40)
    costs = [cheapest(matrix, tolerance=t, leaf_size=5).cost for t in np.geomspace(1e-4, 1, 12)]
    assert costs == sorted(costs, reverse=True)
    errors = [most_accurate(matrix, budget=b, leaf_size=5).error for b in range(80, 1700, 130)]
    assert errors == sorted(errors, reverse=True)
    assert cheapest(matrix, tolerance=1.0, leaf_size=5).cost == 0.0


def test_one_tree_leaves_the_other_side_to_the_leaf_size() -> None:
    matrix = kinked(37, 91)
    one = cheapest(matrix, tolerance=0.01, rows=in_given_order(37, 5), leaf_size=5)
    other = cheapest(matrix, tolerance=0.01, columns=in_given_order(91, 5), leaf_size=5)
    both = cheapest(matrix, tolerance=0.01, leaf_size=5)
    assert one.cost == other.cost == both.cost


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"tolerance": 0.1, "leaf_size": 0}, "leaf_size"),
        ({"tolerance": 0.1, "rows": in_given_order(3)}, "rows: the cluster tree has 3"),
        ({"tolerance": 0.1, "matrix": np.zeros((0, 2))}, "not empty"),
        ({"tolerance": 0.1, "matrix": [[np.inf]]}, "NaN or Inf"),
        ({"tolerance": 0.1, "matrix": [[1j]]}, "complex"),
        ({"budget": 0.0}, "budget"),
        ({"budget": -3}, "budget"),
        ({"budget": 0.5, "cost": PaperEnergy(alpha=1.0, beta=1.0)}, "budget: 0.5 pays for no"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    function = most_accurate if "budget" in options else cheapest
    with pytest.raises(InputError, match=message) as caught:
        function(**{"matrix": np.eye(4), **options})  # type: ignore[operator]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, math.nan)])
def test_the_coefficients_of_the_energy_are_positive(alpha: float, beta: float) -> None:
    with pytest.raises(InputError, match=r"alpha|beta"):
        PaperEnergy(alpha=alpha, beta=beta)


def test_costs_follow_their_formulas() -> None:
    ranks = np.array([0.0, 1.0, 3.0])
    np.testing.assert_array_equal(StorageCost().low_rank(5, 7, ranks), [0, 12, 36])
    assert StorageCost().dense(5, 7) == 35
    energy = PaperEnergy(alpha=0.5, beta=2.0)
    np.testing.assert_array_equal(energy.low_rank(5, 7, ranks), [2.0, 2.5, 6.5])
    assert energy.dense(5, 7) == 14.5


@pytest.mark.parametrize("tolerance", [1e-100, 1e-155, 1e-162, 1e-200])
def test_a_tolerance_below_rounding_asks_for_all_of_the_matrix(tolerance: float) -> None:
    a = np.random.default_rng(0).standard_normal((8, 8))
    best = cheapest(a, tolerance=tolerance, leaf_size=2)
    assert best.exact
    assert best.cost == 64
    np.testing.assert_allclose(best.matrix.to_dense(), a, atol=1e-12)
