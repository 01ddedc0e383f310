"""What compression does inside a network: figures 2b and 5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hedge.compression import parameter_count
from hedge.graph import Evaluator, Matrix, SiteMatrix, assemble
from hedge.hmatrix import cheapest, plain_spectrum, plot
from hedge.methods.paper import ALGORITHMS, partition_sites
from hedge.reproducing.drawing import COLOURS, MARKERS
from hedge.reproducing.item import Claim, Item, Items, Picture
from hedge.reproducing.making import compressed, relative_change, train
from hedge.reproducing.materials import Materials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ITEMS = Items()

EPOCH, EPOCH_WIDTH = 20, 32
WEIGHT_TOLERANCE = 0.1  # of ‖W‖_F
TOLERANCES = (1e-1, 1e-2, 1e-3)
LEAST_SHOWN = 1e-8  # of errors: layers that stay dense have none


@ITEMS("fig2b", "Weights of layer 1 at epoch 20, compressed")
def _figure_2b(m: Materials) -> Item:
    """The first hidden matrix of a Burgers network after 20 steps, and its H-matrix."""
    weight = train("burgers", EPOCH_WIDTH, EPOCH, m.seed).network.weights[1].numpy()
    best = cheapest(weight, tolerance=WEIGHT_TOLERANCE, leaf_size=4)
    h, error = best.matrix, best.error / float(np.linalg.norm(weight))
    dense = sum(leaf.is_dense for leaf in h.leaves)

    def draw(figure: Figure) -> None:
        first, second, third = figure.subplots(1, 3)
        limit = float(np.abs(weight).max())
        for axes, matrix, title in ((first, weight, "W"), (second, h.to_dense(), "H")):
            image = axes.imshow(matrix, cmap="gray", vmin=-limit, vmax=limit)
            axes.set(title=title, xlabel="input neuron", ylabel="output neuron")
        figure.colorbar(image, ax=(first, second), label="weight", shrink=0.6)
        plot(h, third)

    return Item(
        (
            Claim("structured sparsity by H-matrix compression", "shown",
                  f"{h.numbers} of {weight.size} numbers kept", h.numbers < weight.size / 2,
                  f"the fewest at ‖W − H‖_F = {error:.2g} ‖W‖_F, in {len(h.leaves)} blocks, {dense} of "
                  "them dense: after 20 steps weights are near their random start, which no block "
                  "structure fits"),
        ),
        {"weight": weight, "compressed": h.to_dense(), "leaves": len(h.leaves), "dense": dense,
         "numbers": h.numbers, "relative_error": error},
        picture=Picture("Weights of the first hidden layer at epoch 20 in grey, the same "
                          "compressed, and the blocks", draw, (10.0, 3.6)),
    )  # fmt: skip


@ITEMS("fig5", "Error through the layers, SVD and H-matrix")
def _figure_5(m: Materials) -> Item:
    """Relative error of what each layer computes, by method and tolerance."""
    case = m.burgers
    tensors = [site.output for site in case.split.sites]
    points = case.points.validation[:2048]
    wanted = Evaluator(case.dense, tensors).intermediates(points)

    def errors(matrices: Mapping[str, Matrix]) -> list[float]:
        model = assemble(case.split.skeleton, matrices)
        values = Evaluator(model, tensors).intermediates(points)
        return [relative_change(values[name], wanted[name]) for name in tensors]

    def paper(tolerance: float) -> Mapping[str, Matrix]:
        return partition_sites(case.split, m.edge, ALGORITHMS["Algorithm 4"], tolerance)

    methods: dict[str, Callable[[float], Mapping[str, Matrix]]] = {
        "SVD": partial(_truncated, case.split.matrices),
        "H-matrix (Algorithm 4)": paper,
        "hedge": lambda tolerance: compressed(case, tolerance, keep_widths=True).matrices,
    }
    made = {name: {t: method(t) for t in TOLERANCES} for name, method in methods.items()}
    found = {name: {t: errors(one) for t, one in each.items()} for name, each in made.items()}
    sizes = {name: parameter_count(each[TOLERANCES[0]]) for name, each in made.items()}

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 3, sharey=True)
        for axes, (method, curves) in zip(panels, found.items(), strict=True):
            for (tolerance, values), colour, marker in zip(
                curves.items(), COLOURS, MARKERS, strict=False
            ):
                shown = np.maximum(values, LEAST_SHOWN)
                label = f"tolerance {tolerance:g}"
                x = range(1, len(shown) + 1)
                axes.semilogy(x, shown, marker=marker, color=colour, label=label)
            axes.set(title=method, xlabel="layer")
            axes.grid(visible=True, alpha=0.3)
        panels[0].set(ylabel="relative error of the layer's result", ylim=(LEAST_SHOWN, 1.0))
        panels[0].legend(fontsize=8)

    last = {method: curves[TOLERANCES[0]][-1] for method, curves in found.items()}
    svd, hierarchical, ours = last.values()
    return Item(
        (
            Claim("SVD at tolerance 0.1 accumulates errors in deep layers", "yes",
                  f"{found['SVD'][0.1][0]:.2g} → {svd:.2g}", svd > 2.0 * found["SVD"][0.1][0],
                  "relative error of the first and of the last layer's result"),
            Claim("H-matrices keep them much lower at the same tolerance", "much lower", hierarchical,
                  hierarchical < 0.5 * svd,
                  f"{hierarchical / svd:.2g} times the error of SVD: both drop the same part of ‖W‖_F"),
            Claim("hedge at tolerance 0.1", None, ours, None,
                  "its tolerance is the output's; parameters: hedge "
                  f"{sizes['hedge']}, SVD {sizes['SVD']}, dense {parameter_count(case.split.matrices)}"),
        ),
        {"tolerances": TOLERANCES, "errors": {k: list(v.values()) for k, v in found.items()},
         "parameters": sizes},
        picture=Picture("Error of each layer's result by tolerance, for SVD, the paper's "
                          "H-matrices and hedge", draw, (9.0, 3.6)),
    )  # fmt: skip


def _truncated(dense: Mapping[str, SiteMatrix], tolerance: float) -> Mapping[str, Matrix]:
    """Every matrix at the least rank within ``tolerance`` of its norm, though that may save nothing."""
    found = {}
    for name, matrix in dense.items():
        spectrum = plain_spectrum(matrix.dense())
        tail = spectrum.tail_squared()
        rank = max(1, int(np.argmax(tail <= tolerance**2 * tail[0])))
        found[name] = SiteMatrix(spectrum.truncate(rank), matrix.bias)
    return found
