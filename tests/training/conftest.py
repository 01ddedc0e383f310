"""Commands of training, as a user runs them."""

from __future__ import annotations

from tests.cli.conftest import refuses, run

__all__ = ["refuses", "run"]
