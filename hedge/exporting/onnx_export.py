"""Compressed model -> ``.onnx`` of standard ops, with its plan and error report inside."""

from __future__ import annotations

import onnx
from onnx import ModelProto, helper

from hedge.compression import CompressedModel
from hedge.errors import ModelError, first_line
from hedge.graph import LEAST_OPSET, NEWEST_IR_VERSION, opset

PLAN_KEY = "hedge.plan"


def to_onnx(compressed: CompressedModel) -> ModelProto:
    """The factorized float32 model: Gemms, and batched MatMuls where a site has blocks; batch dynamic.

    ``metadata_props`` holds the plan with its error report (``hedge.plan``, JSON), the problem and
    the hedge version. Equal models give equal bytes.

    Raises ModelError if the graph can't be brought to opset 17 or fails onnx.checker.
    """
    model = compressed.to_onnx()
    plan = compressed.plan
    if opset(model) < LEAST_OPSET:
        raise ModelError(
            f"{plan.source}: its opset {opset(model)} can't be brought to {LEAST_OPSET}; "
            f"export the dense model with opset {LEAST_OPSET} or newer"
        )
    try:
        model.ir_version = min(model.ir_version, NEWEST_IR_VERSION)
        model.producer_name = "hedge"
        model.producer_version = plan.hedge_version
        model.doc_string = (
            f"{plan.source} compressed by hedge for {plan.device}: relative L2 error "
            f"{plan.relative_error:.2e} against {plan.against} (tolerance {plan.tolerance:g})"
        )
        properties = {entry.key: entry.value for entry in model.metadata_props}
        properties |= {"hedge.version": plan.hedge_version, PLAN_KEY: plan.model_dump_json()}
        if plan.problem is not None:
            properties["hedge.problem"] = plan.problem
        helper.set_model_props(model, dict(sorted(properties.items())))
        onnx.checker.check_model(model, full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        RuntimeError,
    ) as error:
        raise ModelError(f"{plan.source}: can't be exported ({first_line(error)})") from error
    return model
