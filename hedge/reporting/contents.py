"""What belongs together in the files of a report: models, what was measured of each, their problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hedge.benching import Accuracy, evaluate
from hedge.compression import Plan, box_of_origin, parameter_count
from hedge.devices import BYTES_PER_FLOAT
from hedge.errors import InputError, ModelError, naming, quoted
from hedge.graph import as_found, check_fields, input_dimension, run_float32, split
from hedge.problems import Domain, OperatorProblem, Problem, Solvable, chosen_problem, find_problem
from hedge.reporting.distance import Distance, distance
from hedge.reporting.runs import (
    BenchFile,
    CertificateFile,
    ComparisonFile,
    ModelFile,
    ReportFile,
    SweepFile,
)


@dataclass(frozen=True)
class Model:
    """A model of the report, under the name that bench results and tables share.

    accuracy is against the problem's reference solution, distance from the dense model; None where there
    is none.
    """

    label: str
    file: ModelFile
    accuracy: Accuracy | None
    distance: Distance | None

    @property
    def plan(self) -> Plan | None:
        """How it was compressed; None for a dense model."""
        return self.file.plan

    @cached_property
    def parameters(self) -> int | None:
        """Weights and biases; None where the graph has no linear site to count."""
        if self.plan is not None:
            return self.plan.parameters
        try:
            return parameter_count(split(self.file.model).matrices)
        except ModelError:
            return None

    @property
    def bytes(self) -> int | None:
        """What its weights and biases take."""
        if self.plan is not None:
            return self.plan.bytes
        return None if self.parameters is None else BYTES_PER_FLOAT * self.parameters


@dataclass(frozen=True)
class Contents:
    """Everything a report tells of.

    dense is the model that the others were made from, if it is there; problem what all of them
    solve, None where it is not known or not the same.
    """

    models: tuple[Model, ...]
    dense: Model | None
    problem: Problem | OperatorProblem | None
    benches: tuple[BenchFile, ...]
    comparisons: tuple[ComparisonFile, ...]
    certificates: tuple[CertificateFile, ...]
    runs: tuple[ReportFile, ...]
    sweeps: tuple[SweepFile, ...] = ()

    @property
    def domain(self) -> Domain | None:
        """The box of the inputs: the problem's or, where none is known, the one that plans name."""
        if isinstance(self.problem, Problem):
            return self.problem.domain
        if len({input_dimension(model.file.model) for model in self.models}) != 1:
            return None
        boxes = [box_of_origin(plan.points) for _, plan in self.compressed]
        box = boxes[0] if boxes and boxes.count(boxes[0]) == len(boxes) else None
        fits = box is not None and box.dimension == input_dimension(self.models[0].file.model)
        return box if fits else None

    @property
    def input_names(self) -> tuple[str, ...]:
        """The letters of the problem's inputs, else x1, x2 …"""
        if isinstance(self.problem, Problem):
            return tuple(self.problem.inputs)
        count = input_dimension(self.models[0].file.model) if self.models else 0
        return tuple(f"x{i}" for i in range(1, count + 1))

    @property
    def compressed(self) -> tuple[tuple[Model, Plan], ...]:
        """The models that have a plan, with it."""
        return tuple((model, model.plan) for model in self.models if model.plan is not None)


def contents_of(runs: Sequence[ReportFile], given: Problem | str | None = None) -> Contents:
    """Put the files together; what the user says that the models solve is ``given``.

    A compressed model and what was exported of it are one model: the exported file stands for both, for
    it is what is timed. The dense model comes first.

    Raises InputError if two models of other content have one name, ModelError if one can't be run.
    """
    files = _merged([run for run in runs if isinstance(run, ModelFile)])
    files.sort(key=lambda file: file.plan is not None)
    problem = _problem(files) if given is None else _given(given, files)
    models = tuple(
        Model(file.origin.label, file, _accuracy(file, problem), distance(file, files, problem))
        for file in files
    )
    return Contents(
        models=models,
        dense=_dense(models),
        problem=problem,
        benches=tuple(run for run in runs if isinstance(run, BenchFile)),
        comparisons=tuple(run for run in runs if isinstance(run, ComparisonFile)),
        certificates=tuple(run for run in runs if isinstance(run, CertificateFile)),
        runs=tuple(runs),
        sweeps=tuple(run for run in runs if isinstance(run, SweepFile)),
    )


def _merged(files: Sequence[ModelFile]) -> list[ModelFile]:
    """The files without those that say nothing new."""
    kept: list[ModelFile] = []
    for file in files:
        twin = next((other for other in kept if _are_one(file, other)), None)
        if twin is None:
            kept.append(file)
        elif not twin.exported:
            kept[kept.index(twin)] = file
    labels = [file.origin.label for file in kept]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"report: two models are called {label!r}; rename one")
    return kept


def _are_one(one: ModelFile, other: ModelFile) -> bool:
    """Whether the files are equal, or a compressed model and what was exported of it."""
    if one.origin.sha256 == other.origin.sha256:
        return True
    if one.plan is None or other.plan is None or one.exported == other.exported:
        return False
    plans = [plan.with_forms({}).without_figures() for plan in (one.plan, other.plan)]
    return plans[0] == plans[1]


def _dense(models: Sequence[Model]) -> Model | None:
    """The model whose content the plans name; without plans the first."""
    without_plan = [model for model in models if model.plan is None]
    sources = {model.plan.source_sha256 for model in models if model.plan is not None}
    named = [model for model in without_plan if model.file.origin.sha256 in sources]
    if sources:
        return named[0] if named else None
    return without_plan[0] if without_plan else None


def _problem(files: Sequence[ModelFile]) -> Problem | OperatorProblem | None:
    """What all models say that they solve, if they have its inputs and outputs.

    For a dense model that says nothing speak those that were made from it.
    """
    made_from = {file.plan.source_sha256: file.problem for file in files if file.plan is not None}
    names = {file.problem or made_from.get(file.origin.sha256) for file in files}
    dimensions = {input_dimension(file.model) for file in files}
    if len(names) != 1 or len(dimensions) != 1:
        return None
    problem = _find(names.pop() or "", dimensions.pop())
    return problem if problem and all(_has_outputs_of(problem, file) for file in files) else None


def _given(given: Problem | str, files: Sequence[ModelFile]) -> Problem | OperatorProblem:
    """The user's; raises InputError for a model that says another one, or has other inputs or outputs."""
    dimensions = [input_dimension(file.model) for file in files] or [0]
    problem = chosen_problem(given, dimensions[0])
    for file, dimension in zip(files, dimensions, strict=False):
        if file.problem not in (None, problem.name):
            raise InputError(
                f"{file.origin.name}: solves {quoted(file.problem)}, by what it says, not {problem.name!r}; "
                "leave out --problem, or name that one"
            )
        if dimension != problem.dimension or not _has_outputs_of(problem, file):
            raise InputError(
                f"{file.origin.name}: has other inputs or outputs than problem {problem.name!r}; name the "
                "one that it was trained on"
            )
    return problem


def _find(name: str, dimension: int) -> Problem | OperatorProblem | None:
    try:
        found = find_problem(name, dimension)
    except InputError:
        return None
    return found if found.dimension == dimension else None


def _has_outputs_of(problem: Solvable, file: ModelFile) -> bool:
    with naming(Path(file.origin.name)):
        outputs = run_float32(file.model, problem.sample(1, seed=0))
    try:
        check_fields(file.model, problem)
    except InputError:
        return False
    return bool(outputs.shape[1] == problem.outputs)


def _accuracy(file: ModelFile, problem: Solvable | None) -> Accuracy | None:
    if problem is None or problem.reference is None:
        return None
    with naming(Path(file.origin.name)):
        solved = as_found(problem, file.model) if isinstance(problem, Problem) else problem
        return evaluate(file.model, solved)
