"""What a module of torch is called with: one tensor of points, or several, in one of a few ways."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from hedge.errors import InputError, ModelError, first_line

Inputs = int | Sequence[str] | Sequence[int] | Mapping[str, int]
"""Numbers per row; names of columns; widths of several tensors, in order or by name."""

MOST_INPUTS = 10_000


@dataclass(frozen=True)
class Columns:
    """The tensors that a module takes: how many columns each has, by name, and how they are handed over.

    ``way`` is "apart" (an argument each), "dict" or "tuple" (of them all, as one argument).
    """

    widths: dict[str, int]
    way: str = "apart"

    def arguments(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """What the module is called with, of one value for each tensor."""
        if self.way == "dict":
            return (dict(zip(self.widths, values, strict=True)),)
        return (tuple(values),) if self.way == "tuple" else tuple(values)

    def taken_by(self, module: nn.Module, points: Sequence[Tensor]) -> Columns:
        """The same in the first way in which the module runs.

        Raises ModelError if it runs in none.
        """
        ways = ("apart", "dict", "tuple") if len(self.widths) > 1 else ("apart",)
        failures: dict[str, Exception] = {}
        for way in ways:
            columns = Columns(self.widths, way)
            try:
                module(*columns.arguments(points))
            except Exception as error:  # whatever the module raises
                failures[way] = error
            else:
                return columns
        raise ModelError(self._failure(module, failures))

    def _failure(self, module: nn.Module, failures: Mapping[str, Exception]) -> str:
        asked = ", ".join(f"{name} [n, {width}]" for name, width in self.widths.items())
        names = _arguments_of(module)
        told = f"the module fails on {asked} ({first_line(failures['apart'])})"
        if len(self.widths) == 1 and len(names) > 1:
            told += (
                f"; it takes {len(names)} arguments: give inputs={tuple(names)!r}, or their widths"
            )
        return told


def columns_of(module: nn.Module, inputs: Inputs) -> Columns:
    """What ``inputs`` says of the tensors that a module takes.

    Raises InputError for anything but 1 to MOST_INPUTS columns in all.
    """
    return Columns(_widths(module, inputs))


def _widths(module: nn.Module, inputs: Inputs) -> dict[str, int]:
    if isinstance(inputs, int):
        widths = {"x": inputs}
    elif isinstance(inputs, Mapping):
        widths = dict(inputs)
    elif isinstance(inputs, str) or not all(isinstance(each, str | int) for each in inputs):
        raise _wrong(inputs)
    elif all(isinstance(each, str) for each in inputs):
        widths = {str(name): 1 for name in inputs}
    else:
        names = _arguments_of(module)
        if len(names) != len(inputs):
            names = [f"x{i}" for i in range(len(inputs))]
        widths = dict(zip(names, inputs, strict=True))  # type: ignore[arg-type]
    are_counts = all(isinstance(w, int) and 1 <= w <= MOST_INPUTS for w in widths.values())
    if not are_counts or not 1 <= sum(widths.values()) <= MOST_INPUTS:
        raise _wrong(inputs)
    return widths


def _wrong(inputs: object) -> InputError:
    return InputError(
        f"inputs: {inputs!r:.80} is out of range; give how many numbers per row the module takes, 1 to "
        f"{MOST_INPUTS}, or of several arguments their names ('x', 't') or widths (16, 1)"
    )


def _arguments_of(module: nn.Module) -> list[str]:
    """The names of the arguments that forward needs."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in kinds and p.default is p.empty]
