"""What a smaller network gains over the dense one, and whether that is worth taking."""

from __future__ import annotations

from hedge.compression.case import Case, Matrices
from hedge.compression.plan import Gain
from hedge.compression.site_plan import byte_count
from hedge.devices import LEAST_GAIN
from hedge.graph import assemble, graph_work


def gained(case: Case, matrices: Matrices) -> tuple[Gain, ...]:
    """Of latency, energy and size what is gained; none where the request's objective loses by it.

    A gain that is predicted counts if it is larger than the device model may be off. Without one fewer bytes
    do, if neither time nor energy is predicted to be more and no node is: the call is then no slower. Of a
    cost that is counted any gain is one.
    """
    if case.counted_cost is not None:
        return ("size",) if case.cost(matrices) < case.dense_cost else ()
    dense = case.split.matrices
    now, before = case.seconds_and_joules(matrices), case.seconds_and_joules(dense)
    predicted: dict[Gain, float] = {
        "latency": now[0] / before[0],
        "energy": now[1] / before[1],
    }
    clearly = tuple(name for name, ratio in predicted.items() if ratio < 1.0 - LEAST_GAIN)
    smaller = byte_count(matrices) < byte_count(dense)
    no_slower = max(predicted.values()) <= 1.0 and _nodes(case, matrices) <= _nodes(case, dense)
    if case.request.objective in clearly or (smaller and no_slower):
        return (*clearly, "size") if smaller else clearly
    return ()


def _nodes(case: Case, matrices: Matrices) -> int:
    return graph_work(assemble(case.split.skeleton, matrices), case.request.batch).nodes


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
