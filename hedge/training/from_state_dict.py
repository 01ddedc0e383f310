"""State dicts of other tools, read as weights only, and the plain chains of dense layers in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hedge.errors import InputError, ModelError, quoted
from hedge.files import require_file
from hedge.graph import GraphBuilder
from hedge.graph.activations import ACTIVATIONS
from hedge.training.torch_file import WEIGHTS_ALONE, read_torch

# Under which key DeepXDE and Lightning (so PINA, too) keep the state dict in their checkpoints.
CONTAINERS = ("model_state_dict", "state_dict")
# Where PINA's solvers keep their network; the others, if any, only help to train it.
PINA_NETWORK = "_pina_models.0."
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE_MODULE = "give the module itself to hedge.import_model in Python"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The weights in a ``.pt``, ``.pth`` or ``.ckpt`` of torch, or in a ``.safetensors``, by their keys.

    Checkpoints of DeepXDE, Lightning and PINA are opened up, and the keys of a PINA solver's network
    lose their prefix. No code in the file is run. Tensors are on the CPU, in the order of the layers.

    Raises InputError if there is no such file; ModelError if it is damaged, of another kind, holds
    anything that isn't weights, or if the order of a ``.safetensors`` can't be told from its names.
    """
    require_file(path)
    found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for key, value in found.items():
        _check_tensor(path, key, value)
    _check_size(path, found.values())
    of_pina = {key: value for key, value in found.items() if key.startswith(PINA_NETWORK)}
    return {key.removeprefix(PINA_NETWORK): value for key, value in (of_pina or found).items()}


def state_dict_to_onnx(state: Mapping[str, Tensor], activation: str = "tanh") -> ModelProto:
    """The chain of dense layers in ``state`` as a float32 model: ``x`` [n, d], ``u`` [n, m], n dynamic.

    Weights are (out, in), biases (out,) or absent; layers follow each other in the order of the
    keys, with ``activation`` (a key of ACTIVATIONS) between them and none behind the last. A state
    dict says nothing of activations, transforms of inputs and outputs, or skip connections.

    Raises InputError for an activation that isn't known; ModelError, naming the key, for anything
    that isn't such a chain or is not finite.

    >>> state = {"0.weight": torch.ones(8, 2), "0.bias": torch.zeros(8), "2.weight": torch.ones(1, 8)}
    >>> [node.op_type for node in state_dict_to_onnx(state, "sin").graph.node]
    ['Gemm', 'Sin', 'Gemm']
    """
    if activation not in ACTIVATIONS:
        raise InputError(
            f"activation: {activation!r} is not known; give one of {', '.join(ACTIVATIONS)}"
        )
    *hidden, last = _chain(state)
    graph, source = GraphBuilder(), "x"
    for layer in hidden:
        source = ACTIVATIONS[activation](graph, graph.linear(source, layer.weight, layer.bias))
    graph.linear(source, last.weight, last.bias, output="u")
    inputs, outputs = (hidden or [last])[0].weight.shape[1], last.weight.shape[0]
    return graph.model({"x": inputs}, {"u": outputs}, "imported")


@dataclass(frozen=True)
class _Layer:
    """z = W a + b; weight (out, in), bias (out,) or None, ``key`` names the weight."""

    key: str
    weight: Tensor
    bias: Tensor | None


def _chain(state: Mapping[str, Tensor]) -> list[_Layer]:
    for key, value in state.items():
        _check_dense(key, value)
    layers = [
        _Layer(key, value, state.get(key.removesuffix("weight") + "bias"))
        for key, value in state.items()
        if value.ndim == 2
    ]
    if not layers:
        raise ModelError("holds no dense layers")
    biases = {id(layer.bias) for layer in layers}
    for key, value in state.items():
        if value.ndim == 1 and id(value) not in biases:
            raise ModelError(f"{quoted(key)} has no weight beside it; {WHOLE_MODULE}")
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
            f"rebuilt from a state dict; {WHOLE_MODULE}"
        )
    if not torch.isfinite(value.float()).all():
        raise ModelError(f"{quoted(key)} contains NaN or Inf; train or save it again")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        found = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: is not a safetensors file, or is cut short") from error
    # The file does not keep the order of its tensors, so numbers in the names must tell it.
    layers = {key.rpartition(".")[0] for key in found}
    patterns = {re.sub(r"[0-9]+", "#", layer) for layer in layers}
    orders = {tuple(_numbers(layer)[0]) for layer in layers}  # 01 and 1 are one number
    if len(patterns) > 1 or len(orders) < len(layers):
        raise ModelError(
            f"{path}: the order of {', '.join(sorted(found)[:3])} … isn't in a .safetensors; "
            f"{WEIGHTS_ALONE}"
        )
    return {key: found[key] for key in sorted(found, key=_numbers)}


def _numbers(key: str) -> tuple[list[tuple[int, str]], str]:
    """The numbers in a key in an order by size; as text, since Python reads none of thousands of digits."""
    found = [number.lstrip("0") for number in re.findall(r"[0-9]+", key)]
    return [(len(digits), digits) for digits in found], key


def _read_torch(path: Path) -> dict[str, Any]:
    found = read_torch(path)
    for container in CONTAINERS:
        if isinstance(found, dict) and isinstance(found.get(container), dict):
            found = found[container]
    if not isinstance(found, dict) or not found:
        raise ModelError(f"{path}: holds no state dict ({type(found).__name__}); {WEIGHTS_ALONE}")
    return found


def _check_tensor(path: Path, key: object, value: object) -> None:
    if not isinstance(key, str) or not isinstance(value, Tensor):
        raise ModelError(
            f"{path}: {quoted(key)} is of type {type(value).__name__}, not a weight; "
            f"{WEIGHTS_ALONE}"
        )
    plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_nested
    if not plain or value.dtype not in FLOATS:
        raise ModelError(
            f"{path}: {quoted(key)} ({value.dtype}) is not a dense tensor of floats of 16 bits or more"
        )
    # A tensor that repeats few numbers by its strides could claim any size.
    if value.numel() == 0 or value.nbytes > value.untyped_storage().nbytes():
        raise ModelError(
            f"{path}: {quoted(key)} {quoted(tuple(value.shape))} is empty, or larger than its data"
        )


def _check_size(path: Path, tensors: Iterable[Tensor]) -> None:
    """Refuse tensors that share their numbers so often that together they exceed the file."""
    claimed, held = sum(value.nbytes for value in tensors), path.stat().st_size
    if claimed > held:
        raise ModelError(
            f"{path}: its tensors claim {claimed} bytes, the file has {held}: they share numbers; "
            "save a copy of each, {key: value.clone() for key, value in net.state_dict().items()}"
        )
