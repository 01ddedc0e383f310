"""Numbers as a reader wants them: three digits, a unit that suits, a narrow space between."""

from __future__ import annotations

import math

PREFIXES = {
    -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T",
}  # fmt: skip
NARROW_SPACE = "\u202f"
UNKNOWN = "–"


def quantity(value: float | None, unit: str) -> str:
    """A figure with an SI prefix.

    >>> quantity(1.2345e-5, "s"), quantity(29.7e9, "flop/s"), quantity(None, "J")
    ('12.3\u202fµs', '29.7\u202fGflop/s', '–')
    """
    if value is None:
        return UNKNOWN
    if value == 0.0 or not math.isfinite(value):
        return f"{value:g}{NARROW_SPACE}{unit}"
    power = 3 * math.floor(math.log10(abs(value)) / 3)
    # 999.9 is 1.00 of the next prefix.
    if abs(value) >= 999.5 * 10.0**power:
        power += 3
    power = min(max(power, min(PREFIXES)), max(PREFIXES))
    return f"{_three_digits(value / 10.0**power)}{NARROW_SPACE}{PREFIXES[power]}{unit}"


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

    >>> error(8.0431e-3), error(0.0)
    ('8.0e-3', '0')
    """
    if value is None:
        return UNKNOWN
    if value == 0.0:
        return "0"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def _three_digits(value: float) -> str:
    decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{min(decimals, 3)}f}"
