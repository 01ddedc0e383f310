"""What a model file holds: the blocks of its matrices, and how many numbers they are."""

from __future__ import annotations

from onnx import ModelProto
from pydantic import ValidationError

from hedge.compression import Plan, blocks_of, parameter_count
from hedge.devices import Block
from hedge.errors import ModelError
from hedge.exporting import PLAN_KEY
from hedge.graph import metadata, split


def blocks_and_parameters(model: ModelProto) -> tuple[tuple[Block, ...], int]:
    """Those of an exported model from its plan; of any other, one dense block a site.

    (Blocks with shared bases are batched products, no linear sites to be found again.)

    Raises ModelError if the plan is damaged, or there is no plan and no linear site.
    """
    text = metadata(model).get(PLAN_KEY)
    if text is None:
        matrices = split(model).matrices
        return blocks_of(matrices), parameter_count(matrices)
    try:
        plan = Plan.model_validate_json(text)
    except ValidationError as error:
        raise ModelError("the plan in its metadata is damaged; export it again") from error
    blocks = tuple(block for site in plan.sites for block in site.blocks)
    return blocks, plan.parameters
