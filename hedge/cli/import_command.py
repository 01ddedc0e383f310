"""``hedge import``: weights of other tools as a dense .onnx."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Annotated

import typer

from hedge.cli.options import Force, Json, OnnxOut


def import_file(
    model: Annotated[
        Path, typer.Argument(help="A checkpoint of DeepXDE or PINA, or any .pt or .safetensors.")
    ],
    out: OnnxOut,
    activation: Annotated[
        str, typer.Option(help="Between the layers: tanh, sin, silu, gelu, relu, sigmoid, …")
    ] = "tanh",
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the dense layers of a torch state dict as an .onnx for compress (needs torch).

    The file says nothing of activations, transforms of inputs or outputs, and skip connections; to
    import these, give the module itself to hedge.import_model in Python.
    """
    from hedge import api
    from hedge.cli.console import print_json, say

    imported = api.import_model(model, out, activation=activation, force=force)
    sizes = {tensor.name: list(tensor.dims) for tensor in imported.graph.initializer}
    layers = [node for node in imported.graph.node if node.op_type == "Gemm"]
    widths = [sizes[layers[0].input[1]][1], *(sizes[layer.input[1]][0] for layer in layers)]
    parameters = sum(prod(sizes[name]) for layer in layers for name in layer.input[1:])
    if json:
        document = {
            "out": str(out),
            "widths": widths,
            "activation": activation,
            "parameters": parameters,
            "bytes": out.stat().st_size,
        }
        print_json(document)
    else:
        chain = " - ".join(map(str, widths))
        say(
            f"{out}: {chain}, {activation} between them (not in the file: check that it is yours), "
            f"{parameters} parameters",
        )
