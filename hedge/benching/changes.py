"""Two results of bench, one after the other: what became faster or slower, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hedge.benching.machine import Machine
from hedge.benching.result import BenchResult, Measurement
from hedge.benching.statistics import (
    UNSTABLE,
    Interval,
    median_ratio,
    ratio_interval,
    too_few_rounds,
)
from hedge.errors import InputError
from hedge.names import as_text

# Two runs of one file on a quiet machine can differ by some percent: where memory lies, what the clock
# does. No scatter inside a run shows that.
BETWEEN_RUNS = 0.05


@dataclass(frozen=True)
class Change:
    """A model at a batch, before and now; medians in seconds.

    speedup is the median before over that of now, with a 95 % interval from the scatter inside both
    runs. ``unstable`` says why one of them is not to be trusted.
    """

    path: str
    batch: int
    before_s: float
    now_s: float
    speedup: float
    interval: Interval
    unstable: str | None

    @property
    def verdict(self) -> Literal["faster", "slower", "the same", "unstable"]:
        """What the interval says beyond 5 %; nothing where a run was unstable."""
        if self.unstable:
            return "unstable"
        low, high = self.interval
        return (
            "faster"
            if low > 1.0 + BETWEEN_RUNS
            else "slower"
            if high < 1.0 - BETWEEN_RUNS
            else "the same"
        )


def check_comparable(
    before: BenchResult, machine: Machine, threads: int, backend: str, name: str
) -> None:
    """Raise InputError, naming ``name``, if the result was measured on another machine or otherwise.

    What one of them does not tell makes no difference.
    """
    pairs: dict[str, tuple[object, object]] = {
        "processor": (before.machine.processor, machine.processor),
        "system": (before.machine.system, machine.system),
        "cores": (before.machine.cores, machine.cores),
        "memory": (before.machine.memory_bytes, machine.memory_bytes),
        "cores allowed": (before.machine.affinity, machine.affinity),
        "governor": (before.machine.governor, machine.governor),
        "threads": (before.threads, threads),
        "backend": (before.backend, backend),
    }
    differing = [
        f"its {key} is {old}, here {new}"
        for key, (old, new) in pairs.items()
        if old is not None and new is not None and old != new
    ]
    if differing:
        raise InputError(
            f"{name}: can't be compared with: {', '.join(differing)}; --force does so all the same"
        )


def check_shared(
    before: BenchResult, models: Sequence[Path], batches: Sequence[int], name: str
) -> None:
    """Raise InputError, naming ``name``, if the result has none of these models at these batches."""
    if not {(as_text(path.name), batch) for path in models for batch in batches} & set(
        _keys(before)
    ):
        raise InputError(f"{name}: has none of these models at these batches")


def changes_since(before: BenchResult, now: BenchResult) -> tuple[Change, ...]:
    """The models and batches that both results have, in the order of now."""
    earlier = dict(zip(_numbered(_keys(before)), before.models, strict=True))
    later = zip(_numbered(_keys(now)), now.models, strict=True)
    slowdown = _slowdown(before, now)
    return tuple(_change(earlier[key], new, slowdown) for key, new in later if key in earlier)


def _keys(result: BenchResult) -> list[tuple[str, int]]:
    return [(one.path, one.batch) for one in result.models]


def _numbered(keys: Iterable[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Each name and batch with how often it came before: a/m.onnx and b/m.onnx are two models."""
    seen: Counter[tuple[str, int]] = Counter()
    found = []
    for key in keys:
        found.append((*key, seen[key]))
        seen[key] += 1
    return found


def _slowdown(before: BenchResult, now: BenchResult) -> str | None:
    """The machine's own change of speed, if it is too large for a comparison."""
    if before.loop_s is None or now.loop_s is None:
        return None
    change = now.loop_s / before.loop_s - 1.0
    return (
        f"a fixed loop took {change:+.0%} of time against before"
        if abs(change) > UNSTABLE
        else None
    )


def _change(old: Measurement, new: Measurement, slowdown: str | None) -> Change:
    reasons = [
        f"{when}: {reason}"
        for when, one in (("before", old), ("now", new))
        for reason in (one.unstable, too_few_rounds(one.windows))
        if reason is not None
    ]
    if slowdown is not None:
        reasons.append(slowdown)
    return Change(
        path=new.path,
        batch=new.batch,
        before_s=old.median_s,
        now_s=new.median_s,
        speedup=median_ratio(old.windows, new.windows),
        interval=ratio_interval(old.windows, new.windows, paired=False),
        unstable="; ".join(reasons) or None,
    )
