"""Weight-normalised layers of a state dict, made plain: W = g v / |v| (Salimans, Kingma 2016)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

# (g, v, W) as torch's two ways to normalise and PhysicsNeMo call them, behind the name of the layer.
SPELLINGS = (
    ("weight_g", "weight_v", "weight"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1", "weight"),
    ("weight_g", "weight", "weight"),
)


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same state dict with W (out, in) at the place of v, in double, and without g.

    The norm is taken over the axes along which g has one number: (out, 1) rows, (1, in) columns, () all.

    >>> state = {"0.weight_g": torch.full((1, 1), 10.0), "0.weight_v": torch.tensor([[3.0, 4.0]])}
    >>> folded(state)["0.weight"]
    tensor([[6., 8.]], dtype=torch.float64)
    """
    for g, v, weight in SPELLINGS:
        layers = [key.removesuffix(g) for key in state if key.endswith(g)]
        for layer in layers:
            if f"{layer}{v}" in state and _fit(state[f"{layer}{g}"], state[f"{layer}{v}"]):
                state = _with_layer(state, f"{layer}{g}", f"{layer}{v}", f"{layer}{weight}")
    return dict(state)


def _fit(g: Tensor, v: Tensor) -> bool:
    sizes = g.shape or (1, 1)
    return (
        v.ndim == len(sizes) == 2
        and all(size in (1, whole) for size, whole in zip(sizes, v.shape, strict=True))
        and 1 in (*sizes, *v.shape)
    )


def _with_layer(state: Mapping[str, Tensor], g: str, v: str, weight: str) -> dict[str, Tensor]:
    plain: dict[str, Tensor] = {}
    for key, value in state.items():
        if key == v:
            plain[weight] = _product(state[g].double(), value.double())
        elif key != g:
            plain[key] = value
    return plain


def _product(g: Tensor, v: Tensor) -> Tensor:
    g = g.reshape(g.shape or (1, 1))
    axes = [axis for axis, size in enumerate(g.shape) if size == 1]
    norm: Tensor = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
    return g * v / norm
