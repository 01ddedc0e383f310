"""Neuron groups: which sites are tied, which neurons can go, and why others stay."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper

from hedge.graph import (
    Evaluator,
    SplitModel,
    assemble,
    input_dimension,
    neuron_groups,
    split,
)
from tests.architectures import ARCHITECTURES, Net, permuted
from tests.conftest import make_model


def sites_of(kind: str) -> tuple[SplitModel, dict[str, str]]:
    """The split model, and its sites' names by what they write."""
    parts = split(ARCHITECTURES[kind]())
    return parts, {site.output: site.name for site in parts.sites}


def tied(parts: SplitModel) -> set[tuple[frozenset[str], frozenset[str]]]:
    """(what the producers write, what the consumers write) of every group."""
    writes = {site.name: site.output for site in parts.sites}
    return {
        (frozenset(map(writes.get, g.producers)), frozenset(map(writes.get, g.consumers)))
        for g in neuron_groups(parts).groups
    }


def pairs(*expected: tuple[str, str]) -> set[tuple[frozenset[str], frozenset[str]]]:
    return {(frozenset(p.split()), frozenset(c.split())) for p, c in expected}


CHAIN = pairs(("z.0", "z.1"), ("z.1", "u"))
GROUPS = {
    **dict.fromkeys(
        ["tanh", "sin", "ReLU", "Softplus", "SiLU as Sigmoid and Mul", "GELU by Erf",
         "Gelu of opset 20", "slopes per neuron", "Fourier features"], CHAIN
    ),
    "residual": pairs(("z.0 z.1 z.2", "z.1 z.2 u")),
    "modified MLP": pairs(("z.0", "z.1"), ("z.encoder.u z.encoder.v z.1 z.2", "z.2 u")),
    "two inputs": pairs(("z.x z.t", "z.1"), ("z.1", "u")),
    "two outputs": pairs(("z.0", "z.1"), ("z.1", "z.u z.p"), ("z.u", "u"), ("z.p", "p")),
    "mixed tail": pairs(("z.1", "z.2")),
}  # fmt: skip

REASONS = {
    "residual": {"u": "they feed output 'u'"},
    "Fourier features": {"f": "Concat 'features' reads them", "u": "they feed output 'u'"},
    "two outputs": {"u": "they feed output 'u'", "p": "they feed output 'p'"},
    "mixed tail": {
        "z.0": "Concat 'skip' reads them",
        "z.2": "Concat 'skip' reads them",
        "n": "they feed output 'u'",
    },
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_groups_of_every_architecture(kind: str) -> None:
    parts, _ = sites_of(kind)
    assert tied(parts) == GROUPS[kind]
    found = neuron_groups(parts)
    covered = {name for group in found.groups for name in group.producers}
    assert covered | set(found.reasons) == {site.name for site in parts.sites}
    assert not covered & set(found.reasons)


@pytest.mark.parametrize("kind", REASONS)
def test_the_reason_of_every_other_site(kind: str) -> None:
    parts, names = sites_of(kind)
    expected = {names[output]: reason for output, reason in REASONS[kind].items()}
    assert neuron_groups(parts).reasons == expected


@settings(max_examples=25)
@given(kind=st.sampled_from(list(ARCHITECTURES)), seed=st.integers(0, 10**6))
def test_permuting_the_neurons_of_a_group_does_not_change_the_function(
    kind: str, seed: int
) -> None:
    model = ARCHITECTURES[kind]()
    parts = split(model)
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (20, input_dimension(model)))
    expected = Evaluator(model)(points)
    groups = neuron_groups(parts).groups
    other = permuted(parts, groups[seed % len(groups)], rng)
    matrices = other.matrices
    assert any((matrices[name].dense() != parts.matrices[name].dense()).any() for name in matrices)
    found = Evaluator(assemble(other.skeleton, matrices))(points)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def grown(seed: int) -> ModelProto:
    """A graph of random ops on tensors of six columns and of one, all of which reach the output."""
    rng = np.random.default_rng(seed)
    net = Net(seed)
    net.weights |= {
        "half": np.array(0.5),
        "vector": np.linspace(0.5, 1.5, 6),
        "axis": np.array([1]),
    }
    columns = [net.dense("x", "column", 2, 1)]
    wide = [net.dense("x", f"first{i}", 2, 6) for i in range(3)]
    unread = {*columns, *wide}
    for step in range(int(rng.integers(4, 12))):
        a, b = (str(name) for name in rng.choice(wide, 2))
        column = str(rng.choice(columns))
        op, inputs = [
            ("Tanh", [a]), ("Add", [a, b]), ("Mul", [a, b]), ("Sub", [a, "half"]), ("Mul", [column, a]),
            ("Mul", [a, "vector"]), ("Softmax", [a]), ("ReduceSum", [a, "axis"]), ("Gemm", [a]),
            ("Gemm", [a]), ("Gemm", [a]), ("Sigmoid", [column]),
        ][int(rng.integers(12))]  # fmt: skip
        name = f"t{step}"
        if op == "Gemm":
            net.dense(a, name, 6, 6)
        else:
            net.op(op, inputs, name)
        narrow = op == "ReduceSum" or inputs == [column]
        (columns if narrow else wide).append(name)
        unread = (unread - set(inputs)) | {name}
    last = [net.dense(n, f"u.{n}", 6, 1) if n in wide else n for n in sorted(unread)]
    net.op("Sum", last, "u")
    return net.model()


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_the_groups_of_random_graphs_can_be_permuted(seed: int) -> None:
    model = grown(seed)
    parts = split(model)
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (10, 2))
    expected = Evaluator(assemble(parts.skeleton, parts.matrices))(points)
    # What is folded into weights is rounded to float32 there.
    np.testing.assert_allclose(Evaluator(model)(points), expected, rtol=1e-6, atol=1e-6)
    for group in neuron_groups(parts).groups:
        other = permuted(parts, group, rng)
        found = Evaluator(assemble(other.skeleton, other.matrices))(points)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def between(*nodes: onnx.NodeProto, **weights: np.ndarray) -> ModelProto:
    """x -> z [n, 6], the nodes from z to h, h -> u."""
    rng = np.random.default_rng(0)
    chain = [
        helper.make_node("Gemm", ["x", "w"], ["z"], transB=1),
        *nodes,
        helper.make_node("Gemm", ["h", "v"], ["u"], transB=1),
    ]
    shapes = {"w": (6, 2), "v": (1, 6)}
    random = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    return make_model(chain, {**random, **weights}, inputs=2)


def node(op: str, inputs: str, output: str = "h", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


KEPT = {
    "the input": (
        between(
            node("Concat", "x x x", "wide", axis=1),
            node("Add", "z wide"),
        ),
        "Add 'h' ties them to 'wide'",
    ),
    "a sum over neurons": (
        between(node("ReduceSum", "z axis", "s"), node("Mul", "z s"), axis=np.array([1])),
        "ReduceSum 's' reads them",
    ),
    "a norm": (
        between(
            node("LayerNormalization", "z scale"),
            scale=np.ones(6),
        ),
        "LayerNormalization 'h' reads them",
    ),
    "a clip by its own mean": (
        between(
            node("ReduceMean", "x", "m", keepdims=0),
            node("Clip", "z m"),
        ),
        "Clip 'h' reads them",
    ),
}


@pytest.mark.parametrize(("model", "reason"), KEPT.values(), ids=KEPT)
def test_what_keeps_neurons(model: ModelProto, reason: str) -> None:
    found = neuron_groups(split(model))
    assert found.groups == ()
    assert found.reasons == {"site0": reason, "site1": "they feed output 'u'"}


def test_scalars_and_single_columns_tie_nothing() -> None:
    model = between(
        node("Gather", "x second", "t", axis=1),
        node("Mul", "z t", "s"),
        node("Add", "s half"),
        second=np.array([1]),
        half=np.array([[0.5]]),
    )
    (group,) = neuron_groups(split(model)).groups
    assert (group.producers, group.consumers, group.width) == (("site0",), ("site1",), 6)


def test_a_neuron_that_is_spread_over_others_stays() -> None:
    """A gate of one neuron: the wide layer can shrink, the gate can't."""
    rng = np.random.default_rng(0)
    nodes = [
        node("Gemm", "x gate", "g", transB=1),
        node("Gemm", "x w", "z", transB=1),
        node("Mul", "g z", "h"),
        node("Gemm", "h v", "u", transB=1),
    ]
    shapes = {"gate": (1, 2), "w": (6, 2), "v": (1, 6)}
    weights = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    found = neuron_groups(split(make_model(nodes, weights, inputs=2)))
    assert [group.producers for group in found.groups] == [("site1",)]
    assert found.reasons["site0"] == "Mul 'h' spreads them over others"


def test_a_layer_of_one_neuron_has_none_to_spare() -> None:
    weights = {"w": np.ones((1, 2)), "v": np.ones((1, 1))}
    nodes = [
        node("Gemm", "x w", "z", transB=1),
        node("Tanh", "z", "h"),
        node("Gemm", "h v", "u", transB=1),
    ]
    found = neuron_groups(split(make_model(nodes, weights, inputs=2)))
    assert found.reasons["site0"] == "there is only one"


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        ("tanh", ("Gemm+Tanh",)),
        ("SiLU as Sigmoid and Mul", ("QuickGelu",)),
        ("GELU by Erf", ("Gelu",)),
        ("sin", ("Sin",)),
    ],
)
def test_what_goes_over_a_neuron(kind: str, passes: tuple[str, ...]) -> None:
    group = neuron_groups(split(ARCHITECTURES[kind]())).groups[0]
    assert group.passes == passes
