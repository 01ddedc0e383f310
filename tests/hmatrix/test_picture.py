"""The picture shows every leaf."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hedge.errors import InputError
from hedge.hmatrix import HMatrix, build, in_given_order, multilevel, plot, weak
from hedge.paper import adaptive
from tests.hmatrix.gallery import kinked, noise

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


def examples() -> dict[str, HMatrix]:
    tree = in_given_order(64, 8)
    return {
        "hodlr": build(kinked(64, 64), tolerance=0.01, rows=tree, admissible=weak, coarsen=False),
        "wide": build(kinked(37, 91), tolerance=0.1, rows=in_given_order(37, 5)),
        "flat": build(noise(1, 300), tolerance=0.1),
        "tall": build(noise(300, 2), tolerance=0.1),
        "1 × 1": build([[1.0]], tolerance=0.1),
        "zero": build(np.zeros((20, 20)), tolerance=0.1),
        "overlapping": multilevel(kinked(64, 64), budget=1500).matrix,
    }


@pytest.mark.parametrize("name", examples())
def test_there_is_a_rectangle_for_each_leaf_and_a_rank_for_each_of_low_rank(
    name: str, tmp_path: Path
) -> None:
    h = examples()[name]
    axes = plot(h)
    drawn = sorted((p.get_y(), p.get_x(), p.get_height(), p.get_width()) for p in axes.patches)
    assert drawn == sorted((leaf.top, leaf.start, *leaf.shape) for leaf in h.leaves)
    ranks = sorted(text.get_text() for text in axes.texts)
    assert ranks == sorted(str(leaf.rank) for leaf in h.leaves if not leaf.is_dense)
    assert axes.get_xlim() == (0, h.shape[1])
    assert axes.get_ylim() == (h.shape[0], 0)
    assert f"{h.shape[0]} × {h.shape[1]}" in axes.get_title()
    axes.figure.savefig(tmp_path / "blocks.png")
    assert (tmp_path / "blocks.png").read_bytes().startswith(b"\x89PNG")


def test_dense_and_low_rank_leaves_differ_in_colour() -> None:
    h = examples()["hodlr"]
    kinds = {(leaf.top, leaf.start): leaf.is_dense for leaf in h.leaves}
    colours: dict[bool, set[object]] = {True: set(), False: set()}
    for patch in plot(h).patches:
        colours[kinds[patch.get_y(), patch.get_x()]].add(patch.get_facecolor())
    assert len(colours[True]) == 1
    assert colours[False]
    assert not colours[True] & colours[False]


def test_it_draws_on_given_axes() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert plot(examples()["hodlr"], axes) is axes
    assert axes.patches


def test_ranks_are_left_out_where_there_is_no_room_for_them() -> None:
    tree = in_given_order(40, 1)
    h = adaptive(noise(40, 40), tolerance=1e-3, rows=tree)
    assert any(not leaf.is_dense for leaf in h.leaves)
    axes = plot(h)
    assert len(axes.patches) == len(h.leaves) > 400
    assert not axes.texts


def test_without_matplotlib_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [m for m in sys.modules if m.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'hedge-pinn\[report\]'") as caught:
        plot(examples()["1 × 1"])
    assert "\n" not in str(caught.value)
