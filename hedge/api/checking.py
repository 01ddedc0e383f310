"""Whether an imported network is the user's own: its outputs beside those that the user has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.compression import read_array
from hedge.errors import InputError, ModelError
from hedge.graph import input_dimension, run_float32
from hedge.graph.activations import ACTIVATIONS

# Far above float32's rounding, also of steep networks; far below what another function would differ.
AGREEMENT = 1e-4
BY_CHANCE = (
    "another activation, one behind the last layer, scaling, or a transform of inputs or outputs"
)


def check_outputs(
    chain: Callable[[str], ModelProto], activation: str, inputs: Path, outputs: Path
) -> None:
    """Raise ModelError unless the network with that ``activation`` gives ``outputs`` at ``inputs``.

    The message names an activation that does, if one does. Raises InputError for files that are no
    (n, d) and (n, m) of the network's d and m.
    """
    points, expected = _columns(inputs), _columns(outputs)
    off = _difference(chain(activation), points, expected, inputs, outputs)
    if off <= AGREEMENT:
        return
    others = (name for name in ACTIVATIONS if name != activation)
    fitting = (
        n for n in others if _difference(chain(n), points, expected, inputs, outputs) <= AGREEMENT
    )
    found = next(fitting, None)
    way = (
        f"with --activation {found} it does not"
        if found
        else f"a state dict tells nothing of {BY_CHANCE}: if your network has any, give the module itself to "
        "hedge.import_model in Python"
    )
    raise ModelError(
        f"with {activation} between its layers and nothing else it differs from {outputs.name} by "
        f"{off:.1e} of its size; {way}"
    )


def _columns(path: Path) -> Array:
    values = read_array(path)
    is_real = values.ndim in (1, 2) and values.dtype.kind in "fiu"
    if not is_real or not values.size or not np.isfinite(values).all():
        raise InputError(f"{path}: holds no finite numbers (n, d); write them with numpy.save")
    with np.errstate(over="ignore"):  # a long double beyond all is infinitely far off
        return values.reshape(len(values), -1).astype(np.float64)


def _difference(
    model: ModelProto, points: Array, expected: Array, inputs: Path, outputs: Path
) -> float:
    """The largest of any column, relative to the column's largest number."""
    if points.shape[1] != input_dimension(model):
        raise InputError(
            f"{inputs}: has shape {points.shape}; the network takes (n, {input_dimension(model)})"
        )
    found = run_float32(model, points)
    if found.shape != expected.shape:
        raise InputError(f"{outputs}: has shape {expected.shape}; the network gives {found.shape}")
    sizes = np.abs(expected).max(axis=0)
    return float((np.abs(found - expected).max(axis=0) / np.where(sizes > 0.0, sizes, 1.0)).max())
