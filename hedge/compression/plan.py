"""The request for a compression, and the plan that answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hedge.compression.allocation import Objective
from hedge.devices import Block
from hedge.errors import InputError
from hedge.graph import (
    BlockLayout,
    BlockMatrix,
    LeafMatrix,
    Matrix,
    Precision,
    Site,
    matrix_bytes,
)
from hedge.hmatrix import Leaf

LEAST_TOLERANCE = 1e-7
LARGEST_BATCH = 10**9

Count = Annotated[int, Field(ge=0)]
Figure = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Method = Literal["hierarchical", "svd", "paper"]
Positive = Annotated[int, Field(ge=1)]
Place = tuple[Count, Count, Count, Count, Positive | None]
"""(top, bottom, start, stop, rank or None for dense) of a leaf."""
Against = Literal["dense", "reference"]


@dataclass(frozen=True)
class Request:
    """What a user asks of a compression.

    tolerance is the relative L2 error of the output over the domain, of each output where the graph
    has several; batch the rows per call for which costs are predicted. method "hierarchical" removes
    neurons (unless ``keep_widths``) and replaces matrices in the output-weighted norm. For comparison,
    "svd" truncates plainly, and "paper" is Algorithms 3 and 4 with the paper's energy as the cost,
    whatever the objective.

    Raises InputError for a tolerance outside [1e-7, 1), a batch below 1 or a negative seed.
    """

    tolerance: float
    objective: Objective = "latency"
    batch: int = 1
    method: Method = "hierarchical"
    keep_widths: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.tolerance < 1.0:
            raise InputError(f"tolerance: {self.tolerance:g} is not between 0 and 1; try 1e-3")
        if self.tolerance < LEAST_TOLERANCE:
            raise InputError(
                f"tolerance: {self.tolerance:g} is below what float32 files can keep; "
                f"at least {LEAST_TOLERANCE:g}"
            )
        if not 1 <= self.batch <= LARGEST_BATCH:
            raise InputError(f"batch: {self.batch} is not between 1 and {LARGEST_BATCH}")
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is negative; give 0 or more")


@dataclass(frozen=True)
class Source:
    """Where a dense model came from: its file's name and SHA-256, and its problem if known."""

    name: str
    sha256: str
    problem: str | None = None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SitePlan(_Strict):
    """One site: its shape in the dense model, its shape now, and its structure.

    rank is that of its two factors, or of the bases of its blocks; leaves is how many leaves
    there are along each side; precision is that of its weights in
    files; tree lists the leaves of an H-matrix that is neither.
    """

    name: str
    dense_outputs: Count
    dense_inputs: Count
    outputs: Count
    inputs: Count
    rank: Count | None
    leaves: Positive | None = None
    tree: tuple[Place, ...] | None = None
    precision: Precision = "float32"
    parameters: Count
    reason: str

    @property
    def layout(self) -> BlockLayout | None:
        """The layout of its blocks, if it has some."""
        if self.leaves is None or self.rank is None:
            return None
        return BlockLayout(self.outputs, self.inputs, self.leaves, self.rank)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its leaves as the paper counts them (def1): blocks that share bases each count theirs."""
        return _blocks(self.outputs, self.inputs, self.rank, self.leaves, self.tree)


class Rung(_Strict):
    """One step of recovery: parameters after the cut, its error, and that after fitting again.

    on says what the best fit was fitted to.
    """

    parameters: Count
    cut_error: Figure
    error: Figure
    on: str
    seconds: Figure


class Plan(_Strict):
    """What became of a model. Errors are relative L2 on fresh points, times in s, energies in J.

    relative_error is that of the worst output where the graph has several; one that is zero everywhere
    is measured by the others. sensitivities says how the output's derivatives were taken: "exact", or
    "probed: ops" where some ops were differentiated by central differences. left_alone names the
    matrix products that are no sites, and why. paper_energy_j and paper_bound_s are Theorems 10 and 11
    to the letter. recovery says why no further cut was recovered, rungs are those that were.
    """

    method: Method
    objective: Objective
    keep_widths: bool
    batch: Count
    seed: Count
    device: str
    points: str
    against: Against
    tolerance: Figure
    relative_error: Figure
    fresh_points: Count
    parameters: Count
    dense_parameters: Count
    bytes: Count
    dense_bytes: Count
    predicted_s: Figure
    dense_predicted_s: Figure
    energy_j: Figure
    dense_energy_j: Figure
    paper_energy_j: Figure | None = None
    paper_bound_s: Figure | None = None
    gains: bool
    note: str
    source: str
    source_sha256: str
    problem: str | None
    hedge_version: str
    sensitivities: str = "not recorded"
    left_alone: tuple[str, ...] = ()
    recovery: str = ""
    rungs: tuple[Rung, ...] = ()
    sites: tuple[SitePlan, ...]


def describe_sites(
    sites: tuple[Site, ...],
    matrices: Mapping[str, Matrix],
    note: str,
    whole: Mapping[str, str],
) -> tuple[SitePlan, ...]:
    """What became of each site, and why.

    note is the reason if all stay dense; ``whole`` says why a site's neurons could not be dropped.
    """
    return tuple(_describe(site, matrices[site.name], note, whole.get(site.name)) for site in sites)


def _describe(site: Site, matrix: Matrix, note: str, whole: str | None) -> SitePlan:
    (dense_outputs, dense_inputs), (outputs, inputs) = site.matrix.shape, matrix.shape
    rank, leaves, tree = _structure(matrix)
    reasons = []
    if outputs < dense_outputs:
        reasons.append(f"{outputs} of {dense_outputs} neurons kept")
    if inputs < dense_inputs:
        reasons.append(f"reads {inputs} of {dense_inputs}")
    if isinstance(matrix, BlockMatrix):
        rows, columns = matrix.layout.leaf
        reasons.append(f"{leaves} leaves of {rows}x{columns} and rank {rank} off them cost least")
    elif tree is not None:
        reasons.append(f"the paper's partition into {len(tree)} blocks")
    elif rank is not None:
        reasons.append(f"rank {rank} costs less than {outputs}x{inputs} dense")
    if matrix.precision != "float32":
        reasons.append(f"{matrix.precision} keeps the error")
    if not reasons:
        reasons.append(note or "dense costs least at this price of error")
    if whole is not None:
        reasons.append(f"all neurons stay: {whole}")
    return SitePlan(
        name=site.name,
        dense_outputs=dense_outputs,
        dense_inputs=dense_inputs,
        outputs=outputs,
        inputs=inputs,
        rank=rank,
        leaves=leaves,
        tree=tree,
        precision=matrix.precision,
        parameters=matrix.parameters,
        reason="; ".join(reasons),
    )


def parameter_count(matrices: Mapping[str, Matrix]) -> int:
    """Weights and biases of all sites."""
    return sum(matrix.parameters for matrix in matrices.values())


def byte_count(matrices: Mapping[str, Matrix]) -> int:
    """The same in bytes, as stored."""
    return sum(matrix_bytes(matrix) for matrix in matrices.values())


def blocks_of(matrices: Mapping[str, Matrix]) -> tuple[Block, ...]:
    """The leaves of all sites as the paper counts them (def1)."""
    blocks: list[Block] = []
    for matrix in matrices.values():
        rank, leaves, tree = _structure(matrix)
        blocks += _blocks(*matrix.shape, rank, leaves, tree)
    return tuple(blocks)


def _structure(
    matrix: Matrix,
) -> tuple[int | None, int | None, tuple[Place, ...] | None]:
    """(rank, leaves, tree) as in :class:`SitePlan`."""
    if isinstance(matrix, LeafMatrix):
        return None, None, tuple(_place(leaf) for leaf in matrix.leaves)
    if isinstance(matrix, BlockMatrix):
        return matrix.layout.rank, matrix.layout.count, None
    return (matrix.rank if len(matrix.factors) == 2 else None), None, None


def _place(leaf: Leaf) -> Place:
    rank = None if leaf.is_dense else leaf.rank
    return leaf.top, leaf.bottom, leaf.start, leaf.stop, rank


def _blocks(
    outputs: int,
    inputs: int,
    rank: int | None,
    leaves: int | None,
    tree: tuple[Place, ...] | None,
) -> tuple[Block, ...]:
    if leaves is not None and rank is not None:
        rows, columns = BlockLayout(outputs, inputs, leaves, rank).leaf
        dense = Block(rows, columns, min(rows, columns), low_rank=False)
        coupled = Block(rows, columns, rank, low_rank=True)
        return (dense,) * leaves + (coupled,) * (leaves * (leaves - 1))
    return tuple(
        Block(
            rows=bottom - top,
            columns=stop - start,
            rank=min(bottom - top, stop - start) if k is None else k,
            low_rank=k is not None,
        )
        for top, bottom, start, stop, k in tree or ((0, outputs, 0, inputs, rank),)
    )
