"""The paper reproduced: every definition, theorem, algorithm, example, figure and table, beside ours.

Needs the ``report`` extra for figures and the ``train`` extra for the items that train networks.
"""

from __future__ import annotations

from hedge.reproducing.item import Item
from hedge.reproducing.materials import Materials
from hedge.reproducing.registry import ITEMS, check_extras, chosen
from hedge.reproducing.writing import RESULTS, check_folder, document, drawn, write_results

__all__ = [
    "ITEMS", "RESULTS", "Item", "Materials", "check_extras", "check_folder", "chosen",
    "document", "drawn", "write_results",
]  # fmt: skip
