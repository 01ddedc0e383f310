"""Drawings of the matrices before and after, and of which layer the error comes from."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from hedge.compression import Plan, SitePlan
from hedge.graph import BlockLayout, Factors, Hierarchy, Partition, Structure
from hedge.reporting.contents import Contents, Model
from hedge.reporting.numbers import UNKNOWN, count, error, quantity
from hedge.reporting.parts import Bar, Cell, Drawing, Gallery, Part, Section, Text, table
from hedge.reporting.svg import drawing, line, markup, path, rectangle, text, titled

SIDE = 92.0  # the longest side of all matrices of a model
GAP, BETWEEN_FACTORS = 40.0, 6.0
LEAST = 2.5  # a side that would be thinner is drawn as thick as this
TOP, LEAST_HEIGHT = 16.0, 14.0
ACROSS = 3 * SIDE + 30
MOST_LABELLED = 40  # blocks up to which ranks are written into them
MOST_CUT, MOST_DRAWN = 16, 512  # blocks a side up to which lines part them, and they are drawn
MOST_IN_TREE = 4096  # leaves of any shapes up to which they are drawn


def structures(contents: Contents) -> Section | None:
    """A drawing for every site of every compressed model."""
    parts: list[Part] = []
    for model, plan in contents.compressed:
        parts.append(Text(_told(model, plan)))
        longest = max((max(s.dense_outputs, s.dense_inputs) for s in plan.sites), default=1)
        scale = SIDE / max(longest, 1)
        parts.append(Gallery(tuple(site_figure(site, scale) for site in plan.sites), width=15))
    return Section("structure", "Block structure", tuple(parts)) if parts else None


def _told(model: Model, plan: Plan) -> str:
    return (
        f"{model.label}: the matrix of each layer in the dense model, and beside it, to the same "
        "scale, what it became. Solid is dense, hatched is low rank."
    )


def site_figure(site: SitePlan, scale: float) -> Drawing:
    """The matrix before and after, a row or column of it ``scale`` units wide."""
    before, after = f"{site.dense_outputs} × {site.dense_inputs}", _words(site)
    height, width = _sides(site.dense_outputs, site.dense_inputs, scale)
    drawn = drawing(
        TOP + max(height, LEAST_HEIGHT), f"{site.name}: {before} became {after}", ACROSS
    )
    text(drawn, 0, 10, before, "tick")
    rectangle(drawn, 0, TOP, width, height, "before")
    start = SIDE + GAP
    middle = TOP + max(height, LEAST_HEIGHT) / 2
    line(drawn, SIDE + 10, middle, start - 12, middle, "arrow")
    tip = [(start - 16, middle - 4), (start - 10, middle), (start - 16, middle + 4)]
    path(drawn, tip, "arrow", closed=False)
    _draw(drawn, site, start, scale)
    dense_numbers = site.dense_outputs * (site.dense_inputs + 1)
    caption = (
        f"{site.name}: {after}; {count(dense_numbers)} → {count(site.parameters)} parameters. "
        f"{site.reason[:1].upper()}{site.reason[1:]}."
    )
    return Drawing(markup(drawn), caption)


def _words(site: SitePlan) -> str:
    shape = f"{site.outputs} × {site.inputs}"
    match site.structure:
        case Factors(rank=None):
            shape += ", dense"
        case Factors(rank=rank):
            shape += f" of rank {rank}"
        case BlockLayout(leaves=leaves, rank=rank):
            shape += f" in {leaves} × {leaves} blocks, off-diagonal rank {rank}"
        case Partition(tree=tree) | Hierarchy(tree=tree):
            shape += f" in {_blocks(len(tree))}"
        case other:
            shape += f", {other.label}"
    return shape if site.precision == "float32" else f"{shape}, {site.precision}"


def _draw(parent: Element, site: SitePlan, x: float, scale: float) -> None:
    height, width = _sides(site.outputs, site.inputs, scale)
    match site.structure:
        case Factors(rank=None):
            text(parent, x, 10, f"{site.outputs} × {site.inputs}", "tick")
            rectangle(parent, x, TOP, width, height, "dense")
        case Factors(rank=int(rank)):
            _draw_factors(parent, site, rank, x, scale)
        case BlockLayout() as layout:
            _draw_blocks(parent, layout, x, scale)
        case other:
            _draw_leaves(parent, other, x, scale)


def _draw_factors(parent: Element, site: SitePlan, rank: int, x: float, scale: float) -> None:
    """U (m, k) and Vᵀ (k, n) of a low-rank matrix."""
    height, thickness = _sides(site.outputs, rank, scale)
    _, width = _sides(rank, site.inputs, scale)
    text(parent, x, 10, f"{site.outputs} × {rank} · {rank} × {site.inputs}", "tick")
    rectangle(parent, x, TOP, thickness, height, "lowrank")
    rectangle(parent, x + thickness + BETWEEN_FACTORS, TOP, width, thickness, "lowrank")


def _draw_blocks(parent: Element, layout: BlockLayout, x: float, scale: float) -> None:
    """Dense leaves on the diagonal; off it low rank, all blocks with shared bases."""
    height, width = _sides(layout.outputs, layout.inputs, scale)
    leaves = layout.leaves
    text(parent, x, 10, f"{leaves} × {leaves} blocks, rank {layout.rank}", "tick")
    rectangle(parent, x, TOP, width, height, "lowrank")
    if leaves > MOST_DRAWN:
        line(parent, x, TOP, x + width, TOP + height, "diagonal")
        return
    rows, columns = height / leaves, width / leaves
    for i in range(leaves):
        if i > 0 and leaves <= MOST_CUT:
            line(parent, x + i * columns, TOP, x + i * columns, TOP + height, "cut")
            line(parent, x, TOP + i * rows, x + width, TOP + i * rows, "cut")
    for i in range(leaves):
        rectangle(parent, x + i * columns, TOP + i * rows, columns, rows, "dense")


def _draw_leaves(parent: Element, structure: Structure, x: float, scale: float) -> None:
    ranks = [block.rank for block in structure.blocks for _ in range(block.count)]
    told = f"{structure.outputs} × {structure.inputs}, {_blocks(len(ranks))}"
    text(parent, x, 10, told, "tick")
    if len(ranks) > MOST_IN_TREE:
        height, width = _sides(structure.outputs, structure.inputs, scale)
        rectangle(parent, x, TOP, width, height, "lowrank")
        return
    for (rows, columns), rank in zip(structure.rectangles, ranks, strict=True):
        (top, bottom), (start, stop) = (rows.start, rows.stop), (columns.start, columns.stop)
        left, upper = x + start * scale, TOP + top * scale
        width, height = (stop - start) * scale, (bottom - top) * scale
        kind = "dense" if rank is None else "lowrank"
        block = rectangle(parent, left, upper, max(width, LEAST), max(height, LEAST), kind)
        place = f"rows {top} to {bottom}, columns {start} to {stop}"
        titled(block, f"{place}: {'dense' if rank is None else f'rank {rank}'}")
        if rank is not None and len(ranks) <= MOST_LABELLED and min(width, height) > 9:
            text(parent, left + width / 2, upper + height / 2 + 3, str(rank), "inside", "middle")


def _blocks(count: int) -> str:
    return "1 block" if count == 1 else f"{count} blocks"


def _sides(outputs: int, inputs: int, scale: float) -> tuple[float, float]:
    return max(outputs * scale, LEAST), max(inputs * scale, LEAST)


def layers(contents: Contents) -> Section | None:
    """A table for every compressed model, with shares of the error as bars."""
    parts: list[Part] = []
    for model, plan in contents.compressed:
        parts.append(_table(model, plan))
        if plan.no_shares:
            parts.append(Text(f"Shares of the error: {plan.no_shares}."))
        if plan.removed:
            parts.append(Text(f"Removed with their layers: {', '.join(plan.removed)}."))
        parts += [Text(f"Left alone: {reason}.") for reason in plan.left_alone]
    return Section("layers", "Error by layer", tuple(parts)) if parts else None


def _table(model: Model, plan: Plan) -> Part:
    bounded = any(site.frobenius_bound for site in plan.sites)
    return table(
        f"{model.label}: each layer's part of the squared error, to first order, its parameters, and "
        f"what its nodes add to a call of {count(plan.batch)} rows on {plan.device}"
        + ("; ‖W − H‖ is the Frobenius norm, beside its bound by Theorem 1" if bounded else ""),
        [{**_cells(site), **(_bound(site) if bounded else {})} for site in plan.sites],
    )


def _cells(site: SitePlan) -> dict[str, Cell]:
    share = site.error_share
    return {
        "layer": site.name,
        "share of the error": UNKNOWN if share is None else Bar(share, f"{share:.0%}"),
        "dense": count(site.dense_outputs * (site.dense_inputs + 1)),
        "parameters": count(site.parameters),
        "predicted, dense": quantity(site.dense_predicted_s, "s"),
        "predicted": quantity(site.predicted_s, "s"),
    }


def _bound(site: SitePlan) -> dict[str, Cell]:
    bound = site.frobenius_bound
    told = UNKNOWN if bound is None else f"≤ {error(bound)}"
    return {"‖W − H‖": error(site.frobenius_error), "bound": told}
