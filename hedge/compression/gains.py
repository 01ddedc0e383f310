"""What a smaller network gains over the dense one, and whether that is worth taking."""

from __future__ import annotations

from hedge.compression.case import Case, Matrices
from hedge.compression.plan import Gain
from hedge.compression.site_plan import byte_count
from hedge.devices import LEAST_GAIN
from hedge.graph import graph_work, outline


def gained(case: Case, matrices: Matrices) -> tuple[Gain, ...]:
    """Of latency, energy and size what is gained; none where the request's objective loses by it.

    A gain that is predicted counts if it is larger than the device model may be off. Without one fewer bytes
    do, if neither time nor energy is predicted to be more and no node is: the call is then no slower. Of a
    cost that is counted any gain is one.
    """
    counted = case.counted_cost
    if counted is not None:
        return (counted.name,) if case.cost(matrices) < case.dense_cost else ()
    now, before = case.seconds_and_joules(matrices), case.dense_seconds_and_joules
    predicted: dict[Gain, float] = {
        "latency": _share(now[0], before[0]), "energy": _share(now[1], before[1]),
    }  # fmt: skip
    clearly = tuple(name for name, ratio in predicted.items() if ratio < 1.0 - LEAST_GAIN)
    smaller = byte_count(matrices) < byte_count(case.whole.matrices)
    if case.request.objective in clearly:
        return (*clearly, "size") if smaller else clearly
    nodes = graph_work(outline(case.split.skeleton, matrices), case.request.batch).nodes
    no_slower = max(predicted.values()) <= 1.0 and nodes <= case.dense_nodes
    return (*clearly, "size") if smaller and no_slower else ()


def _share(now: float, before: float) -> float:
    """now / before; 1 on a device where it costs nothing, and nothing is to be gained."""
    return now / before if before > 0.0 else 1.0


def no_gain(case: Case) -> str:
    """Why the network stays as it is."""
    counted, objective = case.counted_cost, case.request.objective
    enough = (
        "" if counted else f", by {LEAST_GAIN:.0%} or more, or bytes at no more time and energy"
    )
    return (
        f"no rank or width within the tolerance gains {counted.name if counted else objective} "
        f"at batch {case.request.batch} on {case.device.name}{enough}"
    )
