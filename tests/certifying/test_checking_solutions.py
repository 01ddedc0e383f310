"""The checker of solutions: what is true passes, what was altered does not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper
from pydantic import ValidationError

import hedge
from hedge.certifying.certificate import (
    Certificate,
    CertifiedFile,
    Solution,
    read_certificate,
)
from hedge.certifying.checking import check, check_solution
from hedge.certifying.checking.graphs import graph_of
from hedge.certifying.checking.proving import Prover
from hedge.certifying.checking.residuals import Residual
from hedge.certifying.distances import as_deployed, by_theorems
from hedge.certifying.proving import as_certificate, as_difference, prove
from hedge.certifying.residual import with_lines
from hedge.certifying.solution import prove_solution
from hedge.errors import InputError
from hedge.files import sha256_of
from hedge.graph import Evaluator, GraphBuilder
from hedge.names import certificate_of
from hedge.problems import GALLERY, Domain, Problem, find_problem
from hedge.problems.conditions import Condition, Faces, Period
from tests.certifying.problems import formula, untrained
from tests.conftest import ROOT

SMALL, DENSE = (CertifiedFile(name=f"{n}.onnx", sha256=n[0] * 64) for n in ("ab", "cd"))
HEAT = find_problem("heat")


def _solved(model: ModelProto, problem: Problem, most: int = 60) -> Solution:
    return prove_solution(model, SMALL, problem, problem.domain, most=most)


TRIED = ("heat", "burgers", "burgers-nu", "wave", "poisson", "helmholtz")


@pytest.mark.parametrize("name", TRIED)
def test_a_true_solution_passes(name: str) -> None:
    problem = GALLERY[name]
    model = untrained(problem, widths=(4, 4), seed=2)
    found = _solved(model, problem)
    told: list[str] = []
    check_solution(found, model, problem, told.append)
    count = len(found.boxes.levels)
    assert f"checking residual: {count} of {count} boxes hold" in told
    assert sum(text.startswith("checking condition") for text in told) >= len(found.faces)


@pytest.mark.parametrize("name", ["heat", "poisson"])
def test_the_shipped_certificates_hold(name: str) -> None:
    hedge.check_certificate(ROOT / "models" / f"{name}-64x3.certificate.json")


def test_every_shipped_certificate_is_of_the_model_beside_it() -> None:
    found = sorted((ROOT / "models").glob("*.certificate.json"))
    assert len(found) == 3
    for path in found:
        model = read_certificate(path).model
        assert certificate_of(ROOT / "models" / model.name) == path
        assert sha256_of(ROOT / "models" / model.name) == model.sha256


def test_a_part_of_the_domain_passes_without_distances() -> None:
    model = untrained(HEAT, widths=(4,))
    part = Domain(((0.0, 0.5), (0.25, 1.0)))
    found = prove_solution(model, SMALL, HEAT, part, most=40)
    check_solution(found, model, HEAT)
    claimed = found.model_copy(update={"distances": [1e9, 1e9]})
    with pytest.raises(InputError, match="distances: are claimed of a part of the domain"):
        check_solution(claimed, model, HEAT)


@pytest.mark.parametrize("name", ["burgers", "allen-cahn", "heat-family", "poisson-5d"])
def test_no_residual_and_no_mean_of_its_square_is_above_what_is_proved(name: str) -> None:
    problem, rng = GALLERY[name], np.random.default_rng(0)
    model, domain = untrained(problem, seed=5), np.array(problem.domain.intervals)
    levels = rng.integers(0, 6, (30, problem.dimension))
    places = rng.integers(0, 2**levels)
    subject = Residual(graph_of(model, "it"), problem, domain)
    found, _ = Prover(subject, 4 if problem.dimension == 2 else 2).proved(levels, places)
    s = rng.uniform(size=(30, 200, problem.dimension))
    points = domain[:, 0] + (domain[:, 1] - domain[:, 0]) * (places[:, None] + s) / (
        2.0 ** levels[:, None]
    )
    lines = with_lines(model, problem, problem.derivatives, [problem.residual])
    exact = Evaluator(lines)(points.reshape(-1, problem.dimension)).reshape(30, 200, 2)
    bounds = np.where(np.isnan(found.largest), np.inf, found.largest)
    assert np.isfinite(bounds).sum() >= 30
    assert (np.abs(exact).max(axis=1) <= bounds * (1.0 + 1e-12) + 1e-12).all()
    squares = exact[:, :, 0] ** 2
    luck = 6.0 * squares.std(axis=1) / np.sqrt(200)
    assert not (squares.mean(axis=1) - luck > found.square[:, 0] + 1e-12).any()


def test_the_rounding_of_a_mean_is_no_more_than_the_search_takes() -> None:
    """A sum, a rounded 1/n and a product."""
    graph = GraphBuilder()
    model = graph.model({"x": 2}, {graph.add("ReduceMean", "x", axes=[1], output="u"): 1})
    problem = replace(HEAT, name="mean", conditions=(), stability=())
    found = _solved(model, problem)
    check_solution(found, model, problem)
    assert found.rounding == pytest.approx(4.0 * 2.0**-24, rel=0.02)


# ---------------------------------------------------------------------------------- conditions and jumps


def _mixed(seed: int) -> tuple[Problem, ModelProto]:
    """u = sin πx (1 + t) and a problem with a mixed derivative, a period and an insulated end."""
    problem = replace(
        HEAT,
        name="mixed",
        derivatives=("u_tx", "u_xx"),
        residual=lambda x, d, m: (
            d["u_tx"] / (2.0 + x[0]) - m.cos(0.0) / (3.0 - d["u_xx"] * d["u_xx"] * 1e-3)
        ),
        conditions=(
            Condition(Period("x"), lambda x, d, m: d["u_x"] * d["u_x"], ("u_x",)),
            Condition(Faces("t", (1,)), lambda x, d, m: d["u_t"] - m.sin(math.pi * x[0]), ("u_t",)),
        ),
        stability=(),
    )
    lines = lambda x, f: f.sin(math.pi * x[0]) * (1.0 + x[1])  # noqa: E731
    return problem, formula(2, lines)


def test_mixed_derivatives_and_periods_are_followed() -> None:
    problem, model = _mixed(0)
    found = _solved(model, problem, most=200)
    check_solution(found, model, problem)
    assert found.mismatch[0] <= 1e-6
    assert found.mismatch[1] <= 1e-6
    faces = [face for face in found.faces if face.end is not None]
    for wrong in (faces, found.faces + faces):
        with pytest.raises(InputError, match="faces: "):
            check_solution(found.model_copy(update={"faces": wrong}), model, problem)


def test_a_jump_that_is_there_is_seen() -> None:
    """u_x of sin πx has the opposite sign at 1: its square has no jump, it has one itself."""
    problem, model = _mixed(0)
    found = _solved(model, problem, most=200)
    first = replace(problem.conditions[0], mismatch=lambda x, d, m: d["u_x"])
    jumping = replace(problem, conditions=(first, problem.conditions[1]))
    with pytest.raises(InputError, match="condition 1 from end to end of x: box 0"):
        check_solution(found, model, jumping)


# ------------------------------------------------------------------------------------------------ altered

MODEL = untrained(HEAT, widths=(4,), seed=3)
Document = dict[str, Any]
Altered = tuple[Document, ModelProto, Problem]


@cache
def _true() -> Solution:
    return _solved(MODEL, HEAT, most=40)


def _scaled(*path: str, factor: float = 0.5) -> Callable[[np.random.Generator, Document], Altered]:
    """One number, or one of a list, made smaller."""

    def alter(rng: np.random.Generator, d: Document) -> Altered:
        inner: Any = d
        for key in path[:-1]:
            inner = inner[key]
        place: Any = path[-1]
        if isinstance(inner[place], list):
            inner, place = inner[place], rng.integers(len(inner[place]))
        inner[place] *= factor
        return d, MODEL, HEAT

    alter.__name__ = " ".join(path)
    return alter


def _inside(table: Document, box: int, domain: Any) -> np.ndarray:
    """400 points of a box, on a grid."""
    level, place = (np.array(table[name][box]) for name in ("levels", "places"))
    s = (np.stack(np.meshgrid(*[np.arange(20)] * 2), -1).reshape(-1, 2) + 0.5) / 20.0
    lower, upper = np.array(domain).T
    return lower + (upper - lower) * (place + s) / 2.0**level


def _bound(rng: np.random.Generator, d: Document) -> Altered:
    """Below what is seen in that box."""
    box = rng.integers(len(d["boxes"]["levels"]))
    lines = with_lines(MODEL, HEAT, HEAT.derivatives, [HEAT.residual])
    seen = np.abs(Evaluator(lines)(_inside(d["boxes"], box, d["domain"]))[:, 0])
    if rng.integers(2):
        d["boxes"]["largest"][box] = 0.99 * seen.max()
    else:
        d["boxes"]["square"][box] = 0.9 * float(np.mean(seen**2))
    return d, MODEL, HEAT


def _face_bound(rng: np.random.Generator, d: Document) -> Altered:
    face = d["faces"][rng.integers(len(d["faces"]))]
    condition = HEAT.conditions[face["condition"]]
    box, variable = rng.integers(len(face["levels"])), HEAT.inputs.index(condition.face.letter)
    points = _inside(face, box, d["domain"])
    points[:, variable] = d["domain"][variable][face["end"]]
    lines = with_lines(MODEL, HEAT, condition.derivatives, [condition.mismatch])
    face["largest"][box] = 0.9 * float(np.abs(Evaluator(lines)(points)[:, 0]).max())
    return d, MODEL, HEAT


def _weight(rng: np.random.Generator, d: Document) -> Altered:
    copy = ModelProto()
    copy.CopyFrom(MODEL)
    large = [t for t in copy.graph.initializer if math.prod(t.dims) > 2]
    tensor = large[rng.integers(len(large))]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[rng.integers(values.size)] += rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 2.0)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return d, copy, HEAT


def _tables(rng: np.random.Generator, d: Document) -> Document:
    return [d["boxes"], *d["faces"]][rng.integers(1 + len(d["faces"]))]


def _in_tables(change: Callable[[np.random.Generator, Document, int], None], name: str) -> Any:
    def alter(rng: np.random.Generator, d: Document) -> Altered:
        table = _tables(rng, d)
        change(rng, table, int(rng.integers(len(table["levels"]))))
        return d, MODEL, HEAT

    alter.__name__ = name
    return alter


def _remove(rng: np.random.Generator, table: Document, box: int) -> None:
    for each in table.values():
        if isinstance(each, list):
            del each[box]


def _double(rng: np.random.Generator, table: Document, box: int) -> None:
    for each in table.values():
        if isinstance(each, list):
            each.append(each[box])


def _coarsen(rng: np.random.Generator, table: Document, box: int) -> None:
    table["levels"][box][rng.integers(2)] += int(rng.choice([-1, 1]))


def _shift(rng: np.random.Generator, table: Document, box: int) -> None:
    table["places"][box][rng.integers(2)] += 1


def _shorten(rng: np.random.Generator, table: Document, box: int) -> None:
    del table["largest"][box]


def _without_face(rng: np.random.Generator, d: Document) -> Altered:
    del d["faces"][rng.integers(len(d["faces"]))]
    return d, MODEL, HEAT


def _other_face(rng: np.random.Generator, d: Document) -> Altered:
    """Called that of another condition or end."""
    face = d["faces"][rng.integers(len(d["faces"]))]
    key = str(rng.choice(["condition", "end"]))
    face[key] = {"condition": 1 + face["condition"], "end": 1 - face["end"]}[key]
    return d, MODEL, HEAT


def _face_twice(rng: np.random.Generator, d: Document) -> Altered:
    d["faces"].append(d["faces"][rng.integers(len(d["faces"]))])
    return d, MODEL, HEAT


def _domain(rng: np.random.Generator, d: Document) -> Altered:
    d["domain"][rng.integers(2)][rng.integers(2)] += rng.choice([-0.25, 0.25])
    return d, MODEL, HEAT


def _problem(rng: np.random.Generator, d: Document) -> Altered:
    """Faces and theorems of the first one fit, too."""
    hotter = replace(HEAT, residual=lambda x, u, m: u["u_t"] - 0.11 * u["u_xx"])
    others = [hotter, replace(HEAT, name="other"), GALLERY["burgers"], GALLERY["heat-family"]]
    return d, MODEL, others[rng.integers(4)]


def _theorems(rng: np.random.Generator, d: Document) -> Altered:
    if rng.integers(2):
        d["distances"].append(1e9)
    else:
        d["distances"].pop()
    return d, MODEL, HEAT


def _mismatches(rng: np.random.Generator, d: Document) -> Altered:
    if rng.integers(2):
        d["mismatch"].append(0.0)
    else:
        d["mismatch"].pop()
    return d, MODEL, HEAT


def _order(rng: np.random.Generator, d: Document) -> Altered:
    d["order"] = int(rng.choice([-3, 0, 13, 99]))
    return d, MODEL, HEAT


def _errors(rng: np.random.Generator, d: Document) -> Altered:
    d["errors"] = {} if rng.integers(2) else {"Tanh": [0.0, 0.0], "Sin": [1e-7, 0.0]}
    return d, MODEL, HEAT


ALTERATIONS = (
    _scaled("residual", "largest", factor=1.0 - 1e-9),
    _scaled("residual", "rms", factor=1.0 - 1e-4),
    _scaled("residual", "mean", factor=1.0 - 1e-4),
    _scaled("residual", "rms_seen", factor=1e9),
    _scaled("residual", "largest_seen", factor=1e9),
    _scaled("value"),
    _scaled("rounding", factor=0.25),
    _scaled("unit", factor=0.9),
    _scaled("mismatch"),
    _scaled("distances", factor=1.0 - 1e-9),
    _bound, _face_bound, _weight, _without_face, _other_face, _face_twice, _domain, _problem, _theorems,
    _mismatches, _order, _errors,
    *(
        _in_tables(change, change.__name__)
        for change in (_remove, _double, _coarsen, _shift, _shorten)
    ),
)  # fmt: skip


@pytest.mark.parametrize("alteration", ALTERATIONS, ids=lambda each: each.__name__)
def test_an_altered_solution_is_refused(
    alteration: Callable[[np.random.Generator, Document], Altered],
) -> None:
    """Six of each kind. No digest is there to help."""
    passed = []
    for seed in range(6):
        document = _true().model_dump(mode="json")
        altered, model, problem = alteration(np.random.default_rng(seed), document)
        try:
            check_solution(Solution.model_validate(altered), model, problem)
        except (InputError, ValidationError):
            continue
        passed.append(seed)
    assert not passed


def test_bounds_that_are_true_are_accepted() -> None:
    """Looser ones, boxes in another order, faces too; distances that follow of that."""
    document = _true().model_dump(mode="json")
    for table in (document["boxes"], *document["faces"]):
        for each in table.values():
            if isinstance(each, list):
                each.reverse()
    document["faces"].reverse()
    document["residual"] |= {"largest": 90.0, "rms": 80.0, "mean": 70.0}
    document |= {"value": 9.0, "rounding": 1.0, "mismatch": [1.0, 2.0], "ended": "boxes"}
    looser = Solution.model_validate(document)
    looser = looser.model_copy(update={"distances": by_theorems(HEAT, looser)})
    check_solution(looser, MODEL, HEAT)


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"order": 40}, "solution of 'ab.onnx': order: 40 can't"),
        ({"unit": math.nan}, "unit: nan is not"),
        ({"value": math.nan}, "negative or not finite"),
        ({"mismatch": [math.nan, 1.0]}, "is missed by up to"),
        ({"distances": [math.nan, 1.0]}, "'Heat equation: max' it is nan"),
        ({"domain": [(0.0, 1.0)]}, "domain: has 1 variable"),
        ({"domain": [(0.0, 1.0), (0.0, 1.5)]}, "reaches beyond that of problem 'heat' in t"),
    ],
)
def test_what_the_format_would_refuse_is_refused_here_too(update: Document, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        check_solution(_true().model_copy(update=update), MODEL, HEAT)


# ---------------------------------------------------------------------------------- whole certificates

LARGEST = float(np.finfo(np.float64).max)
OTHER = untrained(HEAT, widths=(4,), seed=4)
MODELS = {SMALL: MODEL, DENSE: OTHER}


@cache
def _whole() -> Certificate:
    pair, proof = prove(MODEL, OTHER, HEAT.domain, most=40)
    difference = as_difference(pair, proof, [SMALL, DENSE], ["u"])
    own = _true()
    dense = prove_solution(OTHER, DENSE, HEAT, HEAT.domain, most=40)
    return as_certificate(
        SMALL, difference, [own, dense], as_deployed(HEAT, own, dense, difference)
    )


def test_a_whole_certificate_passes() -> None:
    whole = _whole()
    check(whole, MODELS)
    few = whole.model_copy(update={"distances": whole.distances[1:]})
    by_dense = as_deployed(HEAT, None, whole.solutions[1], whole.difference)
    other_way = whole.model_copy(update={"distances": by_dense})
    for each in (few, other_way):
        check(each, MODELS)
    assert {each.by for each in by_dense} == {"dense"}


def test_what_is_not_bounded_is_no_claim_and_gives_none() -> None:
    unbounded = _true().model_copy(update={"rounding": None})
    check_solution(unbounded, MODEL, HEAT)
    alone = {"difference": None, "solutions": [unbounded]}
    honest = _whole().model_copy(update={**alone, "distances": as_deployed(HEAT, unbounded)})
    assert {each.bound for each in honest.distances} == {None}
    check(honest, MODELS)
    bounded = _whole().model_copy(update={**alone, "distances": as_deployed(HEAT, _true())})
    with pytest.raises(
        InputError, match=r"distances: bound by 'Heat equation: max' is .* gives inf"
    ):
        check(bounded, MODELS)


def _distance(**update: Any) -> Callable[[Document], None]:
    def alter(d: Document) -> None:
        d["distances"][0] |= {
            key: value(d["distances"][0][key]) if callable(value) else value
            for key, value in update.items()
        }

    return alter


def _swapped(d: Document) -> None:
    one, two = d["solutions"]
    one["file"], two["file"] = two["file"], one["file"]


def _huge(d: Document) -> None:
    boxes = d["difference"]["boxes"]
    boxes["square"] = [[LARGEST] for _ in boxes["square"]]
    boxes["largest"] = [[LARGEST] for _ in boxes["largest"]]


def _alone(d: Document) -> None:
    d["solutions"] = []


def _for_another(d: Document) -> None:
    d["solutions"][1]["problem"] = "wave"


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (_distance(bound=lambda b: b * (1 - 1e-9)), "bound by"),
        (_distance(further=lambda f: f * (1 - 1e-9)), "further by"),
        (_distance(by="dense", bound=0.0), "bound by"),
        (_distance(kind="L1"), "no theorem of 'heat'"),
        (_distance(over="xt"), "no theorem of 'heat'"),
        (_distance(theorem="Heat equation"), "'Heat equation' is no theorem of 'heat'"),
        (lambda d: d["distances"].append(d["distances"][0]), "or there twice"),
        (lambda d: d["solutions"][0].update(distances=[]), "follows from nothing"),
        (lambda d: d["solutions"].pop(0), "follows from nothing"),
        (_huge, "too large to compute with"),
        (_swapped, "box"),
        (_alone, "no solution that they follow from"),
        (_for_another, "are of several problems, 'heat', 'wave'"),
        (lambda d: [s.update(problem="frost") for s in d["solutions"]], "'frost' is not known; give"),
    ],
)  # fmt: skip
def test_an_altered_certificate_is_refused(alter: Callable[[Document], None], message: str) -> None:
    document = _whole().model_dump(mode="json")
    alter(document)
    with pytest.raises(InputError, match=re.escape(message)):
        check(Certificate.model_validate(document), MODELS)


def test_a_problem_of_the_users_own_must_be_given() -> None:
    problem = replace(HEAT, name="mine", stability=())
    certificate = as_certificate(SMALL, None, [_solved(MODEL, problem)])
    with pytest.raises(InputError, match=r"'mine' is not known; give the file"):
        check(certificate, MODELS)
    check(certificate, MODELS, problem)
    with pytest.raises(InputError, match="is 'mine', not the given 'heat'"):
        check(certificate, MODELS, HEAT)
    strange = replace(problem, residual=lambda x, d, m: abs(d["u_t"]))
    with pytest.raises(InputError, match=r"problem 'mine': its lines can't be checked"):
        check(certificate, MODELS, strange)
