"""Numbers as a reader wants them: three digits, a unit that suits, a narrow space between."""

from __future__ import annotations

import math

PREFIXES = {
    -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T",
}  # fmt: skip
NARROW_SPACE = "\u202f"
UNKNOWN = "–"
MINUS = "−"


def quantity(value: float | None, unit: str) -> str:
    """A figure with an SI prefix.

    >>> quantity(1.2345e-5, "s"), quantity(29.7e9, "flop/s"), quantity(None, "J")
    ('12.3\u202fµs', '29.7\u202fGflop/s', '–')
    """
    if value is None:
        return UNKNOWN
    scaled, prefix = _with_prefix(value)
    return f"{_three_digits(scaled)}{NARROW_SPACE}{prefix}{unit}"


def round_quantity(value: float, unit: str) -> str:
    """The same of a round figure, without the zeros behind it.

    >>> round_quantity(2e-5, "s")
    '20\u202fµs'
    """
    scaled, prefix = _with_prefix(value)
    return f"{scaled:g}{NARROW_SPACE}{prefix}{unit}"


def size(value: float) -> str:
    """Bytes in powers of 1024.

    >>> size(636), size(200196)
    ('636\u202fB', '196\u202fKiB')
    """
    for unit, step in (("MiB", 2**20), ("KiB", 2**10)):
        if value >= step:
            return f"{_three_digits(value / step)}{NARROW_SPACE}{unit}"
    return f"{value:.0f}{NARROW_SPACE}B"


def count(value: int | None) -> str:
    """A whole number with its thousands apart.

    >>> count(50049)
    '50,049'
    """
    return UNKNOWN if value is None else f"{value:,}"


def ratio(value: float | None) -> str:
    """How many times, in three digits.

    >>> ratio(6.5432), ratio(237.2)
    ('6.54', '237')
    """
    return UNKNOWN if value is None else _three_digits(value)


def error(value: float | None) -> str:
    """A relative error in two digits.

    >>> error(8.0431e-3), error(0.0), error(18.7)
    ('8.0e−3', '0', '19')
    """
    if value is None:
        return UNKNOWN
    if value == 0.0:
        return "0"
    if not math.isfinite(value):
        return "not finite"
    if 0.1 <= value < 1000.0:
        return f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", MINUS)


def plain(value: float) -> str:
    """A number as short as it is, with a true minus.

    >>> plain(-0.5), plain(1e-8)
    ('−0.5', '1e−8')
    """
    mantissa, _, exponent = f"{value:g}".partition("e")
    return (f"{mantissa}e{int(exponent)}" if exponent else mantissa).replace("-", MINUS)


def _with_prefix(value: float) -> tuple[float, str]:
    """The value in the largest unit that leaves at least one before the point."""
    if value == 0.0 or not math.isfinite(value):
        return value, ""
    power = 3 * math.floor(math.log10(abs(value)) / 3)
    if abs(value) >= 999.5 * 10.0**power:  # 1.00 of the next prefix, in three digits
        power += 3
    power = min(max(power, min(PREFIXES)), max(PREFIXES))
    return value / 10.0**power, PREFIXES[power]


def _three_digits(value: float) -> str:
    decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{min(decimals, 3)}f}"
