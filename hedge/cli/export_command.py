"""``hedge export``: a compressed model as ONNX or as C99."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hedge.cli.options import Force, Json, file_argument, file_option
from hedge.formats import FORMATS, export_as, format_of


def _format(name: str | None) -> str | None:
    if name is not None and name not in FORMATS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, FORMATS))}.")
    return name


def export(
    model: Annotated[
        Path,
        file_argument(help="A .hedge.safetensors file; for C or with --outputs any .onnx, too."),
    ],
    out: Annotated[Path, file_option(help="The .onnx or .c file to write, or the folder.")],
    format: Annotated[
        str | None,
        typer.Option(
            metavar=f"[{'|'.join(FORMATS)}]",
            callback=_format,
            help=f"{', or '.join(one.what for one in FORMATS.values())}; else as --out ends.",
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(help="ONNX: version of the ops, 17 to 21; else the lowest they allow."),
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
        bool | None,
        typer.Option(help="C: tanh in vectors, as exact as runtimes have it; else so, too."),
    ] = None,
    flash: Annotated[
        int | None,
        typer.Option(
            help="C: refuse a model whose constants take more bytes; else as compressed for."
        ),
    ] = None,
    ram: Annotated[
        int | None,
        typer.Option(
            "--ram",
            "--stack",
            help="C: keep to so many bytes of RAM a call, or refuse the model; else as compressed for.",
        ),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="C: add a test program and a makefile.")
    ] = False,
    jacobian: Annotated[
        bool, typer.Option("--jacobian", help="C: add a function for all first derivatives.")
    ] = False,
    outputs: Annotated[
        str | None,
        typer.Option(help="In place of the model's own: u and derivatives, as in u,u_x,u_xx,u_xt."),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            help="Names of the input columns, as in x,t, letters for derivatives; else the problem's."
        ),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(
            help='Where it may be used, "-1:1,0:1"; else where errors were measured, or the problem\'s.'
        ),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(help="Units of columns by name, SI or others, as in x=m,t=s,u=m/s."),
    ] = None,
    guard: Annotated[
        bool, typer.Option("--guard", help="All results of a row outside the domain are NaN.")
    ] = False,
    fmi: Annotated[
        Literal["2.0", "3.0"] | None, typer.Option(help="FMU: the version of FMI; else 2.0.")
    ] = None,
    compiler: Annotated[
        str | None, typer.Option(help="Library, FMU: the C compiler; else $CC or cc.")
    ] = None,
    flags: Annotated[
        str | None,
        typer.Option(
            help='Library, FMU: its flags; else "-std=c99 -O3 -march=native", of an FMU "-std=c99 -O2".'
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a compressed model as an .onnx of standard ops, or as C99 for microcontrollers.

    C with a test program: hedge export burgers.hedge.safetensors --out burgers.c --test

    For simulators, an FMU: hedge export M.onnx --out M.fmu --units x=m,t=s,u=K --guard

    With derivatives as outputs, of any .onnx, too: hedge export M.onnx --outputs u,u_x,u_t,u_xx --out D.onnx
    """
    from hedge.cli.console import print_json, progress, say

    asked = {
        "opset": opset, "device": device, "batch": batch, "name": name, "precision": precision,
        "fast_tanh": fast_tanh, "flash": flash, "ram": ram, "test": test or None,
        "jacobian": jacobian or None,
        "outputs": outputs, "inputs": inputs, "domain": domain, "units": units,
        "guard": guard or None, "fmi": fmi, "compiler": compiler, "flags": flags,
    }  # fmt: skip
    given = {option: value for option, value in asked.items() if value is not None}
    with progress() as on_progress:
        exported = export_as(
            format or format_of(out) or "onnx",
            model,
            out,
            force=force,
            on_progress=on_progress,
            options=given,
        )
    if json:
        print_json({"out": str(out), **exported.document})
    else:
        say(exported.told)
