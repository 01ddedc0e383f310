"""The options of stages are those of the functions that do them."""

from __future__ import annotations

from inspect import signature

import pytest

import hedge
from hedge.formats import FORMATS
from hedge.request import Asked
from hedge.sweeping.stages import STAGES

# What a sweep itself says, and what is for those who sit before it.
OF_THE_SWEEP = {
    "model", "models", "dense", "out", "hosts", "workers", "scheduler", "mapper", "spread", "resume", "force",
    "on_progress", "on_cycle", "on_written", "asked", "compiled", "worst",
}  # fmt: skip
OWN = {
    "train": {"max_steps": "steps"},
    "bench": {"batches": "batch", "effort": "seconds"},
}


@pytest.mark.parametrize(
    ("stage", "functions", "further"),
    [
        ("train", [hedge.train, hedge.train_operator], {"sensors"}),
        ("compress", [hedge.compress], set(Asked.__annotations__)),
        ("certify", [hedge.certify], {"to_solution"}),
        ("bench", [hedge.bench, hedge.bench_fleet], {"on"}),
    ],
)
def test_options_are_those_of_the_functions(stage: str, functions: list, further: set[str]) -> None:
    taken = {name for function in functions for name in signature(function).parameters}
    renamed = {OWN.get(stage, {}).get(name, name) for name in taken} | further
    assert set(STAGES[stage].options.model_fields) == renamed - OF_THE_SWEEP - {"name"}


def test_those_of_export_are_of_some_format() -> None:
    of_formats = {option for one in FORMATS.values() for option in one.options}
    own = set(STAGES["export"].options.model_fields) - {"format"}
    assert own <= of_formats
    assert of_formats - own <= {"name", "compiler", "flags", "fmi"}


@pytest.mark.parametrize("stage", ["train", "compress", "certify"])
def test_defaults_are_those_of_the_functions(stage: str) -> None:
    """So that a page on one holds for the other."""
    taken = signature(getattr(hedge, stage)).parameters
    for name, option in STAGES[stage].options.model_fields.items():
        if name in taken and not option.is_required():
            assert option.default == taken[name].default, name
