"""Comparing: hedge beside the dense model and every rival, all timed together."""

from __future__ import annotations

from hedge.comparing.comparison import ComparisonTable, Latency, Row, Win, compare

__all__ = ["ComparisonTable", "Latency", "Row", "Win", "compare"]
