"""Output error at equal rank, no retraining: plain SVD against hedge's two-sided truncation.

    python benchmarks/truncation.py

Prints, for models/burgers-128x4.onnx, the relative L2 output error on 20,000 fresh points with every
hidden matrix cut to the same rank. Deterministic; no times.
"""

from __future__ import annotations

import hedge
from hedge.cli.console import print_table
from hedge.compression.fitting import dense_targets, fit_sites
from hedge.compression.measure import measure, output_error
from hedge.compression.target import SiteTarget
from hedge.graph import Evaluator, SiteMatrix, assemble, load_model, split
from hedge.hmatrix import plain_spectrum
from hedge.problems import find_problem

RANKS = (4, 8, 16, 32, 48)


def main() -> None:
    problem = find_problem("burgers")
    parts = split(load_model(hedge.reference_models()["burgers"]))
    measured = measure(parts, problem.domain.sample(2048, 0), seed=0)
    points = problem.domain.sample(20_000, 1)
    dense = Evaluator(assemble(parts.skeleton, parts.matrices))(points)

    def error(matrices: dict) -> float:
        return output_error(Evaluator(assemble(parts.skeleton, matrices))(points), dense).relative

    targets = dense_targets(parts, measured, noise=1e-4)
    rows = []
    for rank in RANKS:

        def choose(name: str, target: SiteTarget, rank: int = rank) -> SiteMatrix:
            return target.truncated(rank if min(target.weight.shape) > rank else None)

        cut = {
            name: SiteMatrix(plain_spectrum(m.dense()).truncate(rank), m.bias)
            if min(m.shape) > rank
            else m
            for name, m in parts.matrices.items()
        }
        plain = error(cut)
        two_sided = error(fit_sites(parts, measured, {}, choose, 1e-4, targets))
        rows.append([str(rank), f"{plain:.1e}", f"{two_sided:.1e}", f"{plain / two_sided:.0f}x"])
    print_table(
        "burgers-128x4, relative L2 output error at equal rank",
        ["rank", "plain SVD", "two-sided", "ratio"],
        rows,
    )


if __name__ == "__main__":
    main()
