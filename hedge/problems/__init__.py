"""The gallery of problems: domain, residual, hard constraints and a reference solution each.

Beside it the operators: maps between functions on a grid, each with a reference solver.
"""

from __future__ import annotations

from typing import overload

from hedge.errors import InputError, once, suggestion
from hedge.problems.advection import advection
from hedge.problems.allen_cahn import allen_cahn
from hedge.problems.back_step import back_step
from hedge.problems.beam import beam
from hedge.problems.burgers import burgers, burgers_half, burgers_wide, cole_hopf
from hedge.problems.burgers_2d import burgers_2d
from hedge.problems.burgers_nu import burgers_nu
from hedge.problems.cavity_parabola import cavity_parabola
from hedge.problems.channel_swing import channel_swing
from hedge.problems.conditions import At, Condition, Faces, Inside, Period, Piece, vanishes
from hedge.problems.cylinder_wake import cylinder_wake
from hedge.problems.darcy_operator import darcy_operator
from hedge.problems.domain import LARGEST, Domain, parse_domain, shortened
from hedge.problems.equations import Equations, Math
from hedge.problems.errors import FieldErrors, field_errors
from hedge.problems.gray_scott import gray_scott
from hedge.problems.heat import heat
from hedge.problems.heat_ball import heat_ball
from hedge.problems.heat_coefficient import heat_coefficient
from hedge.problems.heat_cube import heat_cube
from hedge.problems.heat_family import heat_family
from hedge.problems.heat_holes import heat_holes
from hedge.problems.heat_inverse import heat_inverse
from hedge.problems.heat_long import heat_long
from hedge.problems.heat_multiscale import heat_multiscale
from hedge.problems.heat_varying import heat_varying
from hedge.problems.helmholtz import helmholtz
from hedge.problems.helmholtz_high import helmholtz_high
from hedge.problems.helmholtz_inverse import helmholtz_inverse
from hedge.problems.korteweg_de_vries import korteweg_de_vries
from hedge.problems.kovasznay import kovasznay
from hedge.problems.kuramoto_sivashinsky import kuramoto_sivashinsky
from hedge.problems.layers import Layers
from hedge.problems.lid_cavity import lid_cavity, lid_cavity_1000
from hedge.problems.measured_files import read_measurements
from hedge.problems.measurements import Measurements
from hedge.problems.operator_problem import (
    LEAST_SENSORS,
    MOST_SENSORS,
    MOST_TRAINED,
    OperatorProblem,
)
from hedge.problems.operators import (
    OPERATORS,
    cubic_operator,
    find_operator,
    heat_operator,
    poisson_operator,
    sensors_of,
)
from hedge.problems.own import is_in_file, own_problem
from hedge.problems.pendulum import pendulum
from hedge.problems.poisson import poisson
from hedge.problems.poisson_areas import poisson_areas
from hedge.problems.poisson_boltzmann import poisson_boltzmann
from hedge.problems.poisson_cavities import poisson_cavities
from hedge.problems.poisson_coefficient import poisson_coefficient
from hedge.problems.poisson_cube import poisson_5d, poisson_10d, poisson_100d
from hedge.problems.poisson_fixed import poisson_fixed
from hedge.problems.poisson_holes import poisson_holes
from hedge.problems.poisson_l import poisson_l
from hedge.problems.problem import Problem, Solvable
from hedge.problems.reaction_diffusion import reaction_diffusion
from hedge.problems.references import reference_of, values_to_compare
from hedge.problems.schroedinger import schroedinger
from hedge.problems.stability import Evidence, Norms, Stability
from hedge.problems.subnetworks import Subnetwork
from hedge.problems.unknowns import UNKNOWNS_KEY, Found, Unknown, as_text, found_in, found_told
from hedge.problems.wave import wave
from hedge.problems.wave_long import wave_long
from hedge.problems.wave_varying import wave_varying

GALLERY: dict[str, Problem] = once(
    (p.name, p) for p in (
        burgers, burgers_half, burgers_wide, burgers_nu, heat, heat_family, wave, poisson, poisson_5d,
        poisson_10d, poisson_100d, heat_cube, poisson_holes, poisson_l, helmholtz, helmholtz_high,
        allen_cahn, pendulum, kovasznay, lid_cavity, schroedinger, korteweg_de_vries, beam, heat_inverse,
        helmholtz_inverse, cylinder_wake,
        heat_ball, heat_holes, heat_long, heat_multiscale, heat_varying, poisson_fixed, poisson_boltzmann,
        poisson_cavities, poisson_areas, poisson_coefficient, heat_coefficient, cavity_parabola,
        lid_cavity_1000, back_step, wave_long, wave_varying, advection, reaction_diffusion,
        kuramoto_sivashinsky, gray_scott, channel_swing, burgers_2d,
    )
)  # fmt: skip


@overload
def find_problem(name: str) -> Problem: ...
@overload
def find_problem(name: str, inputs: int) -> Problem | OperatorProblem: ...
def find_problem(name: str, inputs: int | None = None) -> Problem | OperatorProblem:
    """The problem called ``name``, for a model of ``inputs`` if they are given.

    These are the sensors of an operator; without them it is a problem of points.

    Raises InputError, with names that are like it, for any other name, for an operator where no inputs are
    given, or one that has no grid of so many sensors.

    >>> find_problem("heat").inputs
    'xt'
    >>> find_problem("heat-operator", 64).outputs
    64
    """
    if name in OPERATORS and inputs is not None:
        if not LEAST_SENSORS <= inputs <= MOST_SENSORS:
            raise InputError(
                f"problem {name!r} is on {LEAST_SENSORS} to {MOST_SENSORS} sensors, the model has "
                f"{inputs} input(s); name the problem it was trained on"
            )
        return find_operator(name, inputs)
    if name in OPERATORS:
        raise InputError(
            f"problem {name!r} is an operator, a map of functions on a grid; give a problem of "
            "points that `hedge problems` lists"
        )
    if name not in GALLERY:
        near = suggestion(name, [*GALLERY, *OPERATORS], "take another")
        raise InputError(f"problem {name!r} is not known; {near}; `hedge problems` lists all")
    return GALLERY[name]


@overload
def chosen_problem(given: Problem | str) -> Problem: ...
@overload
def chosen_problem(given: Problem | str, inputs: int) -> Problem | OperatorProblem: ...
def chosen_problem(given: Problem | str, inputs: int | None = None) -> Problem | OperatorProblem:
    """The problem that a user chose: by a name of :func:`find_problem`, one in a file of theirs, or itself.

    The file in ``FILE.py:NAME`` is run, which is why names that model files carry never come here. Raises
    InputError as :func:`find_problem` and :func:`own_problem` do, and for one of the user's own that has the
    name of one in the gallery or of an operator, for which its models would be taken.

    >>> chosen_problem("heat").inputs
    'xt'
    """
    if isinstance(given, str) and not is_in_file(given):
        return find_problem(given) if inputs is None else find_problem(given, inputs)
    found = own_problem(given) if isinstance(given, str) else given
    if found.name in OPERATORS or GALLERY.get(found.name, found) is not found:
        raise InputError(
            f"problem {found.name!r}: is the name of another one, see hedge problems; give yours a name of "
            "its own"
        )
    return found


__all__ = [
    "GALLERY",
    "LARGEST",
    "LEAST_SENSORS",
    "MOST_SENSORS",
    "MOST_TRAINED",
    "OPERATORS",
    "UNKNOWNS_KEY",
    "At",
    "Condition",
    "Domain",
    "Equations",
    "Evidence",
    "Faces",
    "FieldErrors",
    "Found",
    "Inside",
    "Layers",
    "Math",
    "Measurements",
    "Norms",
    "OperatorProblem",
    "Period",
    "Piece",
    "Problem",
    "Solvable",
    "Stability",
    "Subnetwork",
    "Unknown",
    "as_text",
    "chosen_problem",
    "cole_hopf",
    "cubic_operator",
    "darcy_operator",
    "field_errors",
    "find_operator",
    "find_problem",
    "found_in",
    "found_told",
    "heat_operator",
    "is_in_file",
    "parse_domain",
    "poisson_operator",
    "read_measurements",
    "reference_of",
    "sensors_of",
    "shortened",
    "values_to_compare",
    "vanishes",
]  # fmt: skip
