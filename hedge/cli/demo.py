"""``hedge demo``: the pipeline on a model that comes with hedge, telling what it does and why."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from json import dumps
from pathlib import Path

from hedge import api
from hedge.benching import Accuracy, Effort, Measurement, evaluate
from hedge.cli import console
from hedge.cli.console import print_json, print_table, progress, seconds, size
from hedge.compression import CompressedModel
from hedge.devices import BYTES_PER_FLOAT, Device, write_profile
from hedge.errors import InputError, OutputError
from hedge.exporting import open_model
from hedge.files import refused, write_atomically
from hedge.problems import GALLERY, find_problem
from hedge.progress import Progress

TOLERANCE = 1e-2
BATCHES = (1, 1024)
QUICK = Effort(warm_up_s=0.1, timed_s=0.2)


COLUMNS = [
    "model", "parameters", "bytes", "error", "to dense", "batch", "median", "p90", "speedup",
    "Theorem 11", "holds?",
]  # fmt: skip


@dataclass(frozen=True)
class _Row:
    name: str
    accuracy: Accuracy
    relative_error: float
    measured: tuple[Measurement, ...]


def run_demo(
    problem: str, folder: Path, device_name: str, *, quick: bool, force: bool, json: bool
) -> None:
    """Evaluate, calibrate, compress twice, export, bench; then one table and the commands."""
    models = {name: path for name, path in api.reference_models().items() if name in GALLERY}
    if problem not in models:
        raise InputError(
            f"problem {problem!r} has no model for the demo; those with one: {', '.join(models)}"
        )
    with _results_in(folder, force=force):
        _run(problem, models[problem], folder, device_name, quick=quick, force=force, json=json)


def _run(
    problem: str,
    model: Path,
    folder: Path,
    device_name: str,
    *,
    quick: bool,
    force: bool,
    json: bool,
) -> None:
    solved = find_problem(problem)
    with progress() as on_progress:
        device = api.find_device(device_name, on_progress)

    def say(text: str) -> None:
        if not json:
            console.say(text)

    dense = folder / f"{problem}.onnx"
    write_atomically(dense, model.read_bytes(), force=force)
    say(f"1. {dense}: a dense PINN for {solved.title}, trained by hedge.")
    with progress() as on_progress:
        write_atomically(folder / "device.toml", write_profile(device), force=force)
        say(f"2. Device: {device.description}. Its figures are in {folder / 'device.toml'}.")
        say(
            f"3. Compress it so that its output moves by at most {TOLERANCE:g} (relative L2), twice:\n"
            "   factorized: matrices become two thin ones, cut where the output feels it least;\n"
            "   reduced: neurons that the others can stand in for are removed first."
        )
        compressed = {
            "factorized": _compressed(dense, device, True, force, on_progress),
            "reduced": _compressed(dense, device, False, force, on_progress),
        }
        exported = {"dense": dense}
        for name, small in compressed.items():
            exported[name] = folder / f"{problem}.{name}.onnx"
            api.export(small, exported[name], force=force)
        say(
            "4. Export both as .onnx of standard ops, and time all three by turns, window by window, "
            f"at batch {' and '.join(map(str, BATCHES))}."
        )
        result = api.bench(
            list(exported.values()),
            device=device,
            batches=BATCHES,
            effort=QUICK if quick else Effort(),
            on_progress=on_progress,
        )
    write_atomically(folder / "bench.json", dumps(result.to_json()).encode(), force=force)
    page = folder / "report.html"
    told = _write_report([*exported.values(), folder / "bench.json"], page, force=force)
    rows = [
        _Row(
            name,
            evaluate(open_model(path).onnx, solved),
            0.0 if name == "dense" else compressed[name].plan.relative_error,
            tuple(m for m in result.models if m.path == path.name),
        )
        for name, path in exported.items()
    ]
    if json:
        errors = [
            {"name": r.name, "relative_error": r.relative_error, **vars(r.accuracy)} for r in rows
        ]
        print_json(
            {
                "problem": problem,
                "tolerance": TOLERANCE,
                "models": errors,
                "bench": result.to_json(),
            }
        )
        return
    print_table(
        f"{problem}, dense and compressed, on {result.machine.processor}",
        COLUMNS,
        [line for row in rows for line in _table_lines(row)],
    )
    say(
        "Errors are relative L2: against the reference solution, and against the dense model on\n"
        "points no fit has seen. Theorem 11 is the paper's latency bound with this device's C and\n"
        "B; it counts k^2 operations a block, too few, so whether it holds is measured."
    )
    say(told)
    say("\nThe same by hand:\n" + "\n".join(_commands(problem, folder, device_name)))


def _write_report(runs: Sequence[Path], page: Path, *, force: bool) -> str:
    """The report of the demo's files, and where it is; without the extra how to get it."""
    try:
        api.check_report_installed()
    except InputError as error:
        return f"No page was written: {error}."
    with progress() as on_progress:
        api.report(runs, page, force=force, on_progress=on_progress)
    return f"All of it on one page, with pictures: {page}"


def _compressed(
    dense: Path, device: Device, keep_widths: bool, force: bool, on_progress: Progress
) -> CompressedModel:
    name = "factorized" if keep_widths else "reduced"
    return api.compress(
        dense,
        device=device,
        tolerance=TOLERANCE,
        batch=max(BATCHES),
        keep_widths=keep_widths,
        out=dense.with_suffix(f".{name}.hedge.safetensors"),
        force=force,
        on_progress=on_progress,
    )


@contextmanager
def _results_in(folder: Path, *, force: bool) -> Iterator[None]:
    """The folder, made if it is not there; where the work fails, no empty one stays."""
    with refused(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: is a file; name a folder")
        if folder.is_dir() and any(folder.iterdir()) and not force:
            raise OutputError(f"{folder}: is not empty; choose another folder or pass --force")
        new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with refused(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in new:
            with suppress(OSError):  # it holds results, or could not be made
                path.rmdir()
        raise


def _table_lines(row: _Row) -> list[list[str]]:
    about = [
        row.name,
        str(row.accuracy.parameters),
        size(BYTES_PER_FLOAT * row.accuracy.parameters),
        f"{row.accuracy.relative_l2:.1e}",
        f"{row.relative_error:.1e}" if row.relative_error else "-",
    ]
    timed = [
        [
            str(m.batch),
            seconds(m.median_s),
            seconds(m.p90_s),
            f"{m.speedup:.1f}x",
            seconds(m.paper_bound_s),
            "yes" if m.bound_holds else "no",
        ]
        for m in row.measured
    ]
    return [(about if i == 0 else [""] * len(about)) + cells for i, cells in enumerate(timed)]


def _commands(problem: str, folder: Path, device: str) -> Sequence[str]:
    dense, small = folder / f"{problem}.onnx", folder / f"{problem}.small"
    batches = ",".join(map(str, BATCHES))
    hedge = "hedge" if shutil.which("hedge") else sys.argv[0]
    return [
        f"  {hedge} train {problem} --out my-{problem}.onnx  # needs torch; or bring your own .onnx",
        f"  {hedge} compress {dense} --device {device} --tolerance {TOLERANCE:g} "
        f"--batch {max(BATCHES)} --out {small}.hedge.safetensors",
        f"  {hedge} export {small}.hedge.safetensors --out {small}.onnx",
        f"  {hedge} bench {dense} {small}.onnx --device {device} --batch {batches} --out bench.json",
        f"  {hedge} report {dense} {small}.onnx bench.json --out report.html",
    ]
