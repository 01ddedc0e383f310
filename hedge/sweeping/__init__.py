"""Sweeps: chains of stages over all values of some options, run once each on Dask's workers."""

from __future__ import annotations

from hedge.sweeping.ledger import Ledger
from hedge.sweeping.outcome import Outcome
from hedge.sweeping.plan import Cell, InputFile, Plan, Task
from hedge.sweeping.running import Runner
from hedge.sweeping.store import Record, Store
from hedge.sweeping.sweep_file import Sweep, read_sweep
from hedge.sweeping.tally import Tally

__all__ = [
    "Cell", "InputFile", "Ledger", "Outcome", "Plan", "Record", "Runner", "Store", "Sweep", "Tally",
    "Task", "read_sweep",
]  # fmt: skip
