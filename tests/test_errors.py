"""Errors as one process sends them to another."""

from __future__ import annotations

import pickle

import pytest

from hedge import errors
from hedge.errors import HedgeError, RoomError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, HedgeError) and kind is not RoomError
]


@pytest.mark.parametrize(
    "error",
    [*(kind("one line") for kind in KINDS), RoomError("takes 3 bytes of flash", 2, "cut it")],
    ids=lambda error: type(error).__name__,
)
def test_errors_arrive_as_they_were_sent(error: HedgeError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
