"""Whether a certificate is true, by code that shares nothing with the search that made it."""

from hedge.certifying.checking.differences import check_difference
from hedge.certifying.checking.solutions import check_solution
from hedge.certifying.checking.verdict import check

__all__ = ["check", "check_difference", "check_solution"]
