"""Reporting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hedge.api.inputs import Progress, silent
from hedge.errors import InputError
from hedge.files import check_distinct, check_writable, write_atomically
from hedge.reporting import Story, read_runs, told_by

EXTRA = ("jinja2", "matplotlib")


def report(
    runs: Sequence[Path | str],
    out: Path | str,
    *,
    force: bool = False,
    on_progress: Progress = silent,
) -> Story:
    """Write one HTML page about compressed models, ``.onnx`` files, bench results and comparisons.

    Raises InputError if jinja2 and matplotlib are not installed (``pip install 'hedge-pinn[report]'``), or
    a file is of no such kind or another version.
    """
    page = _page_writer()
    paths, target = [Path(run) for run in runs], Path(out)
    check_writable(target, force=force)
    check_distinct(target, *paths)
    on_progress(f"reading {len(paths)} file(s)")
    found = read_runs(paths)
    on_progress("evaluating the models")
    story = told_by(found)
    on_progress("drawing")
    write_atomically(target, page(story).encode("utf-8"), force=force)
    return story


def _page_writer() -> Callable[[Story], str]:
    try:
        from hedge.reporting.page import page
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise InputError(
            f"report: {error.name} is not installed; run pip install 'hedge-pinn[report]'"
        ) from error
    return page
