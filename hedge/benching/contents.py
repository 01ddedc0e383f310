"""What a model file holds: the blocks of its matrices, and how many numbers they are."""

from __future__ import annotations

from onnx import ModelProto

from hedge.compression import blocks_of, parameter_count
from hedge.exporting import plan_of
from hedge.graph import split
from hedge.hmatrix import Block


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
