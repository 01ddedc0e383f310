"""What a user asks of a compression, and of which model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hedge.compression.allocation import Objective
from hedge.compression.measure import Norm
from hedge.documents import MOST_COUNTED
from hedge.errors import InputError

LEAST_TOLERANCE = 1e-7
LARGEST_BATCH = 10**7  # a layer of 128 then takes 5 GiB

HIERARCHICAL = "hierarchical"
"""hedge's own method; the others are in :mod:`hedge.methods`."""
Against = Literal["dense", "reference"]
Columns = Literal["each", "joint"]
RelativeTo = Literal["size", "spread"]


@dataclass(frozen=True)
class Request:
    """What a user asks of a compression.

    tolerance is the relative L2 error over the domain: of each column of each output or, with columns
    "joint", of all columns of an output together; if nothing is said they are together where they are one
    field on a grid: an operator's, and those of an output of more than 64. It is relative to the size ‖u‖ or
    to the spread ‖u − mean u‖. With norm "max" it bounds max |e| / max |u| in place of the L2 norms.
    derivatives bounds ‖∂e/∂x_k‖ / ‖∂u/∂x_k‖ for every input k, too. batch is the rows per call for which
    costs are predicted. method is the name of one that :mod:`hedge.methods` knows; only hedge's own,
    "hierarchical", removes neurons (unless ``keep_widths``) and fits what is left. command is the command
    line that asks the same, for the plan to record.

    Raises InputError for a tolerance outside [1e-7, 1), a batch below 1, a seed below 0 or beyond 2⁵³, or
    norm "max" relative to the spread, or derivatives outside [1e-7, 1).
    """

    tolerance: float
    objective: Objective = "latency"
    batch: int = 1
    method: str = HIERARCHICAL
    keep_widths: bool = False
    seed: int = 0
    command: str = ""
    columns: Columns | None = None
    relative_to: RelativeTo = "size"
    norm: Norm = "l2"
    derivatives: float | None = None

    def __post_init__(self) -> None:
        _check_tolerance("tolerance", self.tolerance, "1e-3")
        if self.derivatives is not None:
            _check_tolerance("derivatives", self.derivatives, "1e-2")
        if self.norm == "max" and self.relative_to == "spread":
            raise InputError(
                "norm max: is relative to the largest output; leave out --relative-to spread"
            )
        if not 1 <= self.batch <= LARGEST_BATCH:
            raise InputError(f"batch: {self.batch} is not between 1 and {LARGEST_BATCH}")
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is negative; give 0 or more")
        if self.seed > MOST_COUNTED:
            raise InputError(f"seed: {self.seed} is too large; give at most {MOST_COUNTED}")

    @property
    def fits(self) -> bool:
        """Whether neurons may go and sites are fitted again, as only hedge's own method does."""
        return self.method == HIERARCHICAL


def _check_tolerance(name: str, value: float, good: str) -> None:
    if not 0.0 < value < 1.0:
        raise InputError(f"{name}: {value:g} is not between 0 and 1; try {good}")
    if value < LEAST_TOLERANCE:
        raise InputError(
            f"{name}: {value:g} is below what float32 files can keep; at least {LEAST_TOLERANCE:g}"
        )


@dataclass(frozen=True)
class Allowance:
    """How much fitting may take: steps, by which results repeat, and seconds that may end it earlier.

    A step is one of the optimiser, see :class:`hedge.recovery.Work` for those of large networks.

    Raises InputError for no steps, or a budget that is not positive and finite.
    """

    steps: int
    budget_s: float | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.steps, int) and self.steps >= 1):
            raise InputError(f"steps: {self.steps} is too small; at least 1")
        if self.budget_s is not None and not 0.0 < self.budget_s < float("inf"):
            raise InputError(
                f"budget: {self.budget_s:g} s is not positive and finite; give the seconds after which "
                "to end early, or leave it out"
            )


@dataclass(frozen=True)
class Source:
    """Where a dense model came from: its file's name and SHA-256, and its problem if known."""

    name: str
    sha256: str
    problem: str | None = None
