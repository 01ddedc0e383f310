"""No value of a network lies outside its enclosure, as a real number or as it is deployed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from hedge.analytic import TANH
from hedge.certifying import prove
from hedge.certifying.checking.graphs import graph_of, outputs
from hedge.certifying.checking.polynomials import Basis
from hedge.certifying.checking.proving import points_of
from hedge.certifying.checking.rules import Rules
from hedge.certifying.composition import compose
from hedge.certifying.cover import whole
from hedge.certifying.enclosure import SINGLE, Arithmetic, boxes, multiply
from hedge.certifying.monomials import Monomials, economy
from hedge.certifying.network import covered, network_of
from hedge.errors import InputError, ModelError
from hedge.graph import Evaluator, run_float32
from hedge.ops import OPS
from hedge.problems import parse_domain
from tests.architectures import ARCHITECTURES
from tests.conftest import make_model, random_mlp

SQUARE = parse_domain("-1:1", 2)


def violations(model: ModelProto, boxes_: int, points: int, order: int, seed: int) -> int:
    """How many of so many points in random boxes have values outside, real ones or deployed ones."""
    rng = np.random.default_rng(seed)
    monomials, network = Monomials(2, order), network_of(model)
    halves = np.tile(10.0 ** rng.uniform(-3, -0.3, (boxes_, 1)), 2) * rng.uniform(
        0.1, 1, (boxes_, 2)
    )
    centres = rng.uniform(-1 + halves, 1 - halves)
    enclosed = network.enclosed(
        Arithmetic(monomials, SINGLE), boxes(monomials, centres, halves * (1 + 1e-12), np.zeros(2))
    )
    inside = rng.uniform(-1, 1, (boxes_, points, 2))
    given = (centres[:, None] + halves[:, None] * inside).astype(np.float32).astype(np.float64)
    scaled = np.clip((given - centres[:, None]) / halves[:, None], -1, 1)
    flat = given.reshape(-1, 2)
    exact = Evaluator(model)(flat).reshape(boxes_, points, -1)
    deployed = run_float32(model, flat).reshape(boxes_, points, -1)
    outside = 0
    for box in range(boxes_):
        polynomial = monomials.values(enclosed.coefficients[:, box], scaled[box])
        # the reference is float64 itself
        slack = 1e-11 * (1 + np.abs(exact[box]))
        outside += (np.abs(exact[box] - polynomial) > enclosed.radius[box] + slack).sum()
        apart = np.abs(deployed[box] - exact[box])
        outside += (apart > enclosed.rounding[box] + slack).sum()
    return int(outside)


ACTIVATIONS = [
    "Tanh", "Sigmoid", "SiLU", "GELU", "Softplus", "Sin", "Cos", "Erf", "Relu", "LeakyRelu", "Abs",
]  # fmt: skip


@pytest.mark.parametrize("order", [1, 3, 5])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_value_is_outside_for_any_activation(activation: str, order: int) -> None:
    model = random_mlp([2, 12, 12, 2], seed=order, activation=activation, scale=2.0)
    assert violations(model, 20, 40, order, seed=order) == 0


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if not name.startswith("Gelu")])
def test_no_value_is_outside_for_any_architecture(name: str) -> None:
    model = ARCHITECTURES[name]()
    assert violations(model, 10, 30, 3, seed=0) == 0


def formula(**nodes: tuple[str, ...]) -> ModelProto:
    """A graph of x and y, the columns of the points, and constants by their values."""
    made, weights = [helper.make_node("Split", ["x"], ["a", "b"], axis=1)], {}
    for output, (op, *operands) in nodes.items():
        for operand in operands:
            if operand[-1].isdigit():
                weights[operand] = np.array(float(operand))
        made.append(helper.make_node(op, operands, [output]))
    return make_model(made, weights, inputs=2)


@pytest.mark.parametrize(
    "model",
    [
        formula(s=("Mul", "a", "b"), t=("Add", "s", "2.5"), u=("Reciprocal", "t")),
        formula(s=("Add", "a", "1.5"), u=("Log", "s")),
        formula(s=("Add", "a", "1.5"), t=("Sqrt", "s"), u=("Div", "b", "t")),
        formula(s=("Sub", "b", "3.0"), u=("Div", "a", "s")),
        formula(s=("Pow", "a", "3.0"), t=("Pow", "b", "2.0"), u=("Sub", "s", "t")),
        formula(s=("Add", "a", "2.0"), t=("Pow", "s", "-1.7"), u=("Exp", "t")),
        formula(s=("Max", "a", "b"), t=("Min", "a", "0.1"), u=("Mul", "s", "t")),
        formula(s=("Clip", "a", "-0.3", "0.4"), t=("Neg", "b"), u=("Sum", "s", "t", "a")),
    ],
)
def test_no_value_is_outside_for_any_formula(model: ModelProto) -> None:
    assert violations(model, 60, 60, 4, seed=1) == 0


def test_where_a_function_is_not_defined_nothing_is_known() -> None:
    model = formula(u=("Log", "a"))
    monomials = Monomials(2, 3)
    over_all = boxes(monomials, *whole(2).within(SQUARE))
    with np.errstate(all="ignore"):
        enclosed = network_of(model).enclosed(Arithmetic(monomials), over_all)
    assert np.isinf(enclosed.radius).all()


def test_what_is_not_covered_is_refused_by_name() -> None:
    model = formula(s=("Floor", "a"), u=("Add", "s", "b"))
    with pytest.raises(ModelError, match=r"Floor 's' is not covered .* it covers Abs, Add"):
        network_of(model)


def test_every_operator_with_an_enclosure_or_a_reader_is_one_of_the_table() -> None:
    assert set(covered()) <= set(OPS)
    smooth = {name for name, op in OPS.items() if op.kind == "unary" and op.value and op.derivative}
    assert smooth <= set(covered())
    assert all(any(OPS[name].error32) for name in OPS if OPS[name].enclosure)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_economising_is_exact_up_to_what_it_counts_as_lost(order: int) -> None:
    saved, t = economy(order, order + 3), np.linspace(-1, 1, 201)
    for k in range(order + 4):
        kept = np.polynomial.polynomial.polyval(t, saved.kept[k])
        assert np.abs(t**k - kept).max() <= np.abs(saved.lost[k]).sum() + 1e-15
        assert (
            np.abs(saved.lost[k]).sum() <= 2.0 ** (1 - min(k, order)) * (k > order) * 2**k + 1e-15
        )


def test_products_keep_every_term_up_to_the_order() -> None:
    """Against numpy's product of polynomials in one variable."""
    monomials, rng = Monomials(1, 4), np.random.default_rng(0)
    a, b = rng.standard_normal((2, 5))
    exact = Arithmetic(monomials)
    of = boxes(monomials, np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1))
    x = replace(of, coefficients=a.reshape(5, 1, 1))
    y = replace(of, coefficients=b.reshape(5, 1, 1))
    product = multiply(exact, x, y)
    whole_product = np.polynomial.polynomial.polymul(a, b)
    np.testing.assert_allclose(product.coefficients[:, 0, 0], whole_product[:5], rtol=1e-14)
    assert product.radius[0, 0] >= np.abs(whole_product[5:]).sum()


def test_a_smaller_box_of_a_smooth_function_has_an_error_of_the_order_above() -> None:
    monomials = Monomials(1, 4)
    radii = []
    for half in (0.2, 0.1, 0.05):
        x = boxes(monomials, np.full((1, 1), 0.3), np.full((1, 1), half), np.zeros(1))
        radii.append(compose(Arithmetic(monomials), x, TANH, 0.0, 0.0).radius[0, 0])
    assert radii[0] / radii[1] > 25.0
    assert radii[1] / radii[2] > 25.0


def largest_of(small: ModelProto, dense: ModelProto, domain: str) -> np.ndarray:
    _, proof = prove(small, dense, parse_domain(domain, 2), most=300)
    return proof.largest


def test_what_overflows_in_float32_has_no_bound() -> None:
    """exp(a) exp(−a) is 1 as a real number, and inf · 0 from a = 89 on as it is deployed."""
    small = formula(p=("Exp", "a"), m=("Neg", "a"), q=("Exp", "m"), u=("Mul", "p", "q"))
    dense = formula(z=("Mul", "a", "0.0"), u=("Add", "z", "1.0"))
    assert np.isinf(largest_of(small, dense, "90:91,0:1")).all()
    assert (largest_of(small, dense, "1:2,0:1") < 1e-4).all()


def test_a_bounded_function_of_what_is_not_defined_has_no_bound() -> None:
    small = formula(u=("Mul", "a", "0.0"))
    dense = formula(s=("Log", "a"), u=("Sin", "s"))
    assert np.isinf(largest_of(small, dense, "-1:2,0:1")).all()


def test_numbers_that_are_filled_in_are_refused() -> None:
    weights = {"pads": np.array([0, 0, 0, 1]), "fill": np.array(1.0)}
    model = make_model(
        [helper.make_node("Pad", ["x", "pads", "fill"], ["u"])], weights, inputs=2, outputs=3
    )
    with pytest.raises(ModelError, match=r"Pad 'u' is not covered"):
        network_of(model)


def test_small_terms_on_a_large_bias_are_charged_for_the_order_that_starts_with_it() -> None:
    weights = {"w": np.full((1, 2), 1e-3), "b": np.array([1e3])}
    node = helper.make_node("Gemm", ["x", "w", "b"], ["u"], transB=1)
    monomials = Monomials(2, 1)
    points = boxes(monomials, np.zeros((1, 2)), np.ones((1, 2)), np.zeros(2))
    model = make_model([node], weights, inputs=2)
    enclosed = network_of(model).enclosed(Arithmetic(monomials, SINGLE), points)
    assert enclosed.rounding[0, 0] >= 2 * SINGLE * 1e3


def test_far_from_zero_points_are_as_far_off_as_float64_puts_them() -> None:
    cover = whole(1)
    for _ in range(38):
        cover = cover.halved(np.zeros(len(cover), dtype=np.intp))[:1]
    domain = parse_domain("1e6:1000001", 1)
    _, halves, off = cover.within(domain)
    assert halves[0, 0] == 2.0**-39
    assert 1e-10 < off[0] < 1e-8


@pytest.mark.parametrize("shape", [(1, 2), (2, 1)])
def test_extremes_broadcast(shape: tuple[int, int]) -> None:
    weights = {"c": np.arange(2.0).reshape(shape)}
    nodes = [
        helper.make_node("Max", ["x", "c"], ["m"]),
        helper.make_node("ReduceSum", ["m"], ["u"], keepdims=0),
    ]
    if shape == (1, 2):
        nodes[1] = helper.make_node("Identity", ["m"], ["u"])
        assert violations(make_model(nodes, weights, inputs=2, outputs=2), 10, 10, 3, 0) == 0
    else:
        monomials = Monomials(2, 2)
        points = boxes(monomials, np.zeros((3, 2)), np.ones((3, 2)), np.zeros(2))
        with pytest.raises(ModelError, match="adds up rows"):
            network_of(make_model(nodes, weights, inputs=2)).enclosed(Arithmetic(monomials), points)


def test_an_output_that_does_not_vary_is_enclosed_in_every_box() -> None:
    constant = make_model(
        [helper.make_node("Identity", ["c"], ["u"])], {"c": np.array([[2.0]])}, inputs=2
    )
    other = formula(z=("Mul", "a", "0.0"), u=("Add", "z", "2.5"))
    assert largest_of(constant, other, "0:1,0:1") == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("order", [("z", "b", "y"), ("y", "z", "b"), ("z",)])
def test_sums_of_any_number_of_terms_have_all_of_them(order: tuple[str, ...]) -> None:
    """A product and a constant among them, which as a sum of two are one operation."""
    rng = np.random.default_rng(2)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Sin", ["x"], ["y"]),
        helper.make_node("Sum", order, ["u"]),
    ]
    weights = {"w": rng.standard_normal((2, 2)), "b": rng.standard_normal(2)}
    assert violations(make_model(nodes, weights, inputs=2, outputs=2), 20, 40, 3, seed=1) == 0


def test_a_power_of_as_many_numbers_as_its_exponent_has_is_refused() -> None:
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["s"]),
        helper.make_node("Pow", ["s", "three"], ["u"]),
    ]
    weights = {"axes": np.array([1]), "three": np.full(3, 2.0)}
    model = make_model(nodes, weights, inputs=2, outputs=3)
    with pytest.raises(ModelError, match=r"Pow 'u' .* more numbers than its base"):
        largest_of(model, model, "-1:1")


@pytest.mark.parametrize(("alpha", "beta"), [(1e-7, 1.0), (1e7, 1.0), (1.0, 0.0)])
def test_factors_that_can_not_be_checked_are_refused(alpha: float, beta: float) -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["u"], alpha=alpha, beta=beta)]
    model = make_model(nodes, {"w": np.ones((2, 1)), "b": np.ones(1)}, inputs=2, outputs=1)
    with pytest.raises(ModelError, match=r"Gemm 'u' .* its alpha or beta is very small or large"):
        largest_of(model, model, "-1:1")


def test_networks_without_weights_are_enclosed() -> None:
    once = make_model([helper.make_node("Sin", ["x"], ["u"])], {}, inputs=2, outputs=2)
    assert (largest_of(once, once, "-1:1") < 1e-5).all()


def test_a_sum_over_no_named_axes_is_refused() -> None:
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["u"])]
    model = make_model(nodes, {"axes": np.zeros(0, dtype=np.int64)}, inputs=2, outputs=2)
    with pytest.raises(ModelError, match=r"ReduceSum 'u' .* names no axes"):
        largest_of(model, model, "-1:1")


@pytest.mark.parametrize("op", ["Shape", "Size"])
def test_a_function_of_the_number_of_rows_is_refused(op: str) -> None:
    """Which networks are read at one of."""
    nodes = [
        helper.make_node(op, ["x"], ["count"]),
        helper.make_node("Cast", ["count"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["x", "number"], ["u"]),
    ]
    model = make_model(nodes, {}, inputs=2, outputs=2)
    with pytest.raises(ModelError, match=r"Cast 'number' .* from the number of rows"):
        largest_of(model, model, "-1:1")
    boxes_ = np.zeros((1, 2), dtype=np.int64)
    basis = Basis(2, 2)
    points = points_of(basis, np.array([[-1.0, 1.0]] * 2), boxes_, boxes_)
    with pytest.raises(InputError, match=r"Cast 'number' .* from the number of rows"):
        outputs(graph_of(model, "it"), Rules(basis), points)
