"""``hedge demo``: the pipeline on a model that comes with hedge, telling what it does and why."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from json import dumps
from pathlib import Path

from hedge import api
from hedge.benching import Accuracy, BenchResult, Effort, Measurement, evaluate, has_compiler
from hedge.certifying import Certificate, Difference
from hedge.cli import console
from hedge.cli.certify_command import NORMS
from hedge.cli.console import print_json, print_table, progress, seconds, size
from hedge.compression import CompressedModel
from hedge.devices import BYTES_PER_FLOAT, Device, write_profile
from hedge.errors import InputError, OutputError
from hedge.exporting import open_model
from hedge.files import refused, write_atomically
from hedge.names import certificate_of
from hedge.problems import GALLERY, Problem, find_problem
from hedge.progress import Progress

TOLERANCE = 1e-2
BATCHES = (1, 1024)
STEPS = 3000  # of recovery: most of what there is to win in some seconds
BOXES = 30_000  # enough for the networks of the demo
QUICK = Effort(warm_up_s=0.1, timed_s=0.2)

COLUMNS = ["model", "parameters", "bytes", "error", "to dense", "proved"]


@dataclass(frozen=True)
class _Row:
    """A model, the error that its plan certifies (None: the dense one), and its times, batch by batch.

    to_solution is what is proved of the distance to the solution, if anything is.
    """

    name: str
    accuracy: Accuracy
    to_dense: float | None
    to_solution: float | None
    measured: tuple[Measurement, ...]


def run_demo(
    problem: str, folder: Path, device_name: str, *, quick: bool, force: bool, json: bool
) -> None:
    """Calibrate, compress without and with recovery, export, bench; then a table and what was won."""
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
    if certificate_of(model).exists():
        known = certificate_of(model).read_bytes()
        write_atomically(certificate_of(dense), known, force=force)
    say(f"1. {dense}: a dense PINN for {solved.title}, trained by hedge.")
    with progress() as on_progress:
        write_atomically(folder / "device.toml", write_profile(device), force=force)
        say(f"2. Device: {device.description}. Its figures are in {folder / 'device.toml'}.")
        say(
            f"3. Compress it so that its output moves by at most {TOLERANCE:g} (relative L2), twice:\n"
            "   compressed: neurons go that the others can stand in for, matrices become thinner;\n"
            "   recovered: then it is cut deeper, fitted to the dense network again, and cut again."
        )
        small = {
            name: _compressed(dense, name, device, force=force, on_progress=on_progress)
            for name in ("compressed", "recovered")
        }
        exported = {"dense": dense}
        for name, one in small.items():
            exported[name] = folder / f"{problem}.{name}.onnx"
            api.export(one, exported[name], force=force)
        in_c = [exported["recovered"]] if has_compiler() else []
        say(
            "4. Export both as .onnx of standard ops, and time all by turns, window by window, "
            f"at batch {' and '.join(map(str, BATCHES))}{', the recovered one as C99, too' if in_c else ''}."
        )
        result = api.bench(
            list(exported.values()),
            device=device,
            batches=BATCHES,
            compiled=in_c,
            effort=QUICK if quick else Effort(),
            on_progress=on_progress,
        )
        if in_c:
            code = exported["recovered"].with_suffix(".c")
            api.export_c(small["recovered"], code, name=problem.replace("-", "_"), force=force)
            exported["recovered, in C"] = code
    write_atomically(folder / "bench.json", dumps(result.to_json()).encode(), force=force)
    say(
        "5. Prove how far the small networks, as deployed, are from the dense one and from the solution, at\n"
        "   every point."
    )
    with progress() as on_progress:
        proofs = {
            name: _certified(dense, exported[name], solved, force=force, on_progress=on_progress)
            for name in small
        }
    page = folder / "report.html"
    models = [path for path in exported.values() if path.suffix != ".c"]
    recovered = certificate_of(exported["recovered"].with_suffix(".onnx"))
    told = _write_report([*models, folder / "bench.json", recovered], page, force=force)
    rows = [_row(name, path, small, proofs, result, solved) for name, path in exported.items()]
    if json:
        print_json(
            {
                "problem": problem,
                "tolerance": TOLERANCE,
                "models": [
                    {"name": r.name, "relative_error": r.to_dense or 0.0, **vars(r.accuracy)}
                    for r in rows
                ],
                "bench": result.to_json(),
                "proved": [
                    part.model_dump(mode="json")
                    for part in (*_difference(proofs).claims, *proofs["recovered"].distances)
                ],
            }
        )
        return
    times = [cell for b in BATCHES for cell in (f"batch {b}", "faster")]
    print_table(
        f"{problem}, dense and compressed, on {result.machine.processor}",
        [*COLUMNS, *times],
        [_cells(row) for row in rows],
    )
    say(_won(rows))
    say(
        "Errors are relative L2: against the reference solution, and against the dense model on\n"
        "points no fit has seen."
    )
    say(_proved(proofs, recovered))
    say(told)
    say("\nThe same by hand:\n" + "\n".join(_commands(problem, folder, device_name)))


def _certified(
    dense: Path, small: Path, problem: Problem, *, force: bool, on_progress: Progress
) -> Certificate:
    """To the dense model and, where a certificate beside that makes it quick, to the solution."""
    known = certificate_of(dense).exists()
    return api.certify(
        small.with_suffix(".onnx"),
        dense,
        domain=None if known else str(problem.domain),
        problem=problem if known else None,
        out=certificate_of(small),
        boxes=BOXES,
        force=force,
        on_progress=on_progress,
    )


def _difference(proofs: Mapping[str, Certificate]) -> Difference:
    """Of the recovered network to the dense one."""
    found = proofs["recovered"].difference
    assert found is not None
    return found


def _to_solution(name: str, proofs: Mapping[str, Certificate]) -> float | None:
    """What is proved first: of the dense model as real numbers, of others as deployed."""
    if name in proofs:
        return next((distance.bound for distance in proofs[name].distances), None)
    dense = proofs["recovered"].solution_of(_difference(proofs).dense.sha256)
    return next(iter(dense.distances), None) if dense is not None else None


def _row(
    name: str,
    path: Path,
    small: Mapping[str, CompressedModel],
    proofs: Mapping[str, Certificate],
    result: BenchResult,
    problem: Problem,
) -> _Row:
    """Of a model in C the figures are those of its .onnx, but for the times."""
    known_as = name.partition(",")[0]
    found = small.get(known_as)
    return _Row(
        name,
        evaluate(open_model(path.with_suffix(".onnx")).onnx, problem),
        None if found is None else found.plan.relative_error,
        _to_solution(known_as, proofs),
        tuple(m for m in result.models if m.path == path.name),
    )


def _won(rows: Sequence[_Row]) -> str:
    dense, recovered = rows[0], next(row for row in rows if row.name == "recovered")
    fastest = [max(_at(rows, batch), key=lambda one: one[1].speedup) for batch in BATCHES]
    speeds = [
        f"{m.speedup:.0f} times as fast at batch {m.batch:,} ({row.name})" for row, m in fastest
    ]
    return (
        f"{dense.accuracy.parameters:,} parameters became {recovered.accuracy.parameters:,}; the output "
        f"moved by {recovered.to_dense or 0.0:.1%}; {', '.join(speeds)}."
    )


def _proved(proofs: Mapping[str, Certificate], file: Path) -> str:
    """What holds at every point, of the only column."""
    (claim,) = _difference(proofs).claims
    relative = "not known" if claim.relative_l2 is None else f"at most {claim.relative_l2:.2e}"
    text = (
        f"Proved for the whole domain and float32: relative L2 error of the recovered network against the\n"
        f"dense one {relative}, largest {claim.largest_seen:.2e} to {claim.largest:.2e}; anyone can verify\n"
        f"{file}."
    )
    for first in proofs["recovered"].distances[:1]:
        norm = NORMS[first.kind].format(over=", ".join(first.over))
        text += (
            f"\nThe column 'proved' bounds the distance to the true solution, {norm} at worst: that of the\n"
            "dense network as real numbers, those of the others as deployed."
        )
    return text


def _at(rows: Sequence[_Row], batch: int) -> list[tuple[_Row, Measurement]]:
    return [(row, m) for row in rows for m in row.measured if m.batch == batch]


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
    dense: Path, name: str, device: Device, *, force: bool, on_progress: Progress
) -> CompressedModel:
    return api.compress(
        dense,
        device=device,
        tolerance=TOLERANCE,
        batch=max(BATCHES),
        recover="outputs" if name == "recovered" else None,
        steps=STEPS,
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


def _cells(row: _Row) -> list[str]:
    times = [cell for m in row.measured for cell in (seconds(m.median_s), f"{m.speedup:.1f}x")]
    return [
        row.name,
        str(row.accuracy.parameters),
        size(BYTES_PER_FLOAT * row.accuracy.parameters),
        f"{row.accuracy.relative_l2:.1e}",
        "-" if row.to_dense is None else f"{row.to_dense:.1e}",
        "-" if row.to_solution is None else f"<= {row.to_solution:.1e}",
        *times,
    ]


def _commands(problem: str, folder: Path, device: str) -> Sequence[str]:
    dense, small = folder / f"{problem}.onnx", folder / f"{problem}.small"
    batches = ",".join(map(str, BATCHES))
    hedge = "hedge" if shutil.which("hedge") else sys.argv[0]
    return [
        f"  {hedge} train {problem} --out my-{problem}.onnx  # needs torch; or bring your own .onnx",
        f"  {hedge} compress {dense} --device {device} --tolerance {TOLERANCE:g} "
        f"--batch {max(BATCHES)} --out {small}.onnx",
        f"  {hedge} bench {dense} {small}.onnx --device {device} --batch {batches} --out bench.json",
        f"  {hedge} certify {small}.onnx {dense} --problem {problem} --out {folder / 'small.json'}",
        f"  {hedge} report {dense} {small}.onnx bench.json --out report.html",
    ]
