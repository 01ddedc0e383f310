"""Seeds of random streams that have nothing to do with each other."""

from __future__ import annotations

import numpy as np


def stream_seed(seed: int, stream: int) -> int:
    """A seed of its own for each purpose, without collisions between neighbouring seeds of users."""
    return int(np.random.SeedSequence((seed, stream)).generate_state(1)[0])
