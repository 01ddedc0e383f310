"""A model as C: what every format that is made of it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import numpy as np
from onnx import ModelProto

from hedge.api.columns import Columns, check_unguarded, described
from hedge.api.room import Room
from hedge.compression import CompressedModel, Plan
from hedge.errors import naming
from hedge.exporting import CFiles, CNetwork, COptions, Guard, StoredModel, open_model, to_c
from hedge.exporting.compiling import none_here
from hedge.exporting.datasheet import Datasheet
from hedge.exporting.measured import certificate_beside
from hedge.files import open_file
from hedge.graph import Matrix, assemble, split_if_any, split_with_derivatives
from hedge.names import certificate_of
from hedge.problems import Problem


class CChoices(TypedDict, total=False):
    """What may be chosen of a network in C, whatever is made of it: see :func:`hedge.export_c`."""

    name: str | None
    precision: Literal["float", "double"]
    fast_tanh: bool | None
    flash: int | None
    ram: int | None
    problem: Problem | str | None
    outputs: str | None
    inputs: str | None
    domain: str | None
    units: str | None
    guard: bool


def c_network(
    model: CompressedModel | Path | str,
    stem: str,
    *,
    jacobian: bool = False,
    hessian: bool = False,
    **choices: Unpack[CChoices],
) -> CNetwork:
    """The C of a compressed model, the file of one, or any ``.onnx``, as files called ``stem``.

    Raises what :func:`hedge.export_c` does but for files that can't be written.
    """
    asked = Room(choices.get("flash"), choices.get("ram"))
    is_double = choices.get("precision", "float") == "double"
    source, skeleton, matrices = _opened(model, exact=is_double)
    room = asked.of(source if isinstance(source, Plan) else source.plan)
    columns = Columns(
        choices.get("outputs"),
        choices.get("inputs"),
        choices.get("domain"),
        choices.get("units"),
        choices.get("problem"),
    )
    with naming(Path("the model") if isinstance(source, Plan) else source.path):
        found = described(columns, _assembled(skeleton, matrices), source)
        check_unguarded(found)
        has_guard = choices.get("guard", False)
        options = COptions(
            choices.get("name") or stem,
            is_double,
            choices.get("fast_tanh") is not False,
            room.flash,
            room.ram,
            jacobian,
            _guard(found.sheet, double=is_double) if has_guard else None,
            tuple(found.outputs),
            found.letters,
            hessian,
        )
        files = to_c(skeleton, matrices, options, stem, found.sheet.lines())
        if found.wanted:
            skeleton, matrices = split_with_derivatives(
                skeleton, matrices, found.outputs, found.letters, options.real
            )
        return CNetwork(
            stem,
            options,
            files,
            replace(found.sheet, guarded=has_guard),
            _assembled(skeleton, matrices),
            None if isinstance(source, Plan) else _certificate(source),
        )


def figures(files: CFiles) -> dict[str, int]:
    """What the C takes, as the keys of a document."""
    keys = ("parameters", "flash_bytes", "stack_bytes", "batch_stack_bytes", "jacobian_stack_bytes")
    return {key: getattr(files, key) for key in keys if getattr(files, key) is not None}


def told_of_object(name: str, size: int | None) -> str:
    """What is said of a shared object of so many bytes, None where nothing could compile it."""
    if size is None:
        return f"{name} is missing, for {none_here()}"
    return f"{name} takes {size} bytes"


def _opened(
    model: CompressedModel | Path | str, *, exact: bool
) -> tuple[StoredModel | Plan, ModelProto, Mapping[str, Matrix]]:
    """Where the model comes from, its skeleton and its matrices, in double precision if exact and it is."""
    if isinstance(model, CompressedModel):
        return model.plan, model.skeleton, model.matrices
    stored = open_model(model, exact=exact)
    if stored.kind == "compressed":
        return stored, stored.compressed.skeleton, stored.compressed.matrices
    with naming(stored.path):
        parts = split_if_any(stored.onnx)
    return stored, parts.skeleton, parts.matrices


def _assembled(skeleton: ModelProto, matrices: Mapping[str, Matrix]) -> ModelProto:
    """The graph that C computes."""
    return assemble(skeleton, matrices, {name: each.form_in_c for name, each in matrices.items()})


def _guard(sheet: Datasheet, *, double: bool) -> Guard:
    box = sheet.domain_to_guard(np.float64 if double else np.float32)
    return Guard(tuple(box.lower.tolist()), tuple(box.upper.tolist()))


def _certificate(stored: StoredModel) -> bytes | None:
    """The bytes of the certificate of this very file, if one lies beside it."""
    if certificate_beside(stored) is None:
        return None
    with open_file(certificate_of(stored.path)) as file:
        return file.read()
