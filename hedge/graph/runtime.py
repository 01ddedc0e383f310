"""onnxruntime, of this machine or of another: how sessions are made, and which files it reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from itertools import count

import onnxruntime
from onnx import ModelProto, TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from hedge.devices import Device
from hedge.errors import ModelError, first_line
from hedge.graph.versions import LEAST_IR_VERSION, LEAST_OPSET, opset, opsets_needed

ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


@dataclass(frozen=True)
class _Reads:
    """The newest IR version and the newest opset that a runtime reads; ``runtime`` is what it is called."""

    runtime: str
    ir_version: int
    opset: int


def quiet_options() -> onnxruntime.SessionOptions:
    """For sessions that are short and say nothing."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Sessions are many and short here: spinning pools would take the cores from each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = _threads()
    return options


def _threads() -> int:
    """As many as OMP_NUM_THREADS says, which BLAS obeys and onnxruntime does not read; else 0: its choice.

    Workers have it at 1: with more, each would take the cores of the others.
    """
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(int(said), os.cpu_count() or 1) if said.isdecimal() else 0


@cache
def reads_here() -> _Reads:
    """What the onnxruntime of this machine reads, tried out."""
    return _Reads(
        f"onnxruntime {onnxruntime.__version__}",
        next(v for v in count(LEAST_IR_VERSION) if not _is_read(v + 1, LEAST_OPSET)),
        next(v for v in count(LEAST_OPSET) if not _is_read(LEAST_IR_VERSION, v + 1)),
    )


def reads_of(device: Device | None) -> _Reads | None:
    """What the onnxruntime reads that a device was calibrated with; None if that is not known."""
    found = None if device is None else device.calibration
    if device is None or found is None or found.ir_version is None or found.opset is None:
        return None
    return _Reads(
        f"onnxruntime {found.onnxruntime} of {device.name}", found.ir_version, found.opset
    )


def check_read(model: ModelProto, reads: _Reads | None) -> None:
    """Raise ModelError, naming an operator, if a file of the model is newer than the runtime reads."""
    version = opset(model)
    if reads is None or (version <= reads.opset and model.ir_version <= reads.ir_version):
        return
    needed = [op for op, least in opsets_needed(model).items() if least == version]
    raise ModelError(
        f"its {needed[0] if needed else 'version'} needs opset {version} (IR version {model.ir_version}), "
        f"{reads.runtime} reads opset {reads.opset} (IR version {reads.ir_version}) and older; take a newer "
        "onnxruntime there, or export the model without it"
    )


def cannot_run(model: ModelProto, error: Exception, where: str = "") -> ModelError:
    """Why onnxruntime, which raised ``error``, can't run the model here: for its versions, or as it says."""
    try:
        check_read(model, reads_here())
    except ModelError as reason:
        return reason
    return ModelError(f"onnxruntime can't run it{where} ({first_line(error)})")


def _is_read(ir_version: int, version: int) -> bool:
    """Whether a file of one node of these versions is read."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xu"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["u"])], "g", ports[:1], ports[1:])
    imports = [helper.make_opsetid("", version)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
    try:
        onnxruntime.InferenceSession(
            model.SerializeToString(), quiet_options(), providers=["CPUExecutionProvider"]
        )
    except ORT_ERRORS:
        return False
    return True
