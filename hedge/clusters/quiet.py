"""Dask's log, in whose place hedge says in a line what ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

DASK = "distributed"


@contextmanager
def without_dasks_log() -> Iterator[None]:
    """Inside, this process hears nothing of lost connections; handlers and levels are then as before."""
    loggers = [
        logging.getLogger(name)
        for name in list(logging.root.manager.loggerDict)
        if name.partition(".")[0] == DASK
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
