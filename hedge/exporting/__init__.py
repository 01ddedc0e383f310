"""Export: compressed models as files of standard ops."""

from __future__ import annotations

from hedge.exporting.onnx_export import NEWEST_OPSET, PLAN_KEY, to_onnx

__all__ = ["NEWEST_OPSET", "PLAN_KEY", "to_onnx"]
