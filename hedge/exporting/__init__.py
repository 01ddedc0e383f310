"""Export: compressed models as files of standard ops, or as C99 and what is made of it."""

from __future__ import annotations

from hedge.exporting.c99 import (
    CALL_BYTES,
    CFiles,
    COptions,
    Guard,
    check_c,
    check_path,
    makefile,
    reference_program,
    to_c,
)
from hedge.exporting.c_network import CERTIFICATE, CNetwork
from hedge.exporting.datasheet import Datasheet
from hedge.exporting.onnx_export import DATASHEET_KEY, NEWEST_OPSET, plan_of, to_onnx
from hedge.exporting.stored_model import COMPRESSED, ONNX, StoredModel, open_model

__all__ = [
    "CALL_BYTES", "CERTIFICATE", "COMPRESSED", "DATASHEET_KEY", "NEWEST_OPSET", "ONNX", "CFiles", "CNetwork",
    "COptions", "Datasheet", "Guard", "StoredModel", "check_c", "check_path", "makefile", "open_model",
    "plan_of", "reference_program", "to_c", "to_onnx",
]  # fmt: skip
