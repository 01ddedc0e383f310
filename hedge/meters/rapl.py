"""RAPL, the energy counters of Intel's and AMD's processors, under ``class/powercap``.

https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hedge.errors import MeterError
from hedge.meters.files import number_of, text_of
from hedge.meters.meter import Reading

MICRO = 1e-6
PACKAGE_IDS = "devices/system/cpu/cpu*/topology/physical_package_id"


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
        """The sum of the counters' differences, each of which may have wrapped once.

        Raises MeterError if a counter went back without wrapping, as at a suspend or a new driver: that
        looks like more than half a range at once.
        """
        counters = zip(before, after, self.ranges_j, strict=True)
        differences = [((b - a) % limit, limit) for a, b, limit in counters]
        if any(2 * difference > limit for difference, limit in differences):
            raise MeterError(f"energy: {self.source} jumped back; measure again")
        return sum(difference for difference, _ in differences)


def find_rapl(sys: Path) -> RaplMeter | None:
    """The packages of this machine; None if it has none.

    Raises MeterError if a package does not tell where its counter wraps, or not all packages are seen.
    """
    zones = {path: _name(path) for path in sorted((sys / "class/powercap").glob("intel-rapl:*"))}
    packages = tuple(path for path, name in zones.items() if name.startswith("package"))
    if not packages:
        return None
    processors = {text_of(path) for path in sys.glob(PACKAGE_IDS)}
    if len(packages) < len(processors):
        raise MeterError(
            f"energy: RAPL tells of {len(packages)} of {len(processors)} processor packages, a part "
            "that is not taken for the whole; run it outside a container, or leave out --energy"
        )
    ranges = tuple(MICRO * _positive(path / "max_energy_range_uj") for path in packages)
    return RaplMeter(packages, ranges)


def _name(zone: Path) -> str:
    """What a zone counts; AMD's have the same names."""
    name = text_of(zone / "name")
    if name is None:
        raise MeterError(
            f"energy: {zone / 'name'} can't be read, and a part may not be taken for the whole; "
            "run as root, or leave out --energy"
        )
    return name


def _positive(path: Path) -> float:
    number = number_of(path)
    if not number > 0:
        raise MeterError(f"energy: {path} can't be right ({number:g}); leave out --energy")
    return number
