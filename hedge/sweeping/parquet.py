"""All cells of a sweep as one Parquet file, for pandas, polars, DuckDB and the like."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from hedge.clusters.installed import installed
from hedge.sweeping.table import Row


def as_parquet(rows: Sequence[Row]) -> bytes:
    """A table with a row for each cell: key, axes, all figures and times, and why it failed if it did.

    Raises InputError where pyarrow is not installed.
    """
    arrow = installed("pyarrow")
    documents = [row.as_document() for row in rows]
    names = list(dict.fromkeys(name for document in documents for name in document))
    columns = {name: _alike([document.get(name) for document in documents]) for name in names}
    stream = BytesIO()
    installed("pyarrow.parquet").write_table(arrow.table(columns), stream)
    return stream.getvalue()


def _alike(values: list[Any]) -> list[Any]:
    """A column has one type: whole numbers beside others are such, too, and lists are text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} or kinds <= {bool} or kinds <= {str}:
        return values
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else str(value) for value in values]
