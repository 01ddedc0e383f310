"""Whether Dask is there, which only those need who have several workers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hedge.errors import InputError


def installed(module: str) -> Any:
    """A module of the extra ``sweep``; raises InputError where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        package = (error.name or module).partition(".")[0].replace("_", "-")
        extra = {"dask-jobqueue": "dask-jobqueue", "asyncssh": "asyncssh"}.get(
            package, '"hedge-pinn[sweep]"'
        )
        raise InputError(
            f"cluster: {package} is not installed; run: pip install {extra}"
        ) from error
