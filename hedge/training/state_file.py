"""Files of weights: state dicts of torch, alone or inside a training's state, and ``.safetensors``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hedge.errors import InputError, ModelError, quoted
from hedge.files import require_file
from hedge.training.foreign_files import check_no_foreign_file
from hedge.training.torch_file import WEIGHTS_ALONE, read_torch
from hedge.training.weight_norm import folded

# Under which key DeepXDE and Lightning (so PINA, too) keep the state dict in their checkpoints.
CONTAINERS = ("model_state_dict", "state_dict")
# Where PINA's solvers keep their network; the others, if any, only help to train it.
PINA_NETWORK = "_pina_models.0."
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MOST_NAMED = 8


def read_state_dict(
    path: Path, *, key: str | None = None, prefix: str | None = None, ignore: Sequence[str] = ()
) -> dict[str, Tensor]:
    """The weights in a ``.pt``, ``.pth`` or ``.ckpt`` of torch, or in a ``.safetensors``, by their keys.

    ``key`` names where in the file they stand, ``prefix`` the network among several: its keys lose that.
    ``ignore`` are keys, or what keys begin with before a dot, that are left out. Checkpoints of DeepXDE,
    Lightning and PINA are opened up, and of a PINA solver its network is taken. No code in the file is
    run. Tensors are on the CPU, in the order of the layers.

    Raises InputError if there is no such file, key or prefix; ModelError if it is damaged, of another
    kind, holds anything that isn't weights, or if the order of a ``.safetensors`` can't be told from its
    names.
    """
    check_no_foreign_file(path)
    require_file(path)
    is_safetensors = path.suffix == ".safetensors"
    found = _read_safetensors(path) if is_safetensors else _contained(path, read_torch(path), key)
    found = _chosen(path, found, prefix, ignore)
    for name, value in found.items():
        _check_tensor(path, name, value)
    _check_size(path, found.values())
    return _in_order(path, folded(found)) if is_safetensors else found


def _contained(path: Path, found: Any, key: str | None) -> dict[str, Any]:
    """The state dict in what torch.save wrote: under ``key``, or where the usual tools put it."""
    if key is not None:
        if not isinstance(found, dict) or key not in found:
            raise InputError(f"key: {path} has no {quoted(key)}; it has {_named(found)}")
        found = found[key]
    for container in CONTAINERS:
        if isinstance(found, dict) and isinstance(found.get(container), dict):
            found = found[container]
    if not isinstance(found, dict) or not found:
        raise ModelError(f"{path}: holds no state dict ({type(found).__name__}); {WEIGHTS_ALONE}")
    inside = [name for name, value in found.items() if _is_state(value)]
    if inside:
        raise ModelError(
            f"{path}: is the state of a training, of {_named(found)}; say which of them holds the weights: "
            f"--key {inside[0]}"
        )
    return found


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(part, Tensor) for part in value.values())


def _named(found: object) -> str:
    """The keys of what a file holds, for a message."""
    keys = [quoted(key) for key in found] if isinstance(found, dict) else []
    more = [f"{len(keys) - MOST_NAMED} more"] if len(keys) > MOST_NAMED else []
    return ", ".join([*keys[:MOST_NAMED], *more]) or f"no keys ({type(found).__name__})"


def _chosen(
    path: Path, found: dict[str, Any], prefix: str | None, ignore: Sequence[str]
) -> dict[str, Any]:
    """What begins with ``prefix``, without that, less what is to be ignored."""
    for name in ignore:
        if not any(_is_named_by(key, name) for key in found):
            raise InputError(f"ignore: {path} has no {quoted(name)}; it has {_named(found)}")
    kept = {
        key: value
        for key, value in found.items()
        if not any(_is_named_by(key, name) for name in ignore)
    }
    if prefix is None:
        prefix = PINA_NETWORK if any(str(key).startswith(PINA_NETWORK) for key in kept) else ""
    chosen = {key: value for key, value in kept.items() if str(key).startswith(prefix)}
    if prefix and not chosen:
        raise InputError(f"prefix: no key of {path} begins with {quoted(prefix)}: {_named(found)}")
    return {key.removeprefix(prefix): v for key, v in chosen.items()} if prefix else chosen


def _is_named_by(key: object, name: str) -> bool:
    return key == name or str(key).startswith(f"{name}.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: is not a safetensors file, or is cut short") from error


def _in_order(path: Path, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A .safetensors does not keep the order of its tensors, so numbers in the names must tell it."""
    layers = {key.rpartition(".")[0] for key in found}
    patterns = {re.sub(r"[0-9]+", "#", layer) for layer in layers}
    orders = {tuple(_numbers(layer)[0]) for layer in layers}  # 01 and 1 are one number
    if len(patterns) > 1 or len(orders) < len(layers):
        raise ModelError(
            f"{path}: the order of {', '.join(sorted(found)[:3])} … isn't in a .safetensors; if that are "
            f"several networks, name one with --prefix, else {WEIGHTS_ALONE}"
        )
    return {key: found[key] for key in sorted(found, key=_numbers)}


def _numbers(key: str) -> tuple[list[tuple[int, str]], str]:
    """The numbers in a key in an order by size; as text, since Python reads none of thousands of digits."""
    found = [number.lstrip("0") for number in re.findall(r"[0-9]+", key)]
    return [(len(digits), digits) for digits in found], key


def _check_tensor(path: Path, key: object, value: object) -> None:
    if not isinstance(key, str) or not isinstance(value, Tensor):
        raise ModelError(
            f"{path}: {quoted(key)} is of type {type(value).__name__}, not a weight; "
            f"{WEIGHTS_ALONE}, or leave it out: --ignore {key!s:.80}"
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
