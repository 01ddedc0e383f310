"""What a user asks of a compression, and of which model.

A field of :class:`Request` with a help is a keyword of :func:`hedge.compress` and an option of the command.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, TypedDict

from hedge.errors import InputError, quoted
from hedge.grids import sides_in

LEAST_TOLERANCE = 1e-7
LARGEST_BATCH = 10**7  # a layer of 128 then takes 5 GiB
MOST_BOXES = 200_000  # that a proof looks at
LARGEST_SEED = 2**53  # beyond, documents don't hold every whole number

HIERARCHICAL = "hierarchical"
"""hedge's own method; the others are in :mod:`hedge.methods`."""
Objective = Literal["latency", "energy", "size"]
Against = Literal["dense", "reference"]
Columns = Literal["each", "joint"]
RelativeTo = Literal["size", "spread"]
Norm = Literal["l2", "max"]


class Asked(TypedDict, total=False):
    """The options of a :class:`Request`, as keywords."""

    tolerance: float
    objective: Objective
    batch: int
    method: str
    keep_widths: bool
    columns: Columns | None
    relative_to: RelativeTo
    norm: Norm
    derivatives: float | None
    certify: bool
    grid: tuple[int, ...] | str | None
    seed: int


@dataclass(frozen=True)
class Request:
    """What a user asks of a compression.

    tolerance is the relative L2 error over the domain: of each column of each output or, with columns
    "joint", of all columns of an output together; if nothing is said they are together where they are one
    field on a grid: an operator's, and those of an output of more than 64. It is relative to the size ‖u‖ or
    to the spread ‖u − mean u‖. With norm "max" it bounds max |e| / max |u| in place of the L2 norms.
    derivatives bounds ‖∂e/∂x_k‖ / ‖∂u/∂x_k‖ for every input k, too. With certify a proof decides, not a
    sample, see :func:`hedge.certify`. grid are the sides of the grid whose points the rows or columns of
    large sites are, row by row, as (48, 48) or "48x48"; else it is looked for. batch is the rows per call for
    which costs are predicted. method is the name of one that :mod:`hedge.methods` knows; only hedge's own,
    "hierarchical", removes neurons (unless ``keep_widths``) and fits what is left. command is the command
    line that asks the same, flash and ram the bytes that its C may take, for the plan to record.

    Raises InputError for a tolerance outside [1e-7, 1), a batch below 1, a seed below 0 or beyond 2⁵³, or
    norm "max" relative to the spread, derivatives outside [1e-7, 1), or a grid of other than two or three
    sides of at least 2.
    """

    tolerance: float = field(
        default=1e-3,
        metadata={"help": "Relative error of the output, L2 or --norm max, in (0, 1)."},
    )
    objective: Objective = field(default="latency", metadata={"help": "What to make small."})
    batch: int = field(default=1, metadata={"help": "Rows per call on the device."})
    method: str = field(
        default=HIERARCHICAL,
        metadata={
            "help": "hierarchical, hedge's own; to compare with: svd, activation-svd, or paper, its "
            "Algorithms 3 and 4."
        },
    )
    keep_widths: bool = field(default=False, metadata={"help": "Factorize only; remove no neuron."})
    columns: Columns | None = field(
        default=None,
        metadata={
            "help": "Whether each column of an output keeps the tolerance, or all together; each, but for "
            "fields on a grid."
        },
    )
    relative_to: RelativeTo = field(
        default="size", metadata={"help": "Whether errors are relative to |u| or to |u - mean u|."}
    )
    norm: Norm = field(
        default="l2",
        metadata={"help": "Whether the tolerance bounds the mean (L2) or the largest error."},
    )
    derivatives: float | None = field(
        default=None,
        metadata={"help": "Bounds the relative L2 error of the derivatives by each input, too."},
    )
    certify: bool = field(
        default=False,
        metadata={"help": "Keep only what is proved to keep the tolerance on the whole domain."},
    )
    grid: tuple[int, ...] | str | None = field(
        default=None,
        metadata={
            "help": "The grid that large matrices are on, as 48x48 or 16x16x16; else it is looked for.",
            "text": True,
        },
    )
    seed: int = field(default=0, metadata={"help": "Seed of everything random."})
    command: str = ""
    flash: int | None = None
    ram: int | None = None

    def __post_init__(self) -> None:
        _check_tolerance("tolerance", self.tolerance, "1e-3")
        if self.derivatives is not None:
            _check_tolerance("derivatives", self.derivatives, "1e-2")
        if self.norm == "max" and self.relative_to == "spread":
            raise InputError(
                "norm max: is relative to the largest output; leave out --relative-to spread"
            )
        if self.certify and self.relative_to == "spread":
            raise InputError("certify: proves errors relative to the size; leave out --relative-to")
        object.__setattr__(self, "grid", _checked_grid(self.grid))
        if not 1 <= self.batch <= LARGEST_BATCH:
            raise InputError(f"batch: {self.batch} is not between 1 and {LARGEST_BATCH}")
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is negative; give 0 or more")
        if self.seed > LARGEST_SEED:
            raise InputError(f"seed: {self.seed} is too large; give at most {LARGEST_SEED}")

    @property
    def sides(self) -> tuple[int, ...] | None:
        """The grid's."""
        return None if self.grid is None else tuple(map(int, self.grid))

    @property
    def fits(self) -> bool:
        """Whether neurons may go and sites are fitted again, as only hedge's own method does."""
        return self.method == HIERARCHICAL


def options_of(request: type[Request]) -> list[Field[Any]]:
    """The fields that are options."""
    return [one for one in fields(request) if one.metadata]


def _checked_grid(grid: tuple[int, ...] | str | None) -> tuple[int, ...] | None:
    sides = sides_in(grid) if isinstance(grid, str) else grid
    if grid is None:
        return None
    if sides is None or not 2 <= len(sides) <= 3 or min(sides) < 2:
        raise InputError(
            f"grid: {quoted(grid)} is no grid of two or three sides of at least 2; give for example 48x48"
        )
    return tuple(sides)


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
