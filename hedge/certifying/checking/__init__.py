"""Whether a certificate is true, by code that shares nothing with the search that made it."""

from hedge.certifying.checking.verdict import check

__all__ = ["check"]
