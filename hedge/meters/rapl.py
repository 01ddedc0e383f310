"""RAPL, the energy counters of Intel's and AMD's processors, under ``class/powercap``.

https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hedge.meters.files import number_of, text_of
from hedge.meters.meter import Reading

MICRO = 1e-6


@dataclass(frozen=True)
class RaplMeter:
    """The packages (sockets) of a machine, summed.

    A package holds its cores and graphics, and the domain psys holds the packages; intel-rapl-mmio is a
    second interface to the same packages. Only packages of the first are read, so nothing counts twice.
    ``ranges_j`` is where each counter starts again at zero.
    """

    packages: tuple[Path, ...]
    ranges_j: tuple[float, ...]
    source: str = "RAPL, processor packages"
    interval_s: float = 1.0  # a counter wraps after a minute at the earliest

    def read(self) -> Reading:
        """The joules that each package has counted."""
        return tuple(MICRO * number_of(path / "energy_uj") for path in self.packages)

    def joules(self, before: Reading, after: Reading, seconds: float) -> float:
        """The sum of the counters' differences, each of which may have wrapped once."""
        return sum(
            (b - a) % limit for a, b, limit in zip(before, after, self.ranges_j, strict=True)
        )


def find_rapl(sys: Path) -> RaplMeter | None:
    """The packages of this machine; None if it has none.

    Raises MeterError if a package does not tell where its counter wraps.
    """
    packages = tuple(
        path
        for path in sorted((sys / "class/powercap").glob("intel-rapl:*"))  # AMD's, too
        if (text_of(path / "name") or "").startswith("package")
    )
    if not packages:
        return None
    ranges = tuple(MICRO * number_of(path / "max_energy_range_uj") for path in packages)
    return RaplMeter(packages, ranges)
