"""Going on: from the checkpoint of a run, or from the model that a finished one left."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from onnx import ModelProto

from hedge.errors import InputError, ModelError, quoted
from hedge.files import require_file
from hedge.graph import (
    as_found,
    check_fields,
    has_doubles,
    in_single_again,
    load_model,
    metadata,
    split,
)
from hedge.names import checkpoint_of
from hedge.problems import Problem
from hedge.training.checkpoint import as_saved, load_checkpoint, saved_widths
from hedge.training.constants import parameters_for
from hedge.training.from_graph import network_in
from hedge.training.network import Group, Network, parameters_of, with_parameters
from hedge.training.points import groups_of
from hedge.training.run import TrainingRun
from hedge.training.trainer import State, continued_state

# Model and problem are compared at so many points.
AGREEMENT_POINTS = 512


def resumed(
    run: TrainingRun, out: Path, width: int | None, depth: int | None
) -> tuple[TrainingRun, State]:
    """The run that goes on from the checkpoint beside ``out`` or, if there is none, from the model in it.

    Its widths are those found; ``width`` and ``depth``, where given, must be the same. So are precision and
    windows, if none are given; a model has one. Raises InputError if they are not or there is neither file,
    ModelError for a checkpoint that is damaged or of another run, and a model that is no chain of tanh layers
    for the run's problem.
    """
    checkpoint = checkpoint_of(out)
    if os.path.lexists(checkpoint):
        run = as_saved(checkpoint, run)
        run = _of_widths(run, saved_widths(checkpoint), checkpoint, width, depth)
        return run, load_checkpoint(checkpoint, run)
    if not os.path.lexists(out):
        raise InputError(
            f"{checkpoint}: there is no checkpoint to resume, and no model {out}; leave out --resume"
        )
    require_file(out)
    if run.windows not in (None, 1):
        raise InputError(
            f"windows: {out} has no checkpoint, and a finished model is trained on as one network; leave out "
            "--windows, or --resume"
        )
    run = replace(run, windows=1)
    model = load_model(out, exact=True)
    if run.precision is None and has_doubles(model):
        run = replace(run, precision="float64")
    network = _network_of(out, model, run.problem)
    run = _of_widths(run, network.widths, out, width, depth)
    return run, continued_state(run, network)


def _of_widths(
    run: TrainingRun, widths: tuple[int, ...], path: Path, width: int | None, depth: int | None
) -> TrainingRun:
    if (width is not None and {width} != set(widths)) or depth not in (None, len(widths)):
        found = ", ".join(map(str, widths))
        raise InputError(
            f"{path}: has hidden layers of {found:.60} neurons, not those of --width and --depth; leave "
            "them out"
        )
    alike = len(set(widths)) == 1
    return replace(run, width=max(widths), depth=len(widths), widths=None if alike else widths)


def _network_of(path: Path, model: ModelProto, problem: Problem) -> Network:
    """The network in a model of the problem, on what the trainer hands it."""
    name = metadata(model).get("hedge.problem", problem.name)
    if name != problem.name:
        raise InputError(
            f"{path}: solves {quoted(name)}, by what it says, not {problem.name!r}; train on that one"
        )
    check_fields(model, problem)
    try:
        parts = split(in_single_again(model)).replaced(split(model).matrices)
        network, as_given = network_in(parts, problem, problem.sample(AGREEMENT_POINTS, 0))
    except ModelError as error:
        raise ModelError(f"{path}: {error}; train anew") from error
    groups = groups_of(problem, network.weights[0].shape[1])
    if _are_apart(network, groups):
        raise ModelError(f"{path}: its fields have no networks of their own; train anew")
    network = replace(network, groups=groups)
    if not network.widths:
        raise ModelError(f"{path}: has no hidden layer to train; train anew")
    begun = as_found(problem, model)
    missing = [unknown.name for unknown in begun.unknowns if unknown.value is None]
    if missing:
        raise ModelError(
            f"{path}: says no value of {', '.join(missing)} to go on from; train anew, or give one in "
            "Unknown(…, value=…)"
        )
    network = replace(network, constants=parameters_for(begun))
    if as_given.features is problem.features:
        return network
    if problem.features is not None:
        raise ModelError(
            f"{path}: reads its inputs themselves, not the features of {problem.name!r}; train anew"
        )
    return _on_scaled_inputs(network, problem)


def _are_apart(network: Network, groups: tuple[Group, ...]) -> bool:
    """Whether a network has weights that are none of these groups', or neurons that can't be parted."""
    if any(len(bias) % max(len(groups), 1) for bias in network.biases[:-1]):
        return True
    parted = replace(network, groups=groups)
    again = with_parameters(parted, parameters_of(parted))
    return not all(map(torch.equal, network.weights, again.weights))


def _on_scaled_inputs(network: Network, problem: Problem) -> Network:
    """The same function, of inputs scaled to [-1, 1]: what :func:`network_to_onnx` folds in is taken out."""
    lower, upper = (torch.from_numpy(end) for end in (problem.domain.lower, problem.domain.upper))
    first = network.weights[0] * ((upper - lower) / 2.0)
    bias = network.biases[0] + network.weights[0] @ ((upper + lower) / 2.0)
    return replace(
        network, weights=(first, *network.weights[1:]), biases=(bias, *network.biases[1:])
    )
