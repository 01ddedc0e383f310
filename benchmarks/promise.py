"""How often the promise of compress is broken, over random networks, judged on 200,000 points each.

    PYTHONPATH=. python benchmarks/promise.py [FIRST [LAST [NORM]]]

Networks of 1 to 4 inputs and columns of scales 1e-3 to 1e6, with offsets, kinks and shocks, tolerances from
1e-3 to 1e-1 of the size or the spread in L2, or of the size in NORM max; every tenth is recovered,
too. No clock in it. Then three columns of scales 1, 0.1 and 1e5 beside three of equal scale.
"""

from __future__ import annotations

import sys

import numpy as np
from rich.progress import track

from hedge.cli.console import print_table
from hedge.compression import Allowance, Case, CompressedModel, compress
from hedge.errors import HedgeError
from hedge.problems import Domain
from hedge.recovery import Recovery, recover
from hedge.request import Norm
from tests.compression.promises import Promise, case_of, head, random_promise, worst_of

POINTS = 200_000
STEPS = 100
RECOVERED = 10
SQUARE = Domain(((-1.0, 1.0), (-1.0, 1.0)))
SCALES = {"1, 1, 1": (1.0, 1.0, 1.0), "1, 0.1, 1e5": (1.0, 0.1, 1e5)}


def main(first: int, last: int, norm: Norm) -> None:
    parts: list[float] = []
    recovered = gains = refused = 0
    for seed in track(range(first, last), "cases"):
        promise = random_promise(seed, norm)
        try:
            case = case_of(promise)
        except HedgeError:  # constant columns have no error relative to their spread
            refused += 1
            continue
        small = compress(case)
        if seed % RECOVERED == 0:
            recovered += 1
            small = recovered_of(case, small)
        part = worst_of(promise, small.to_onnx(), POINTS)
        if part > 1.0:
            print(f"broken by {part - 1.0:.1e} of the tolerance: {promise.what}")
        parts.append(part)
        gains += small.plan.gains
    broken = sum(part > 1.0 for part in parts)
    print_table(
        f"{len(parts)} cases, {recovered} of them recovered, {gains} made smaller, {refused} refused; "
        f"{POINTS:,} points each",
        ["broken", "largest part of the tolerance", "99 %", "median"],
        [[str(broken), *(f"{part:.3f}" for part in np.quantile(parts, [1.0, 0.99, 0.5]))]],
    )
    rows = [[label, three_columns(scales)] for label, scales in SCALES.items()]
    print_table("three columns within 1e-3", ["scales", "parameters"], rows)


def recovered_of(case: Case, small: CompressedModel) -> CompressedModel:
    return recover(case, small, Recovery(Allowance(STEPS), "outputs"))


def three_columns(scales: tuple[float, ...]) -> str:
    """Parameters of a network of three columns of these scales, dense and compressed."""
    dense = Promise(head(*scales, width=64), SQUARE, 1e-3, "size", "l2", seed=0, what="")
    plan = compress(case_of(dense)).plan
    return f"{plan.dense_parameters} -> {plan.parameters}"


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    main(int(given.get(0, 0)), int(given.get(1, 1000)), given.get(2, "l2"))  # type: ignore[arg-type]
