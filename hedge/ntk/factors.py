"""Layer factors of the tangent kernel: of outputs for any ``.onnx``, of residuals for tanh networks.

Parameters are the weights and biases of *dense* layers. Factors in a row (two Gemm, as compression
makes them) count as the one matrix they are, so that kernels before and after compression are those
of the same parameters at different values (paper, Theorem 4), and their difference goes to zero with
‖W − H‖.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.graph import input_dimension, linear_layers, site_gradients, split, trace
from hedge.ntk.kernel import LayerFactors, TangentKernel, checked
from hedge.problems import Problem


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

        from hedge.training.from_graph import network_in
        from hedge.training.loss import linearise
        from hedge.training.points import place
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            "residual kernel: torch is not installed; run pip install 'hedge-pinn[train]', or ask "
            "for the kernel of the outputs"
        ) from error
    network, as_given = network_in(split(model), problem, points)
    lin = linearise(problem, network, place(as_given, torch.from_numpy(points)))
    factors = tuple(
        LayerFactors(a.permute(1, 2, 0).numpy(), g.permute(1, 2, 0).numpy())
        for a, g in zip(lin.inputs, lin.gradients, strict=True)
    )
    return checked(TangentKernel(points, factors))
