"""Problems of points and operators behind one face: one lookup, one protocol."""

from __future__ import annotations

import numpy as np
import pytest

from hedge.errors import InputError
from hedge.problems import GALLERY, OPERATORS, Solvable, find_problem

INPUTS = {name: problem.dimension for name, problem in GALLERY.items()}
INPUTS |= dict.fromkeys(OPERATORS, 16)


@pytest.mark.parametrize("name", INPUTS)
def test_every_problem_tells_its_inputs_outputs_and_reference(name: str) -> None:
    found: Solvable = find_problem(name, INPUTS[name])
    assert (found.name, found.dimension) == (name, INPUTS[name])
    inputs = found.sample(5, seed=1)
    assert inputs.shape == (5, found.dimension)
    np.testing.assert_array_equal(inputs, found.sample(5, seed=1))
    assert found.reference is not None
    assert found.reference(inputs).shape == (5, found.outputs)


@pytest.mark.parametrize(
    "name", ["poisson", "wave", "kovasznay", "beam", "poisson-operator", "cubic-operator"]
)
def test_the_residual_is_that_of_the_solution_and_not_of_another_function(name: str) -> None:
    found: Solvable = find_problem(name, INPUTS[name])
    reference = found.reference
    assert reference is not None
    solved = found.residual_rms(reference, seed=0)
    spoilt = found.residual_rms(lambda x: reference(x) + np.sin(3.0 * x[:, :1]), seed=0)
    assert solved is not None
    assert spoilt is not None
    assert solved < 1e-5 < 1e-1 < spoilt


def test_where_the_equation_says_nothing_there_is_no_residual() -> None:
    heat: Solvable = find_problem("heat-operator", 12)
    assert heat.residual_rms(lambda x: x, seed=0) is None


@pytest.mark.parametrize("sensors", [1, 16385])
def test_operators_have_no_grid_of_so_many_sensors(sensors: int) -> None:
    with pytest.raises(InputError, match=rf"2 to 16384 sensors, the model has {sensors} input"):
        find_problem("poisson-operator", sensors)


@pytest.mark.parametrize("inputs", [{}, {"inputs": 2}])
def test_other_names_are_told_what_there_is(inputs: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"'qq' is not known; take another; `hedge problems` list"):
        find_problem("qq", **inputs)
    with pytest.raises(InputError, match=r"'heat-operatr' is not known; take heat-operator"):
        find_problem("heat-operatr", **inputs)


def test_an_operator_without_inputs_is_no_problem_of_points() -> None:
    with pytest.raises(InputError, match="is an operator, a map of functions on a grid"):
        find_problem("heat-operator")
