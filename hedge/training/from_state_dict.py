"""The plain chains of dense layers in state dicts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from onnx import ModelProto
from torch import Tensor

from hedge.errors import InputError, ModelError, quoted
from hedge.graph import GraphBuilder, as_grid, as_pairs
from hedge.graph.activations import ACTIVATIONS
from hedge.training.weight_norm import folded

WHOLE_MODULE = "give the module itself to hedge.import_model in Python"


def state_dict_to_onnx(
    state: Mapping[str, Tensor], activation: str = "tanh", *, is_one: bool = False
) -> ModelProto:
    """The chain of dense layers in ``state`` as a float32 model: ``x`` [n, d], ``u`` [n, m], n dynamic.

    Weights are (out, in), biases (out,) or absent; layers follow each other in the order of the
    keys, with ``activation`` (a key of ACTIVATIONS) between them and none behind the last. Normalised
    weights are folded. A state dict says nothing of activations, transforms of inputs and outputs, or
    skip connections. ``is_one`` says that all layers are one network, whatever their names.

    The two nets of DeepXDE's DeepONets give all rows of ``f`` [b, m] at all rows of ``y`` [n, d], ``u``
    [b, n]; the trunk has the activation behind its last layer, too, as there.

    Raises InputError for an activation that isn't known; ModelError, naming the key, for anything
    that isn't such a chain, are several, or is not finite.

    >>> state = {"0.weight": torch.ones(8, 2), "0.bias": torch.zeros(8), "2.weight": torch.ones(1, 8)}
    >>> [node.op_type for node in state_dict_to_onnx(state, "sin").graph.node]
    ['Gemm', 'Sin', 'Gemm']
    """
    if activation not in ACTIVATIONS:
        raise InputError(
            f"activation: {activation!r} is not known; give one of {', '.join(ACTIVATIONS)}"
        )
    if not is_one and _is_deeponet(state):
        return _deeponet(state, activation)
    layers, graph = _chain(folded(state), is_one=is_one), GraphBuilder()
    graph.rename(_put(graph, "x", layers, activation), "u")
    inputs, outputs = layers[0].weight.shape[1], layers[-1].weight.shape[0]
    return graph.model({"x": inputs}, {"u": outputs}, "imported")


BRANCH, TRUNK = "branch.linears.", "trunk.linears."


def _is_deeponet(state: Mapping[str, Tensor]) -> bool:
    """Whether the keys are those of DeepXDE's DeepONets of one output."""
    stems = {next((net for net in (BRANCH, TRUNK) if key.startswith(net)), key) for key in state}
    return {BRANCH, TRUNK} <= stems <= {BRANCH, TRUNK, "b", "b.0"}


def _deeponet(state: Mapping[str, Tensor], activation: str) -> ModelProto:
    def net(prefix: str) -> list[_Layer]:
        own = {key: value for key, value in state.items() if key.startswith(prefix)}
        return _chain(folded(own), is_one=True)

    branch, trunk = net(BRANCH), net(TRUNK)
    if len(branch[-1].weight) != len(trunk[-1].weight):
        raise ModelError(
            f"{quoted(branch[-1].key)} gives {len(branch[-1].weight)} numbers but {quoted(trunk[-1].key)} "
            f"{len(trunk[-1].weight)}: no product of a branch and a trunk; {WHOLE_MODULE}"
        )
    graph = GraphBuilder()
    weights = _put(graph, "f", branch, activation)
    features = ACTIVATIONS[activation](graph, _put(graph, "y", trunk, activation))
    last = graph.add("Einsum", weights, features, equation="bi,ni->bn")
    for key in ("b", "b.0"):
        if key in state:
            last = graph.add("Add", last, _number(key, state[key]))
    graph.rename(last, "u")
    widths = {"f": branch[0].weight.shape[1], "y": trunk[0].weight.shape[1]}
    return as_grid(as_pairs(graph.model(widths, {"u": ("points",)}, "imported")))


def _number(key: str, value: Tensor) -> float:
    if value.numel() != 1 or not torch.isfinite(value.float()).all():
        raise ModelError(f"{quoted(key)} {quoted(tuple(value.shape))} is no finite number")
    return float(value)


def _put(graph: GraphBuilder, source: str, layers: Sequence[_Layer], activation: str) -> str:
    """A chain of layers with the activation between them."""
    *hidden, last = layers
    for layer in hidden:
        source = ACTIVATIONS[activation](graph, graph.linear(source, layer.weight, layer.bias))
    return graph.linear(source, last.weight, last.bias)


@dataclass(frozen=True)
class _Layer:
    """z = W a + b; weight (out, in), bias (out,) or None, ``key`` names the weight."""

    key: str
    weight: Tensor
    bias: Tensor | None


def _chain(state: Mapping[str, Tensor], *, is_one: bool) -> list[_Layer]:
    for key, value in state.items():
        _check_dense(key, value)
    layers = [
        _Layer(key, value, state.get(key.removesuffix("weight") + "bias"))
        for key, value in state.items()
        if value.ndim == 2
    ]
    if not layers:
        raise ModelError("holds no dense layers")
    if not is_one:
        _check_one_network([layer.key for layer in layers])
    biases = {id(layer.bias) for layer in layers}
    for key, value in state.items():
        if value.ndim == 1 and id(value) not in biases:
            raise ModelError(f"{quoted(key)} has no weight beside it; {_ways_out(key)}")
    for layer in layers:
        if layer.bias is not None and layer.bias.shape[0] != layer.weight.shape[0]:
            raise ModelError(
                f"{quoted(layer.key)} has {layer.weight.shape[0]} rows but {layer.bias.shape[0]} biases; "
                "the file is damaged"
            )
    for before, after in pairwise(layers):
        if after.weight.shape[1] != before.weight.shape[0]:
            raise ModelError(
                f"{quoted(after.key)} takes {after.weight.shape[1]} numbers but {quoted(before.key)} gives "
                f"{before.weight.shape[0]}: not a plain chain of dense layers; {WHOLE_MODULE}"
            )
    return layers


def _check_dense(key: str, value: Tensor) -> None:
    name = key.rpartition(".")[2]
    if name not in ("weight", "bias") or value.ndim != (2 if name == "weight" else 1):
        raise ModelError(
            f"{quoted(key)} {quoted(tuple(value.shape))} belongs to no dense layer, and other kinds can't be "
            f"rebuilt from a state dict; {_ways_out(key)}"
        )
    if not torch.isfinite(value.float()).all():
        raise ModelError(f"{quoted(key)} contains NaN or Inf; train or save it again")


def _ways_out(key: str) -> str:
    return f"{WHOLE_MODULE}, or leave it out if its function does not use it: --ignore {key:.80}"


def _check_one_network(keys: Iterable[str]) -> None:
    """Refuse layers that are numbered, or named, as those of several networks are.

    Two modules that have two layers each are two networks, or blocks of one: no name says which.
    """
    paths = [key.rpartition(".")[0] for key in keys]
    for stem in (_module_of, _numbered_as):
        counts = Counter(map(stem, paths))
        several = _outermost([name for name, count in counts.items() if name and count > 1])
        if len(several) > 1:
            found = ", ".join(quoted(name) for name in _prefixes(several))
            raise ModelError(
                f"holds several networks, or blocks of layers, whose keys begin with {found}: name one with "
                f"--prefix, or --prefix '' if all are one plain chain; else {WHOLE_MODULE}"
            )


def _outermost(names: list[str]) -> list[str]:
    """Without the parts of others: of ``net.`` and ``net.hidden.`` the first."""
    modules = tuple(name for name in names if name.endswith("."))
    return [n for n in names if not any(n != m and n.startswith(m) for m in modules)]


def _module_of(path: str) -> str:
    """What holds a layer: ``u.`` of ``u.0``; nothing of a layer at the top."""
    return path[: path.rfind(".") + 1]


def _numbered_as(path: str) -> str:
    """A layer's path up to the number that it ends in, if it ends in one: ``u`` of ``u3``."""
    return re.sub(r"[0-9]+$", "", path)


def _prefixes(names: list[str]) -> list[str]:
    """As little of each name as tells it from the others, up to a dot where there is one."""
    parts = [re.findall(r"[^.]*\.|[^.]+", name) for name in names]
    shared = 0
    while len({tuple(part[: shared + 1]) for part in parts}) == 1:
        shared += 1
    return list(dict.fromkeys("".join(part[: shared + 1]) for part in parts))
