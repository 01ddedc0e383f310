"""Compressed model -> ``.onnx`` of standard ops, with its plan and error report inside."""

from __future__ import annotations

from hashlib import sha256

import onnx
from onnx import GraphProto, ModelProto, helper, numpy_helper, version_converter

from hedge.compression import CompressedModel, Plan, read_plan
from hedge.devices import Device
from hedge.errors import InputError, ModelError, first_line
from hedge.graph import LEAST_OPSET, ONNX_ERRORS, assemble, lowest_ir_version, metadata
from hedge.graph import opset as opset_of
from hedge.graph.shapes import without_large_weights

PLAN_KEY = "hedge.plan"
DATASHEET_KEY = "hedge.datasheet"
NEWEST_OPSET = 21  # the newest of IR version 10


def to_onnx(
    compressed: CompressedModel,
    opset: int | None = None,
    *,
    device: Device | None = None,
    batch: int | None = None,
) -> ModelProto:
    """The compressed model as float32 Gemms and batched MatMuls; its batch is dynamic.

    Every site takes the form that is predicted to be fastest for ``batch`` rows on ``device``, by
    default those it was compressed for. Of the standard operators' version ``opset``, 17 to 21; None
    is the lowest that its ops allow. ``metadata_props`` holds the plan with its error report
    (``hedge.plan``, JSON; of the device its name and a hash of its profile), the problem and the hedge
    version. Equal constants are stored once. Equal models give equal bytes.

    Raises InputError for another opset; ModelError if the graph can't be brought to it (or to 17), or
    fails onnx.checker.
    """
    forms = compressed.forms(device, batch)
    plan = compressed.plan.with_forms(forms).without_figures()
    model = assemble(_at_opset(compressed, opset), compressed.matrices, forms=forms)
    if opset_of(model) < LEAST_OPSET:
        raise ModelError(
            f"{plan.source}: its opset {opset_of(model)} can't be brought to {LEAST_OPSET}; "
            f"export the dense model with opset {LEAST_OPSET} or newer"
        )
    try:
        _share_equal_initializers(model.graph)
        _set_header(model, plan)
        onnx.checker.check_model(without_large_weights(model), full_check=True)
    except ONNX_ERRORS as error:
        raise ModelError(f"{plan.source}: can't be exported ({first_line(error)})") from error
    return model


def plan_of(model: ModelProto) -> Plan | None:
    """The plan by which a model was made; None of a dense one. Raises ModelError if it is damaged."""
    text = metadata(model).get(PLAN_KEY)
    return None if text is None else read_plan(text)


def _at_opset(compressed: CompressedModel, opset: int | None) -> ModelProto:
    """The skeleton at another opset; what sites become is the same in all of them.

    (onnx converts no Pad of opset 18 or newer to 17, which blocks become.)
    """
    if opset is None:
        return compressed.skeleton
    if not LEAST_OPSET <= opset <= NEWEST_OPSET:
        raise InputError(f"opset: {opset} is not supported; give {LEAST_OPSET} to {NEWEST_OPSET}")
    try:
        return version_converter.convert_version(compressed.skeleton, opset)
    except ONNX_ERRORS as error:
        reason = first_line(error).rpartition("failed: ")[2]
        raise ModelError(
            f"{compressed.plan.source}: can't be brought from opset "
            f"{opset_of(compressed.skeleton)} to {opset} ({reason}); give another --opset"
        ) from error


def _share_equal_initializers(graph: GraphProto) -> None:
    """Keep the first of equal constants and let all nodes read that one, in place.

    Equal are those of one type, one shape and the same bits. A constant that is an output of the
    graph keeps its name.
    """
    outputs = {value.name for value in graph.output}
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    instead: dict[str, str] = {}
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        bits = sha256(values.tobytes()).digest()
        instead[tensor.name] = first.setdefault((tensor.data_type, values.shape, bits), tensor.name)
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = instead.get(name, name)
    for place in reversed(range(len(graph.initializer))):
        name = graph.initializer[place].name
        if instead[name] != name and name not in outputs:
            del graph.initializer[place]


def _set_header(model: ModelProto, plan: Plan) -> None:
    """Versions, origin, error and plan, for whoever finds the file."""
    model.ir_version = lowest_ir_version(model)
    model.producer_name = "hedge"
    model.producer_version = plan.hedge_version
    model.doc_string = (
        f"{plan.source} compressed by hedge for {plan.device}, by its plan with a relative L2 error of "
        f"{plan.relative_error:.2e} against {plan.against} (tolerance {plan.tolerance:g})"
    )
    properties = {entry.key: entry.value for entry in model.metadata_props}
    # What is not there is left out: files of some kilobytes are what is asked for.
    text = plan.model_dump_json(exclude_defaults=True)
    properties |= {"hedge.version": plan.hedge_version, PLAN_KEY: text}
    if plan.problem is not None:
        properties["hedge.problem"] = plan.problem
    properties.pop(DATASHEET_KEY, None)  # of what was compressed, not of what came of it
    helper.set_model_props(model, dict(sorted(properties.items())))
