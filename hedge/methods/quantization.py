"""8-bit integers by onnxruntime's own quantization tools."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from hedge.compression import Case, parameter_count
from hedge.errors import first_line
from hedge.graph import feeds
from hedge.methods.candidate import Absent, Candidate
from hedge.temporaries import scratch_folder

Array = NDArray[np.float32]

# Hard constraints and activations stay in float32: in 8 bits they cost most of the accuracy.
LINEAR_OPS = ["Gemm", "MatMul"]


def dynamic_int8(case: Case) -> Candidate | Absent:
    """Weights in 8 bits per channel; activations are quantized anew in every call."""
    from onnxruntime.quantization import quantize_dynamic

    def quantize(prepared: Path, out: Path) -> None:
        quantize_dynamic(prepared, out, op_types_to_quantize=LINEAR_OPS, per_channel=True)

    return _quantized(case, quantize, "weights int8 per channel, activations at run time")


def static_int8(case: Case) -> Candidate | Absent:
    """Weights in 8 bits per channel; activations in ranges calibrated on the fit points."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class FitPoints(CalibrationDataReader):  # type: ignore[misc]
        """All fit points as one batch."""

        def __init__(self) -> None:
            rows = case.points.fit.astype(np.float32)
            self._batches = iter([feeds(case.dense, rows)])

        def get_next(self) -> dict[str, Array] | None:
            return next(self._batches, None)

    def quantize(prepared: Path, out: Path) -> None:
        # uint8 activations with int8 weights are what onnxruntime advises for x86. A layer's output
        # goes into a float32 activation, so rounding it first would only cost accuracy.
        quantize_static(
            prepared, out, FitPoints(), op_types_to_quantize=LINEAR_OPS, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            extra_options={"OpTypesToExcludeOutputQuantization": LINEAR_OPS},
        )  # fmt: skip

    return _quantized(case, quantize, f"calibrated on {len(case.points.fit)} points")


def _quantized(case: Case, quantize: Callable[[Path, Path], None], note: str) -> Candidate | Absent:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        with scratch_folder() as folder, _without_warnings():
            names = ("dense", "ready", "int8")
            dense, prepared, out = (folder / f"{name}.onnx" for name in names)
            # given a ModelProto, it would change it
            dense.write_bytes(case.dense.SerializeToString())
            # Shape inference by symbols needs sympy and helps transformers only.
            quant_pre_process(dense, prepared, skip_symbolic_shape=True)
            quantize(prepared, out)
            model = onnx.load(str(out))
    except Exception as error:  # a full disk, or whatever a graph they don't expect leads to
        return Absent(f"onnxruntime can't quantize this model ({first_line(error)})")
    return Candidate(
        model=model,
        parameters=parameter_count(case.split.matrices),
        bytes=sum(numpy_helper.to_array(one).nbytes for one in model.graph.initializer),
        note=f"{note}; no knob",
    )


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps quiet what the tools log of layers they leave in float32; their error is measured."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
