"""``hedge demo``: the pipeline on a model that comes with hedge, telling what it does and why."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hedge import api
from hedge.benching import Accuracy, Effort, Measurement, evaluate
from hedge.cli.console import out as stdout
from hedge.cli.console import print_json, print_table, progress, seconds, size
from hedge.compression import CompressedModel
from hedge.devices import Device, write_profile
from hedge.errors import InputError, OutputError
from hedge.files import write_atomically
from hedge.graph import load_model
from hedge.problems import find_problem

TOLERANCE = 1e-2
BATCHES = (1, 1024)
QUICK = Effort(warm_up_s=0.1, timed_s=0.2)


@dataclass(frozen=True)
class _Row:
    name: str
    path: Path
    accuracy: Accuracy
    relative_error: float
    measured: tuple[Measurement, ...]


def run_demo(
    problem: str, folder: Path, device_name: str, *, quick: bool, force: bool, json: bool
) -> None:
    """Evaluate, calibrate, compress twice, export, bench; then one table and the commands."""
    models = api.reference_models()
    if problem not in models:
        raise InputError(f"problem {problem!r} has no model in models/; known: {', '.join(models)}")
    _make_folder(folder, force=force)
    solved = find_problem(problem)

    def say(text: str) -> None:
        if not json:
            stdout().print(text, markup=False)

    dense = folder / f"{problem}.onnx"
    shutil.copyfile(models[problem], dense)
    say(f"1. {dense}: a dense PINN for {solved.title}, trained by hedge.")
    with progress() as on_progress:
        device = api.find_device(device_name, on_progress)
        write_atomically(folder / "device.toml", write_profile(device), force=True)
        say(f"2. Device: {device.description}. Its figures are in {folder / 'device.toml'}.")
        say(
            f"3. Compress it so that its output moves by at most {TOLERANCE:g} (relative L2), in two ways:\n"
            "   factorized: each matrix becomes two thin ones, cut where the output feels it least;\n"
            "   reduced: neurons that the others can stand in for are removed first."
        )
        compressed = {
            "factorized": _compressed(dense, device, True, on_progress),
            "reduced": _compressed(dense, device, False, on_progress),
        }
        exported = {"dense": dense}
        for name, model in compressed.items():
            exported[name] = folder / f"{problem}.{name}.onnx"
            api.export(model, exported[name], force=True)
        say(
            f"4. Exported as .onnx of standard ops; now timed in turn, run by run, at batch {BATCHES}."
        )
        result = api.bench(
            list(exported.values()),
            device=device,
            batches=BATCHES,
            effort=QUICK if quick else Effort(),
            on_progress=on_progress,
        )
    rows = [
        _Row(
            name,
            path,
            evaluate(load_model(path), solved),
            0.0 if name == "dense" else compressed[name].plan.relative_error,
            tuple(m for m in result.models if m.path == path.name),
        )
        for name, path in exported.items()
    ]
    document = {
        "problem": problem,
        "tolerance": TOLERANCE,
        "models": [
            {"name": r.name, "relative_error": r.relative_error, **vars(r.accuracy)} for r in rows
        ],
        "bench": result.to_json(),
    }
    if json:
        print_json(document)
        return
    print_table(
        f"{problem}: dense against compressed, on this machine",
        ["model", "parameters", "bytes", "error to reference", "error to dense",
         *(f"{what}, batch {b}" for b in BATCHES for what in ("median", "p90", "speedup", "Theorem 11"))],
        [_table_row(row) for row in rows],
    )  # fmt: skip
    say(
        "Errors are relative L2. Theorem 11 is the paper's latency bound with this device's C and B;\n"
        '"holds" says whether the median is below it (it counts k^2 operations a block, too few).\n'
    )
    say("The same by hand:\n" + "\n".join(_commands(problem, folder, device_name)))


def _compressed(
    dense: Path, device: Device, keep_widths: bool, on_progress: api.Progress
) -> CompressedModel:
    name = "factorized" if keep_widths else "reduced"
    return api.compress(
        dense,
        device=device,
        tolerance=TOLERANCE,
        batch=max(BATCHES),
        keep_widths=keep_widths,
        out=dense.with_suffix(f".{name}.hedge.safetensors"),
        force=True,
        on_progress=on_progress,
    )


def _make_folder(folder: Path, *, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise OutputError(f"{folder}: is not empty; choose another folder or pass --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't be created ({error.strerror})") from error


def _table_row(row: _Row) -> list[str]:
    cells = [
        row.name,
        str(row.accuracy.parameters),
        size(4 * row.accuracy.parameters),
        f"{row.accuracy.relative_l2:.2e}",
        f"{row.relative_error:.2e}" if row.relative_error else "-",
    ]
    for m in row.measured:
        holds = "holds" if m.bound_holds else "does not hold"
        cells += [
            seconds(m.median_s),
            seconds(m.p90_s),
            f"{m.speedup:.1f}x",
            f"{seconds(m.paper_bound_s)}, {holds}",
        ]
    return cells


def _commands(problem: str, folder: Path, device: str) -> Sequence[str]:
    dense, small = folder / f"{problem}.onnx", folder / f"{problem}.small"
    return [
        f"  hedge train {problem} --out my-{problem}.onnx        # needs torch; or bring your own .onnx",
        f"  hedge compress {dense} --device {device} --tolerance {TOLERANCE:g} --batch {max(BATCHES)} "
        f"--out {small}.hedge.safetensors",
        f"  hedge export {small}.hedge.safetensors --out {small}.onnx",
        f"  hedge bench {dense} {small}.onnx --device {device} --batch {','.join(map(str, BATCHES))}",
    ]
