"""Matrices as ONNX nodes: standard ops only, in the form that is fastest in onnxruntime.

What decides (onnxruntime, one thread): a node takes about half a microsecond; 2-D constants are
prepacked and 3-D ones are not, so that Gemms beat batched products where they are large; a sum is free
inside a Gemm.
"""

from __future__ import annotations

from hedge.graph.lowering.forms import Form, forms_of, lowered
from hedge.graph.lowering.products import factor_labels

__all__ = ["Form", "factor_labels", "forms_of", "lowered"]
