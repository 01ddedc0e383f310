"""Diffusion on triangles: linear elements, and a rational Krylov space in which time is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import splu

from hedge.arrays import Array

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mesh:
    """Points (n, 2), Delaunay's triangles of them, and the corners (m, 3) of those in the domain."""

    points: Array
    triangles: scipy.spatial.Delaunay
    corners: Indices

    def read(self, values: Array, x: Array) -> Array:
        """Linear within triangles: values (n, k) of the points at x (q, 2) of the domain, (q, k)."""
        which = np.maximum(self.triangles.find_simplex(x, tol=1e-9), 0)
        frames = self.triangles.transform[which]
        shares = np.einsum("qij,qj->qi", frames[:, :2], x - frames[:, 2])
        shares = np.column_stack([shares, 1.0 - shares.sum(axis=1)])
        found: Array = np.einsum("qi,qik->qk", shares, values[self.triangles.simplices[which]])
        return found


def stiffness_and_mass(mesh: Mesh) -> tuple[Any, Any]:
    """∫ ∇f·∇g and ∫ f g of the linear elements, sparse (n, n)."""
    a, b, c = (mesh.points[mesh.corners[:, k]] for k in range(3))
    edges = np.stack([c - b, a - c, b - a], axis=1)
    areas = 0.5 * np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
    slopes = np.einsum("mik,mjk->mij", edges, edges) / (4.0 * areas)[:, None, None]
    shares = (np.ones((3, 3)) + np.eye(3)) / 12.0 * areas[:, None, None]
    return _assembled(mesh, mesh.corners, slopes), _assembled(mesh, mesh.corners, shares)


def edge_mass(mesh: Mesh, edges: Indices) -> Any:
    """∫ f g over edges (m, 2) of the boundary, sparse (n, n)."""
    ends = mesh.points[edges]
    lengths = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
    shares = (np.ones((2, 2)) + np.eye(2)) / 6.0 * lengths[:, None, None]
    return _assembled(mesh, edges, shares)


def outer_edges(corners: Indices) -> Indices:
    """Edges of one triangle only, (m, 2)."""
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]))
    found, counts = np.unique(edges, axis=0, return_counts=True)
    return np.asarray(found[counts == 1])


def fading(stiffness: Any, mass: Any, start: Array, shift: float, size: int) -> tuple[Array, Array]:
    """What becomes of a start (n,) with M u_t = −K u: parts (n, size) and rates (size,).

    u is the sum of parts · exp(−rates t), in the space that (M + shift K)⁻¹ M makes of the start.
    """
    solve = splu((mass + shift * stiffness).tocsc()).solve
    length = np.sqrt(start @ (mass @ start))
    basis = np.empty((len(start), size))
    basis[:, 0] = start / length
    projected = np.zeros((size, size))
    for k in range(size):
        new = solve(mass @ basis[:, k])
        for _ in range(2):  # twice is enough for rounding
            along = basis[:, : k + 1].T @ (mass @ new)
            projected[: k + 1, k] += along
            new -= basis[:, : k + 1] @ along
        if k + 1 < size:
            basis[:, k + 1] = new / np.sqrt(new @ (mass @ new))
            projected[k + 1, k] = np.sqrt(new @ (mass @ new))
    shares, vectors = linalg.eigh((projected + projected.T) / 2.0)
    return basis @ (vectors * (length * vectors[0])), (1.0 / shares - 1.0) / shift


def _assembled(mesh: Mesh, places: Indices, blocks: Array) -> Any:
    """Sums of small matrices (m, k, k) at places (m, k)."""
    k = places.shape[1]
    rows, columns = np.repeat(places, k, axis=1).ravel(), np.tile(places, (1, k)).ravel()
    n = len(mesh.points)
    return sparse.coo_matrix((blocks.ravel(), (rows, columns)), shape=(n, n)).tocsr()
