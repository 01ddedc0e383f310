"""The checker of certificates: what is true passes, what was altered does not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper
from pydantic import ValidationError

from hedge.certifying.certificate import Difference
from hedge.certifying.checking import check_difference
from hedge.certifying.checking.derivatives import DERIVATIVES, powers
from hedge.certifying.checking.frame import MOST_BOXES, SINGLE, shares_of
from hedge.certifying.checking.functions import FLOAT32
from hedge.certifying.checking.graphs import graph_of, outputs
from hedge.certifying.checking.operators import MOVING, OPERATORS
from hedge.certifying.checking.polynomials import Basis
from hedge.certifying.checking.proving import points_of
from hedge.certifying.checking.rules import Rules
from hedge.certifying.checking.tiling import check_tiling
from hedge.certifying.network import covered
from hedge.errors import InputError
from hedge.graph import Evaluator, GraphBuilder, run_float32
from hedge.ops import OPS
from tests.architectures import fourier, modified_mlp, plain, two_inputs, with_slopes
from tests.certifying.made import certified, line, perturbed, tour
from tests.conftest import make_model

SQUARE = ((-1.0, 1.0), (-1.0, 1.0))
NETWORKS: dict[str, Callable[[], ModelProto]] = {
    "Tanh": lambda: plain("Tanh"),
    "SiLU": lambda: plain("SiLU"),
    "GELU": lambda: plain("GELU"),
    "Softplus": lambda: plain("Softplus"),
    "Sin": lambda: plain("Sin"),
    "Relu": lambda: plain("Relu"),
    "slopes per neuron": with_slopes,
    "modified": modified_mlp,
    "fourier": fourier,
    "two inputs": two_inputs,
    "tour": tour,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_true_certificate_passes(name: str) -> None:
    dense = NETWORKS[name]()
    small = perturbed(dense)
    certificate = certified(small, dense, *SQUARE)
    assert len(certificate.boxes.levels) > 3
    told: list[str] = []
    check_difference(certificate, small, dense, told.append)
    count = len(certificate.boxes.levels)
    assert told[-1] == f"checking difference: {count} of {count} boxes hold"


# ------------------------------------------------------------------------------------------------ altered

DENSE = line()
SMALL = perturbed(DENSE, share=0.3)
Altered = tuple[dict[str, Any], ModelProto, ModelProto]


@pytest.fixture(scope="module")
def true() -> Difference:
    certificate = certified(SMALL, DENSE, (-3.0, 4.0))
    check_difference(certificate, SMALL, DENSE)
    return certificate


def _weight(rng: np.random.Generator, model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    tensor = copy.graph.initializer[rng.integers(len(copy.graph.initializer))]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[rng.integers(values.size)] += rng.choice([-1.0, 1.0]) * rng.uniform(1.5, 4.0)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return copy


def _in_small(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    return d, _weight(rng, SMALL), DENSE


def _in_dense(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    return d, SMALL, _weight(rng, DENSE)


def _bound(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    name, factor = [("largest", 0.3), ("square", 0.3), ("dense_square", 1.5)][rng.integers(3)]
    row = d["boxes"][name][rng.integers(len(d["boxes"][name]))]
    row[0] = row[0] * factor + (1e-3 if factor > 1.0 else 0.0)
    return d, SMALL, DENSE


def _claim(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    d["claims"][0][str(rng.choice(["largest", "relative_l2"]))] *= 1.0 - rng.uniform(1e-9, 1.0)
    return d, SMALL, DENSE


def _moved(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    places, levels = d["boxes"]["places"], d["boxes"]["levels"]
    box = rng.integers(len(places))
    places[box][0] = (places[box][0] + int(rng.integers(1, 2 ** levels[box][0]))) % 2 ** levels[
        box
    ][0]
    return d, SMALL, DENSE


def _removed(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    box = rng.integers(len(d["boxes"]["levels"]))
    for table in d["boxes"].values():
        del table[box]
    return d, SMALL, DENSE


def _duplicated(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    box, place = rng.integers(len(d["boxes"]["levels"]), size=2)
    for table in d["boxes"].values():
        table.insert(place, list(table[box]))
    return d, SMALL, DENSE


def _level(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    levels = d["boxes"]["levels"][rng.integers(len(d["boxes"]["levels"]))]
    levels[0] += int(rng.choice([-1, 1, 2]))
    return d, SMALL, DENSE


def _assumed(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    if rng.integers(2):
        d["unit"] *= rng.uniform(0.0, 0.99)
    else:
        d["errors"]["Tanh"] = [FLOAT32["Tanh"][0] * rng.uniform(0.0, 0.99), 5e-7]
    return d, SMALL, DENSE


def _widened(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    d["domain"][0][rng.integers(2)] += rng.choice([-1.0, 1.0]) * rng.uniform(0.2, 0.9)
    return d, SMALL, DENSE


def _order(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    d["order"] = int(rng.choice([-3, 0, 13, 99]))
    return d, SMALL, DENSE


def _nothing(rng: np.random.Generator, d: dict[str, Any]) -> Altered:
    d["errors"] = {}
    return d, SMALL, DENSE


ALTERATIONS = (
    _in_small, _in_dense, _bound, _claim, _moved, _removed, _duplicated, _level, _assumed, _widened,
    _order, _nothing,
)  # fmt: skip


@pytest.mark.parametrize("alteration", ALTERATIONS, ids=lambda each: each.__name__)
def test_an_altered_certificate_is_refused(
    true: Difference, alteration: Callable[[np.random.Generator, dict[str, Any]], Altered]
) -> None:
    """21 of each kind, 252 in all. No digest is there to help."""
    passed = []
    for seed in range(21):
        document, small, dense = alteration(
            np.random.default_rng(seed), true.model_dump(mode="json")
        )
        try:
            altered = Difference.model_validate(document)
            check_difference(altered, small, dense)
        except (InputError, ValidationError):
            continue
        passed.append(seed)
    assert not passed


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"order": 0}, "order: 0 can't be checked in 1 variable"),
        ({"order": 40}, "order: 40 can't"),
        ({"unit": float("nan")}, "unit: nan is not"),
        ({"errors": {"Tanh": (float("nan"), 1.0)}}, "errors: Tanh is assumed closer than"),
        ({"domain": [(-1.0, 2.0), (0.0, 1.0)]}, "domain: has 2 variable"),
        ({"domain": [(2.0, -1.0)]}, "domain: variable 0 has no width"),
    ],
)
def test_what_the_format_would_refuse_is_refused_here_too(
    true: Difference, update: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        check_difference(true.model_copy(update=update), SMALL, DENSE)


def test_a_refusal_names_the_box_and_its_ranges(true: Difference) -> None:
    document = true.model_dump(mode="json")
    document["boxes"]["largest"][3][0] *= 0.3
    level, place = document["boxes"]["levels"][3][0], document["boxes"]["places"][3][0]
    where = f"box 3 ({place}/{2**level} to {place + 1}/{2**level} of variable 0): largest of column 'u0'"
    with pytest.raises(InputError, match=re.escape(where)):
        check_difference(Difference.model_validate(document), SMALL, DENSE)


def test_bounds_that_are_true_are_accepted(true: Difference) -> None:
    """What only the digest tells from what the search wrote: looser bounds, boxes in another order."""
    document = true.model_dump(mode="json")
    for table in document["boxes"].values():
        table.reverse()
    document["boxes"]["largest"][0][0] *= 1.001
    document["claims"][0] |= {"largest": 10.0, "relative_l2": 10.0}
    check_difference(Difference.model_validate(document), SMALL, DENSE)


def test_more_boxes_than_sums_are_sure_of_are_refused() -> None:
    with pytest.raises(InputError, match="boxes: are 4194304, of which sums"):
        shares_of(np.zeros((MOST_BOXES, 1), dtype=np.int64))


# ------------------------------------------------------------------------------------------------- tiling

GRID = 8


@st.composite
def covers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Halvings of the square, of which some box is then changed or not."""
    boxes = [((0, 0), (0, 0))]
    for _ in range(draw(st.integers(0, 8))):
        (levels, places) = boxes.pop(draw(st.integers(0, len(boxes) - 1)))
        v = draw(st.integers(0, 1))
        if levels[v] == 3:
            boxes.append((levels, places))
            continue
        finer = tuple(level + (w == v) for w, level in enumerate(levels))
        for half in (0, 1):
            boxes.append(
                (finer, tuple(p * 2 + half if w == v else p for w, p in enumerate(places)))
            )
    order = draw(st.permutations(range(len(boxes))))
    levels, places = (np.array([boxes[i][k] for i in order]) for k in (0, 1))
    for _ in range(draw(st.integers(0, 2))):
        box, v = draw(st.integers(0, len(levels) - 1)), draw(st.integers(0, 1))
        table = draw(st.sampled_from([levels, places]))
        table[box, v] = draw(st.integers(0, 3))
    return levels, places


def _tiles(levels: np.ndarray, places: np.ndarray) -> bool:
    """Whether each cell of a grid is covered once."""
    if (places >= 2**levels).any():
        return False
    counts = np.zeros((GRID, GRID), dtype=int)
    for (l0, l1), (p0, p1) in zip(levels, places, strict=True):
        w, h = GRID >> l0, GRID >> l1
        counts[p0 * w : (p0 + 1) * w, p1 * h : (p1 + 1) * h] += 1
    return bool((counts == 1).all())


@settings(max_examples=120, deadline=None)
@given(covers())
def test_tilings_are_those_that_cover_each_cell_once(cover: tuple[np.ndarray, np.ndarray]) -> None:
    try:
        check_tiling(*cover)
        accepted = True
    except InputError:
        accepted = False
    assert accepted == _tiles(*cover)


@pytest.mark.parametrize(
    ("levels", "places", "message"),
    [
        ([[1], [2]], [[0], [2]], "boxes: none covers 3/4 to 4/4 of variable 0"),
        ([[1], [1], [1]], [[0], [1], [1]], "boxes 1 and 2: overlap"),
        ([[0], [1]], [[0], [1]], "boxes 0 and 1: overlap"),
        ([[1], [1]], [[0], [2]], "box 1: lies outside"),
        ([[60], [1]], [[0], [1]], "box 0: lies outside"),
    ],
)
def test_a_hole_or_an_overlap_is_named(levels: Any, places: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        check_tiling(np.array(levels), np.array(places))


# -------------------------------------------------------------------------------------------- enclosures


def _values(basis: Basis, polynomials: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Of polynomials (K, m) at points (n, d)."""
    powers = (s[:, None, :] ** np.array(basis.exponents)[None]).prod(axis=2)
    return powers @ polynomials


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("level", [0, 2, 6])
def test_no_value_lies_outside(name: str, level: int) -> None:
    """In float64 as a function of real numbers, and in float32 as deployed."""
    model = NETWORKS[name]()
    rng = np.random.default_rng(level)
    levels = np.full((6, 2), level)
    places = rng.integers(0, 2**level, (6, 2))
    basis = Basis(2, 6)
    errors = {op: op_of.error32 for op, op_of in OPS.items()}
    with np.errstate(all="ignore"):
        points = points_of(basis, np.array(SQUARE), levels, places)
        found = outputs(graph_of(model, "it"), Rules(basis, SINGLE, errors), points)
    evaluate = Evaluator(model)
    for box in range(6):
        centre, half = points.polynomials[0, :, box], 2.0**-level
        x = (centre + half * rng.uniform(-1, 1, (200, 2))).astype(np.float32)
        x = np.clip(x, (centre - half).astype(np.float32), (centre + half).astype(np.float32))
        exact = evaluate(x.astype(np.float64))
        inside = _values(basis, found.polynomials[:, :, box], (x - centre) / half)
        off = np.abs(exact - inside)
        known = np.isfinite(found.radius[:, box])
        assert (off <= found.radius[:, box] + 1e-14 * (1.0 + np.abs(exact)))[:, known].all()
        assert (np.abs(run_float32(model, x) - exact) <= found.rounding[:, box] + 1e-14).all()
        assert known.all() or level == 0
    if level == 6 and name != "Relu":
        assert np.median(found.radius) < 1e-3


# f by mpmath, and where its derivatives are looked at
REFERENCES: dict[str, tuple[Callable[[Any], Any], tuple[float, float]]] = {
    "Cos": (mpmath.cos, (-9.0, 9.0)),
    "Erf": (mpmath.erf, (-5.0, 5.0)),
    "Exp": (mpmath.exp, (-9.0, 9.0)),
    "Log": (mpmath.log, (0.1, 9.0)),
    "Reciprocal": (lambda x: 1 / x, (-9.0, -0.1)),
    "SiLU": (lambda x: x / (1 + mpmath.exp(-x)), (-20.0, 20.0)),
    "Sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), (-20.0, 20.0)),
    "Sin": (mpmath.sin, (-9.0, 9.0)),
    "Softplus": (lambda x: mpmath.log(1 + mpmath.exp(x)), (-20.0, 20.0)),
    "Sqrt": (mpmath.sqrt, (0.1, 9.0)),
    "Tanh": (mpmath.tanh, (-9.0, 9.0)),
    "power": (lambda x: x ** mpmath.mpf(-1.7), (0.1, 9.0)),
}
CHECKED = {**DERIVATIVES, "power": powers(-1.7)}


@pytest.mark.parametrize("name", CHECKED)
def test_no_derivative_is_steeper_than_its_bound(name: str) -> None:
    """Of f, f' and f''."""
    f, (least, most) = REFERENCES[name]
    rng = np.random.default_rng(0)
    for _ in range(6):
        lower, upper = np.sort(rng.uniform(least, most, 2))
        for x in (lower, rng.uniform(lower, upper), upper):
            with mpmath.workdps(40):
                series = mpmath.taylor(f, mpmath.mpf(x), 11)
            for k, function in enumerate(CHECKED[name]):
                each = [float(c * math.perm(n + k, k)) for n, c in enumerate(series[k:])]
                value = function.value(np.array(x))
                off = abs(float(value - math.perm(k, k) * series[k]))
                allowed = abs(each[0]) + function.absolute + function.relative * abs(x)
                assert off <= function.library * allowed
                assert function.least <= value <= function.most
                for n in (1, 2, 3, 9):
                    bound = function.supremum(n, np.array([lower]), np.array([upper]))[0]
                    assert abs(each[n]) <= bound


def test_float32_sums_may_begin_with_their_bias() -> None:
    """Small products added to a large bias one by one, as C does, err by half a unit of the bias each."""
    n, small = 64, np.float32(0.75 * SINGLE)
    graph = GraphBuilder()
    wide = graph.add("MatMul", "x", np.ones((1, n)))
    model = graph.model({"x": 1}, {graph.linear(wide, np.full((1, n), small), np.ones(1), "u"): 1})
    total = np.float32(1.0)
    for _ in range(n):
        total = np.float32(total + small)
    basis, where = Basis(1, 3), np.array([[1]])
    points = points_of(basis, np.array([[0.0, 2.0]]), where, where)
    found = outputs(graph_of(model, "it"), Rules(basis, SINGLE, {}), points)
    assert found.rounding[0, 0] >= abs(float(total) - 1.0 - n * float(small))


def test_float32_that_overflows_has_no_bound() -> None:
    graph = GraphBuilder()
    product = graph.add("Mul", graph.add("Exp", "x"), graph.add("Exp", graph.add("Neg", "x")))
    model = graph.model({"x": 1}, {graph.rename(product, "u"): 1})
    basis, where = Basis(1, 6), np.array([[9]])
    points = points_of(basis, np.array([[80.0, 90.0]]), where, where * 50)
    found = outputs(graph_of(model, "it"), Rules(basis, SINGLE, FLOAT32), points)
    assert np.isinf(found.rounding).all()
    assert np.isinf(run_float32(model, np.array([[89.77]], np.float32))).all()


def test_what_is_not_covered_is_refused_by_name(true: Difference) -> None:
    graph = GraphBuilder()
    padded = graph.add("Pad", "x", [0, 0, 0, 1], np.float32(1.0), mode="constant")
    with pytest.raises(InputError, match=r"the small model: Pad 'pad0.node' can't be checked: "):
        check_difference(true, graph.model({"x": 1}, {padded: 2}), DENSE)


def test_slopes_of_their_own_are_enclosed() -> None:
    nodes = [
        helper.make_node("PRelu", ["x", "slopes"], ["p"]),
        helper.make_node("Tile", ["p", "twice"], ["t"]),
        helper.make_node("MatMul", ["t", "w"], ["u"]),
    ]
    weights = {
        "slopes": np.array([0.25, -0.5]),
        "twice": np.array([1, 2]),
        "w": np.array([[1.0], [-2.0], [0.5], [0.25]]),
    }
    dense = make_model(nodes, weights, inputs=2)
    certificate = certified(perturbed(dense), dense, *SQUARE)
    check_difference(certificate, perturbed(dense), dense)


def test_what_the_search_covers_can_be_checked() -> None:
    assert set(covered()) == {*OPERATORS, *MOVING}


def test_measured_errors_of_functions_are_no_more_than_what_certificates_assume() -> None:
    for name, measured in FLOAT32.items():
        assert all(np.array(OPS[name].error32) >= measured), name


def test_what_is_undefined_somewhere_has_no_bound() -> None:
    """sin(log x) where x may be negative: that sine is at most 1 says nothing."""
    graph = GraphBuilder()
    model = graph.model({"x": 1}, {graph.add("Sin", graph.add("Log", "x"), output="u"): 1})
    basis, where = Basis(1, 6), np.array([[0]])
    with np.errstate(all="ignore"):
        points = points_of(basis, np.array([[-1.0, 2.0]]), where, where)
        found = outputs(graph_of(model, "it"), Rules(basis), points)
    assert not np.isfinite(found.real).any()


@pytest.mark.parametrize("bias_first", [True, False])
def test_a_product_and_an_addition_round_as_one_sum(bias_first: bool) -> None:
    """Runtimes make one of MatMul and Add, with the bias put first."""
    rng, bound = np.random.default_rng(0), []
    weight, bias = rng.standard_normal((2, 6)).astype(np.float32), np.full(6, 9.0, np.float32)
    for fused in (False, True):
        graph = GraphBuilder()
        if fused:
            u = graph.add("Gemm", "x", weight, bias)
        else:
            product = graph.add("MatMul", "x", weight)
            constant = graph.constant(bias)
            u = graph.add("Add", *((constant, product) if bias_first else (product, constant)))
        basis, where = Basis(2, 3), np.array([[3, 3]])
        points = points_of(basis, np.array(SQUARE), where, where)
        model = graph.model({"x": 2}, {u: 6})
        bound.append(outputs(graph_of(model, "it"), Rules(basis, SINGLE, {}), points).rounding)
    assert (bound[0] >= bound[1]).all()
