"""Exporting: ONNX of standard ops, or C99."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from onnx import ModelProto

from hedge.api.inputs import check_not_read, chosen_device, warn_if_unstable
from hedge.api.room import Room
from hedge.api.training import write_model
from hedge.benching.protocol import check_batches
from hedge.compression import CompressedModel
from hedge.devices import Device
from hedge.errors import InputError, naming, quoted
from hedge.exporting import (
    CFiles,
    COptions,
    StoredModel,
    check_path,
    makefile,
    open_model,
    reference_program,
    to_c,
    to_onnx,
)
from hedge.files import check_writable, write_together
from hedge.formats import Exported
from hedge.graph import (
    Matrix,
    assemble,
    check_read,
    reads_of,
    split_if_any,
    split_with_derivatives,
    with_derivatives,
)
from hedge.problems import GALLERY
from hedge.progress import Progress, silent

WIDEST_ABOUT = 200


def export(
    compressed: CompressedModel | Path | str,
    out: Path | str,
    *,
    opset: int | None = None,
    device: Device | str | None = None,
    batch: int | None = None,
    outputs: str | None = None,
    inputs: str | None = None,
    force: bool = False,
    on_progress: Progress = silent,
) -> ModelProto:
    """Write a compressed model, or the file of one, as an ``.onnx`` of standard ops.

    Each site becomes what is predicted to be fastest on ``device`` for ``batch`` rows, by default those
    that the model was compressed for. ``opset`` is the version of the ops, 17 to 21; None is the lowest
    that its ops allow.

    ``outputs`` take the place of the model's own: ``"u,u_x,u_xx"`` are u and derivatives of it. Their letters
    are those of the input columns, ``inputs`` (``"x,t"``), by default of the problem that the file says it
    solves. Then any ``.onnx`` can be given, too.

    Before anything is written raises InputError for outputs that there are not, and ModelError if the
    device's onnxruntime is known and older than that.
    """
    if Path(out).suffix in (".c", ".h"):
        raise InputError(f"{out}: is the name of a C file; export C (--format c), or call it .onnx")
    check_writable(Path(out), force=force)
    read = [] if isinstance(compressed, CompressedModel) else [Path(compressed)]
    check_not_read(Path(out), read, device)
    if batch is not None:
        check_batches([batch])
    chosen = None if device is None else chosen_device(device, on_progress)
    stored = compressed if isinstance(compressed, CompressedModel) else open_model(compressed)
    wanted = _Outputs.read(outputs, inputs, stored)
    if isinstance(stored, StoredModel):
        if wanted is not None and stored.kind != "compressed":
            asked = {"opset": opset, "device": device, "batch": batch}
            return _with_outputs(stored, wanted, Path(out), asked, force=force)
        stored = stored.compressed
    if chosen is None and stored.plan.device_profile is not None:
        warn_if_unstable(stored.plan.device_profile)
    model = to_onnx(stored, opset, device=chosen, batch=batch)
    with naming(Path(stored.plan.source)):
        model = model if wanted is None else with_derivatives(model, wanted.names, wanted.letters)
        check_read(model, reads_of(chosen or stored.plan.device_profile))
    write_model(model, Path(out), force=force)
    return model


def export_c(
    model: CompressedModel | Path | str,
    out: Path | str,
    *,
    name: str | None = None,
    precision: Literal["float", "double"] = "float",
    fast_tanh: bool | None = None,
    flash: int | None = None,
    ram: int | None = None,
    test: bool = False,
    jacobian: bool = False,
    outputs: str | None = None,
    inputs: str | None = None,
    force: bool = False,
) -> CFiles:
    """Write a compressed model, the file of one, or any ``.onnx``, as C99: ``out`` and its ``.h``.

    name begins the names of its functions; by default it is that of the file. ``fast_tanh`` takes a
    rational function for tanh, as exact as onnxruntime's; None does but in double. flash is how many bytes
    its constants may take, ram how many one call may take, all of it stack: a batch then goes row by row
    where a tile of 16 takes more. Of a compressed model they are by default what ``compress`` was given, else
    what the profile has that it was compressed for, if that runs C.
    ``test`` adds a program with reference values and a makefile, ``NAME_test.c`` and ``NAME.mk``.
    ``jacobian`` adds ``NAME_jacobian(x, u, J)``, which computes a row and all its first derivatives.
    ``outputs`` and ``inputs`` are those of :func:`export`.

    Raises InputError for outputs that there are not, or beside ``jacobian``, and a name that is no C
    identifier, RoomError for more flash or RAM; ModelError for what C can't do; OutputError if one of the
    files can't be written. Then none is.
    """
    path = Path(out)
    stem = path.stem
    check_path(path)
    header, program, rules = (path.with_name(stem + ending) for ending in (".h", "_test.c", ".mk"))
    room = Room(flash, ram)
    if jacobian and outputs is not None:
        raise InputError("jacobian: is of the model's own outputs; leave it or outputs out")
    targets = [path, header, *([program, rules] if test else [])]
    for target in targets:
        check_writable(target, force=force)
        if not isinstance(model, CompressedModel):
            check_not_read(target, [Path(model)])
    stored = model if isinstance(model, CompressedModel) else open_model(model)
    room = room.of(stored.plan)
    options = COptions(
        stem if name is None else name,
        precision == "double",
        fast_tanh,
        room.flash,
        room.ram,
        jacobian,
    )
    wanted = _Outputs.read(outputs, inputs, stored)
    skeleton, matrices, about = _parts(stored)
    with naming(Path("the model") if isinstance(model, CompressedModel) else Path(model)):
        if wanted is not None:
            real = np.float64 if options.double else np.float32
            skeleton, matrices = split_with_derivatives(
                skeleton, matrices, wanted.names, wanted.letters, real
            )
        files = to_c(skeleton, matrices, options, stem, about)
        texts = {path: files.source, header: files.header}
        if test:
            forms = {name: matrix.form_in_c for name, matrix in matrices.items()}
            runnable = assemble(skeleton, matrices, forms)
            texts |= {program: reference_program(runnable, options, stem, files.identity)}
            texts |= {rules: makefile(stem)}
    write_together({path: text.encode("ascii") for path, text in texts.items()}, force=force)
    return files


def write_onnx(
    model: CompressedModel | Path | str, out: Path, *, force: bool, **options: Any
) -> Exported:
    """:func:`export`, as a format."""
    nodes = len(export(model, out, force=force, **options).graph.node)
    size = out.stat().st_size
    return Exported(f"{out}: {nodes} nodes, {size} bytes", {"nodes": nodes, "bytes": size})


def write_c(
    model: CompressedModel | Path | str,
    out: Path,
    *,
    force: bool,
    on_progress: Progress,
    **options: Any,
) -> Exported:
    """:func:`export_c`, as a format."""
    files = export_c(model, out, force=force, **options)
    keys = ("parameters", "flash_bytes", "stack_bytes", "batch_stack_bytes", "jacobian_stack_bytes")
    document = {key: getattr(files, key) for key in keys if getattr(files, key) is not None}
    slopes = files.jacobian_stack_bytes
    return Exported(
        f"{out}, {out.with_suffix('.h')}: {files.parameters} parameters, "
        f"{files.flash_bytes} bytes of constants; stack {files.stack_bytes} bytes a row, "
        f"{files.batch_stack_bytes} for a batch"
        + ("" if slopes is None else f", {slopes} for a Jacobian"),
        document,
    )


@dataclass(frozen=True)
class _Outputs:
    """What a user wants as outputs, and the letters of the input columns; "" for the graph's own names."""

    names: list[str]
    letters: str

    @classmethod
    def read(
        cls, outputs: str | None, inputs: str | None, model: CompressedModel | StoredModel
    ) -> _Outputs | None:
        """From lists with commas; letters are by default those of the problem that the model says it solves.

        Raises InputError for inputs without outputs.
        """
        if outputs is None:
            if inputs is not None:
                raise InputError("inputs: name the columns of derivatives; give --outputs, too")
            return None
        names = [each.strip() for each in outputs.split(",")]
        if inputs is None:
            problem = model.plan.problem if isinstance(model, CompressedModel) else model.problem
            return cls(names, GALLERY[problem].inputs if problem in GALLERY else "")
        letters = [each.strip() for each in inputs.split(",")]
        if any(len(letter) != 1 for letter in letters):
            raise InputError(
                f"inputs: {quoted(inputs)} is no list of letters; write for example x,t"
            )
        return cls(names, "".join(letters))


def _with_outputs(
    file: StoredModel, wanted: _Outputs, out: Path, asked: Mapping[str, object], *, force: bool
) -> ModelProto:
    """An ``.onnx`` with these outputs, as ``.onnx``: its nodes are not chosen anew."""
    for option, value in asked.items():
        if value is not None:
            raise InputError(
                f"{option}: {file.path} is ONNX already, whose nodes stay; leave it out"
            )
    with naming(file.path):
        model = with_derivatives(file.onnx, wanted.names, wanted.letters)
    write_model(model, out, force=force)
    return model


def _parts(
    model: CompressedModel | StoredModel,
) -> tuple[ModelProto, Mapping[str, Matrix], list[str]]:
    """The skeleton, the matrices, and what the header says of their origin."""
    if isinstance(model, StoredModel):
        if model.kind != "compressed":
            with naming(model.path):
                parts = split_if_any(model.onnx)
            about = [model.path.name, model.onnx.doc_string[:WIDEST_ABOUT]]
            return parts.skeleton, parts.matrices, about
        model = model.compressed
    plan = model.plan
    made = (
        f"compressed for {plan.device}, by its plan with a relative L2 error of {plan.relative_error:.2e} "
        f"against {plan.against}, tolerance {plan.tolerance:g}"
    )
    dense = model.skeleton.doc_string[:WIDEST_ABOUT]
    return model.skeleton, model.matrices, [plan.source, dense, made]
