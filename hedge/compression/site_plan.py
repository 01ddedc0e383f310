"""What became of each site of a model: its structure, its cost, its share of the error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from hedge.compression.structures import known_form, record_of, structure_from, structure_keys
from hedge.documents import Count, Figure
from hedge.graph import FilePrecision, Form, Matrix, Site, Structure, matrix_bytes
from hedge.hmatrix import Block

# Of more numbers two matrices are not compared entry by entry: that takes seconds and tells nobody's error.
MOST_COMPARED = 2**22


class Strict(BaseModel):
    """Refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SitePlan(Strict):
    """One site: its shape in the dense model, its shape now, its structure, what it costs, its error.

    In files the fields of the structure stand among the others: outputs, inputs, and the rank of two
    factors, or of the bases of blocks, with so many leaves along each side, or the tree of an H-matrix'
    leaves. precision is that of its weights in files. form is what an exported file made of it, None in a
    compressed model.

    predicted_s is what its own nodes add to a call (s); activations are no site's. error_squared is
    its own squared error, E[|B^½ (W − H) a|²] over the fit points in parts of the output's power, and
    error_share its part of the sum over all sites; None where that means nothing. To first order the
    sum is the output's squared error, less what later sites correct.
    frobenius_error is ‖W − H‖_F and frobenius_bound the paper's bound for it (thm1.1), None where
    neurons were dropped, or the matrix has more than MOST_COMPARED numbers. Files
    written before these were recorded have None in all of them.
    """

    name: str
    dense_outputs: Count
    dense_inputs: Count
    structure: InstanceOf[Structure]
    precision: FilePrecision = "float32"
    form: Annotated[Form, AfterValidator(known_form)] | None = None
    parameters: Count
    bytes: Count | None = None
    dense_bytes: Count | None = None
    predicted_s: Figure | None = None
    dense_predicted_s: Figure | None = None
    error_squared: Figure | None = None
    error_share: Annotated[float, Field(ge=0, le=1)] | None = None
    frobenius_error: Figure | None = None
    frobenius_bound: Figure | None = None
    reason: str

    @model_validator(mode="before")
    @classmethod
    def _with_structure(cls, record: Any) -> Any:
        if not isinstance(record, dict) or isinstance(record.get("structure"), Structure):
            return record
        keys = structure_keys()
        others = {key: value for key, value in record.items() if key not in keys}
        own = {key: value for key, value in record.items() if key in keys}
        return others | {"structure": structure_from(own)}

    @model_serializer(mode="wrap")
    def _with_record(
        self, write: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        own = record_of(self.structure)
        if info.exclude_defaults:
            own = {key: value for key, value in own.items() if value is not None}
        record: dict[str, Any] = {}
        for key, value in write(self).items():
            record |= own if key == "structure" else {key: value}
        return record

    @property
    def outputs(self) -> int:
        """Rows of its matrix."""
        return self.structure.outputs

    @property
    def inputs(self) -> int:
        """Columns of its matrix."""
        return self.structure.inputs


def describe_sites(
    sites: tuple[Site, ...], matrices: Mapping[str, Matrix], note: str, whole: Mapping[str, str]
) -> tuple[SitePlan, ...]:
    """What became of each site, and why.

    note is the reason if all stay dense; ``whole`` says why a site's neurons could not be dropped.
    """
    return tuple(_describe(site, matrices[site.name], note, whole.get(site.name)) for site in sites)


def _describe(site: Site, matrix: Matrix, note: str, whole: str | None) -> SitePlan:
    compared = site.matrix.dense().size <= MOST_COMPARED or matrix is site.matrix
    error, bound = frobenius_errors(site.matrix, matrix) if compared else (None, None)
    return SitePlan(
        name=site.name,
        dense_outputs=site.matrix.shape[0],
        dense_inputs=site.matrix.shape[1],
        structure=matrix.structure,
        precision=cast("FilePrecision", matrix.precision),  # nothing compresses in doubles
        parameters=matrix.parameters,
        bytes=matrix_bytes(matrix),
        dense_bytes=matrix_bytes(site.matrix),
        frobenius_error=error,
        frobenius_bound=bound,
        reason=_reason(site, matrix, note, whole),
    )


def frobenius_errors(dense: Matrix, matrix: Matrix) -> tuple[float | None, float | None]:
    """‖W − H‖_F, and Σ ‖W_i − H_i‖_F over the leaves of H, which bounds it; None where the shapes differ."""
    if dense.shape != matrix.shape:
        return None, None
    if matrix is dense:
        return 0.0, 0.0
    difference = matrix.structure.arranged(dense.dense() - matrix.dense())
    leaves = [float(np.linalg.norm(difference[place])) for place in matrix.structure.rectangles]
    return float(np.linalg.norm(difference)), sum(leaves)


def _reason(site: Site, matrix: Matrix, note: str, whole: str | None) -> str:
    (dense_outputs, dense_inputs), (outputs, inputs) = site.matrix.shape, matrix.shape
    reasons = []
    if outputs < dense_outputs:
        reasons.append(f"{outputs} of {dense_outputs} neurons kept")
    if inputs < dense_inputs:
        reasons.append(f"reads {inputs} of {dense_inputs}")
    if matrix.structure.reason:
        reasons.append(matrix.structure.reason)
    if matrix.precision != "float32":
        reasons.append(f"{matrix.precision} keeps the error")
    if not reasons:
        reasons.append(note or "dense costs least at this price of error")
    if whole is not None:
        reasons.append(f"all neurons stay: {whole}")
    return "; ".join(reasons)


def parameter_count(matrices: Mapping[str, Matrix]) -> int:
    """Weights and biases of all sites."""
    return sum(matrix.parameters for matrix in matrices.values())


def byte_count(matrices: Mapping[str, Matrix]) -> int:
    """The same in bytes, as stored."""
    return sum(matrix_bytes(matrix) for matrix in matrices.values())


def blocks_of(matrices: Mapping[str, Matrix]) -> tuple[Block, ...]:
    """The leaves of all sites as the paper counts them (def1); alike ones of a site may be one."""
    return tuple(block for matrix in matrices.values() for block in matrix.structure.blocks)
