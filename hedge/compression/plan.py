"""The plan: what was asked, what was found, what it costs, and how it was made."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
import onnx
import onnxruntime
import scipy
from pydantic import Field, ValidationError, model_validator

from hedge.compression.site_plan import SitePlan, Strict
from hedge.devices import UNIONS, Device, find_profile, shipped_profiles, write_profile
from hedge.documents import Count, Figure, Positive, fault, parse_json
from hedge.errors import ModelError, first_line
from hedge.graph import Form
from hedge.names import Name
from hedge.problems.stability import Kind
from hedge.request import Against, Columns, Norm, Objective, RelativeTo
from hedge.version import __version__

FITTED_AGAIN = "the weights were fitted again, so that no site has an error of its own"
NOT_RECORDED = "not recorded"
# Of files written before attempts were counted; no run made more.
ATTEMPTS_BEFORE = 6


Gain = Literal["latency", "energy", "size", "the paper's energy"]


class Rung(Strict):
    """One cut that was recovered: parameters after it, its error, and that after fitting again.

    on says what the best fit was fitted to, steps how many it took. Files written before steps were
    counted have seconds instead, which are read but not written: they would make files differ.
    """

    parameters: Count
    cut_error: Figure
    error: Figure
    on: str
    steps: Count | None = None
    seconds: Figure | None = Field(default=None, exclude=True)


class Trial(Strict):
    """A candidate of the search, from which ``family``: its cost, and its error on validation points."""

    family: str
    parameters: Count
    predicted_s: Figure
    error: Figure


class ColumnError(Strict):
    """The errors of one column of an output, or of all its columns where they are one field (column None)."""

    output: str
    column: Count | None
    relative_error: Figure
    max_error: Figure


class SlopeError(Strict):
    """The error of the derivative of a column (None: of all) of an output by an input: relative, L2."""

    output: str
    column: Count | None
    by: str
    relative_error: Figure


class Spread(Strict):
    """A column that varies by less than a tenth of its size, of an output: by which part of it.

    error is that relative to the spread; None where the column is constant.
    """

    output: str
    column: Count | None
    part: Figure
    error: Figure | None


class ProvedDistance(Strict):
    """How far the model, as deployed, is from the problem's solution at most, see :func:`hedge.certify`."""

    kind: Kind
    over: str
    by: Literal["residual", "dense"]
    bound: Figure


class Proved(Strict):
    """What is proved of the model over the whole domain, as deployed: see :func:`hedge.certify`.

    Of the worst column: relative_l2 bounds ‖e‖/‖u‖ and largest max|e|/max|u|; boxes is how many it took.
    to_solution has the distances to the problem's solution, where theorems and derivatives are known.
    """

    relative_l2: Figure
    largest: Figure
    boxes: Count
    to_solution: tuple[ProvedDistance, ...] = ()


class Plan(Strict):
    """What became of a model. Errors are relative L2 on fresh points, times in s, energies in J.

    relative_error is that of the worst column or output, as ``columns`` says; one that is zero everywhere
    is measured by the others. max_error is max |δu| / max |u| over the same points, again of the worst.
    ``norm`` says which of them keeps the tolerance; with "max" that was searched for around the worst
    points too, and at most the part ``unseen_part`` of the domain exceeds it, at that confidence.
    proved is there where a proof decided. errors has both of each, where there are several, at most the 64
    worst. small_spread is the column whose error is the largest relative to its spread, where that is small
    and errors are relative to the size. derivatives is the tolerance that the errors of derivatives keep,
    too, where that was asked;
    flash and ram are the bytes that its C may take, where these were asked;
    slope_errors are these, on ``slope_points`` of the points, and no_slopes says why there are none.
    attempts counts the candidates that were put to the test, each on points of its own, in this run
    and those before it; with probability ``confidence`` none of them was passed wrongly (files written
    before that was counted have none: about 98 % each). no_shares says why the sites have no errors of
    their own, where so. gained says what is less than the dense network's: predicted time or energy, bytes,
    or what the method counts. sensitivities says how the output's derivatives were taken: "exact", or
    "probed: ops" where some ops were differentiated by central differences. left_alone names the matrix
    products that are no sites, and why, removed the sites whose layer went as a whole. paper_energy_j and
    paper_bound_s, Theorems 10 and 11 to the letter, stand in older
    files only, see :func:`hedge.methods.paper.paper_costs`. time_ratio is the measured
    time over the dense model's, where the device was at hand. recovery says why no further cut was
    recovered, rungs are those that were. trials are the candidates among which the last search chose, at
    most ten of a family.

    device_profile holds the figures that predictions were made with; exported files have device_sha256
    instead, the hash of its profile as it is written. command is the command line that does the same,
    versions those of the packages that computed. Files written before these were recorded lack them.
    """

    method: Name
    objective: Objective
    keep_widths: bool
    batch: Count
    seed: Count
    device: str
    points: Name
    against: Against
    tolerance: Figure
    relative_error: Figure
    max_error: Figure | None = None
    columns: Columns = "joint"
    errors: tuple[ColumnError, ...] = ()
    relative_to: RelativeTo = "size"
    norm: Norm = "l2"
    derivatives: Figure | None = None
    flash: Positive | None = None
    ram: Positive | None = None
    slope_errors: tuple[SlopeError, ...] = ()
    slope_points: Count | None = None
    no_slopes: str = NOT_RECORDED
    unseen_part: Figure | None = None
    small_spread: Spread | None = None
    proved: Proved | None = None
    fresh_points: Count
    attempts: Count = ATTEMPTS_BEFORE
    confidence: Figure | None = None
    parameters: Count
    dense_parameters: Count
    bytes: Count
    dense_bytes: Count
    predicted_s: Figure
    dense_predicted_s: Figure
    time_ratio: Figure | None = None
    energy_j: Figure
    dense_energy_j: Figure
    paper_energy_j: Figure | None = None
    paper_bound_s: Figure | None = None
    gains: bool
    gained: tuple[Gain, ...] = ()
    note: str
    no_shares: str = NOT_RECORDED
    source: Name
    source_sha256: str
    problem: str | None = None
    hedge_version: str
    versions: dict[str, str] = Field(default_factory=dict)
    command: Name = ""
    device_profile: Device | None = None
    device_sha256: str = ""
    sensitivities: str = NOT_RECORDED
    left_alone: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    recovery: str = ""
    rungs: tuple[Rung, ...] = ()
    trials: tuple[Trial, ...] = ()
    sites: tuple[SitePlan, ...]

    @property
    def promised_error(self) -> float:
        """That which the tolerance bounds."""
        largest = self.max_error if self.norm == "max" else None
        return self.relative_error if largest is None else largest

    def with_forms(self, forms: Mapping[str, Form]) -> Plan:
        """The same with the form in which a file holds each site."""
        sites = tuple(site.model_copy(update={"form": forms.get(site.name)}) for site in self.sites)
        return self.model_copy(update={"sites": sites})

    def without_figures(self) -> Plan:
        """The same with a hash of the device's profile in its place."""
        if self.device_profile is None:
            return self
        update = {"device_profile": None, "device_sha256": _digest(self.device_profile)}
        return self.model_copy(update=update)

    @property
    def figures(self) -> Device | None:
        """The device's profile; where there is its hash alone, hedge's own of that name, if it is that."""
        if self.device_profile is not None or self.device not in shipped_profiles():
            return self.device_profile
        shipped = find_profile(self.device)
        return shipped if _digest(shipped) == self.device_sha256 else None

    @model_validator(mode="after")
    def _totals_agree(self) -> Self:
        """Sites have names of their own and are not removed, counts add up to totals, shares to one."""
        if len({site.name for site in self.sites}) != len(self.sites):
            raise ValueError("two sites have one name")
        if {site.name for site in self.sites} & set(self.removed):
            raise ValueError("a site is there that was removed")
        if self.parameters != sum(site.parameters for site in self.sites):
            raise ValueError("parameters are not those of the sites")
        byte_counts = [site.bytes for site in self.sites if site.bytes is not None]
        if byte_counts and self.bytes != sum(byte_counts):
            raise ValueError("bytes are not those of the sites")
        shares = [site.error_share for site in self.sites if site.error_share is not None]
        total = math.fsum(shares)
        if total != 0.0 and not math.isclose(total, 1.0, abs_tol=1e-6):
            raise ValueError("shares of the error don't sum to one")
        return self


def read_plan(text: str) -> Plan:
    """The plan in a file's metadata; raises ModelError, saying what is wrong, if it is damaged."""
    try:
        return Plan.model_validate(parse_json(text))
    except ValidationError as error:
        raise ModelError(
            f"the plan in its metadata is damaged ({fault(error, unions=UNIONS)})"
        ) from error
    except ValueError as error:
        raise ModelError(f"the plan in its metadata is no JSON ({first_line(error)})") from error


def _digest(device: Device) -> str:
    return hashlib.sha256(write_profile(device)).hexdigest()


def versions() -> dict[str, str]:
    """Those of the packages whose arithmetic a result depends on."""
    return {
        "hedge": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
