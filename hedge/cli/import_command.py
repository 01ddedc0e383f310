"""``hedge import``: a state dict of torch as a dense .onnx."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Annotated

import typer

from hedge.cli.options import Force, Json, OnnxOut, file_argument, file_option


def import_file(
    model: Annotated[
        Path,
        file_argument(
            help="A checkpoint of DeepXDE or PINA, a .mdlus of PhysicsNeMo, or any .pt or .safetensors."
        ),
    ],
    out: OnnxOut,
    activation: Annotated[
        str | None,
        typer.Option(
            help="Between the layers: tanh (if not given), sin, silu, gelu, relu, sigmoid, …"
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Where in a training's state the weights stand: model, …")
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            help="What the keys of one network among several begin with: u., … ('': all are one)."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A key that the function does not use; may be repeated."),
    ] = None,
    check: Annotated[
        tuple[Path, Path] | None,
        file_option(
            metavar="INPUTS OUTPUTS",
            help="Inputs (n, d) and your network's outputs (n, m) there, .npy, to compare with.",
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the dense layers of a torch state dict as an .onnx for compress (needs torch).

    The file, unless it is a .mdlus, says nothing of activations, scaling, transforms of inputs or
    outputs, and skip connections: see by --check whether the result is yours, or give the module
    itself to hedge.import_model in Python.

    Example: hedge import net.pt --activation silu --check x.npy u.npy --out net.onnx
    """
    from hedge import api
    from hedge.cli.console import print_json, say

    imported = api.import_model(
        model,
        out,
        activation=activation,
        key=key,
        prefix=prefix,
        ignore=ignore or (),
        check=check,
        force=force,
    )
    sizes = {tensor.name: list(tensor.dims) for tensor in imported.graph.initializer}
    layers = [node for node in imported.graph.node if node.op_type == "Gemm"]
    layers = [
        layer for layer in layers if layer.input[1] in sizes
    ]  # the others are products of nets
    nets: list[list[int]] = []
    inputs = {value.name for value in imported.graph.input}
    for layer in layers:
        outputs, width = sizes[layer.input[1]]
        if layer.input[0] in inputs:
            nets.append([width])
        nets[-1].append(outputs)
    is_told = model.suffix == ".mdlus"  # by the file itself
    between = "its own activations" if is_told else activation or "tanh"
    parameters = sum(prod(sizes[name]) for layer in layers for name in layer.input[1:])
    if json:
        document = {
            "out": str(out),
            "widths": nets[0] if len(nets) == 1 else nets,
            "activation": None if is_told else between,
            "parameters": parameters,
            "bytes": out.stat().st_size,
            "checked": check is not None,
        }
        print_json(document)
    else:
        chain = ", ".join(" - ".join(map(str, widths)) for widths in nets)
        say(f"{out}: {chain}, {between} between the layers, {parameters} parameters")
        say(
            f"its outputs are those of {check[1].name}"
            if check
            else "not in the file, and so not in the model: scaling and transforms outside of the module"
            if is_told
            else "not in the file, and so not in the model: another activation, one behind the last layer, "
            "scaling, transforms of inputs or outputs; see if it is yours: --check inputs.npy outputs.npy"
        )
