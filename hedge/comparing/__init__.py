"""Comparing: hedge beside the dense model and every rival, all timed together."""

from __future__ import annotations

from hedge.comparing.comparison import ComparisonTable, Latency, Row, Win, compare
from hedge.comparing.methods import METHODS

__all__ = ["METHODS", "ComparisonTable", "Latency", "Row", "Win", "compare"]
