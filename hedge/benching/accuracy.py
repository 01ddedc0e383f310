"""How well a model file solves its problem: error against the reference, residual, size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import ModelProto

from hedge.compression import blocks_of, parameter_count
from hedge.errors import InputError
from hedge.exporting import plan_of
from hedge.graph import (
    Evaluator,
    check_fields,
    check_finite,
    check_room,
    has_doubles,
    input_dimension,
    run_float32,
    split,
)
from hedge.hmatrix import Block
from hedge.problems import Problem, Solvable, field_errors, values_to_compare
from hedge.problems.misses import Misfit, misfits, missed_conditions


@dataclass(frozen=True)
class Accuracy:
    """relative_l2 and max_abs of the file, in its own precision, against the reference on random inputs.

    Both are None where the problem has no reference. by_field has the relative L2 error of each field by
    name, where there are several. residual_rms is that of the graph in float64, of an operator in parts of
    the sources' own; None where an equation says nothing of input and output alone (the heat operator).
    missed is what the graph in float64 leaves of each of the problem's conditions, misfits how far it is from
    each of its measurements.
    """

    relative_l2: float | None
    max_abs: float | None
    residual_rms: float | None
    parameters: int
    by_field: Mapping[str, float] = field(default_factory=dict)
    missed: Mapping[str, float] = field(default_factory=dict)
    misfits: tuple[Misfit, ...] = ()

    @property
    def worst_field(self) -> float | None:
        """The relative L2 error of the field that has the largest one; None without a reference."""
        return max(self.by_field.values(), default=self.relative_l2)


def evaluate(model: ModelProto, problem: Solvable, seed: int = 0) -> Accuracy:
    """Compare a model with a problem's reference: 20,000 uniform points, or 1,024 random sources.

    Without a reference there is the residual alone.

    The error is that of the file as deployed, float32 in onnxruntime; of one in double precision, read as it
    is (:func:`hedge.graph.load_model`), that in float64.

    Raises InputError if the model's inputs or outputs are not the problem's; ModelError if the model can't be
    run, or its outputs are not finite and there is no reference to say so.
    """
    dimension = input_dimension(model)
    if dimension != problem.dimension:
        raise InputError(
            f"problem {problem.name!r} has {problem.dimension} inputs, the model {dimension}; "
            "name the problem it was trained on"
        )
    check_room(model, problem.test_rows)
    inputs = problem.sample(problem.test_rows, seed)
    if has_doubles(model):
        outputs = Evaluator(model)(inputs)
    else:
        inputs = inputs.astype(np.float32).astype(np.float64)
        outputs = run_float32(model, inputs)
    if outputs.shape[1] != problem.outputs:
        raise InputError(
            f"problem {problem.name!r} has {problem.outputs} output(s), the model "
            f"{outputs.shape[1]}; name the problem it was trained on, or give the model without derivatives"
        )
    check_fields(model, problem)
    graph = Evaluator(model)
    known = Accuracy(
        None,
        None,
        problem.residual_rms(graph, seed),
        blocks_and_parameters(model)[1],
        missed=missed_conditions(problem, graph, seed) if isinstance(problem, Problem) else {},
        misfits=misfits(problem, graph) if isinstance(problem, Problem) else (),
    )
    if problem.reference is None:
        check_finite(outputs)
        return known
    reference = values_to_compare(problem, inputs)
    errors = field_errors(outputs, reference, problem.fields)
    return replace(
        known,
        relative_l2=errors.relative_l2,
        max_abs=float(np.abs(outputs - reference).max()),
        by_field=errors.by_field,
    )


def blocks_and_parameters(model: ModelProto) -> tuple[tuple[Block, ...], int]:
    """Those of an exported model from its plan; of any other, one dense block a site.

    (Blocks with shared bases are batched products, no linear sites to be found again.)

    Raises ModelError if the plan is damaged, or there is no plan and no linear site.
    """
    plan = plan_of(model)
    if plan is None:
        matrices = split(model).matrices
        return blocks_of(matrices), parameter_count(matrices)
    blocks = tuple(block for site in plan.sites for block in site.structure.blocks)
    return blocks, plan.parameters
