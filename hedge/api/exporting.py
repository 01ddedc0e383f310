"""Exporting: ONNX of standard ops, or C99."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from onnx import ModelProto, helper

from hedge.api.c_network import CChoices, c_network, figures
from hedge.api.columns import Columns, Described, check_unguarded, described
from hedge.api.inputs import check_not_read, chosen_device, warn_if_unstable
from hedge.api.training import write_model
from hedge.benching.protocol import check_batches
from hedge.compression import CompressedModel
from hedge.devices import Device
from hedge.errors import InputError, naming
from hedge.exporting import (
    DATASHEET_KEY,
    CFiles,
    CNetwork,
    StoredModel,
    check_path,
    makefile,
    open_model,
    reference_program,
    to_onnx,
)
from hedge.files import check_writable, write_together
from hedge.formats import Exported
from hedge.graph import as_grid, check_read, guarded, metadata, reads_of, with_derivatives
from hedge.problems import Problem
from hedge.progress import Progress, silent


def export(
    compressed: CompressedModel | Path | str,
    out: Path | str,
    *,
    opset: int | None = None,
    device: Device | str | None = None,
    batch: int | None = None,
    problem: Problem | str | None = None,
    outputs: str | None = None,
    inputs: str | None = None,
    domain: str | None = None,
    units: str | None = None,
    guard: bool = False,
    force: bool = False,
    on_progress: Progress = silent,
) -> ModelProto:
    """Write a compressed model, or the file of one, as an ``.onnx`` of standard ops.

    Each site becomes what is predicted to be fastest on ``device`` for ``batch`` rows, by default those
    that the model was compressed for. ``opset`` is the version of the ops, 17 to 21; None is the lowest
    that its ops allow.

    ``outputs`` take the place of the model's own: ``"u,u_x,u_xx"`` are u and derivatives of it. Their letters
    are those of the input columns, ``inputs`` (``"x,t"``), by default of the problem that the file says it
    solves, or of ``problem``, which may be your own.

    With these, ``problem``, ``inputs``, ``domain``, ``units`` or ``guard`` any ``.onnx`` can be given, too.

    With ``guard`` all outputs of a row outside the domain are NaN.

    The file carries a datasheet (``hedge.datasheet`` of its metadata, JSON): columns by name, their
    ``units`` if given (``"x=m,t=s"``), ``domain`` (``"-1:1,0:1"``, by default that on which errors were
    measured, or of the problem), errors, and what a certificate beside the model proves.

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
    columns = Columns(outputs, inputs, domain, units, problem)
    is_changed = columns != Columns() or guard
    if isinstance(stored, StoredModel) and stored.kind != "compressed" and is_changed:
        asked = {"opset": opset, "device": device, "batch": batch}
        return _with_outputs(stored, columns, Path(out), asked, guard=guard, force=force)
    small = stored if isinstance(stored, CompressedModel) else stored.compressed
    if chosen is None and small.plan.device_profile is not None:
        warn_if_unstable(small.plan.device_profile)
    model = to_onnx(small, opset, device=chosen, batch=batch)
    with naming(Path(small.plan.source)):
        source = small.plan if isinstance(stored, CompressedModel) else stored
        found = described(columns, model, source)
        model = _described(model, found, guard=guard)
        check_read(model, reads_of(chosen or small.plan.device_profile))
        model = as_grid(model)
    write_model(model, Path(out), force=force)
    return model


def export_c(
    model: CompressedModel | Path | str,
    out: Path | str,
    *,
    test: bool = False,
    jacobian: bool = False,
    force: bool = False,
    **choices: Unpack[CChoices],
) -> CFiles:
    """Write a compressed model, the file of one, or any ``.onnx``, as C99: ``out`` and its ``.h``.

    ``test`` adds a program with reference values and a makefile, ``NAME_test.c`` and ``NAME.mk``.
    ``jacobian`` adds ``NAME_jacobian(x, u, J)``, which computes a row and all first derivatives of what it
    gives, ``outputs`` included.
    Of ``choices``, which all formats of C share,

    - ``name`` begins the names of its functions; by default it is that of the file;
    - ``precision`` is "float" or "double"; ``fast_tanh`` takes for tanh a function that compilers turn into
      vectors, as exact as onnxruntime's, in double as libm's; None does, too;
    - ``flash`` is how many bytes its constants may take, ``ram`` how many one call may take, all of it stack:
      a batch then goes row by row where a tile of 16 takes more. Of a compressed model they are by default
      what ``compress`` was given, else what the profile has that it was compressed for, if that runs C;
    - ``problem``, ``outputs`` and ``inputs``, ``domain`` and ``units`` are those of :func:`export`;
    - with ``guard`` all results outside the domain are NaN, and ``NAME_inside(x)`` says where that is.

    Raises InputError for outputs that there are not, a name that is no C identifier, and a guard without a
    domain; RoomError for more flash or RAM; ModelError for what C can't do; OutputError if one of the files
    can't be written. Then none is.
    """
    path = Path(out)
    check_path(path)
    header, program, rules = (path.with_name(path.stem + end) for end in (".h", "_test.c", ".mk"))
    targets = [path, header, *([program, rules] if test else [])]
    for target in targets:
        check_writable(target, force=force)
        if not isinstance(model, CompressedModel):
            check_not_read(target, [Path(model)])
    network = c_network(model, path.stem, jacobian=jacobian, **choices)
    texts = {path.with_name(name): text for name, text in network.texts.items()}
    if test:
        with naming(Path("the model") if isinstance(model, CompressedModel) else Path(model)):
            texts |= {program: _reference(network), rules: makefile(path.stem)}
    write_together({path: text.encode("ascii") for path, text in texts.items()}, force=force)
    return network.files


def write_onnx(
    model: CompressedModel | Path | str, out: Path, *, force: bool, **options: Any
) -> Exported:
    """:func:`export`, as a format."""
    nodes = len(export(model, out, force=force, **options).graph.node)
    size = out.stat().st_size
    return Exported(f"{out}: ONNX of {nodes} nodes, {size} bytes", {"nodes": nodes, "bytes": size})


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
    slopes = files.jacobian_stack_bytes
    return Exported(
        f"{out}, {out.with_suffix('.h')}: {files.parameters} parameters, "
        f"{files.flash_bytes} bytes of constants; stack {files.stack_bytes} bytes a row, "
        f"{files.batch_stack_bytes} for a batch"
        + ("" if slopes is None else f", {slopes} for a Jacobian"),
        figures(files),
    )


def _reference(network: CNetwork) -> str:
    return reference_program(network.model, network.options, network.stem, network.files.identity)


def _described(model: ModelProto, found: Described, *, guard: bool) -> ModelProto:
    """The graph with the outputs that are wanted, guarded or not, and its datasheet."""
    sheet = found.sheet
    if found.wanted:
        if any(each.columns for each in found.wanted):
            check_unguarded(found)
        model = with_derivatives(model, found.outputs, found.letters)
    if guard:
        box = sheet.domain_to_guard()
        model, sheet = guarded(model, box.lower, box.upper), replace(sheet, guarded=True)
    properties = metadata(model) | {DATASHEET_KEY: sheet.as_json()}
    helper.set_model_props(model, dict(sorted(properties.items())))
    return model


def _with_outputs(
    file: StoredModel,
    columns: Columns,
    out: Path,
    asked: Mapping[str, object],
    *,
    guard: bool,
    force: bool,
) -> ModelProto:
    """An ``.onnx`` with these outputs, as ``.onnx``: its nodes are not chosen anew."""
    for option, value in asked.items():
        if value is not None:
            raise InputError(
                f"{option}: {file.path} is ONNX already, whose nodes stay; leave it out"
            )
    with naming(file.path):
        model = as_grid(_described(file.onnx, described(columns, file.onnx, file), guard=guard))
    write_model(model, out, force=force)
    return model
