"""hedge.hmatrix in figures: kernels, the tangent kernel, fitting at equal storage, the optimum.

    python benchmarks/hmatrix.py [kernels] [nested] [ntk] [fitting] [optimum]

Without names it runs all, about ten minutes on 2 cores. Each kernel matrix is built in a process of
its own, so that its peak memory is its own. Times are medians of interleaved runs.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh
from threadpoolctl import threadpool_limits

from hedge.hmatrix import (
    Entries,
    build,
    build_nested,
    cheapest,
    kd_tree,
    kernel,
    most_accurate,
    multilevel,
    sampled_error,
    shared_bases,
    strong,
)

SIZES = (1024, 4096, 16384, 65536)
LARGE = 262144  # of which the storage at 1e-3 alone is told
LARGE_TOLERANCE = 1e-3
MATVEC_SIZE = 16384
RANK, FITTED = 28, 2000


def main(sections: list[str]) -> None:
    if sections[:1] == ["--kernel"]:
        print(json.dumps(one_kernel(sections[1], int(sections[2]), float(sections[3]))))
        return
    if sections[:1] == ["--nested"]:
        print(json.dumps(one_nested(sections[1], int(sections[2]), float(sections[3]))))
        return
    known = {
        "kernels": kernels,
        "nested": nested,
        "ntk": ntk,
        "fitting": fitting,
        "optimum": optimum,
    }
    for name in sections or known:
        known[name]()


def kernel_entries(name: str, points: np.ndarray) -> Entries:
    n = len(points)

    def squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        r = (x[0] - y[0]) ** 2
        r += (x[1] - y[1]) ** 2
        return r

    def exponential(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        r = np.sqrt(squared(x, y))
        return np.exp(np.negative(r, r), r)

    def logarithm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        r = squared(x, y)
        r[r == 0] = 1.0 / n  # a point and itself: about the distance to the next
        return 0.5 * np.log(r, r)

    function = {"exp(-|x-y|)": exponential, "log|x-y|": logarithm}[name]
    return kernel(function, points, symmetric=True)


def one_kernel(name: str, n: int, tolerance: float) -> dict[str, Any]:
    points = np.random.default_rng(0).random((n, 2))
    entries = kernel_entries(name, points)
    start, cpu = time.perf_counter(), time.process_time()
    h = build(entries, tolerance=tolerance, rows=kd_tree(points), admissible=strong())
    built, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    result: dict[str, Any] = {
        "build_s": built,
        "build_cpu_s": cpu,
        "peak_gib": peak,
        "per_row": h.numbers / n,
        "numbers": h.numbers,
        "error": sampled_error(entries, h, samples=200),
    }
    if n == MATVEC_SIZE:
        dense = np.concatenate([entries(i, np.arange(n)) for i in np.split(np.arange(n), 16)])
        x = np.random.default_rng(1).standard_normal(n)
        result["matvec_s"] = interleaved(lambda: h @ x, lambda: dense @ x)
        with threadpool_limits(1, user_api="blas"):
            result["one_thread_s"] = interleaved(lambda: h @ x, lambda: dense @ x)
    return result


def interleaved(a: Callable[[], object], b: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of each, in turns of five calls as an iterative solver makes them."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(8):
        for call, kept in zip((a, b), times, strict=True):
            for _ in range(5):
                start = time.perf_counter()
                call()
                kept.append(time.perf_counter() - start)
    return float(np.median(times[0])), float(np.median(times[1]))


def kernels() -> None:
    print("Kernel matrices on uniform points of the unit square, float64, from entries by ACA")
    print(f"{'kernel':<12}{'tolerance':>10}{'n':>7}{'error':>10}{'numbers/n':>11}{'smaller':>9}"
          f"{'build':>9}{'processor':>11}{'peak':>10}   matvec")  # fmt: skip
    for name in ("exp(-|x-y|)", "log|x-y|"):
        for tolerance in (1e-3, 1e-5):
            numbers = []
            for n in (*SIZES, LARGE) if tolerance == LARGE_TOLERANCE else SIZES:
                command = [sys.executable, __file__, "--kernel", name, str(n), str(tolerance)]
                run = subprocess.run(command, capture_output=True, text=True, check=True)
                r = json.loads(run.stdout)
                numbers.append(r["numbers"])
                matvec = ""
                if "matvec_s" in r:
                    (ours, dense), (ours_1, dense_1) = r["matvec_s"], r["one_thread_s"]
                    matvec = (
                        f"{1e3 * ours:.2f} ms, dense {1e3 * dense:.0f} ms: {dense / ours:.1f}x "
                        f"(one BLAS thread each: {dense_1 / ours_1:.1f}x)"
                    )
                print(f"{name:<12}{tolerance:>10g}{n:>7}{r['error']:>10.2e}{r['per_row']:>11.1f}"
                      f"{n * n / r['numbers']:>8.1f}x{r['build_s']:>8.1f}s{r['build_cpu_s']:>10.1f}s"
                      f"{r['peak_gib']:>6.2f} GiB   "
                      f"{matvec}", flush=True)  # fmt: skip
            last = len(SIZES) - 1
            growth = math.log(numbers[last] / numbers[0]) / math.log(SIZES[last] / SIZES[0])
            print(f"{'':<12}storage grows as n^{growth:.3f}")


def one_nested(name: str, n: int, tolerance: float) -> dict[str, Any]:
    points = np.random.default_rng(0).random((n, 2))
    entries = kernel_entries(name, points)
    settings: dict[str, Any] = {"rows": kd_tree(points), "admissible": strong()}
    start = time.process_time()
    shared = build_nested(entries, tolerance=tolerance, **settings)
    built = time.process_time() - start
    result: dict[str, Any] = {
        "build_s": built,
        "per_row": shared.numbers / n,
        "numbers": shared.numbers,
        "error": sampled_error(entries, shared, samples=200),
    }
    if n == MATVEC_SIZE:
        plain = build(entries, tolerance=tolerance, **settings)
        result["plain_per_row"] = plain.numbers / n
        dense = np.concatenate([entries(i, np.arange(n)) for i in np.split(np.arange(n), 16)])
        x = np.random.default_rng(1).standard_normal(n)
        with threadpool_limits(1, user_api="blas"):
            result["dense_s"] = interleaved(lambda: shared @ x, lambda: dense @ x)
            result["plain_s"] = interleaved(lambda: shared @ x, lambda: plain @ x)
    return result


def nested() -> None:
    print(
        "H²-matrices of the same kernels; seconds of processor time for building, products on one thread"
    )
    print(
        f"{'kernel':<12}{'tolerance':>10}{'n':>7}{'error':>10}{'numbers/n':>11}{'build':>9}   product"
    )
    for name in ("exp(-|x-y|)", "log|x-y|"):
        for tolerance in (1e-3, 1e-5):
            numbers = []
            for n in SIZES:
                command = [sys.executable, __file__, "--nested", name, str(n), str(tolerance)]
                run = subprocess.run(command, capture_output=True, text=True, check=True)
                r = json.loads(run.stdout)
                numbers.append(r["numbers"])
                product = ""
                if "dense_s" in r:
                    (ours, dense), (again, plain) = r["dense_s"], r["plain_s"]
                    product = (
                        f"{1e3 * ours:.2f} ms, dense {1e3 * dense:.0f} ms: {dense / ours:.1f}x; "
                        f"H-matrix of {r['plain_per_row']:.1f} numbers a row "
                        f"{1e3 * plain:.2f} ms: {plain / again:.2f}x"
                    )
                print(f"{name:<12}{tolerance:>10g}{n:>7}{r['error']:>10.2e}{r['per_row']:>11.1f}"
                      f"{r['build_s']:>8.1f}s   {product}", flush=True)  # fmt: skip
            growth = math.log(numbers[-1] / numbers[0]) / math.log(SIZES[-1] / SIZES[0])
            print(f"{'':<12}storage grows as n^{growth:.3f}")


def ntk() -> None:
    from hedge.graph import load_model
    from hedge.ntk import hierarchical_spectrum, output_kernel
    from hedge.problems import GALLERY

    n, many = 16384, 65536
    model = load_model(Path(__file__).parents[1] / "models" / "burgers-128x4.onnx")
    larger = output_kernel(model, GALLERY["burgers"].domain.sample(many, 0))
    start, cpu = time.perf_counter(), time.process_time()
    h = larger.hierarchical(1e-6)
    built, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"Tangent kernel at {many} points, tolerance 1e-6: built in {built:.1f} s, {cpu:.1f} s of "
          f"processor, {h.numbers / many:.0f} numbers a row")  # fmt: skip
    del h, larger
    kernel = output_kernel(model, GALLERY["burgers"].domain.sample(n, 0))
    start = time.perf_counter()
    h = kernel.hierarchical(1e-6)
    built = time.perf_counter() - start
    start = time.perf_counter()
    spectrum = hierarchical_spectrum(h, 1e-6)
    lanczos = time.perf_counter() - start
    rows = np.arange(n)
    dense = np.empty((n, n))
    for part in np.split(rows, 32):
        dense[part] = kernel.block(part, rows)
    operator = LinearOperator((n, n), matvec=lambda x: dense @ x, dtype=np.float64)
    largest = float(eigsh(operator, k=1, which="LA", tol=1e-10, v0=np.ones(n))[0][0])
    print(f"Tangent kernel of the outputs of burgers-128x4.onnx at {n} points, tolerance 1e-6")
    print(f"  built in {built:.1f} s, {h.compression:.1f} times smaller than dense, "
          f"sampled error {sampled_error(kernel.entries(), h, samples=400):.2e}")  # fmt: skip
    print(f"  largest eigenvalue {spectrum.largest:.9g}, dense {largest:.9g}: relative difference "
          f"{abs(spectrum.largest - largest) / largest:.1e}; Lanczos {lanczos:.1f} s, "
          f"effective rank {spectrum.effective_rank:.3f}")  # fmt: skip


def fitting() -> None:
    print(
        f"Fitting {FITTED}² matrices at the storage of a rank-{RANK} factorization; relative error"
    )
    print(f"{'matrix':<26}{'low rank':>10}{'HODLR':>10}{'Monarch':>10}{'tiling':>10}{'multilevel':>12}"
          f"{'shared':>10}{'gain':>7}")  # fmt: skip
    budget = 2 * FITTED * RANK
    for d in (2, 3):
        points = np.random.default_rng(0).random((FITTED, d))
        distance = np.linalg.norm(points[:, None] - points, axis=2)
        tree = kd_tree(points, 16)
        matrices = {
            f"exp(-(r/0.2)²), {d}-D": np.exp(-((distance / 0.2) ** 2)),
            f"exp(-r), {d}-D": np.exp(-distance),
            f"distance, {d}-D": distance,
        }
        for name, a in matrices.items():
            norm = float(np.linalg.norm(a))
            in_order = a[np.ix_(tree.order, tree.order)]
            plain = float(np.linalg.norm(np.linalg.svd(a, compute_uv=False)[RANK:])) / norm
            tiled = most_accurate(a, budget=budget, rows=tree).error / norm
            summed = multilevel(a, budget=budget, rows=tree).error
            shared = shared_bases(a, budget=budget, rows=tree).error
            rivals = (plain, hodlr_error(in_order, budget) / norm, monarch_error(in_order) / norm)
            print(f"{name:<26}{rivals[0]:>10.4f}{rivals[1]:>10.4f}{rivals[2]:>10.4f}{tiled:>10.4f}"
                  f"{summed:>12.4f}{shared:>10.4f}{plain / min(tiled, summed, shared):>6.1f}x",
                  flush=True)  # fmt: skip


def hodlr_error(a: np.ndarray, budget: int) -> float:
    """The best HODLR: any depth, dense diagonal blocks, ranks where they lower the error most."""
    n, best = len(a), math.inf
    for levels in range(1, 9):
        edges = np.linspace(0, n, 2**levels + 1).astype(int)
        left = budget - int(np.sum(np.diff(edges) ** 2))
        if left < 0:
            continue
        worth, cost = [], []
        for level in range(1, levels + 1):
            own = edges[:: 2 ** (levels - level)]
            for i in range(0, len(own) - 1, 2):
                top, middle, bottom = own[i : i + 3]
                for block in (a[top:middle, middle:bottom], a[middle:bottom, top:middle]):
                    s = np.linalg.svd(block, compute_uv=False)
                    worth.append(s**2 / sum(block.shape))
                    cost.append(np.full(len(s), float(sum(block.shape))))
        worths, costs = np.concatenate(worth), np.concatenate(cost)
        order = np.argsort(-worths)
        dropped = order[np.cumsum(costs[order]) > left]
        best = min(best, math.sqrt(float(np.sum(worths[dropped] * costs[dropped]))))
    return best


def monarch_error(a: np.ndarray) -> float:
    """b × b blocks of one rank each, in the tree's order or strided as Monarch matrices have it."""
    n, best = len(a), math.inf
    for blocks in (2, 4, 7, 14, 28):
        rank = RANK // blocks
        contiguous = np.linspace(0, n, blocks + 1).astype(int)[1:-1]
        for columns in (
            np.split(np.arange(n), contiguous),
            [np.arange(n)[i::blocks] for i in range(blocks)],
        ):
            squared = 0.0
            for rows in np.split(np.arange(n), contiguous):
                for own in columns:
                    s = np.linalg.svd(a[np.ix_(rows, own)], compute_uv=False)
                    squared += float(np.sum(s[rank:] ** 2))
            best = min(best, math.sqrt(squared))
    return best


def optimum() -> None:
    print("The optimum on 1,024² matrices, leaves ≥ 16 (5,461 blocks)")
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(1024))
    points = rng.random((1024, 2))
    points = points[kd_tree(points, 16).order]
    matrices = {
        "exp(-30|x-y|), 1-D": np.exp(-30 * abs(x[:, None] - x)),
        "exp(-|x-y|), 2-D": np.exp(-np.linalg.norm(points[:, None] - points, axis=2)),
        "noise": rng.standard_normal((1024, 1024)),
    }
    for name, a in matrices.items():
        for tolerance in (1e-1, 1e-3):
            start = time.perf_counter()
            best = cheapest(a, tolerance=tolerance)
            seconds = time.perf_counter() - start
            proof = "proven" if best.exact else f"at least {best.lower_bound:.0f}"
            print(f"  {name:<20} tolerance {tolerance:<6g} {seconds:5.2f} s, {best.cost:>9.0f} numbers "
                  f"({proof}), {a.size / best.cost:.1f} times smaller")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
