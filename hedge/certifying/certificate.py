"""The file of a proof: which models, which boxes, what is claimed of each, and what it rests on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from hedge.documents import fault, read_json
from hedge.errors import InputError
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
        tables = (self.levels, self.places, self.largest, self.square, self.dense_square)
        if not self.levels or len({len(table) for table in tables}) != 1:
            raise ValueError("all its tables must have one row a box")
        for pair in (tables[:2], tables[2:]):
            if len({len(row) for table in pair for row in table}) != 1:
                raise ValueError("its rows must be equally long")
        return self


class Certificate(_Part):
    """All that a checker needs beside the two files; digest is the SHA-256 of the rest.

    unit is the roundoff that each operation of the deployed network may add, errors the assumed error of
    its functions: |fl(f(x)) − f(x)| ≤ a + b |f(x)|.
    """

    hedge_certificate: Literal[1] = 1
    made_with: str = f"hedge {__version__}"
    small: CertifiedFile
    dense: CertifiedFile
    domain: list[tuple[Finite, Finite]]
    order: Annotated[int, Field(ge=1, le=12)]
    unit: Bound
    errors: dict[str, tuple[Bound, Bound]]
    assumptions: list[str]
    evaluated: Annotated[int, Field(ge=1)]
    ended: Ended
    claims: list[Claim]
    boxes: Boxes
    digest: str = ""

    @model_validator(mode="after")
    def _fits_together(self) -> Certificate:
        dimension, columns = len(self.domain), len(self.claims)
        if any(not 0.0 < upper - lower < math.inf for lower, upper in self.domain):
            raise ValueError(
                "domain: each lower end must be below the upper one, both within float64"
            )
        if len(self.boxes.levels[0]) != dimension or len(self.boxes.largest[0]) != columns:
            raise ValueError("boxes don't fit the domain and the claims")
        return self

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
