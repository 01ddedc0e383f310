"""What a call of exported C costs: counts of what its loops do, times a figure each.

A call of n rows is n // TILE tiles of rows, and the rest row by row. :func:`counted` says how often each
figure of ``[runtime.row]`` and of ``[runtime.tile]`` counts; predictions sum, calibration solves for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hedge.devices.profile import CLoops, CRuntime
from hedge.devices.work import FUSED, Count, Pass, Product, Work
from hedge.ops import op_of

# Rows that NAME_eval_batch computes at once: a few vector registers of any processor.
TILE = 16
Counts = Mapping[str, Count]
"""How often each figure counts, by its name in a profile; functions by the name of their op."""

# Blocks of outputs, the largest first: of a row whose vectors hold so many floats, and of a tile.
EIGHTS = 8
# Outputs of a product that lie within 4 KiB in a tile, of 64 bytes each.
NEAR = 64
MOST_LANES = 8
TILE_BLOCKS = {"eights": EIGHTS, "four": 4, "single": 1}
# Steps, and numbers per number, of ops that C writes as several smaller ones.
WRITTEN_OUT = {"LayerNormalization": (5, 6)}
# Functions by those that most of their time goes to, where these are others than a profile of
# onnxruntime would say.
SIMILAR = {"QuickGelu": "Sigmoid", "Swish": "Sigmoid"}


@dataclass(frozen=True)
class Counted:
    """What one call counts: by the figures of a row, and by those of a tile."""

    row: Counts
    tile: Counts


def row_blocks(lanes: int) -> dict[str, int]:
    """Outputs of the blocks of a product in a row, by figure, for vectors of so many floats.

    A row uses vectors of at most MOST_LANES.
    """
    lanes = min(lanes, MOST_LANES)
    vectors = {"vector": lanes} if lanes > 1 else {}
    return {"eights": EIGHTS * lanes, **vectors, "four": 4, "single": 1}


def counted(work: Work, lanes: int) -> Counted:
    """How often each figure counts in one call, the calls themselves included.

    >>> from hedge.devices.work import gemm_work, pass_work
    >>> found = counted((gemm_work(17, 13, 2) + pass_work("Gemm+Tanh", 1, 17 * 13)).at(17), lanes=4)
    >>> found.row["vector"], found.row["single"], found.row["Tanh"], found.tile["eights"]
    (6.0, 2.0, 13.0, 2.0)
    """
    tiles, rest = divmod(work.batch, TILE)
    return Counted(
        _times(rest, _of_a_row(work, lanes, tiled=False)),
        _times(tiles, _of_a_row(work, lanes, tiled=True)),
    )


def c_seconds(runtime: CRuntime, work: Work) -> Count:
    """What is done in a call, without the calls themselves."""
    found = counted(work, runtime.lanes)
    return _seconds(runtime.row, found.row) + _seconds(runtime.tile, found.tile)


def c_call_seconds(runtime: CRuntime, batch: int) -> float:
    """The calls of tiles and rows themselves."""
    tiles, rest = divmod(batch, TILE)
    return rest * runtime.row.call.value + tiles * runtime.tile.call.value


def _seconds(figures: CLoops, counts: Counts) -> Count:
    """The sum of counts times figures, but for the calls."""
    return sum(
        number * figure_of(figures, name) for name, number in counts.items() if name != "call"
    )


def figure_of(figures: CLoops, name: str) -> float:
    """Seconds of what counts under this name; of a function, of itself, of one alike, or of any."""
    if name in figures.names:
        return float(getattr(figures, name).value)
    similar = SIMILAR.get(name) or op_of(name).cost
    found = figures.functions.get(name) or figures.functions.get(similar) or figures.function
    return found.value


def _times(count: int, counts: Mapping[str, Count]) -> Counts:
    return {name: count * number for name, number in counts.items()}


def _of_a_row(work: Work, lanes: int, *, tiled: bool) -> dict[str, Count]:
    """What is done for one row, or for one row of each of a tile's at once."""
    found: dict[str, Count] = {"call": 1}
    for product in work.products:
        _add(found, _product_counts(product, work.batch, lanes, tiled=tiled))
    for one in work.passes:
        _add(found, _pass_counts(one, work.batch, tiled=tiled))
    return found


def _add(found: dict[str, Count], more: Mapping[str, Count]) -> None:
    for name, number in more.items():
        found[name] = found.get(name, 0) + number


def _product_counts(product: Product, batch: int, lanes: int, *, tiled: bool) -> dict[str, Count]:
    """The bias or zeros that it starts from, its blocks, and of int8 the scales that follow."""
    rows, outputs = product.rows, product.columns
    if product.turned:
        rows, outputs = outputs, rows
    products = product.count * rows / batch
    is_int8 = product.stored == "int8"
    found = {
        "product": products,
        "step": 1 + is_int8,
        "number": (1 + is_int8) * products * outputs,
    }
    if product.stored != "float32":
        found[product.stored] = products * outputs * product.depth
        if not tiled:  # in loops over the outputs in place of blocks
            return {**found, "narrow": products * product.depth}
    if tiled:
        found["wide"] = products * outputs * (outputs > NEAR)
    left = outputs
    for name, size in (TILE_BLOCKS if tiled else row_blocks(lanes)).items():
        found[name] = products * (left // size) * product.depth
        left = left % size
    return found


def _pass_counts(one: Pass, batch: int, *, tiled: bool) -> dict[str, Count]:
    """A loop over numbers; none where they only move."""
    name = one.op.removeprefix(FUSED)
    op = op_of(name)
    if op.kind in ("moving", "of shapes") or name in ("Cast", "Transpose of rows"):
        return {}
    steps, numbers = WRITTEN_OUT.get(name, (1, 1))
    if op.transcendental:
        latency = {} if tiled or name != "Tanh" else {"latency": 1}
        return {"step": steps, name: one.written / batch, **latency}
    made = one.read if op.kind == "reducing" else one.written
    return {"step": steps, "number": numbers * made / batch}
