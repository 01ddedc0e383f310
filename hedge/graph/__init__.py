"""Model files as graphs: reading them safely, their linear sites, evaluation, derivatives, work."""

from __future__ import annotations

from hedge.graph.builder import GraphBuilder
from hedge.graph.derivative_outputs import (
    Wanted,
    has_derivatives,
    pairs_of,
    split_with_derivatives,
    split_with_jacobian,
    wanted_outputs,
    with_derivatives,
    with_jacobian,
)
from hedge.graph.doubles import has_doubles, in_single_again
from hedge.graph.evaluation import Evaluator, check_finite, output_widths, run_float32
from hedge.graph.groups import NeuronGroup, neuron_groups, with_kept_neurons
from hedge.graph.guarding import guarded, is_guarded
from hedge.graph.hmatrix_sites import hmatrix_model, with_hmatrices
from hedge.graph.layers import Layer, linear_layers, removable_layers, tanh_chain, without_layer
from hedge.graph.matrix_function import AtSite, matrix_function
from hedge.graph.pairing import as_pairs
from hedge.graph.ports import (
    column_names,
    feeds,
    input_dimension,
    input_names,
    input_widths,
    joined,
)
from hedge.graph.precision import (
    BYTES_PER_NUMBER,
    PRECISIONS,
    STORED_DTYPES,
    FilePrecision,
    Precision,
    decode,
    encode,
    stored_bytes,
)
from hedge.graph.problem_outputs import as_found, check_fields
from hedge.graph.product_grids import Grid, grid_of
from hedge.graph.read_columns import ReadColumns, read_columns, with_columns
from hedge.graph.reading import ONNX_ERRORS, check_readable, files_of, load_model, metadata
from hedge.graph.reverse import constants_of, jumping_ops, probed_ops, site_gradients, trace
from hedge.graph.runtime import ORT_ERRORS, cannot_run, check_read, reads_here, reads_of
from hedge.graph.site import Site
from hedge.graph.sites import SplitModel, assemble, outline, split, split_if_any, split_of
from hedge.graph.sizes import check_room
from hedge.graph.spreading import as_grid
from hedge.graph.structures.factors import Factors, SiteMatrix
from hedge.graph.structures.grids import grid_order, grids
from hedge.graph.structures.hierarchy import Hierarchy, HierarchyMatrix, as_order
from hedge.graph.structures.lowering import forms_of
from hedge.graph.structures.partition import LeafMatrix, Partition
from hedge.graph.structures.shared_bases import BlockLayout, BlockMatrix
from hedge.graph.structures.structure import (
    BYTES_PER_INDEX,
    Form,
    Matrix,
    Structure,
    matrix_bytes,
    stored_as,
    with_bias,
)
from hedge.graph.versions import LEAST_OPSET, lowest_ir_version, opset
from hedge.graph.work import (
    best_forms,
    forms_on,
    graph_work,
    site_works,
    usual_forms,
    works_by_site,
)

__all__ = [
    "BYTES_PER_INDEX",
    "BYTES_PER_NUMBER",
    "LEAST_OPSET",
    "ONNX_ERRORS",
    "ORT_ERRORS",
    "PRECISIONS",
    "STORED_DTYPES",
    "AtSite",
    "BlockLayout",
    "BlockMatrix",
    "Evaluator",
    "Factors",
    "FilePrecision",
    "Form",
    "GraphBuilder",
    "Grid",
    "Hierarchy",
    "HierarchyMatrix",
    "Layer",
    "LeafMatrix",
    "Matrix",
    "NeuronGroup",
    "Partition",
    "Precision",
    "ReadColumns",
    "Site",
    "SiteMatrix",
    "SplitModel",
    "Structure",
    "Wanted",
    "as_found",
    "as_grid",
    "as_order",
    "as_pairs",
    "assemble",
    "best_forms",
    "cannot_run",
    "check_fields",
    "check_finite",
    "check_read",
    "check_readable",
    "check_room",
    "column_names",
    "constants_of",
    "decode",
    "encode",
    "feeds",
    "files_of",
    "forms_of",
    "forms_on",
    "graph_work",
    "grid_of",
    "grid_order",
    "grids",
    "guarded",
    "has_derivatives",
    "has_doubles",
    "hmatrix_model",
    "in_single_again",
    "input_dimension",
    "input_names",
    "input_widths",
    "is_guarded",
    "joined",
    "jumping_ops",
    "linear_layers",
    "load_model",
    "lowest_ir_version",
    "matrix_bytes",
    "matrix_function",
    "metadata",
    "neuron_groups",
    "opset",
    "outline",
    "output_widths",
    "pairs_of",
    "probed_ops",
    "read_columns",
    "reads_here",
    "reads_of",
    "removable_layers",
    "run_float32",
    "site_gradients",
    "site_works",
    "split",
    "split_if_any",
    "split_of",
    "split_with_derivatives",
    "split_with_jacobian",
    "stored_as",
    "stored_bytes",
    "tanh_chain",
    "trace",
    "usual_forms",
    "wanted_outputs",
    "with_bias",
    "with_columns",
    "with_derivatives",
    "with_hmatrices",
    "with_jacobian",
    "with_kept_neurons",
    "without_layer",
    "works_by_site",
]  # fmt: skip
