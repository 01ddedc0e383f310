"""Export: compressed models as files of standard ops."""

from __future__ import annotations

from hedge.exporting.onnx_export import PLAN_KEY, to_onnx

__all__ = ["PLAN_KEY", "to_onnx"]
