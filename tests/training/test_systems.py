"""Problems of several fields and equations: residuals and their slopes, what is told, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hedge
from hedge.api import tangent_kernels
from hedge.errors import InputError, ModelError
from hedge.graph import load_model, metadata, run_float32
from hedge.problems import Domain, Problem, find_problem
from hedge.training import TrainingRun, initial_state, load_checkpoint, save_checkpoint, train
from hedge.training.growth import grown
from hedge.training.judge import judge_of
from hedge.training.loss import (
    apply_transpose,
    jacobian,
    linearise,
    loss_and_gradient,
    mean_square,
    residuals,
    tangent_kernel,
)
from hedge.training.network import new_network, parameters_of, with_parameters
from hedge.training.optimisers import schedule
from hedge.training.points import TORCH_MATH, network_inputs, place
from hedge.training.skeletons import without_redundant
from hedge.training.terms import Term
from hedge.training.trainer import run_cycles, solution
from tests.cli.conftest import Run, refuses, run
from tests.training.test_taylor import nested

__all__ = ["refuses", "run"]

FLOW = find_problem("kovasznay")
# Two equations for one field: a function from its slopes.
SLOPES = Problem(
    name="slopes",
    title="u with u_x = y and u_y = x",
    inputs="xy",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    derivatives=("u_x", "u_y"),
    residual=lambda x, d, math: (d["u_x"] - x[1], d["u_y"] - x[0]),
    offset=None,
    distance=lambda x, math: x[0],
    reference=lambda points: points[:, :1] * points[:, 1:],
)

# Two fields with mixed derivatives up to the fourth.
HIGH = Problem(
    name="high",
    title="third and fourth derivatives of two fields",
    inputs="xy",
    domain=Domain(((-1.0, 1.0), (0.0, 1.0))),
    fields=("u", "v"),
    derivatives=("u", "v_y", "u_xxx", "v_xyy", "u_yxxy", "v_xxxx"),
    residual=lambda x, d, math: (
        d["u_yxxy"] + d["u"] * d["u_xxx"] - x[1],
        d["v_xxxx"] * d["v_y"] - math.sin(d["v_xyy"]),
    ),
    offset=lambda x, math: (math.sin(x[0] * x[1]), 0.0),
    distance=lambda x, math: (math.exp(x[0]) * x[1] * x[1] * x[1], x[0] * x[0] * (1.0 - x[1])),
)


def by_autograd(problem: Problem, x: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """The residuals, all points of the first equation first, by nested reverse mode."""
    network = new_network(2, (7, 6), seed=0, outputs=problem.outputs)
    x = x.clone().requires_grad_()
    columns = x.unbind(1)
    outputs = with_parameters(network, parameters)(network_inputs(problem, x)).unbind(1)
    hard = zip(
        problem.offsets(columns, TORCH_MATH),
        problem.distances(columns, TORCH_MATH),
        outputs,
        strict=True,
    )
    u = [offset + distance * output for offset, distance, output in hard]
    named = {d: nested(u[problem.field(d)], x, problem.axes(d)) for d in problem.derivatives}
    return torch.cat(problem.residuals(columns, named, TORCH_MATH))


@pytest.mark.parametrize("problem", [FLOW, SLOPES, HIGH], ids=lambda p: p.name)
def test_residuals_and_their_slopes_agree_with_autograd(problem: Problem) -> None:
    network = new_network(2, (7, 6), seed=0, outputs=problem.outputs)
    x = torch.from_numpy(problem.domain.sample(11, 0))
    points, parameters = place(problem, x), parameters_of(network)
    r = by_autograd(problem, x, parameters).detach()
    expected = torch.autograd.functional.jacobian(
        lambda moved: by_autograd(problem, x, moved), parameters
    )
    torch.testing.assert_close(residuals(problem, network, points).flatten(), r)

    weights = torch.linspace(0.5, 2.0, 11, dtype=torch.float64)
    every = weights.repeat(len(r) // 11)
    terms = [Term(points, weights=weights)]
    loss, gradient = loss_and_gradient(problem, network, terms)
    assert loss == pytest.approx(float(every @ r**2) / 11, rel=1e-12)
    assert loss == pytest.approx(mean_square(problem, network, terms), rel=1e-12)
    torch.testing.assert_close(
        gradient, 2.0 / 11 * expected.T @ (every * r), rtol=1e-10, atol=1e-10
    )

    lin = linearise(problem, network, [Term(points)])
    j = jacobian(lin)
    torch.testing.assert_close(j, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(tangent_kernel(lin), j @ j.T, rtol=1e-10, atol=1e-10)
    v = torch.linspace(-1, 1, len(r), dtype=torch.float64)
    torch.testing.assert_close(apply_transpose(lin, v), j.T @ v, rtol=1e-10, atol=1e-10)
    weighted = linearise(problem, network, terms)
    torch.testing.assert_close(weighted.residual, every.sqrt() * r)
    torch.testing.assert_close(
        jacobian(weighted), every.sqrt()[:, None] * expected, rtol=1e-10, atol=1e-10
    )


def test_residuals_by_quotients_are_those_of_the_streams() -> None:
    """Of third and fourth derivatives, too, at points that keep away from the faces by their reach."""
    network = new_network(2, (7, 6), seed=1, outputs=2)
    found = HIGH.residual_rms(lambda x: solution(HIGH, network, x), seed=0)
    middle, away = np.array([0.0, 0.5]), 1.0 - 2.0 * 8e-3 * np.array([4.0, 3.0])
    x = middle + away * (HIGH.sample(4_000, seed=1) - middle)
    r = residuals(HIGH, network, place(HIGH, torch.from_numpy(x)))
    assert found == pytest.approx(float(r.square().sum(0).mean()) ** 0.5, rel=1e-6)


@pytest.mark.parametrize(("parameters", "rows"), [(200, 3000), (20_000, 1000)])
def test_levenberg_marquardt_solves_with_as_many_rows_whatever_the_fields(
    parameters: int, rows: int
) -> None:
    for fields in (1, 3, 10):
        work = schedule("levenberg", parameters, fields)
        assert rows - fields < fields * work.points <= rows
        assert work.most_points == 2 * work.points
    assert schedule("ssbroyden", parameters, 10) == schedule("ssbroyden", parameters)


@pytest.mark.parametrize(
    ("parameters", "inputs", "points"),
    [(200, 2, 600), (1981, 2, 1387), (1131, 100, 4000), (3900, 2, 2730), (90_000, 2, 4000)],
)
def test_first_sets_have_points_for_the_parameters_of_the_network(
    parameters: int, inputs: int, points: int
) -> None:
    """Within limits, and more for many inputs."""
    assert schedule("ssbroyden", parameters, inputs=inputs).points == points


@pytest.mark.parametrize("method", ["auto", "levenberg"])
def test_two_equations_of_one_field_are_solved(method: Any) -> None:
    result = train(TrainingRun(SLOPES, width=6, depth=1, method=method), max_steps=100)
    assert result.relative_l2 is not None
    assert result.relative_l2 < 1e-3
    assert result.by_field == {}


def test_errors_and_files_are_told_by_field(tmp_path: Path, run: Run) -> None:
    trained = run("train", "kovasznay", "--width", "8", "--depth", "2", "--steps", "150",
                  "--out", "flow.onnx", "--log", "log.jsonl", "--json").document()  # fmt: skip
    assert trained["parameters"] == 3 * 8 + 9 * 8 + 9 * 3
    errors = trained["by_field"]
    assert list(errors) == ["u", "v", "p"]
    logged = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert logged["by_field"].keys() == errors.keys()

    model = load_model(tmp_path / "flow.onnx")
    assert [output.name for output in model.graph.output] == ["u", "v", "p"]
    assert json.loads(metadata(model)["hedge.training"])["by_field"] == errors
    x = FLOW.sample(2_000, 5).astype(np.float32)
    u, truth = run_float32(model, x), FLOW.reference(x.astype(float))
    for column, error in enumerate(errors.values()):
        size = np.linalg.norm(truth[:, column])
        assert np.linalg.norm((u - truth)[:, column]) / size == pytest.approx(error, rel=0.1)

    measured = run("evaluate", "flow.onnx", "--problem", "kovasznay", "--json").document()
    assert measured["by_field"] == pytest.approx(errors, rel=0.1)
    assert "of v" in run("evaluate", "flow.onnx", "--problem", "kovasznay").out
    run("export", "flow.onnx", "--guard", "--out", "guarded.onnx")
    guarded = run("evaluate", "guarded.onnx", "--problem", "kovasznay", "--json").document()
    assert guarded["residual_rms"] == pytest.approx(measured["residual_rms"], rel=1e-3)
    assert measured["residual_rms"] == pytest.approx(trained["held_out_loss"] ** 0.5, rel=0.1)

    again = run(
        "train", "kovasznay", "--steps", "5", "--out", "flow.onnx", "--resume", "--json"
    ).document()
    assert again["held_out_loss"] <= 1.01 * trained["held_out_loss"]


def test_a_compressed_system_is_fitted_to_its_residuals(tmp_path: Path) -> None:
    path = tmp_path / "flow.onnx"
    result = hedge.train(FLOW, path, width=8, depth=2, max_steps=300)
    small = hedge.compress(
        path, device="raspberry-pi-4b", tolerance=5e-2, recover="residual", steps=200, batch=1024
    )
    assert [error.output for error in small.plan.errors] == ["u", "v", "p"]
    assert small.plan.parameters < result.parameters
    assert tangent_kernels(path, points=20, residual=True).before.rows == 60


def test_a_run_of_a_system_goes_on_bit_for_bit(tmp_path: Path) -> None:
    run = TrainingRun(FLOW, width=5, depth=1)
    judge = judge_of(run)
    cycles = run_cycles(run, initial_state(run), judge, max_steps=40)
    path = tmp_path / "m.checkpoint"
    first, _ = next(cycles)
    save_checkpoint(path, run, first)
    loaded = load_checkpoint(path, run)
    assert torch.equal(parameters_of(loaded.best), parameters_of(first.best))
    assert solution(FLOW, loaded.best, FLOW.sample(4, 0)).shape == (4, 3)
    swapped = replace(run, problem=replace(FLOW, fields=("v", "u", "p")))
    with pytest.raises(ModelError, match=r"is of another run, with fields \['u', 'v', 'p'\]"):
        load_checkpoint(path, swapped)


def test_growing_and_shrinking_keep_every_column() -> None:
    """A network of three columns with twelve neurons more, and with the four that are not needed less."""
    points = place(FLOW, torch.from_numpy(FLOW.sample(50, 0)))
    before = new_network(2, (4, 4), seed=0, outputs=3)
    r = residuals(FLOW, before, points)
    larger = grown(before, (10, 10), seed=1)
    torch.testing.assert_close(residuals(FLOW, larger, points), r)
    read = network_inputs(FLOW, points.x)
    loss = mean_square(FLOW, before, [Term(points)])
    smaller = without_redundant(
        larger, read, lambda n: abs(mean_square(FLOW, n, [Term(points)]) - loss), 1e-8 * loss
    )
    assert smaller.widths == (4, 4)


@pytest.mark.parametrize("outputs", ["u,u_x,v", "v,u,p"])
def test_other_outputs_as_many_as_there_are_fields_are_not_taken_for_them(
    outputs: str, tmp_path: Path, run: Run, refuses: Callable[..., None]
) -> None:
    hedge.train(FLOW, tmp_path / "flow.onnx", width=4, depth=1, max_steps=3)
    run("export", "flow.onnx", "--outputs", outputs, "--out", "other.onnx")
    message = f"has the outputs u, v, p, the model {outputs.replace(',', ', ')}; give one whose"
    for command in (
        ("evaluate", "other.onnx", "--problem", "kovasznay"),
        (
            "compress",
            "other.onnx",
            "--against",
            "reference",
            "--device",
            "laptop-x86",
            "--out",
            "m.onnx",
        ),
        ("compare", "other.onnx", "--device", "laptop-x86"),
    ):
        refuses(*command, named=(message,))
    with pytest.raises(InputError, match=message):
        hedge.train(FLOW, tmp_path / "other.onnx", max_steps=3, resume=True)
    run("report", "other.onnx", "--out", "page.html")
    assert "Kovasznay" not in (tmp_path / "page.html").read_text()


# --- What is refused ------------------------------------------------------------------------------


BAD_FIELDS: dict[str, tuple[Any, str]] = {
    "a string": ("uv", "must be a tuple of names"),
    "none": ((), "must be a tuple of names"),
    "twice": (("u", "v", "u"), "none of them twice"),
    "digits": (("u", "v", "p1"), "names in letters"),
    "numbers": ((1, 2, 3), "names in letters"),
    "bars": (("u", "v", "p_"), "names in letters"),
    "an input": (("u", "v", "y"), "'y' has the name of an input"),
    "the inputs": (("u", "v", "x"), "'x' has the name of an input"),
}


@pytest.mark.parametrize("kind", BAD_FIELDS)
def test_names_of_fields_are_checked(kind: str) -> None:
    fields, message = BAD_FIELDS[kind]
    with pytest.raises(InputError, match=f"problem 'kovasznay': .*{message}"):
        replace(FLOW, fields=fields)


@pytest.mark.parametrize("name", ["w", "w_x", "u_t", "u_", "u_xz", "ux", "_x", "v_xxxxx"])
def test_derivatives_that_there_are_not_are_refused(name: str) -> None:
    with pytest.raises(
        InputError, match=f"derivative '{name}' is unknown; write u or v or p, alone"
    ):
        replace(FLOW, derivatives=(name,))


@pytest.mark.parametrize("names", ["u_x", (1,), None])
def test_derivatives_are_a_tuple_of_names(names: Any) -> None:
    with pytest.raises(InputError, match=r"problem 'kovasznay': derivatives .* must be a tuple of"):
        replace(FLOW, derivatives=names)


def test_theorems_are_of_one_field() -> None:
    with pytest.raises(InputError, match="theorems are of one field"):
        replace(FLOW, stability=find_problem("poisson").stability)


BAD_LINES: dict[str, tuple[dict[str, Any], str]] = {
    "offsets": (
        {"offset": lambda x, math: (x[0], x[1])},
        "its offset returned 2 for the fields u, v, p; it must return a tuple with one for each",
    ),
    "one distance": ({"distance": lambda x, math: x[0]}, "its distance returned 1 for the fields u, v, p"),
    "no equation": ({"residual": lambda x, d, math: ()}, "its residual returned none"),
    "shape": (
        {"residual": lambda x, d, math: (d["u"], d["v"].sum(), d["u_x"])},
        r"its residual returned \(\) torch.float64 for .* points \(equation 2 of 3\)",
    ),
    "stacked": (
        {"residual": lambda x, d, math: torch.stack([d["u"], d["v"]])},
        r"its residual returned \(2, .*\) torch.float64 for .*; it must return .* or a tuple of such",
    ),
    "number": (
        {"residual": lambda x, d, math: (d["u"], 0.0)},
        r"its residual returned float for .* points \(equation 2 of 2\)",
    ),
    "unnamed": (
        {"residual": lambda x, d, math: (d["u"], d["p_xx"])},
        "its residual reads 'p_xx'; name it in derivatives",
    ),
    "no field in it": (
        {"residual": lambda x, d, math: (d["u"] + d["v"] * d["p_x"], x[0] * x[1])},
        "its residual of equation 2 does not depend on the solution",
    ),
    "a field in none of them": (
        {"residual": lambda x, d, math: (d["u_x"] - d["v"], d["v_y"] * 0.0 + x[0])},
        "its residual does not depend on p, so nothing would train it",
    ),
    "no number": (
        {"offset": lambda x, math: (0.0, float("nan"), 0.0)},
        "its offset of v is nan; give a finite number",
    ),
    "complex reference": (
        {"reference": lambda points: np.ones((len(points), 3)) + 1j},
        "its reference returned numbers of complex128; it must return float64",
    ),
    "reference of objects": (
        {"reference": lambda points: np.ones((len(points), 3), dtype=object)},
        "its reference returned numbers of object",
    ),
    "reference": (
        {"reference": lambda points: points[:, :2]},
        r"its reference returned \(10000, 2\) for points \(10000, 2\); it must return an array \(10000, 3\)",
    ),
    "not finite": (
        {"residual": lambda x, d, math: (d["u"], math.log(d["v"] - 1e3))},
        r"its residual \(equation 2 of 2\) is not finite at \(",
    ),
    "distance not finite": (
        {"distance": lambda x, math: (1.0, math.log(x[1] - 0.5), 1.0)},
        r"its distance of v is not finite at \(",
    ),
    "slope of the offset not finite": (
        {"offset": lambda x, math: (0.0, 0.0, math.exp(0.5 * math.log(0.0 * x[1])))},
        r"its offset of p, differentiated by y, is not finite at \(",
    ),
    "feature not finite": (
        {"features": lambda x, math: [x[0], math.log(x[1] - 0.5)]}, r"its feature 2 is not finite at \(",
    ),
    "a field of the reference": (
        {"reference": lambda points: points[:, [0, 1, 1]] * [1.0, 0.0, 1.0]},
        "its reference of v is zero everywhere, and no error can be relative to that",
    ),
    "reference not finite": (
        {"reference": lambda points: np.where(points[:, :1] > 0, [1.0, 1.0, np.nan], 1.0)},
        r"its reference of p is not finite at \(",
    ),
    "it raises": (
        {"distance": lambda x, math: (x[0], x[1], x[2])},
        r"its distance raises IndexError \(.*\) at .*test_systems.py:\d+; mend it there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_LINES)
def test_lines_that_do_not_fit_are_refused(kind: str, tmp_path: Path) -> None:
    changed, message = BAD_LINES[kind]
    changed = {"name": "mine", **changed}
    with pytest.raises(InputError, match=f"problem 'mine': {message}"):
        hedge.train(replace(FLOW, **changed), tmp_path / "m.onnx", width=4, depth=1, max_steps=3)
    assert not list(tmp_path.iterdir())


def test_one_number_for_each_point_is_asked_of_every_field() -> None:
    short = replace(FLOW, distance=lambda x, math: (x[0], x[1][:1], 1.0))
    with pytest.raises(
        InputError, match=r"its distance returned \(1,\) torch.float64 for 5 points"
    ):
        place(short, torch.from_numpy(FLOW.sample(5, 0)))


def test_no_certificate_bounds_residuals_of_systems_and_of_third_derivatives(
    tmp_path: Path,
) -> None:
    hedge.train(FLOW, tmp_path / "m.onnx", width=4, depth=1, max_steps=3)
    with pytest.raises(InputError, match="has the fields u, v, p; residuals are certified of"):
        hedge.certify(tmp_path / "m.onnx", problem=FLOW)
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(InputError, match="has the fields u, v, p"):
        hedge.train(FLOW, width=4, depth=1, max_steps=3, worst=tmp_path / "c.json")
    hedge.train(SLOPES, tmp_path / "s.onnx", width=4, depth=1, max_steps=3)
    with pytest.raises(InputError, match="has 2 equations; residuals are certified of"):
        hedge.certify(tmp_path / "s.onnx", problem=SLOPES)
    hedge.train("beam", tmp_path / "b.onnx", width=4, depth=1, max_steps=3)
    with pytest.raises(InputError, match="has the derivative u_xxxx; residuals are certified of"):
        hedge.certify(tmp_path / "b.onnx", problem="beam")
