"""``hedge certify``: proofs, their files, their check, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

import hedge
from hedge.certifying import read_certificate
from hedge.certifying.certificate import digest_of
from hedge.errors import InputError, ModelError
from hedge.graph import Evaluator, load_model, run_float32
from hedge.problems import find_problem
from tests.certifying.problems import untrained
from tests.cli.conftest import Refuses, Run
from tests.conftest import make_model, random_mlp

BOX = ["--domain", "-1:1,-1:1"]


@pytest.fixture
def pair(saved: Callable[..., Path]) -> tuple[Path, Path]:
    """A dense network of 2 x 10 neurons, and one whose weights are a little off."""
    dense = random_mlp([2, 10, 10, 1], seed=1)
    small, rng = ModelProto(), np.random.default_rng(0)
    small.CopyFrom(dense)
    for tensor in small.graph.initializer:
        values = numpy_helper.to_array(tensor)
        off = (values * (1 + 0.05 * rng.standard_normal(values.shape))).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(off, tensor.name))
    return saved(small, "small.onnx"), saved(dense, "dense.onnx")


def test_a_certificate_is_written_told_and_checked(
    run: Run, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    told = run("certify", "small.onnx", "dense.onnx", *BOX, "--out", "cert.json")
    assert told.code == 0
    assert "max |e| <=" in told.out
    assert "hedge certify --check cert.json" in told.out
    found = read_certificate(tmp_path / "cert.json")
    assert found.difference is not None
    (claim,) = found.difference.claims
    points = np.random.default_rng(1).uniform(-1, 1, (20_000, 2)).astype(np.float32)
    error = run_float32(load_model(pair[0]), points) - Evaluator(load_model(pair[1]))(points)
    assert np.abs(error).max() <= claim.largest <= 1.2 * np.abs(error).max()
    checked = run("certify", "--check", "cert.json", "--json").document()
    assert checked["checked"] is True
    assert checked["boxes"] == len(found.difference.boxes.levels)
    document = run("certify", "small.onnx", "dense.onnx", *BOX, "--json").document()
    assert document["difference"]["claims"] == checked["difference"]["claims"]


def test_a_changed_model_or_certificate_is_refused(
    run: Run, refuses: Refuses, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    assert run("certify", "small.onnx", "dense.onnx", *BOX, "--out", "cert.json").code == 0
    written = (tmp_path / "cert.json").read_text()
    document = json.loads(written)
    document["difference"]["claims"][0]["largest"] *= 0.5
    (tmp_path / "cert.json").write_text(json.dumps(document))
    refuses("certify", "--check", "cert.json", named=("cert.json", "was changed"))
    document["digest"] = digest_of(document)
    (tmp_path / "cert.json").write_text(json.dumps(document))
    refuses("certify", "--check", "cert.json", named=("cert.json", "largest"))
    (tmp_path / "cert.json").write_text(written)
    model = onnx.load(pair[0])
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    onnx.save(model, pair[0])
    refuses("certify", "--check", "cert.json", named=("small.onnx", "cert.json", "SHA-256"))


def _as_written(run: Run, tmp_path: Path, **changes: Any) -> None:
    """cert.json with these keys changed, whose digest is right."""
    written = run(
        "certify", "small.onnx", "dense.onnx", *BOX, "--boxes", "20", "--out", "cert.json"
    )
    assert written.code == 0
    document = json.loads((tmp_path / "cert.json").read_text())
    document["difference"] |= changes
    document["digest"] = digest_of(document)
    (tmp_path / "cert.json").write_text(json.dumps(document))


@pytest.mark.parametrize("name", ["", ".", "..", "/", "elsewhere/dense.onnx"])
def test_a_certificate_of_what_is_no_file_name_is_refused(
    run: Run, refuses: Refuses, pair: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    _as_written(run, tmp_path, dense={"name": name, "sha256": "0" * 64})
    refuses(
        "certify",
        "--check",
        "cert.json",
        named=("cert.json", "difference.dense.name", "name of a file"),
    )


@pytest.mark.parametrize(
    "changes", [{"ended": "at last"}, {"domain": [[-1e308, 1e308], [-1.0, 1.0]]}]
)
def test_a_certificate_of_unknown_ends_is_refused(
    run: Run,
    refuses: Refuses,
    pair: tuple[Path, Path],
    tmp_path: Path,
    changes: dict[str, Any],
) -> None:
    _as_written(run, tmp_path, **changes)
    refuses("certify", "--check", "cert.json", named=("cert.json", *changes))


@pytest.mark.parametrize(
    ("option", "value"),
    [("domain", "0:1"), ("out", "x.json"), ("budget", "1")],
)
def test_what_a_check_would_not_heed_is_refused(refuses: Refuses, option: str, value: str) -> None:
    refuses("certify", "--check", "cert.json", f"--{option}", value, named=(option, "--check"))


def test_a_check_takes_a_problem_for_solutions_only(
    run: Run, refuses: Refuses, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    _as_written(run, tmp_path)
    refuses("certify", "--check", "cert.json", "--problem", "heat", named=("problem", "cert.json"))


def test_models_of_many_inputs_are_certified_up_to_sixteen(
    run: Run, refuses: Refuses, saved: Callable[..., Path], pair: tuple[Path, Path]
) -> None:
    for inputs in (16, 17):
        saved(random_mlp([inputs, 3, 1]), f"{inputs}.onnx")
    given = ("--domain", "0:0.1", "--boxes", "3")
    told = run("certify", "16.onnx", "16.onnx", *given, "--out", "cert.json")
    assert told.code == 0
    assert run("certify", "--check", "cert.json").code == 0
    refuses("certify", "17.onnx", "17.onnx", *given, named=("17.onnx", "17 inputs", "16"))
    refuses("certify", "16.onnx", "dense.onnx", *BOX, named=("16.onnx", "16 columns", "2"))


WRONG: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "no model": (["certify"], ("MODEL", "--check")),
    "no dense model": (["certify", "small.onnx", *BOX], ("small.onnx", "give the dense model")),
    "no such model": (["certify", "gone.onnx", "dense.onnx", *BOX], ("gone.onnx",)),
    "no domain": (["certify", "small.onnx", "dense.onnx"], ("domain", "--domain")),
    "a domain of no width": (
        ["certify", "small.onnx", "dense.onnx", "--domain", "1:1,0:1"], ("domain", "1:1"),
    ),
    "a domain of three": (
        ["certify", "small.onnx", "dense.onnx", "--domain", "0:1,0:1,0:1"], ("domain", "3"),
    ),
    "no boxes": (["certify", "small.onnx", "dense.onnx", *BOX, "--boxes", "0"], ("boxes",)),
    "no workers": (["certify", "small.onnx", "dense.onnx", *BOX, "--workers", "0"], ("workers",)),
    "no time": (["certify", "small.onnx", "dense.onnx", *BOX, "--budget", "0"], ("budget",)),
    "out is read": (
        ["certify", "small.onnx", "dense.onnx", *BOX, "--out", "small.onnx", "--force"],
        ("small.onnx",),
    ),
    "no certificate": (["certify", "--check", "dense.onnx"], ("dense.onnx",)),
    "an operator": (
        ["certify", "small.onnx", "dense.onnx", "--problem", "poisson-operator"], ("poisson-operator",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_bad_arguments(refuses: Refuses, pair: tuple[Path, Path], kind: str) -> None:
    argv, named = WRONG[kind]
    refuses(*argv, named=named)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"hedge_certificate": 1},
        {"hedge_certificate": 2},
        None,
        3,
        {"boxes": {"levels": [[1e300]]}},
    ],
)
def test_what_is_no_certificate(refuses: Refuses, tmp_path: Path, document: Any) -> None:
    (tmp_path / "cert.json").write_text(json.dumps(document))
    refuses("certify", "--check", "cert.json", named=("cert.json", "is no certificate"))


def test_nodes_that_are_not_covered_are_named(
    refuses: Refuses, saved: Callable[..., Path], pair: tuple[Path, Path]
) -> None:
    saved(random_mlp([2, 4, 1], activation="Floor"), "floor.onnx")
    for models in (("floor.onnx", "dense.onnx"), ("small.onnx", "floor.onnx")):
        refuses("certify", *models, *BOX, named=("floor.onnx", "Floor", "not covered"))


@pytest.mark.parametrize("what", ["input", "output"])
def test_columns_in_another_order_are_refused(
    refuses: Refuses, saved: Callable[..., Path], what: str
) -> None:
    nodes = [helper.make_node("Sin", ["x"], ["u"]), helper.make_node("Cos", ["t"], ["v"])]
    saved(make_model(nodes, {}, inputs={"x": 1, "t": 1}, outputs={"u": 1, "v": 1}), "dense.onnx")
    names = (("t", "x"), ("u", "v")) if what == "input" else (("x", "t"), ("v", "u"))
    inputs, outputs = (dict.fromkeys(each, 1) for each in names)
    saved(make_model(nodes, {}, inputs=inputs, outputs=outputs), "small.onnx")
    refuses("certify", "small.onnx", "dense.onnx", *BOX, named=("small.onnx", what, "order"))


def test_a_model_that_hedge_compressed_knows_its_dense_model_and_its_box(
    run: Run, tmp_path: Path
) -> None:
    dense = tmp_path / "heat.onnx"
    dense.write_bytes(hedge.reference_models()["heat"].read_bytes())
    small = tmp_path / "heat.hedge.safetensors"
    hedge.compress(
        dense, device="raspberry-pi-4b", tolerance=1e-2, recover=None, batch=256, out=small
    )
    found = run("certify", "heat.hedge.safetensors", "--boxes", "200", "--json").document()
    assert found["difference"]["dense"]["name"] == "heat.onnx"
    assert found["difference"]["domain"] == [[0.0, 1.0], [0.0, 1.0]]
    dense.rename(tmp_path / "elsewhere.onnx")
    with pytest.raises(InputError, match=r"'heat.onnx', which is not beside it"):
        hedge.certify(small)


def test_compress_keeps_what_is_proved(tmp_path: Path) -> None:
    dense, out = hedge.reference_models()["poisson"], tmp_path / "small.onnx"
    for norm in ("l2", "max"):
        plan = hedge.compress(
            dense, device="raspberry-pi-4b", tolerance=1e-2, recover=None, batch=256, certify=True,
            norm=norm, out=out, force=True,
        ).plan  # fmt: skip
        assert plan.gains
        assert plan.proved is not None
        promised = plan.proved.largest if norm == "max" else plan.proved.relative_l2
        assert plan.promised_error <= 1.001 * promised <= 1.001e-2
        found = hedge.certify(out, dense, boxes=3000).difference
        assert found is not None
        (claim,) = found.claims
        assert claim.largest <= 1.1 * plan.proved.largest * 1.001


def test_the_distance_to_the_solution_is_proved_and_told(run: Run, tmp_path: Path) -> None:
    """By its own residual, and by that of the dense model whose certificate lies beside it."""
    dense, problem = tmp_path / "poisson.onnx", find_problem("poisson")
    dense.write_bytes(hedge.reference_models()["poisson"].read_bytes())
    told = run(
        "certify", "poisson.onnx", "--problem", "poisson", "--out", "poisson.certificate.json"
    )
    assert told.code == 0
    assert "poisson.onnx - solution of poisson" in told.out
    small = hedge.compress(
        dense, device="raspberry-pi-4b", tolerance=1e-2, recover=None, batch=256, certify=True,
        out=tmp_path / "small.onnx",
    )  # fmt: skip
    assert small.plan.proved is not None
    assert "proved to the solution, as deployed" in run("inspect", "small.onnx").out
    found = hedge.certify(tmp_path / "small.onnx", problem="poisson")
    points = problem.sample(20_000, seed=3).astype(np.float32).astype(np.float64)
    assert problem.reference is not None
    error = run_float32(load_model(tmp_path / "small.onnx"), points) - problem.reference(points)
    largest = np.abs(error).max()
    (by_max, by_square) = found.distances
    assert largest <= by_max.bound <= 1.5 * largest + 1e-5
    assert np.sqrt(np.mean(error**2)) <= by_square.bound
    assert [each.by for each in found.distances] == ["dense", "dense"]
    for told_of, each in zip(small.plan.proved.to_solution, found.distances, strict=True):
        assert told_of.bound == pytest.approx(each.bound, rel=0.1)
    own = next(each for each in found.solutions if each.file.name == "small.onnx")
    assert largest <= own.distances[0] + own.rounding
    dense.unlink()  # then by its own residual alone
    alone = hedge.certify(tmp_path / "small.onnx", problem="poisson", out=tmp_path / "alone.json")
    assert alone.difference is None
    assert [each.by for each in alone.distances] == ["residual", "residual"]
    assert hedge.check_certificate(tmp_path / "alone.json", problem="poisson") == alone


def test_what_lies_beside_is_not_taken_for_a_problem_of_other_lines(tmp_path: Path) -> None:
    """A problem of one's own may keep its name while its lines change."""
    dense, small = (tmp_path / f"{name}.onnx" for name in ("dense", "small"))
    once = replace(find_problem("heat"), name="mine", residual=lambda x, d, math: 1e-9 * d["u"])
    for path, seed in ((dense, 0), (small, 1)):
        onnx.save(untrained(once, widths=(2,), seed=seed), path)
    hedge.certify(dense, problem=once, boxes=20, out=tmp_path / "dense.certificate.json")
    now = replace(once, residual=lambda x, d, math: 1.0 + d["u"] * d["u"])
    found = hedge.certify(small, dense, problem=now, boxes=20)
    assert [each.residual.largest_seen > 0.9 for each in found.solutions] == [True, True]


def test_distances_follow_from_the_boxes_that_lie_beside(refuses: Refuses, tmp_path: Path) -> None:
    """Whatever is written beside them: theorems may have been others then."""
    problem = find_problem("heat")
    for name, seed in (("small", 1), ("dense", 0)):
        onnx.save(untrained(problem, widths=(2,), seed=seed), tmp_path / f"{name}.onnx")
    beside = tmp_path / "dense.certificate.json"
    own = hedge.certify(tmp_path / "dense.onnx", problem="heat", boxes=20, out=beside)
    document = json.loads(beside.read_text())
    document["solutions"][0]["distances"] = [0.0]
    document["digest"] = digest_of(document)
    beside.write_text(json.dumps(document))
    found = hedge.certify(
        tmp_path / "small.onnx", tmp_path / "dense.onnx", problem="heat", boxes=20
    )
    assert found.solutions[1] == own.solutions[0]
    refuses(
        "certify",
        "--check",
        beside.name,
        "dense.onnx",
        "small.onnx",
        named=("small.onnx", "leave it out"),
    )


def test_a_problem_of_ones_own_has_no_name_of_the_gallery(tmp_path: Path) -> None:
    """Whoever checks the certificate would read the gallery's lines."""
    heat = find_problem("heat")
    onnx.save(untrained(heat, widths=(2,)), tmp_path / "heat.onnx")
    other = replace(heat, residual=lambda x, d, math: 1e-9 * d["u"])
    with pytest.raises(InputError, match=r"problem 'heat': is the name of another one"):
        hedge.certify(tmp_path / "heat.onnx", problem=other)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--problem", "wave"], ("heat.onnx", "solves 'heat'", "wave")),
        (["--problem", "heat-operator"], ("heat-operator", "operator")),
        (["--problem", "heat", "--domain", "0:1,0:2"], ("domain", "reaches beyond", "0:1,0:1")),
        (
            ["--problem", "heat", "--domain", "0:1,0:1,0:1"],
            ("domain", "3 interval(s)", "2 input(s)"),
        ),
        ([], ("heat.onnx", "--problem")),
    ],
)
def test_what_has_no_distance_to_a_solution_is_refused(
    refuses: Refuses, tmp_path: Path, arguments: list[str], says: tuple[str, ...]
) -> None:
    (tmp_path / "heat.onnx").write_bytes(hedge.reference_models()["heat"].read_bytes())
    refuses("certify", "heat.onnx", *arguments, "--out", "c.json", named=says)
    assert not (tmp_path / "c.json").exists()


def test_weights_that_are_stored_narrower_are_proved_as_they_are_stored(
    run: Run, saved: Callable[..., Path], tmp_path: Path
) -> None:
    dense, out = saved(random_mlp([2, 24, 24, 1], seed=3), "dense.onnx"), tmp_path / "small.onnx"
    plan = hedge.compress(
        dense, device="laptop-x86", tolerance=3e-2, recover=None, objective="size", certify=True,
        domain="-1:1", out=out,
    ).plan  # fmt: skip
    assert any(node.op_type == "Cast" for node in onnx.load(out).graph.node)
    assert plan.proved is not None
    assert (
        run("certify", "small.onnx", "dense.onnx", "--boxes", "2000", "--out", "c.json").code == 0
    )
    assert run("certify", "--check", "c.json").code == 0


def test_compress_refuses_to_prove_what_it_can_not(
    tmp_path: Path, saved: Callable[..., Path]
) -> None:
    samples, model = tmp_path / "x.npy", saved(random_mlp([2, 6, 1]), "m.onnx")
    np.save(samples, np.random.default_rng(0).uniform(-1, 1, (4000, 2)))
    with pytest.raises(InputError, match="certify: needs a box"):
        hedge.compress(model, device="laptop-x86", samples=samples, certify=True)
    with pytest.raises(InputError, match="certify: proves errors against the dense model"):
        hedge.compress(
            hedge.reference_models()["heat"], device="laptop-x86", against="reference", certify=True
        )
    floor = saved(random_mlp([2, 6, 1], activation="Floor"), "floor.onnx")
    with pytest.raises(ModelError, match=r"floor.onnx: Floor .* is not covered"):
        hedge.compress(floor, device="laptop-x86", domain="-1:1", certify=True)
