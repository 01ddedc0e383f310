"""Units by powers of SI's base units, a factor and an offset, as FMI writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hedge.errors import InputError, quoted

# What pint calls the base units of SI, and the radian, with FMI's names.
BASES = {
    "kilogram": "kg", "meter": "m", "second": "s", "ampere": "A", "kelvin": "K", "mole": "mol",
    "candela": "cd", "radian": "rad",
}  # fmt: skip
# Names, products, quotients and powers by one or two digits. Longer ones, numbers to the power of numbers and
# powers of powers keep pint busy for long.
WRITTEN = re.compile(r"[\w°%µμΩ*/^·.()\- ]{1,60}")
POWER = re.compile(r"(?:\*\*|\^) *(?:[+-]?\d{1,2}|\( *[+-]?\d{1,2} *\))(?![\w.]| *\*\*| *\^)")
UNREAD_POWER = re.compile(r"\*\*|\^")
NUMBER = re.compile(r"(?<![\w.])(?!1(?![\w.]))\.?\d")  # but 1
LARGEST_POWER = 99
# What texts of ASCII have in place of it; pint reads both.
ASCII = {
    "\u0394": "delta_", "\u00b5": "u", "\u03bc": "u", "\u00b0": "deg", "\u03a9": "ohm", "\u2126": "ohm",
    "\u00c5": "angstrom", "\u212b": "angstrom", "\u00b7": "*", "\u00b2": "^2", "\u00b3": "^3",
}  # fmt: skip

# A value far enough from 0 for an offset to take few digits of the factor.
FAR = 256.0


@dataclass(frozen=True)
class BaseUnit:
    """A value v of the unit is ``factor v + offset`` in SI's base units with these exponents."""

    exponents: Mapping[str, int]
    factor: float
    offset: float


def base_unit(unit: str) -> BaseUnit:
    """What a unit is in SI's base units, radian counted among them.

    >>> base_unit("km/h").exponents, round(base_unit("degC").offset, 2)
    ({'m': 1, 's': -1}, 273.15)

    Raises InputError for a unit that is unknown, is no multiple (decibels), or has a base or a power that
    FMI can't write.
    """
    refusal = InputError(
        f"units: {quoted(unit)} is no unit by SI's base units; give one such as m/s, Pa or degC, or 1"
    )
    plain = ascii_unit(unit)
    bare = POWER.sub("", plain)
    if not (WRITTEN.fullmatch(unit) and plain.isascii()):
        raise refusal
    if UNREAD_POWER.search(bare) or NUMBER.search(bare):
        raise refusal
    registry = _registry()
    try:
        known = registry.Unit(plain)
        values = [registry.Quantity(v, known).to_base_units() for v in (0.0, 1.0, FAR)]
        offset, near, far = (float(value.magnitude) for value in values)
        powers = {BASES[str(base)]: power for base, power in values[0].unit_items()}
    except Exception as error:  # pint lets those of its parser and of arithmetic out, too
        raise refusal from error
    exponents = {base: int(power) for base, power in powers.items()}
    factor = float(f"{(far - offset) / FAR:.15g}") if offset else near
    is_linear = math.isclose(near, factor + offset, rel_tol=1e-9)  # decibels are not
    if not is_linear or not 0.0 < factor < math.inf:
        raise refusal
    if any(
        exponents[base] != power or abs(power) > LARGEST_POWER for base, power in powers.items()
    ):
        raise refusal
    return BaseUnit(exponents, factor, offset)


def ascii_unit(unit: str) -> str:
    """The same unit in ASCII, for C and what is made of it.

    >>> ascii_unit("\u00b5m/s\u00b2"), ascii_unit("\u00b0C")
    ('um/s^2', 'degC')
    """
    return "".join(ASCII.get(c, c) for c in unit)


@cache
def _registry() -> Any:
    """All units that pint knows; takes 0.3 s, for which only who gives a unit waits."""
    from pint import UnitRegistry

    return UnitRegistry(cache_folder=None)
