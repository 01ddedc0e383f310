"""What a call of C costs: counts by hand, prices by counts."""

from __future__ import annotations

import numpy as np
import pytest

from hedge.devices import (
    Work,
    gemm_work,
    marginal_seconds,
    pass_work,
    predicted_seconds,
    product_work,
)
from hedge.devices.c_cost import counted
from hedge.graph import BlockLayout, assemble, graph_work, split, stored_as
from tests.conftest import random_mlp
from tests.devices.c_profile import FUNCTIONS, LATENCY, NARROW, ROW, SLOWER, c_device

DEVICE = c_device(lanes=8)


def test_a_product_is_blocks_of_vectors_and_what_is_left() -> None:
    outputs, inputs = 2 * 64 + 5 * 8 + 1 * 4 + 3, 7
    found = counted(gemm_work(1, outputs, inputs).at(1), lanes=8)
    assert found.row == {
        "call": 1, "product": 1, "step": 1, "number": outputs,
        "eights": 2 * 7, "vector": 5 * 7, "four": 7, "single": 3 * 7,
    }  # fmt: skip
    assert set(found.tile.values()) == {0}
    assert "vector" not in counted(gemm_work(1, 12, inputs).at(1), lanes=1).row


@pytest.mark.parametrize(
    ("batch", "tiles", "rows"), [(1, 0, 1), (15, 0, 15), (16, 1, 0), (50, 3, 2)]
)
def test_a_batch_is_tiles_and_rows(batch: int, tiles: int, rows: int) -> None:
    work = (gemm_work(batch, 13, 3) + pass_work("Gemm+Tanh", 1, 13 * batch)).at(batch)
    found = counted(work, lanes=8)
    assert (found.row["call"], found.tile["call"]) == (rows, tiles)
    assert (found.row["vector"], found.row["four"], found.row["single"]) == (
        3 * rows,
        3 * rows,
        3 * rows,
    )
    assert (found.tile["eights"], found.tile["four"]) == (3 * tiles, 3 * tiles)
    assert (found.row["Tanh"], found.tile["Tanh"]) == (13 * rows, 13 * tiles)
    row = (
        ROW["call"] + ROW["product"] + 3 * (ROW["vector"] + ROW["four"] + ROW["single"])
        + 2 * ROW["step"] + 13 * ROW["number"] + 13 * FUNCTIONS["Tanh"] + LATENCY
    )  # fmt: skip
    tile = SLOWER * (
        ROW["call"] + ROW["product"] + 3 * (ROW["eights"] + ROW["four"] + ROW["single"])
        + 2 * ROW["step"] + 13 * ROW["number"] + 13 * FUNCTIONS["Tanh"]
    )  # fmt: skip
    assert predicted_seconds(DEVICE, work) == pytest.approx(rows * row + tiles * tile, rel=1e-12)
    calls = rows * ROW["call"] + tiles * SLOWER * ROW["call"]
    assert marginal_seconds(DEVICE, work) + calls == pytest.approx(predicted_seconds(DEVICE, work))


def test_moving_numbers_is_free_and_the_rest_is_counted_by_what_it_is() -> None:
    for op in (
        "Concat",
        "Slice",
        "Reshape",
        "Transpose",
        "Transpose of rows",
        "Gather",
        "Pad",
        "Cast",
    ):
        assert marginal_seconds(DEVICE, pass_work(op, 10, 10)) == 0.0
    known = {
        "Neg": 5 * ROW["number"], "Gemm+Relu": 5 * ROW["number"], "Sin": 5 * FUNCTIONS["Sin"],
        "Cos": 5 * FUNCTIONS["Sin"], "Exp": 5 * ROW["function"], "QuickGelu": 5 * ROW["function"],
    }  # fmt: skip
    for op, seconds in known.items():
        found = marginal_seconds(DEVICE, pass_work(op, 1, 5))
        assert found == pytest.approx(ROW["step"] + seconds, rel=1e-12), op
    summed = marginal_seconds(DEVICE, pass_work("ReduceSum", 1, 1, read=9))
    assert summed == pytest.approx(ROW["step"] + 9 * ROW["number"])


def test_narrow_weights_are_widened_and_scaled() -> None:
    half, int8 = (
        float(marginal_seconds(DEVICE, gemm_work(1, 20, 30).at(1, stored)))
        for stored in ("float16", "int8")
    )
    started = ROW["product"] + ROW["step"] + 20 * ROW["number"] + 30 * NARROW
    assert half == pytest.approx(started + 600 * ROW["float16"])
    scaled = ROW["step"] + 20 * ROW["number"]
    assert int8 == pytest.approx(started + 600 * ROW["int8"] + scaled)
    plain, half = (
        float(marginal_seconds(DEVICE, gemm_work(16, 20, 30).at(16, stored)))
        for stored in ("float32", "float16")
    )
    assert half - plain == pytest.approx(SLOWER * 600 * ROW["float16"])


@pytest.mark.parametrize(("outputs", "wide"), [(64, 0), (65, 65)])
def test_outputs_that_lie_far_apart_in_a_tile_are_wide(outputs: int, wide: int) -> None:
    assert counted(gemm_work(16, outputs, 3).at(16), lanes=8).tile["wide"] == wide


def test_many_sizes_are_counted_at_once() -> None:
    widths = np.arange(1, 200)
    for batch in (1, 37):
        together = marginal_seconds(DEVICE, gemm_work(batch, widths, widths[::-1]).at(batch))
        alone = [
            marginal_seconds(DEVICE, gemm_work(batch, int(n), int(k)).at(batch))
            for n, k in zip(widths, widths[::-1], strict=True)
        ]
        np.testing.assert_allclose(together, alone)


def test_turned_products_are_those_of_a_row() -> None:
    batch = 5
    turned = product_work(12, batch, 7, 3, turned=True).at(batch)
    straight = product_work(batch, 12, 7, 3).at(batch)
    assert counted(turned, 8) == counted(straight, 8)
    assert counted(turned, 8).row["vector"] == 3 * 7 * batch


def test_parts_of_a_call_sum_to_it() -> None:
    parts = [gemm_work(40, 10, 10), pass_work("Gemm+Tanh", 1, 400), gemm_work(40, 1, 10)]
    whole = sum(parts, Work()).at(40)
    assert marginal_seconds(DEVICE, whole) == pytest.approx(
        sum(marginal_seconds(DEVICE, part.at(40)) for part in parts)
    )


@pytest.mark.parametrize("batch", [1, 64])
def test_a_graph_counts_what_its_layers_do(batch: int) -> None:
    model = random_mlp([2, 9, 20, 1])
    found = graph_work(model, batch)
    assert found.batch == batch
    layers = [(9, 2), (20, 9), (1, 20)]
    expected = sum((gemm_work(batch, n, k) for n, k in layers), Work())
    expected += pass_work("Gemm+Tanh", 1, batch * 9) + pass_work("Gemm+Tanh", 1, batch * 20)
    assert predicted_seconds(DEVICE, found) == pytest.approx(
        predicted_seconds(DEVICE, expected.at(batch))
    )


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "int8"])
def test_a_graph_knows_in_which_type_its_weights_lie(precision: str) -> None:
    parts = split(random_mlp([2, 9, 20, 1]))
    matrices = {s.name: stored_as(s.matrix, precision) for s in parts.sites}
    works = graph_work(assemble(parts.skeleton, matrices), 1)
    assert [product.stored for product in works.products] == [precision] * 3


def test_blocks_are_the_products_that_c_runs() -> None:
    layout = BlockLayout(64, 64, 4, 2)
    assert layout.joins_coupling
    found = counted(layout.work_in_c(1).at(1), lanes=8).row
    assert found["product"] == 4 + 1 + 4
    assert found["eights"] == 0
