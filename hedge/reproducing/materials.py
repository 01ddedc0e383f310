"""What the items are tried on: trained networks, their tangent kernels, and what is made of them.

Everything is computed when first asked for and then shared. With ``quick`` there are fewer points and
shorter trainings; steps are counted, not seconds, so that a seed fixes all numbers but the timings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hedge.arrays import Array
from hedge.benching import Effort, this_machine
from hedge.compression import (
    Case,
    CompressedModel,
    Request,
    Source,
    load_compressed,
    points_of_domain,
    prepare,
)
from hedge.devices import Device, find_profile
from hedge.errors import InputError
from hedge.files import sha256_of
from hedge.graph import input_dimension, load_model, split
from hedge.hmatrix import HMatrix
from hedge.paper import adaptive
from hedge.problems import find_problem
from hedge.reproducing.making import compressed, conditioned, kernel_of, train
from hedge.reproducing.sweeps import QUICK_TOLERANCES, TOLERANCES, SweepPoint, sweep

if TYPE_CHECKING:
    from hedge.training import TrainingResult

KERNEL_POINTS = 64  # examples 3 and 4: a kernel of 64 × 64
POISSON_POINTS = 8  # example 2: 8 × 8
CONDITIONED_TOLERANCE = 2e-5
BATCH = 1024
TOLERANCE = 1e-2  # by how much the output may move in table 1 and figure 6


@dataclass(frozen=True, eq=False)
class Materials:
    """The dense models by problem, and whether to take fewer points and shorter trainings.

    Raises InputError for a negative seed.
    """

    models: Mapping[str, Path]
    quick: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is negative; give 0 or more")

    @cached_property
    def edge(self) -> Device:
        """The edge device of examples 3 and 4."""
        return find_profile("paper-example")

    @cached_property
    def here(self) -> Device:
        """This machine, calibrated once."""
        return this_machine()

    @property
    def effort(self) -> Effort:
        """How long models are timed."""
        return Effort(warm_up_s=0.05, timed_s=0.2) if self.quick else Effort()

    def case(self, name: str) -> Case:
        """The dense model of a problem, with points of its domain to fit, choose and judge by."""
        path, problem = self.models[name], find_problem(name)
        dense = load_model(path)
        widest = max(max(site.matrix.shape) for site in split(dense).sites)
        return prepare(
            dense,
            find_profile("laptop-x86"),
            points_of_domain(problem.domain, input_dimension(dense), widest, self.seed),
            Request(TOLERANCE, batch=BATCH, seed=self.seed),
            Source(path.name, sha256_of(path), name),
            problem=problem,
            reference=problem.reference,
        )

    @cached_property
    def burgers(self) -> Case:
        """The Burgers network that most figures are about."""
        return self.case("burgers")

    @cached_property
    def factorized_burgers(self) -> CompressedModel:
        """The same with factors for matrices, all neurons kept, its output moved by 1e-2 at most."""
        return compressed(self.burgers, TOLERANCE, keep_widths=True)

    @cached_property
    def reduced_burgers(self) -> CompressedModel:
        """The same with fewer neurons, too; no retraining."""
        return compressed(self.burgers, TOLERANCE)

    @cached_property
    def recovered_burgers(self) -> CompressedModel:
        """The same cut and fitted again until its error to the solution binds (models/README.md)."""
        return load_compressed(self.models["burgers"].with_suffix(".hedge.safetensors"))

    @cached_property
    def sweep(self) -> tuple[SweepPoint, ...]:
        """The Burgers network made small by every method at many strengths."""
        tolerances = QUICK_TOLERANCES if self.quick else TOLERANCES
        return sweep(self.burgers, self.edge, tolerances)

    @cached_property
    def heat_kernel(self) -> Array:
        """Θ (64, 64) of the trained heat network's output, points in the order of a k-d tree."""
        return kernel_of(load_model(self.models["heat"]), "heat", KERNEL_POINTS, self.seed).dense()

    @cached_property
    def poisson_kernel(self) -> Array:
        """Θ (8, 8) of the trained Poisson network's output, points in the order of a k-d tree."""
        model = load_model(self.models["poisson"])
        return kernel_of(model, "poisson", POISSON_POINTS, self.seed).dense()

    @cached_property
    def conditioned(self) -> tuple[Array, HMatrix]:
        """A = Θ/‖Θ‖₂ + RIDGE · I of the heat network, and its H-matrix by Algorithm 1."""
        matrix = conditioned(self.heat_kernel)
        h = adaptive(matrix, tolerance=CONDITIONED_TOLERANCE, rank=4, leaf_size=8)
        return matrix, h

    @cached_property
    def trained(self) -> TrainingResult:
        """A small Burgers network trained in this run, on points that are drawn anew."""
        width, steps = (12, 300) if self.quick else (20, 1600)
        return train("burgers", width, steps, self.seed)
