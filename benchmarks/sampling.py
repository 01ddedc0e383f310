"""What sampling can't see: how often a certified error is exceeded where a network has a narrow bump.

Each network is a sum of twelve Gaussians over [0, 1], eleven of width 0.3 and one as narrow as the row says,
which holds about half of the output's energy. It is compressed within 1e-2, and judged by quadrature
that resolves the bump; by samples alone, and with --certify, where a proof decides.

    python benchmarks/sampling.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import hedge
from hedge.devices import find_profile
from hedge.errors import HedgeError
from hedge.graph import GraphBuilder, load_model, run_float32

WIDTHS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
NETWORKS, BUMPS, TOLERANCE = 10, 12, 1e-2


def network(narrow: float, seed: int) -> tuple[bytes, float]:
    """The file of a network, and where its narrow bump is."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0.1, 0.9, BUMPS)
    widths = np.full(BUMPS, 0.3)
    widths[0] = narrow
    heights = rng.standard_normal(BUMPS)
    heights[0] = 1.0 / np.sqrt(narrow * np.sqrt(np.pi / 2.0))  # ∫ h² exp(−2 z²) dx = 1
    graph = GraphBuilder()
    z = graph.linear("x", 1.0 / widths[:, None], -centres / widths)
    bump = graph.add("Exp", graph.add("Neg", graph.add("Mul", z, z)))
    u = graph.linear(bump, heights[None], np.array([0.1]))
    return graph.model({"x": 1}, {u: 1}).SerializeToString(), float(centres[0])


def true_error(dense: Path, small: hedge.CompressedModel, centre: float, narrow: float) -> float:
    """Relative L2 error by the midpoint rule, on a grid of its own within six widths of the bump."""
    reach = min(6.0 * narrow, 0.1)
    edges = np.unique(
        np.concatenate([np.linspace(0, 1, 200_001), centre + np.linspace(-reach, reach, 200_001)])
    )
    x, weight = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    exact, found = (
        run_float32(model, x[:, None])[:, 0] for model in (load_model(dense), small.to_onnx())
    )
    return float(np.sqrt(weight @ (exact - found) ** 2 / (weight @ exact**2)))


def errors_of(dense: Path, narrow: float, certify: bool) -> list[float]:
    errors = []
    for seed in range(NETWORKS):
        data, centre = network(narrow, seed)
        dense.write_bytes(data)
        try:
            small = hedge.compress(
                dense, device=find_profile("laptop-x86"), domain="0:1", tolerance=TOLERANCE,
                objective="size", seed=seed, recover=None, certify=certify,
            )  # fmt: skip
        except HedgeError:
            continue
        errors.append(true_error(dense, small, centre, narrow))
    return errors


def main() -> None:
    columns = ("width of the bump", "broken", "worst true error")
    table = Table(*columns, "with --certify: broken", "worst", title="tolerance 1e-2, 1-D")
    with tempfile.TemporaryDirectory() as folder:
        for narrow in WIDTHS:
            cells = []
            for certify in (False, True):
                errors = errors_of(Path(folder) / "bumps.onnx", narrow, certify)
                broken = sum(error > TOLERANCE for error in errors)
                cells += [f"{broken} of {len(errors)}", f"{max(errors):.1e}"]
            table.add_row(f"{narrow:.0e}", *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
