"""``hedge export``: a model as ONNX, as C, and as what is made of C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hedge.cli.options import IN_FILE, Force, Json, file_argument, file_option
from hedge.formats import FORMATS, export_as, format_of

SUFFIXES = [one.suffixes[0] for one in FORMATS.values() if one.suffixes]


def _format(name: str | None) -> str | None:
    if name is not None and name not in FORMATS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, FORMATS))}.")
    return name


# The parts of the help: a title, and an option that all formats have of which it is.
GIVES = ("What it gives, of which columns", "outputs")
IN_C = ("C, and what is made of it", "name")
OBJECT = ("What is compiled", "compiler")
IN_ONNX = ("Nodes", "opset")


def _option(name: str, part: tuple[str, str], help: str, *words: str) -> Any:
    """The option of that name, whose help says for which formats it is if not for all of its part."""
    title, common = part
    having, of_part = _having(name), _having(common)
    of = "" if having == of_part else f" For {having}."
    return typer.Option(*words, help=f"{help}{of}", rich_help_panel=f"{title} ({of_part})")


def _having(option: str) -> str:
    """The formats that have it."""
    return ", ".join(name for name, one in FORMATS.items() if option in one.options)


def examples() -> str:
    """A command line for each format, as the help has them."""
    return "\n".join(f"[bold]Example:[/bold] {one.example}" for one in FORMATS.values())


def export(
    model: Annotated[
        Path,
        file_argument(
            help="A .hedge.safetensors file, or any .onnx; of that ONNX with --outputs, --units or the like."
        ),
    ],
    out: Annotated[Path, file_option(help="The file to write; of other formats the folder.")],
    format: Annotated[
        str | None,
        typer.Option(
            metavar="<format>",
            callback=_format,
            help="; ".join(f"{name}: {one.what}" for name, one in FORMATS.items())
            + f". Else as --out ends ({', '.join(SUFFIXES)}).",
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        _option(
            "outputs",
            GIVES,
            "u and derivatives in place of the model's own, as in u,u_x,u_xx,u_xt.",
        ),
    ] = None,
    problem: Annotated[
        str | None,
        _option("problem", GIVES, f"What it solves, if the file does not say it. {IN_FILE}"),
    ] = None,
    inputs: Annotated[
        str | None,
        _option(
            "inputs",
            GIVES,
            "Names of the input columns, as in x,t, letters for derivatives; else the problem's.",
        ),
    ] = None,
    domain: Annotated[
        str | None,
        _option(
            "domain",
            GIVES,
            'Where it may be used, "-1:1,0:1"; else where errors were measured, or the problem\'s.',
        ),
    ] = None,
    units: Annotated[
        str | None,
        _option("units", GIVES, "Units of columns by name, SI or others, as in x=m,t=s,u=m/s."),
    ] = None,
    guard: Annotated[
        bool,
        _option("guard", GIVES, "All results of a row outside the domain are NaN.", "--guard"),
    ] = False,
    name: Annotated[
        str | None,
        _option("name", IN_C, "What its functions begin with; else the name of --out."),
    ] = None,
    precision: Annotated[
        Literal["float", "double"] | None,
        _option("precision", IN_C, "What it computes in; else float."),
    ] = None,
    fast_tanh: Annotated[
        bool | None,
        _option(
            "fast_tanh",
            IN_C,
            "tanh in vectors, as exact as runtimes have it, or libm's; else in vectors.",
        ),
    ] = None,
    flash: Annotated[
        int | None,
        _option(
            "flash",
            IN_C,
            "Refuse a model whose constants take more bytes; else as compressed for.",
        ),
    ] = None,
    ram: Annotated[
        int | None,
        _option(
            "ram",
            IN_C,
            "Keep to so many bytes of RAM a call, or refuse the model; else as compressed for.",
            "--ram",
            "--stack",
        ),
    ] = None,
    jacobian: Annotated[
        bool,
        _option("jacobian", IN_C, "Add a function for all first derivatives.", "--jacobian"),
    ] = False,
    test: Annotated[
        bool, _option("test", IN_C, "Add a test program and a makefile.", "--test")
    ] = False,
    compiler: Annotated[
        str | None, _option("compiler", OBJECT, "The C compiler; else $CC or cc.")
    ] = None,
    flags: Annotated[
        str | None,
        _option(
            "flags",
            OBJECT,
            'Its flags; else "-std=c99 -O3 -march=native", of an FMU "-std=c99 -O2".',
        ),
    ] = None,
    fmi: Annotated[
        Literal["2.0", "3.0"] | None, _option("fmi", OBJECT, "The version of FMI; else 2.0.")
    ] = None,
    opset: Annotated[
        int | None,
        _option("opset", IN_ONNX, "Version of the ops, 17 to 21; else the lowest they allow."),
    ] = None,
    device: Annotated[
        str | None,
        _option("device", IN_ONNX, "Choose the nodes for this device; else as compressed for."),
    ] = None,
    batch: Annotated[
        int | None,
        _option("batch", IN_ONNX, "Choose the nodes for so many rows; else as compressed for."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a model for where it runs: ONNX, C, a Python library, FMU, CasADi or Arduino.

    All formats carry errors, domain and units of the network.
    """
    from hedge.cli.console import print_json, progress, say

    asked = {
        "opset": opset, "device": device, "batch": batch, "name": name, "precision": precision,
        "fast_tanh": fast_tanh, "flash": flash, "ram": ram, "test": test or None,
        "jacobian": jacobian or None,
        "problem": problem, "outputs": outputs, "inputs": inputs, "domain": domain, "units": units,
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
