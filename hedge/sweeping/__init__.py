"""Sweeps: chains of stages over all values of some options, run once each on Dask's workers."""

from __future__ import annotations

from hedge.sweeping.ledger import Ledger
from hedge.sweeping.outcome import Outcome
from hedge.sweeping.plan import Cell, InputFile, Plan, Task
from hedge.sweeping.running import Runner
from hedge.sweeping.store import Record, Store
from hedge.sweeping.sweep_file import Sweep, read_sweep
from hedge.sweeping.table import (
    COSTS,
    FIGURES,
    Cost,
    Row,
    best_first,
    cost_of,
    front,
    fronts,
    row_of,
    rows_of,
)  # fmt: skip
from hedge.sweeping.tally import Tally

__all__ = [
    "COSTS", "FIGURES", "Cell", "Cost", "InputFile", "Ledger", "Outcome", "Plan", "Record", "Row", "Runner",
    "Store", "Sweep", "Tally", "Task", "best_first", "cost_of", "front", "fronts", "read_sweep", "row_of",
    "rows_of",
]  # fmt: skip
