"""What comes in Debian's packages, installed where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def require_root(why: str) -> None:
    """End with one line if this is not root."""
    if os.geteuid() != 0:
        sys.exit(f"needs root ({why}): run it with sudo")


def require(packages: Mapping[str, str]) -> None:
    """Install the packages whose program, or file, is missing; ``packages`` says which has which.

    Ends with one line if that is not possible.
    """
    missing = sorted({package for name, package in packages.items() if not _is_here(name)})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        sys.exit(f"needs {', '.join(missing)}, and this is no Debian: install them by hand")
    require_root(f"to install {', '.join(missing)}")
    print(f"installing {', '.join(missing)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        done = subprocess.run(
            ["apt-get", "--quiet", *command], env=environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            problems = [line for line in done.stderr.splitlines() if line.startswith("E:")]
            sys.exit(f"apt-get {command[0]} failed: {(problems or ['it does not say why'])[0]}")


def _is_here(name: str) -> bool:
    return Path(name).is_file() if name.startswith("/") else shutil.which(name) is not None
