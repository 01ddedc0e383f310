"""Layer factors of the tangent kernel: of outputs for any ``.onnx``, of residuals for tanh networks.

Parameters are the weights and biases of *dense* layers. Factors in a row (two Gemm, as compression
makes them) count as the one matrix they are, so that kernels before and after compression are those
of the same parameters at different values (paper, Theorem 4), and their difference goes to zero with
‖W − H‖.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.errors import InputError, ModelError
from hedge.graph import SplitModel, input_dimension, site_gradients, split, trace
from hedge.ntk.kernel import LayerFactors, TangentKernel, checked
from hedge.problems import Problem

Array = NDArray[np.float64]

# A model's float32 weights agree with its float64 network to about 1e-6; a wrong problem is far off.
TAIL_AGREEMENT = 1e-4


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer: tensors it reads and writes, W (n_out, n_in), b (n_out,)."""

    source: str
    target: str
    weight: Array
    bias: Array
    last_site: str


def linear_layers(parts: SplitModel) -> tuple[Layer, ...]:
    """The sites of a model, those that follow each other with nothing between taken together."""
    readers = Counter(name for node in parts.skeleton.graph.node for name in node.input)
    layers: list[Layer] = []
    for site in parts.sites:
        weight, bias = site.matrix.dense(), site.matrix.bias
        previous = layers[-1] if layers else None
        if previous and previous.target == site.input and readers[site.input] == 1:
            layers[-1] = Layer(
                previous.source, site.output, weight @ previous.weight,
                weight @ previous.bias + bias, site.name,
            )  # fmt: skip
        else:
            layers.append(Layer(site.input, site.output, weight, bias, site.name))
    return tuple(layers)


def output_kernel(model: ModelProto, points: Array) -> TangentKernel:
    """Θ of the outputs of a model at ``points`` (n, d); with m outputs, all points output by output.

    Needs no torch. Raises ModelError for graphs that can't be differentiated, InputError if points
    and model disagree.
    """
    parts = split(model)
    if points.ndim != 2 or points.shape[1] != input_dimension(model):
        raise InputError(f"points: have shape {points.shape}; give (n, {input_dimension(model)})")
    run = trace(parts, points)
    outputs = run.output.reshape(len(points), -1)
    gradients = []
    for j in range(outputs.shape[1]):
        seed = np.zeros_like(outputs)
        seed[:, j] = 1.0
        gradients.append(site_gradients(run, seed.reshape(run.output.shape)))
    copies = len(gradients)
    factors = tuple(
        LayerFactors(
            np.tile(_rows(run.values[layer.source]), (copies, 1))[None],
            np.concatenate([_rows(g[layer.last_site]) for g in gradients])[None],
        )
        for layer in linear_layers(parts)
    )
    return checked(TangentKernel(np.tile(points, (copies, 1)), factors))


def _rows(values: Array) -> Array:
    return values.reshape(len(values), -1)


def residual_kernel(model: ModelProto, problem: Problem, points: Array) -> TangentKernel:
    """Θ of the residuals of ``problem`` at ``points`` (n, d), for a chain of tanh layers; needs torch.

    Raises ModelError if the model is not such a chain or its output not of the problem's form,
    InputError if torch is not installed.
    """
    try:
        import torch

        from hedge.training.loss import linearise
        from hedge.training.network import Network
        from hedge.training.points import place, solution_at
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            "residual kernel: torch is not installed; run pip install 'hedge-pinn[train]', or ask "
            "for the kernel of the outputs"
        ) from error
    parts = split(model)
    layers = _tanh_chain(parts)
    d = problem.domain.dimension
    if layers[0].weight.shape[1] != d or points.ndim != 2 or points.shape[1] != d:
        raise ModelError(
            f"has {layers[0].weight.shape[1]} input(s), but {problem.name} has {d}; give its problem"
        )
    network = Network(
        tuple(torch.from_numpy(layer.weight.copy()) for layer in layers),
        tuple(torch.from_numpy(layer.bias.copy()) for layer in layers),
    )
    # The scaling of the inputs is part of the model's first layer.
    unscaled = replace(problem, features=lambda columns, math: list(columns))
    x = torch.from_numpy(points)
    formed = solution_at(unscaled, network, x)
    given = _rows(trace(parts, points).output)[:, 0]
    if np.linalg.norm(formed.numpy() - given) > TAIL_AGREEMENT * np.linalg.norm(given):
        raise ModelError(
            f"its output is not offset + distance · N as {problem.name} defines them, so the residual "
            "can't be differentiated; ask for the kernel of the outputs"
        )
    lin = linearise(problem, network, place(unscaled, x))
    factors = tuple(
        LayerFactors(a.permute(1, 2, 0).numpy(), g.permute(1, 2, 0).numpy())
        for a, g in zip(lin.inputs, lin.gradients, strict=True)
    )
    return checked(TangentKernel(points, factors))


def _tanh_chain(parts: SplitModel) -> tuple[Layer, ...]:
    layers = linear_layers(parts)
    graph = parts.skeleton.graph
    tanh = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Tanh"}
    chained = layers[0].source == graph.input[0].name and all(
        tanh.get(layer.source) == before.target for before, layer in pairwise(layers)
    )
    if not chained or len(layers[-1].weight) != 1:
        raise ModelError(
            "is not a plain chain of tanh layers with one output; its residuals can't be "
            "differentiated, ask for the kernel of the outputs"
        )
    return layers
