"""Model files as graphs: reading them safely, their linear sites, evaluation, derivatives, work."""

from __future__ import annotations

from hedge.graph.evaluation import ORT_ERRORS, Evaluator, run_float32
from hedge.graph.layers import HiddenLayer, graph_work, hidden_layers
from hedge.graph.matrices import (
    BlockLayout,
    BlockMatrix,
    LeafMatrix,
    Matrix,
    SiteMatrix,
    matrix_bytes,
    stored_as,
    with_bias,
)
from hedge.graph.precision import (
    BYTES_PER_NUMBER,
    PRECISIONS,
    STORED_DTYPES,
    Precision,
    decode,
    encode,
    stored_bytes,
)
from hedge.graph.reading import (
    LEAST_OPSET,
    NEWEST_IR_VERSION,
    input_dimension,
    input_name,
    load_model,
    metadata,
    opset,
)
from hedge.graph.reverse import Trace, site_gradients, trace
from hedge.graph.sites import Site, SplitModel, assemble, split

__all__ = [
    "BYTES_PER_NUMBER",
    "LEAST_OPSET",
    "NEWEST_IR_VERSION",
    "ORT_ERRORS",
    "PRECISIONS",
    "STORED_DTYPES",
    "BlockLayout",
    "BlockMatrix",
    "Evaluator",
    "HiddenLayer",
    "LeafMatrix",
    "Matrix",
    "Precision",
    "Site",
    "SiteMatrix",
    "SplitModel",
    "Trace",
    "assemble",
    "decode",
    "encode",
    "graph_work",
    "hidden_layers",
    "input_dimension",
    "input_name",
    "load_model",
    "matrix_bytes",
    "metadata",
    "opset",
    "run_float32",
    "site_gradients",
    "split",
    "stored_as",
    "stored_bytes",
    "trace",
    "with_bias",
]
