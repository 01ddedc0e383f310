"""The hidden layers that suit a problem."""

from __future__ import annotations

from dataclasses import dataclass

from hedge.errors import InputError


@dataclass(frozen=True)
class Layers:
    """``depth`` hidden layers of ``width`` neurons each, of every network that a problem has.

    Raises InputError for other than whole numbers of at least 1.

    >>> print(Layers(20, 3))
    20x3
    """

    width: int = 24
    depth: int = 3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is not int or value < 1:
                raise InputError(f"layers: {name} {value!r:.60} is no whole number of at least 1")

    def __str__(self) -> str:
        return f"{self.width}x{self.depth}"


USUAL_LAYERS = Layers()
