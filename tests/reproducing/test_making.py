"""Trainings inside items: Ctrl-C ends the run, and not only the training."""

from __future__ import annotations

import pytest

from hedge.reproducing.making import train
from hedge.training import marching


def test_a_training_that_is_interrupted_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(marching._March, "reason_to_stop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train("poisson", 8, 20, seed=0)
