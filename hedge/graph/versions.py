"""Versions of the file format and of its operators: the lowest in which a graph means the same.

A runtime refuses a file that is newer than itself, whatever stands in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.defs import OpSchema, SchemaError, get_schema

from hedge.graph.shapes import inferred_types
from hedge.ops import op_of

# Weights need not be listed among the inputs since IR version 4; 8 belongs to opset 17.
LEAST_IR_VERSION = 8
LEAST_OPSET = 17


def opset(model: ModelProto) -> int:
    """The version of the standard operators that the model uses."""
    return max((e.version for e in model.opset_import if not e.domain), default=1)


def lower_versions(model: ModelProto) -> None:
    """Bring a model, in place, to the lowest opset from 17 up that its operators allow, and its IR version.

    No node changes but for attributes that the older opset lacks, whose values are the usual ones.
    """
    _drop_unused_imports(model)
    if opset(model) > LEAST_OPSET:
        least = max(opsets_needed(model).values(), default=LEAST_OPSET)
        for node in _standard_nodes(model):
            _drop_newer_attributes(node, least)
        for entry in model.opset_import:
            entry.version = entry.version if entry.domain else least
    model.ir_version = lowest_ir_version(model)


def lowest_ir_version(model: ModelProto) -> int:
    """The oldest version of the file format that has the model's opset."""
    needed: int = helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    return max(needed, LEAST_IR_VERSION)


def opsets_needed(model: ModelProto) -> dict[str, int]:
    """The lowest opset, from 17 up, in which each standard operator of the model means the same."""
    types, version = inferred_types(model), opset(model)
    needed: dict[str, int] = {}
    for node in _standard_nodes(model):
        least = _opset_needed(node, version, types)
        needed[node.op_type] = max(least, needed.get(node.op_type, LEAST_OPSET))
    return needed


def _standard_nodes(model: ModelProto) -> list[NodeProto]:
    return [node for node in model.graph.node if not node.domain]


def _opset_needed(node: NodeProto, version: int, types: Mapping[str, int]) -> int:
    """Of one node that stands in opset ``version``: its definitions are gone through backwards."""
    while True:
        newer = get_schema(node.op_type, version, "")
        since: int = newer.since_version
        if since <= LEAST_OPSET:
            return LEAST_OPSET
        try:
            older = get_schema(node.op_type, since - 1, "")
        except SchemaError:
            return since
        if since <= op_of(node.op_type).since or not _is_same(node, newer, older, types):
            return since
        version = since - 1


def _is_same(node: NodeProto, newer: OpSchema, older: OpSchema, types: Mapping[str, int]) -> bool:
    """Whether the older definition takes the node, and by the same attributes."""
    takes = len(node.input) <= older.max_input and len(node.output) <= older.max_output
    given = {attribute.name for attribute in node.attribute}
    both = newer.attributes.keys() & older.attributes.keys()
    unusual = {a.name for a in node.attribute if a != newer.attributes[a.name].default_value}
    return (
        takes
        and not unusual - both
        and all(newer.attributes[name].default_value == older.attributes[name].default_value
                for name in both - given)
        and _takes_types(node, older, types)
    )  # fmt: skip


def _takes_types(node: NodeProto, schema: OpSchema, types: Mapping[str, int]) -> bool:
    """Whether the definition takes operands and results of these types, as far as they are known."""
    allowed = {one.type_param_str: one.allowed_type_strs for one in schema.type_constraints}
    for names, formal in ((node.input, schema.inputs), (node.output, schema.outputs)):
        for position, name in enumerate(names):
            kind = formal[min(position, len(formal) - 1)].type_str  # the last may stand for many
            element = types.get(name, TensorProto.UNDEFINED)
            text = f"tensor({TensorProto.DataType.Name(element).lower()})"
            if element != TensorProto.UNDEFINED and text not in allowed.get(kind, (kind,)):
                return False
    return True


def _drop_newer_attributes(node: NodeProto, version: int) -> None:
    known = get_schema(node.op_type, version, "").attributes
    kept = [attribute for attribute in node.attribute if attribute.name in known]
    del node.attribute[:]
    node.attribute.extend(kept)


def _drop_unused_imports(model: ModelProto) -> None:
    """Operators of a domain that no node is of any more would ask for a version all the same."""
    nodes = chain(model.graph.node, *(function.node for function in model.functions))
    used = {"", *(node.domain for node in nodes)}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
