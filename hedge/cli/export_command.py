"""``hedge export``: a compressed model as ONNX or as C99."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hedge.cli.options import Force, Json


def export(
    model: Annotated[Path, typer.Argument(help="A .hedge.safetensors file; for C any .onnx, too.")],
    out: Annotated[Path, typer.Option(help="The .onnx or .c file to write.")],
    format: Annotated[
        Literal["onnx", "c"], typer.Option(help="ONNX of standard ops, or C99 with its header.")
    ] = "onnx",
    opset: Annotated[
        int | None, typer.Option(help="ONNX: version of the ops, 17 to 21; else the dense model's.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="ONNX: choose the nodes for this device; else as compressed for."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="ONNX: choose the nodes for so many rows; else as compressed for."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="C: what its functions begin with; else the file's name.")
    ] = None,
    precision: Annotated[
        Literal["float", "double"] | None, typer.Option(help="C: what it computes in.")
    ] = None,
    fast_tanh: Annotated[
        bool, typer.Option("--fast-tanh", help="C: a rational function within 5e-7 of tanh.")
    ] = False,
    flash: Annotated[
        int | None, typer.Option(help="C: refuse a model whose constants take more bytes.")
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="C: add a test program and a makefile.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a compressed model as an .onnx of standard ops, or as C99 for microcontrollers."""
    from hedge.errors import InputError

    if format == "onnx":
        of_c = {
            "name": name, "precision": precision, "fast-tanh": fast_tanh, "flash": flash,
            "test": test,
        }  # fmt: skip
        for option, value in of_c.items():
            if value is not None and value is not False:
                raise InputError(f"{option}: is for C; add --format c")
        _export_onnx(model, out, opset, device, batch, force=force, json=json)
        return
    for option, given in {"opset": opset, "device": device, "batch": batch}.items():
        if given is not None:
            raise InputError(f"{option}: is for ONNX; leave it out, or leave out --format c")
    from hedge import api
    from hedge.cli.console import print_json, say

    files = api.export_c(
        model, out, name=name, precision=precision or "float", fast_tanh=fast_tanh, flash=flash,
        test=test, force=force,
    )  # fmt: skip
    if json:
        print_json(
            {
                "out": str(out),
                "parameters": files.parameters,
                "flash_bytes": files.flash_bytes,
                "stack_bytes": files.stack_bytes,
                "batch_stack_bytes": files.batch_stack_bytes,
            }
        )
    else:
        say(
            f"{out}, {out.with_suffix('.h')}: {files.parameters} parameters, "
            f"{files.flash_bytes} bytes of constants; stack {files.stack_bytes} bytes a row, "
            f"{files.batch_stack_bytes} for a batch",
        )


def _export_onnx(
    model: Path,
    out: Path,
    opset: int | None,
    device: str | None,
    batch: int | None,
    *,
    force: bool,
    json: bool,
) -> None:
    from hedge import api
    from hedge.cli.console import print_json, progress, say

    with progress() as on_progress:
        exported = api.export(
            model,
            out,
            opset=opset,
            device=device,
            batch=batch,
            force=force,
            on_progress=on_progress,
        )
    nodes = len(exported.graph.node)
    if json:
        print_json({"out": str(out), "nodes": nodes, "bytes": out.stat().st_size})
    else:
        say(f"{out}: {nodes} nodes, {out.stat().st_size} bytes")
