"""Reporting."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hedge.api.inputs import check_not_read
from hedge.errors import InputError
from hedge.files import check_writable, write_atomically
from hedge.problems import Problem
from hedge.progress import Progress, silent
from hedge.reporting import Contents, contents_of, read_report_files

PACKAGES = ("jinja2", "matplotlib")
INSTALL = "pip install 'hedge-pinn[report]'"


def report(
    runs: Sequence[Path | str],
    out: Path | str,
    *,
    problem: Problem | str | None = None,
    force: bool = False,
    on_progress: Progress = silent,
) -> Contents:
    """Write one HTML page about compressed models, ``.onnx`` files, bench results and comparisons.

    The page needs no network and no script. Equal files give equal pages. ``problem`` is what the models
    solve, where they don't say it or it is your own. Raises InputError if what draws it is not installed
    (``pip install 'hedge-pinn[report]'``), a file is of another kind or version, or a model is not of the
    problem; ModelError for a damaged model.
    """
    check_report_installed()
    from matplotlib.style import context

    from hedge.reporting.page import page

    paths, target = [Path(run) for run in runs], Path(out)
    check_writable(target, force=force)
    check_not_read(target, paths)
    found = read_report_files(paths)
    on_progress("measuring the models' errors")
    with context("default"):  # a user's image.origin would turn the maps upside down
        contents = contents_of(found, problem)
        html = page(contents)
    write_atomically(target, html.encode("utf-8"), force=force)
    return contents


def check_report_installed() -> None:
    """Raise InputError, with the command that installs it, if a package is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"report: {missing[0]} is not installed; run {INSTALL}")
