"""Recovery: cut a little, fit again, cut again. Needs the ``train`` extra (torch)."""

from __future__ import annotations

from hedge.recovery.staircase import RecoverOn, Recovery, recover

__all__ = ["RecoverOn", "Recovery", "recover"]
