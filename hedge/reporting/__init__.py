"""Reports: what compress, bench and compare found, as one page for people."""

from __future__ import annotations

from hedge.reporting.runs import Run, read_runs
from hedge.reporting.story import Story, told_by

__all__ = ["Run", "Story", "read_runs", "told_by"]
