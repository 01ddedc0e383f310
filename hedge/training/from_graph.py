"""The network that a model file of a known problem holds, to be differentiated or trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from hedge.errors import ModelError
from hedge.graph import SplitModel, input_names, tanh_chain, trace
from hedge.problems import Problem
from hedge.training.network import Network
from hedge.training.points import network_inputs, solution_at

# A model's float32 weights agree with its float64 network to about 1e-6; a wrong problem is far off.
AGREEMENT = 1e-4


def network_in(
    parts: SplitModel, problem: Problem, points: NDArray[np.float64]
) -> tuple[Network, Problem]:
    """The tanh network of a model that solves ``problem``, and the problem with its inputs as they are.

    Where the layers read the model's inputs themselves, their scaling is part of the first layer.
    ``points`` (n, d) are those at which model and problem are compared.

    Raises ModelError if the model is no chain of tanh layers, or its output has another form.
    """
    layers, d = tanh_chain(parts, problem.outputs), problem.domain.dimension
    network = Network(
        tuple(torch.from_numpy(layer.weight.copy()) for layer in layers),
        tuple(torch.from_numpy(layer.bias.copy()) for layer in layers),
    )
    as_given = problem
    if layers[0].source in input_names(parts.skeleton):
        as_given = replace(problem, features=lambda columns, math: list(columns), networks=())
    x = torch.from_numpy(points)
    reads = layers[0].weight.shape[1]
    if points.shape[1:] != (d,) or reads != network_inputs(as_given, x[:1]).shape[1]:
        raise ModelError(
            f"has {reads} input(s) to its first layer, which is none of a network for {problem.name}, so "
            "its residual can't be differentiated"
        )
    given = trace(parts, points).output
    formed = solution_at(as_given, network, x).numpy()
    if given.shape != formed.shape or _are_apart(formed, given):
        raise ModelError(
            f"its output is not offset + distance · N as {problem.name} defines them, so its residual "
            "can't be differentiated"
        )
    return network, as_given


def _are_apart(formed: NDArray[np.float64], given: NDArray[np.float64]) -> bool:
    """Whether any column (n,) of one is not that of the other."""
    apart = np.linalg.norm(formed - given, axis=0)
    return bool((apart > AGREEMENT * np.linalg.norm(given, axis=0)).any())
