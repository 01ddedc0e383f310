"""Model files as graphs: reading them safely, their linear sites, evaluation, derivatives, work."""

from __future__ import annotations

from hedge.graph.evaluation import ORT_ERRORS, Evaluator, run_float32
from hedge.graph.layers import HiddenLayer, graph_work, hidden_layers
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
from hedge.graph.sites import Site, SiteMatrix, SplitModel, assemble, split

__all__ = [
    "LEAST_OPSET",
    "NEWEST_IR_VERSION",
    "ORT_ERRORS",
    "Evaluator",
    "HiddenLayer",
    "Site",
    "SiteMatrix",
    "SplitModel",
    "Trace",
    "assemble",
    "graph_work",
    "hidden_layers",
    "input_dimension",
    "input_name",
    "load_model",
    "metadata",
    "opset",
    "run_float32",
    "site_gradients",
    "split",
    "trace",
]
