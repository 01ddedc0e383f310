"""Reports: what compress, bench and compare found, as one page for people."""

from __future__ import annotations

from hedge.reporting.contents import Contents, contents_of
from hedge.reporting.runs import read_report_files

__all__ = ["Contents", "ReportFile", "contents_of", "read_report_files"]
