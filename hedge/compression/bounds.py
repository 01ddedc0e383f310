"""What is missed at least, told from a few samples of what a matrix writes, before anything is decomposed.

With λ_i the eigenvalues of the covariance S of what is written, the best approximation of rank k misses
Σ_{i>k} λ_i. That of the samples is less on average, for they vary in no more directions than there are of
them. Of higher ranks it is at least tr S − √(k tr S²), by Cauchy and Schwarz, and both traces need no S: the
first is the mean square of a sample, the second that of the inner product of two.
"""

from __future__ import annotations

import numpy as np

from hedge.arrays import Array
from hedge.graph import BlockLayout
from hedge.hmatrix import tails_squared

# What misses so many times the squared error that need not be improved on, ten times the tolerance by one
# layer alone, is not looked for.
FAR = 1e4
# Of a layout that is, so many times: ranks that miss twice the tolerance in the rows looked at are left out.
TOO_FAR = 400.0
# Matrices with a shorter side are decomposed at once; of layouts so many rows of blocks are looked at.
LEAST_SIDE, LOOKS = 1024, 4
# Samples that are looked at, and without how many nothing is told.
SAMPLES, LEAST_SAMPLES = 1024, 512


def can_tell(shape: tuple[int, int], samples: int) -> bool:
    """Whether it pays to look at a matrix, and the samples are enough to."""
    return min(shape) >= LEAST_SIDE and samples >= LEAST_SAMPLES


def least_of_rank(products: Array, rank: int) -> float:
    """What the best approximation of a rank misses at least, squared.

    products (N, N) are the inner products of N samples of what is written, centred, as it is felt.
    """
    count, own = len(products), products.diagonal()
    pairs = float(np.vdot(products, products) - np.vdot(own, own)) / (count * (count - 1))
    by_pairs = float(own.mean()) - float(np.sqrt(rank * pairs))
    sampled = float(np.linalg.eigvalsh(products)[: max(count - rank, 0)].sum()) / count
    return max(by_pairs, sampled, 0.0) * count / (count - 1)


def least_of_blocks(read: Array, written: Array, metric: Array, layout: BlockLayout) -> Array:
    """What any blocks of a layout miss at least in LOOKS rows of blocks, squared, by rank: (rank + 1,).

    read (N, n_in) and written (N, n_out) are centred, metric is B (n_out, n_out), or its diagonal (n_out,). A
    row reads its own leaf as it is, and of all others some numbers, the layout's rank: so what its own leaf
    tells is taken out, by least squares, and its rank is left for the rest. Exact if B couples no blocks.
    """
    (height, width), total = layout.leaf, np.zeros(layout.rank + 1)
    for i in np.unique(np.linspace(0, layout.leaves - 1, LOOKS).round().astype(int)):
        own, known = slice(i * height, (i + 1) * height), read[:, i * width : (i + 1) * width]
        free = len(read) - 1 - known.shape[1]
        if 2 * free < len(read):
            continue
        told = np.linalg.lstsq(known, written[:, own], rcond=None)[0]
        rest = written[:, own] - known @ told
        if metric.ndim == 2:
            values, vectors = np.linalg.eigh(metric[own, own])
            felt = rest @ (vectors * np.sqrt(np.maximum(values, 0.0)))
        else:
            felt = rest * np.sqrt(metric[own])
        missed = tails_squared(np.linalg.svd(felt, compute_uv=False))[: layout.rank + 1] / free
        total[: len(missed)] += missed
    return total
