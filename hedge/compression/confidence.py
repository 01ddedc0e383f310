"""How sure a certification is: the probability of a wrong yes, over all attempts of a run together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array

# Of a wrong yes, over all attempts of a run and of those that go on with it.
TOTAL_RISK = 1e-3
# The bets are best where the excess varies, point by point, by so many times what is allowed.
SPREADS = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
# That of a candidate mostly stays below this; one within the aim is then mostly certified. However few
# rows there are, an error of the last part is worth a try.
MOSTLY, LEAST_AIM = 2.5, 0.3


def risk_of(attempt: int) -> float:
    """The probability of a wrong yes that certification ``attempt`` = 0, 1, … may have.

    >>> bool(sum(map(risk_of, range(10**5))) < TOTAL_RISK)
    True
    """
    return TOTAL_RISK / ((attempt + 1) * (attempt + 2))


def surely_negative(excess: Array, scale: Array, risk: float) -> NDArray[np.bool_]:
    """Whether the means of quantities are below zero, wrong with a probability of at most ``risk``.

    excess (n, k) are n independent draws of k quantities, scale (k,) what they are measured by.

    A test by betting (Waudby-Smith and Ramdas, 2024). For λ > 0 let E = Π max(0, 1 − λ d) over the
    draws d. If the mean of min(d, 1/λ) is not below zero, no factor is above one in the mean, so E
    reaches 1/risk with at most that probability (Markov), for any n and any distribution; so does the
    average of E over several λ. What is guaranteed is the mean of d cut at the largest 1/λ, for n draws at
    √(n / (2 ln(1/risk))) times its scale. One draw beyond 1/λ ends the bet with λ: a part p of the
    domain where d is larger still goes unseen with a probability of (1 − p)ⁿ, and no more.
    """
    needed = np.log(1.0 / risk)
    logs = np.stack([_growth(excess, scale, bet) for bet in _bets(len(excess), risk)])
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - np.log(len(SPREADS)) >= needed)


def rows_to_be_sure(excess: Array, scale: Array, risk: float) -> float:
    """About how many draws like these would do for :func:`surely_negative`; infinity if none would."""
    needed = np.log(len(SPREADS) / risk)
    growths = [_growth(excess, scale, bet) / len(excess) for bet in 2.0 ** -np.arange(12.0)]
    worst = float(np.max(growths, axis=0).min())
    return float(needed / worst) if worst > 0.0 else np.inf


def likely_part(rows: int, risk: float) -> float:
    """The part of a tolerance within which an error is mostly certified on so many ``rows``.

    >>> round(likely_part(16384, risk_of(0)), 2), round(likely_part(250, risk_of(0)), 2)
    (0.96, 0.57)
    """
    doubt = MOSTLY * np.sqrt(2.0 * np.log(len(SPREADS) / risk) / rows)
    return float(max(1.0 - doubt, LEAST_AIM**2) ** 0.5)


def unseen_part(rows: int, risk: float) -> float:
    """The largest part of a domain that ``rows`` points all miss with more than the probability ``risk``.

    Where none of them exceeds a limit, at most that part of the domain does, wrong with that risk.

    >>> f"{unseen_part(16384, risk_of(0)):.1e}"
    '4.6e-04'
    """
    return float(-np.expm1(np.log(risk) / rows))


def _bets(rows: int, risk: float) -> Array:
    return np.asarray(np.sqrt(2.0 * np.log(1.0 / risk) / rows) / SPREADS)


def _growth(excess: Array, scale: Array, bet: float) -> Array:
    """ln Π max(0, 1 − λ d) over the draws, λ = bet / scale, (n, k) -> (k,)."""
    with np.errstate(all="ignore"):  # of infinite errors nothing is left
        return np.asarray(np.log(np.maximum(1.0 - excess * (bet / scale), 0.0)).sum(axis=0))
