"""Whether a certificate is true, by code that shares nothing with the search that made it."""

from hedge.certifying.checking.verdict import check, check_difference

__all__ = ["check", "check_difference"]
