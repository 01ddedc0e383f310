"""Whether workers compute with the same programs: others would give other results without a word."""

from __future__ import annotations

import hashlib
import json
import platform
import socket
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hedge.errors import RemoteError, first_line
from hedge.version import __version__

PACKAGES = ("numpy", "scipy", "onnx", "onnxruntime", "distributed", "torch")
HOST = "host"


@cache
def versions_here() -> dict[str, str]:
    """The versions of what computes, by name, and this machine's name; of packages that are installed."""
    found = {
        HOST: socket.gethostname(),
        "hedge": f"{__version__}+{_sources()}",
        "python": ".".join(platform.python_version_tuple()[:2]),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package).partition("+")[0]  # of what torch is for
        except PackageNotFoundError:
            continue
    return found


def _sources() -> str:
    """A few characters that tell hedge's own files from those of another one of the same version."""
    digest, folder = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def say() -> None:
    """Print them for another machine, where Dask is installed."""
    import_module("distributed")
    print(json.dumps(versions_here()))


def said_by(output: str) -> dict[str, str] | None:
    """What :func:`say` printed last; None if it is something else."""
    try:
        found = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return found if isinstance(found, dict) and HOST in found else None


def check_versions(client: Any) -> None:
    """Raise RemoteError if a worker of a ``distributed.Client`` has other versions than this process.

    Workers that come later and have others are turned away.
    """
    answers = client.run(versions_here, on_error="return")
    for address, answer in answers.items():
        if isinstance(answer, BaseException):
            raise RemoteError(
                f"{address}: its hedge is none, or another one ({first_line(answer)}); install "
                f"hedge {__version__} there"
            )
        if fault := difference(answer):
            raise RemoteError(f"{address}: {fault}")
    client.register_plugin(
        import_module("hedge.clusters.late_workers").SameVersions(), name="hedge-versions"
    )


def difference(there: dict[str, str]) -> str | None:
    """What a worker has that is not as here, in one line; None if all is.

    torch may be missing there: what needs it then says so.

    >>> difference({**versions_here(), "hedge": "0.0.1", "host": "node7"})  # doctest: +ELLIPSIS
    'node7 has hedge 0.0.1, this machine 0.1.0+...; results would differ: install the same one'
    """
    for name, ours in versions_here().items():
        theirs = there.get(name)
        if name == HOST or theirs == ours or (name == "torch" and theirs is None):
            continue
        return (
            f"{there[HOST]} has {name} {theirs or 'not at all'}, this machine {ours}; results would "
            "differ: install the same one"
        )
    return None
