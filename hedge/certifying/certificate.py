"""The file of a proof: which models, which boxes, what is claimed of each, and what it rests on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from hedge.documents import fault, read_json
from hedge.errors import InputError
from hedge.geometry import parse_shape
from hedge.problems import Domain
from hedge.problems.stability import Kind
from hedge.version import __version__


def _file_name(name: str) -> str:
    if not name or name == ".." or Path(name).name != name:
        raise ValueError("must be the name of a file, without a folder")
    return name


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, AfterValidator(_file_name)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Bound = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Ended = Literal["close", "boxes", "budget", "depth"]
Level = Annotated[int, Field(ge=0, le=48)]
Place = Annotated[int, Field(ge=0, lt=2**48)]
Order = Annotated[int, Field(ge=1, le=12)]
By = Literal["residual", "dense"]
Count = Annotated[int, Field(ge=1)]
Errors = dict[str, tuple[Bound, Bound]]


def _with_width(ends: tuple[float, float]) -> tuple[float, float]:
    if not 0.0 < ends[1] - ends[0] < math.inf:
        raise ValueError("each lower end must be below the upper one, both within float64")
    return ends


Intervals = Annotated[
    list[Annotated[tuple[Finite, Finite], AfterValidator(_with_width)]], Field(min_length=1)
]


def _check_rows(*tables: Sequence[object]) -> None:
    if not tables[0] or len({len(table) for table in tables}) != 1:
        raise ValueError("all its tables must have one row a box")


def _check_widths(*tables: Sequence[Sequence[object]]) -> None:
    if len({len(row) for table in tables for row in table}) != 1:
        raise ValueError("its rows must be equally long")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CertifiedFile(_Part):
    """A model file: what it is called, and the SHA-256 of its bytes."""

    name: FileName
    sha256: Sha256


class Claim(_Part):
    """What is proved of one output column.

    e is the small network as deployed minus the dense one, u the latter, both over the whole domain:
    largest_seen ≤ max|e| ≤ largest and relative_l2_seen ≤ ‖e‖/‖u‖ ≤ relative_l2. rounding is the part of
    largest that float32 may take; max|u| is at least dense_seen.
    """

    column: str
    largest: Bound
    largest_seen: Bound
    relative_l2: Bound | None  # None where u may be zero for all that is proved
    relative_l2_seen: Bound
    dense_seen: Bound
    rounding: Bound


class Boxes(_Part):
    """B boxes and what is claimed of each, m columns.

    Box b reaches in variable v from places/2^levels to (places + 1)/2^levels of the domain. On it |e| ≤
    largest, the mean of e² is at most square and that of u² at least dense_square.
    """

    levels: list[list[Level]]
    places: list[list[Place]]
    largest: list[list[Bound]]
    square: list[list[Bound]]
    dense_square: list[list[Bound]]

    @model_validator(mode="after")
    def _of_one_shape(self) -> Boxes:
        _check_rows(self.levels, self.places, self.largest, self.square, self.dense_square)
        _check_widths(self.levels, self.places)
        _check_widths(self.largest, self.square, self.dense_square)
        return self


class _Over(_Part):
    """What is proved over a domain: a box or, with a ``shape``, what of the box lies in that.

    Boxes that surely have no point of the shape are promised nothing, and have figures of 0.
    """

    domain: Intervals
    shape: str | None = None

    @property
    def where(self) -> Domain:
        """The domain. Raises InputError for intervals that are out of range."""
        return Domain(tuple(self.domain), None if self.shape is None else parse_shape(self.shape))

    @model_validator(mode="after")
    def _has_its_shape(self) -> Self:
        if self.shape is not None:
            try:
                written = str(self.where.shape)
            except InputError as error:
                raise ValueError(str(error)) from error
            if written != self.shape:
                raise ValueError("shape: is not as hedge writes it")
        return self


class Difference(_Over):
    """How far a model, as deployed, is from the dense one over a domain.

    unit is the roundoff that each operation of the deployed network may add, errors the assumed error of
    its functions: |fl(f(x)) − f(x)| ≤ a + b |f(x)|.
    """

    dense: CertifiedFile
    order: Order
    unit: Bound
    errors: Errors
    evaluated: Count
    ended: Ended
    claims: list[Claim]
    boxes: Boxes

    @model_validator(mode="after")
    def _fits_together(self) -> Difference:
        if len(self.boxes.levels[0]) != len(self.domain) or len(self.boxes.largest[0]) != len(
            self.claims
        ):
            raise ValueError("boxes don't fit the domain and the claims")
        return self


class ResidualClaim(_Part):
    """What is proved of a residual r over the domain: largest_seen ≤ max|r| ≤ largest, rms_seen ≤ rms ≤ rms,
    the mean of |r| is at most ``mean``."""

    largest: Bound
    largest_seen: Bound
    rms: Bound
    rms_seen: Bound
    mean: Bound


class ResidualBoxes(_Part):
    """As :class:`Boxes`: |r| ≤ largest, the mean of r² is at most square."""

    levels: list[list[Level]]
    places: list[list[Place]]
    largest: list[Bound]
    square: list[Bound]

    @model_validator(mode="after")
    def _of_one_shape(self) -> ResidualBoxes:
        _check_rows(self.levels, self.places, self.largest, self.square)
        _check_widths(self.levels, self.places)
        return self


class Face(_Part):
    """By how much a condition of the problem is missed on one face of the domain.

    condition is its number among the problem's. The boxes are as those of :class:`ResidualBoxes`, but that
    the condition's input is at the lower (0) or upper (1) ``end``; where that is None, what is bounded is
    the upper end's mismatch minus the lower one's. On each box it is at most largest.
    """

    condition: Annotated[int, Field(ge=0)]
    end: Literal[0, 1] | None
    levels: list[list[Level]]
    places: list[list[Place]]
    largest: list[Bound]

    @model_validator(mode="after")
    def _of_one_shape(self) -> Face:
        _check_rows(self.levels, self.places, self.largest)
        _check_widths(self.levels, self.places)
        return self


class Solution(_Over):
    """What is proved of one file's function u as the solution of a problem.

    u is the function of real numbers that the file defines, but for ``rounding``: what the deployed network
    computes is within that of u; None says that it is not bounded. |u| ≤ value, and u misses the problem's
    conditions, in their order, by at most mismatch. distances are bounds of ‖u − u*‖ to the solution u*, one
    for each of the problem's theorems, in their order. Of both there are none where the domain is another
    one, or a shape.
    """

    file: CertifiedFile
    problem: Annotated[str, Field(min_length=1)]
    order: Order
    unit: Bound
    errors: Errors
    evaluated: Count
    ended: Ended
    residual: ResidualClaim
    value: Bound
    rounding: Bound | None
    boxes: ResidualBoxes
    faces: list[Face]
    mismatch: list[Bound]
    distances: list[Bound]

    @model_validator(mode="after")
    def _fits_together(self) -> Solution:
        for levels in (self.boxes.levels, *(face.levels for face in self.faces)):
            if len(levels[0]) != len(self.domain):
                raise ValueError("boxes don't fit the domain")
        return self


class Distance(_Part):
    """How far the model, as deployed, is from the solution: ‖e‖ ≤ bound.

    The norm is the problem's theorem's (max, or L1 or L2 over some inputs and the largest over all others).
    It is proved by the model's own residual, or by that of the dense model; ``further`` is the part of
    what float32 may add to the model or, by the dense one, of the difference to that. Both are None where
    float32's rounding is not bounded.
    """

    kind: Kind
    over: str
    theorem: str
    by: By
    bound: Bound | None
    further: Bound | None


class Certificate(_Part):
    """All that a checker needs beside the files; digest is the SHA-256 of the rest.

    solutions are of the model and of the dense one of the difference, as far as they are proved.
    """

    hedge_certificate: Literal[1] = 1
    made_with: str = f"hedge {__version__}"
    model: CertifiedFile
    difference: Difference | None = None
    solutions: list[Solution] = []
    distances: list[Distance] = []
    assumptions: list[str]
    digest: str = ""

    @model_validator(mode="after")
    def _is_about_its_files(self) -> Certificate:
        known = [self.model] + ([self.difference.dense] if self.difference else [])
        files = [solution.file for solution in self.solutions]
        if any(file not in known for file in files) or len(set(files)) != len(files):
            raise ValueError("solutions: must be of the model or of the dense one, one each")
        if self.difference is None and not self.solutions:
            raise ValueError("proves nothing: it has neither a difference nor a solution")
        return self

    def solution_of(self, sha256: str) -> Solution | None:
        """What is proved of the file with this SHA-256 as a solution."""
        return next((each for each in self.solutions if each.file.sha256 == sha256), None)

    def sealed(self) -> Certificate:
        """The same with its digest."""
        return self.model_copy(update={"digest": digest_of(self.model_dump(mode="json"))})

    def as_bytes(self) -> bytes:
        """The file."""
        return (json.dumps(self.model_dump(mode="json"), indent=None) + "\n").encode()


def digest_of(document: Mapping[str, Any]) -> str:
    """The SHA-256 of a document without its digest, its keys sorted."""
    rest = {key: value for key, value in document.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_certificate(path: Path) -> Certificate:
    """Read one. Raises InputError, with the key, for what is no certificate or was changed."""
    document = read_json(path, "a certificate that hedge certify wrote")
    try:
        certificate = Certificate.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{path}: is no certificate: {fault(error)}") from error
    if digest_of(document) != certificate.digest:
        raise InputError(f"{path}: was changed after it was written; certify again")
    return certificate
