"""A model with derivatives among its outputs: one graph of float32, what they share computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from types import MappingProxyType
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, checker, helper

from hedge.arrays import Array
from hedge.errors import InputError, ModelError, first_line, quoted
from hedge.graph.derivatives import Derivatives, own_prefix
from hedge.graph.evaluation import Evaluator
from hedge.graph.fusion import PLACEHOLDER_DOMAIN
from hedge.graph.layer_norm import with_layer_norms_written_out
from hedge.graph.lean import Lean
from hedge.graph.ports import column_names, input_dimension, true_inputs
from hedge.graph.reading import ONNX_ERRORS
from hedge.graph.scalars import with_full_rank_scalars
from hedge.graph.shapes import inferred_shapes, without_large_weights
from hedge.graph.sites import assemble, placeholder, pruned
from hedge.graph.structures.factors import SiteMatrix
from hedge.graph.structures.structure import Matrix, as_written, with_bias
from hedge.graph.versions import LEAST_OPSET, opset

HIGHEST_ORDER = 2
MOST_COLUMNS = 64  # of a Jacobian: its code grows with them
MOST_OF_SECOND = 16  # of a Hessian: its code grows with their square

Real = type[np.floating[Any]]


@dataclass(frozen=True)
class Wanted:
    """An output by its name: a tensor of the model, differentiated in these columns of the points."""

    name: str
    tensor: str
    columns: tuple[int, ...]


def with_derivatives(
    model: ModelProto, outputs: Sequence[str], letters: str = "", real: Real = np.float32
) -> ModelProto:
    """The model with these outputs: ``u``, one of its own, ``u_x``, ``u_xx`` or ``u_xt`` derivatives of it.

    ``letters`` name the columns of the points; by default the names of the inputs do, where each is a letter.
    An only output is called ``u``, too. A derivative has the columns of its output, in all rows. Derivatives
    at a kink are those from the left, second ones behind kinks don't exist. ``real`` is what constants are
    stored as: with float64 the model is no valid ONNX any more, and one for Evaluator and C alone.

    Raises InputError for other names and letters; ModelError for what can't be differentiated.
    """
    return _with_outputs(model, wanted_outputs(model, outputs, letters), real)


def with_jacobian(
    model: ModelProto, real: Real = np.float32, outputs: Sequence[str] = (), letters: str = ""
) -> ModelProto:
    """The model with the derivatives of all its outputs behind them, in the first column, the second, ….

    ``outputs``, if there are any, take the place of its own, as in :func:`with_derivatives`; ``letters`` and
    ``real`` are those of it.

    Raises InputError for other names and letters; ModelError for what can't be differentiated, and for more
    columns than MOST_COLUMNS.
    """
    return _with_outputs(model, _all_slopes(model, outputs, letters), real)


def pairs_of(columns: int) -> list[tuple[int, int]]:
    """Two of so many columns each, the lower one first: what second derivatives there are.

    >>> pairs_of(2)
    [(0, 0), (0, 1), (1, 1)]
    """
    return list(combinations_with_replacement(range(columns), 2))


def _all_slopes(
    model: ModelProto, outputs: Sequence[str], letters: str, *, hessian: bool = False
) -> list[Wanted]:
    """The outputs, all their derivatives column by column and, with ``hessian``, pair by pair."""
    columns = input_dimension(model)
    most, what = (MOST_OF_SECOND, "Hessian") if hessian else (MOST_COLUMNS, "Jacobian")
    if columns > most:
        raise ModelError(
            f"has {columns} input columns, whose derivatives would take a pass each; a {what} is "
            f"written of up to {most}"
        )
    if outputs:
        own = wanted_outputs(model, outputs, letters)
    else:
        own = [Wanted(value.name, value.name, ()) for value in model.graph.output]
    prefix = own_prefix(model)
    further = [(c,) for c in range(columns)] + (pairs_of(columns) if hessian else [])
    slopes = [
        Wanted(
            f"{prefix}{'.'.join(map(str, more))}.{each.name}",
            each.tensor,
            tuple(sorted((*each.columns, *more))),
        )
        for more in further
        for each in own
    ]
    return [*own, *slopes]


def _with_outputs(
    model: ModelProto,
    wanted: Sequence[Wanted],
    real: Real,
    exact: Mapping[str, Array] = MappingProxyType({}),
) -> ModelProto:
    """``exact`` are numbers of constants where derivatives are made of more than float32 holds of them."""
    _check_opset(model)
    _check_rows(model)
    derived = Derivatives(with_layer_norms_written_out(model), real, almost_everywhere=True)
    derived.values |= exact
    found = [derived.of(each.tensor, each.columns) for each in wanted]
    lean = Lean(derived)
    named = [
        (each.name, lean.output(each.name, tensor, each.tensor))
        for each, tensor in zip(wanted, found, strict=True)
    ]
    return _finished(model, lean, {each.name: each.tensor for each in wanted}, dict(named))


def split_with_derivatives(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    outputs: Sequence[str],
    letters: str = "",
    real: Real = np.float32,
) -> tuple[ModelProto, dict[str, Matrix]]:
    """The same of a skeleton and its matrices: where one is used again there is a further placeholder."""
    return _split(skeleton, matrices, lambda m: wanted_outputs(m, outputs, letters), real)


def split_with_jacobian(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    real: Real = np.float32,
    outputs: Sequence[str] = (),
    letters: str = "",
    *,
    hessian: bool = False,
) -> tuple[ModelProto, dict[str, Matrix]]:
    """:func:`with_jacobian` of a skeleton and its matrices, as :func:`split_with_derivatives`.

    With ``hessian`` the second derivatives are behind the first ones, in the order of :func:`pairs_of`.
    """
    return _split(
        skeleton, matrices, lambda m: _all_slopes(m, outputs, letters, hessian=hessian), real
    )


def _split(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    wanted: Callable[[ModelProto], Sequence[Wanted]],
    real: Real,
) -> tuple[ModelProto, dict[str, Matrix]]:
    dense = {name: SiteMatrix((as_written(m).dense(),), m.bias) for name, m in matrices.items()}
    model = assemble(skeleton, dense)
    writers = {node.output[0]: node for node in model.graph.node}
    sites = {
        writers[node.output[0]].input[1]: node.name
        for node in skeleton.graph.node
        if node.domain == PLACEHOLDER_DOMAIN
    }
    # In double, products of factors and scaled weights are no float32.
    exact = {weight: dense[site].dense() for weight, site in sites.items()}
    made = _with_outputs(model, wanted(model), real, exact if real is np.float64 else {})
    found: dict[str, Matrix] = {}
    nodes = []
    for node in made.graph.node:
        site = sites.get(node.input[1]) if node.op_type == "Gemm" else None
        if site is None:
            nodes.append(node)
            continue
        own, has_bias = matrices[site], len(node.input) > 2
        name = site if has_bias else f"{site}.{node.output[0]}"
        found[name] = own if has_bias else with_bias(own, np.zeros_like(own.bias))
        nodes.append(placeholder(name, node.input[0], node.output[0]))
    return pruned(made, nodes), found


def _letters(model: ModelProto, given: str) -> str:
    columns = column_names(model)
    letters = given or "".join(columns if all(len(name) == 1 for name in columns) else [])
    if len(letters) != len(columns):
        raise InputError(
            f"inputs: the model has {len(columns)} input column(s), "
            + (f"{quoted(given)} names {len(given)}" if given else "whose letters are not known")
            + "; give a letter for each, for example --inputs x,t"
        )
    if not letters.isalpha() or len(set(letters)) != len(letters):
        raise InputError(f"inputs: {quoted(letters)} must be letters, none of them twice")
    return letters


def wanted_outputs(model: ModelProto, outputs: Sequence[str], letters: str = "") -> list[Wanted]:
    """What these names are of the model's outputs; raises InputError as :func:`with_derivatives` does."""
    known = _own_outputs(model)
    letters = _letters(model, letters) if has_derivatives(model, outputs) else ""
    taken = {value.name for value in (*model.graph.initializer, *true_inputs(model))}
    taken |= {name for node in model.graph.node for name in node.output}
    wanted = [_one(name, known, letters) for name in outputs]
    for each in wanted:
        if outputs.count(each.name) > 1:
            raise InputError(f"outputs: {quoted(each.name)} is named twice")
        if each.name in taken and (each.columns or each.name != each.tensor):
            raise InputError(
                f"outputs: the graph has a tensor {quoted(each.name)} of its own; rename that before it is "
                "exported"
            )
    if not wanted:
        raise InputError("outputs: none is named; give for example u,u_x")
    return wanted


def has_derivatives(model: ModelProto, outputs: Sequence[str]) -> bool:
    """Whether one of these names is none of the model's own outputs, and so has letters of inputs."""
    return not set(outputs) <= _own_outputs(model).keys()


def _own_outputs(model: ModelProto) -> dict[str, str]:
    """The model's outputs by all their names."""
    own = {value.name: value.name for value in model.graph.output}
    return own if len(own) > 1 else {"u": next(iter(own)), **own}


def _one(name: str, known: Mapping[str, str], letters: str) -> Wanted:
    if name in known:
        return Wanted(name, known[name], ())
    function, _, columns = name.rpartition("_")
    if (
        function not in known
        or not 1 <= len(columns) <= HIGHEST_ORDER
        or set(columns) - set(letters)
    ):
        own = " or ".join(map(quoted, known))
        example = quoted(f"{next(iter(known))}_{letters[0] * 2}")
        raise InputError(
            f"outputs: {quoted(name)} is unknown; give {own}, or one of them with _ and one or two "
            f"letters of {', '.join(letters)}, as in {example}"
        )
    # In one order, so that u_xt and u_tx are computed once.
    return Wanted(name, known[function], tuple(sorted(map(letters.index, columns))))


def _finished(
    model: ModelProto, lean: Lean, tensors: Mapping[str, str], written: Mapping[str, str]
) -> ModelProto:
    """The nodes that the outputs hang on, as a model of the same versions and properties."""
    made = ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    needed, nodes = (
        set(written.values()),
        _layer_by_layer(_alive(lean.nodes, written.values()), model),
    )
    needed |= {name for node in nodes for name in node.input}
    del graph.node[:], graph.initializer[:], graph.output[:], graph.value_info[:], graph.input[:]
    graph.input.extend(true_inputs(model))
    graph.node.extend(nodes)
    source = lean.derived.model.graph.initializer
    graph.initializer.extend(t for t in source if t.name in needed)
    graph.initializer.extend(lean.constants(needed))
    shapes = {value.name: value.type for value in model.graph.output}
    for name in written:
        graph.output.append(helper.make_value_info(name, shapes[tensors[name]]))
    made = with_full_rank_scalars(made, inferred_shapes(made))
    if lean.derived.graph.real is not np.float32:
        return made
    try:
        checker.check_model(without_large_weights(made), full_check=True)
    except ONNX_ERRORS as error:
        raise ModelError(f"can't be written with derivatives ({first_line(error)})") from error
    return made


def _check_opset(model: ModelProto) -> None:
    """Operators had other inputs and defaults."""
    if opset(model) < LEAST_OPSET:
        raise ModelError(
            f"its opset {opset(model)} can't be brought to {LEAST_OPSET}; export it with opset {LEAST_OPSET} "
            "or newer"
        )


def _check_rows(model: ModelProto) -> None:
    """Where rows read each other, a derivative by a point's column is none by that of all points."""
    points = np.random.default_rng(0).uniform(0.1, 1.0, (3, input_dimension(model)))
    evaluate = Evaluator(model)
    alone = np.vstack([evaluate(point) for point in points[:, None]])
    if not np.allclose(evaluate(points), alone, rtol=1e-6, atol=1e-6, equal_nan=True):
        raise ModelError(
            "mixes the rows of a batch, so a point's output depends on other points; export it row by row"
        )


def _layer_by_layer(nodes: Sequence[NodeProto], model: ModelProto) -> list[NodeProto]:
    """Each derivative as soon as the model has come so far: then little is held at a time, and it is near."""
    own = {name for node in model.graph.node for name in node.output}
    known: dict[str, int] = {}  # by tensor, how many of the model's nodes it hangs on
    order = []
    for node in nodes:
        place = max((known.get(name, 0) for name in node.input), default=0)
        if node.output[0] in own:
            place = 1 + max(known.values(), default=0)
        known |= dict.fromkeys(node.output, place)
        order.append(place)
    return [node for _, node in sorted(zip(order, nodes, strict=True), key=lambda pair: pair[0])]


def _alive(nodes: Sequence[NodeProto], outputs: Iterable[str]) -> list[NodeProto]:
    """The nodes that these tensors hang on, in order."""
    kept, needed = [], set(outputs)
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    return kept[::-1]
