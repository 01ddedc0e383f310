"""What a matrix may be: a module a structure, each with its sizes, its numbers and its ONNX nodes.

Standard ops only, in the form that is fastest in onnxruntime. What decides (one thread): a node takes
about half a microsecond; 2-D constants are prepacked and 3-D ones are not, so that Gemms beat batched
products where they are large; a sum is free inside a Gemm.
"""

from __future__ import annotations

from hedge.graph.structures.factors import Factors, SiteMatrix, factor_labels
from hedge.graph.structures.lowering import forms_of, lowered
from hedge.graph.structures.partition import LeafMatrix, Partition
from hedge.graph.structures.shared_bases import BlockLayout, BlockMatrix
from hedge.graph.structures.structure import (
    Form,
    Lowering,
    Matrix,
    Place,
    Rectangle,
    Structure,
    matrix_bytes,
    stored_as,
    with_bias,
)
from hedge.graph.structures.weights import biased, weight

__all__ = [
    "BlockLayout",
    "BlockMatrix",
    "Factors",
    "Form",
    "LeafMatrix",
    "Lowering",
    "Matrix",
    "Partition",
    "Place",
    "Rectangle",
    "SiteMatrix",
    "Structure",
    "biased",
    "factor_labels",
    "forms_of",
    "lowered",
    "matrix_bytes",
    "stored_as",
    "weight",
    "with_bias",
]
