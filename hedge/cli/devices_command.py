"""``hedge devices`` and ``hedge calibrate``: profiles, how well they predict, and a new one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hedge.cli.messages import report
from hedge.cli.options import (
    Force,
    Json,
    TimedSeconds,
    batches_of,
    file_argument,
    file_option,
    timed_seconds,
)
from hedge.errors import InputError
from hedge.files import require_any

if TYPE_CHECKING:
    from hedge.benching import BenchResult
    from hedge.devices import Device
    from hedge.progress import Progress

SHOWN = 5  # of the predictions that are furthest off


def devices(
    models: Annotated[
        list[Path] | None, file_argument(help=".onnx files to check predictions on.")
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(help="The profile to check: a name, a .toml file, or auto: this machine."),
    ] = None,
    batch: Annotated[str, typer.Option(help="Batches to check, by commas.")] = "1,16,128,1024",
    seconds: TimedSeconds = 0.2,
    json: Json = False,
) -> None:
    """List the device profiles that come with hedge, or check one on models timed here.

    A model that fails is a line on stderr and makes the exit code 1; the others are checked all the same.
    """
    if (check is None) != (not models):
        raise InputError("devices: --check and models go together; give both or neither")
    if check is None or not models:
        _list_profiles(json=json)
        return
    from hedge import api
    from hedge.benching import Effort
    from hedge.cli.console import print_json, progress, warn

    effort = Effort.of(timed_seconds(seconds))
    require_any(models)  # before this machine is calibrated
    with progress() as on_progress:
        profile = api.find_device(check, on_progress)
        result = api.bench(
            models,
            device=profile,
            batches=batches_of(batch),
            effort=effort,
            on_progress=on_progress,
        )
    document = {**_check_document(result), "unstable": profile.unstable}
    if json:
        print_json(document)
    else:
        _print_check(document)
    if result.calibrated_here is False:
        warn(
            f"times are of this machine, figures of {result.device}, not measured here: deviations "
            "are its own only if this machine is one"
        )
    for m in result.models:
        if m.unstable:
            warn(f"unstable: {m.path} at batch {m.batch}: {m.unstable}")
    report([failure.reason for failure in result.failures])


def _check_document(result: BenchResult) -> dict[str, Any]:
    """How far predictions are off, |predicted / measured − 1|: as a whole, and the furthest."""
    import numpy as np

    found = [
        {"path": m.path, "batch": m.batch, "ratio": m.predicted_s / m.median_s}
        for m in result.models
    ]
    off = np.abs(np.array([m.predicted_s / m.median_s for m in result.models]) - 1.0)
    return {
        "device": result.device,
        "processor": result.machine.processor,
        "runs": len(found),
        "median": float(np.median(off)),
        "p90": float(np.quantile(off, 0.9)),
        "worst": float(off.max()),
        "within_10_percent": float(np.mean(off <= 0.10)),
        "within_25_percent": float(np.mean(off <= 0.25)),
        "furthest": [found[i] for i in np.argsort(-off)[:SHOWN]],
    }


def _print_check(document: dict[str, Any]) -> None:
    from hedge.cli.console import print_table

    labels = {
        "median": "deviation, median", "p90": "deviation, 90th percentile", "worst": "the furthest",
        "within_10_percent": "within 10 %", "within_25_percent": "within 25 %",
    }  # fmt: skip
    mark = " (unstable)" if document["unstable"] else ""
    print_table(
        f"Predicted for {document['device']}{mark}, measured on {document['processor']}: "
        f"{document['runs']} runs",
        ["figure", "value"],
        [[label, f"{document[key]:.1%}"] for key, label in labels.items()],
    )
    print_table(
        "The furthest",
        ["model", "batch", "predicted over measured"],
        [[one["path"], str(one["batch"]), f"{one['ratio']:.2f}"] for one in document["furthest"]],
    )


def _list_profiles(*, json: bool) -> None:
    from hedge.cli.console import print_json, print_records
    from hedge.devices import find_profile, shipped_profiles

    found = [find_profile(name) for name in shipped_profiles()]
    if json:
        print_json({"devices": [d.model_dump() for d in found]})
        return
    print_records(
        "Devices (figures per core; --device also takes a .toml file, or auto: this machine)",
        found,
        {
            "name": lambda d: d.name,
            "runtime": lambda d: d.runtime.name,
            "C, GFLOP/s": lambda d: f"{d.paper.compute.value / 1e9:.3g}",
            "B, GB/s": lambda d: f"{d.paper.bandwidth.value / 1e9:.3g}",
            "flash": lambda d: _room(d, "flash"),
            "RAM": lambda d: _room(d, "ram"),
            "device": lambda d: d.description,
        },
        prose={"device"},
    )


def _room(device: Device, name: Literal["flash", "ram"]) -> str:
    """What ``compress`` keeps to by itself on a device; a dash where nothing is said."""
    from hedge.cli.console import size

    limit = None if device.memory is None else getattr(device.memory, name)
    return "-" if limit is None else size(limit.value)


def calibrate(
    out: Annotated[Path | None, file_option(help="The profile to write.")] = None,
    runtime: Annotated[
        Literal["onnxruntime", "c"], typer.Option(help="What is measured: onnxruntime, or C.")
    ] = "onnxruntime",
    compiler: Annotated[
        str | None, typer.Option(help="Of C: the compiler; else $CC, or cc.")
    ] = None,
    flags: Annotated[
        str | None, typer.Option(help="Of C: its flags; else -std=c99 -O3 -march=native.")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Make it the profile that --device auto means.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Half a minute, on coarser grids.")
    ] = False,
    threads: Annotated[int, typer.Option(help="Threads of onnxruntime.")] = 1,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure this machine and write its device profile, in up to three minutes.

    Of exported C, too: hedge calibrate --runtime c --flags "-std=c99 -O2" --out here-c.toml
    """
    from hedge.benching import check_can_be_kept, keep_as_auto
    from hedge.cli.console import print_json, progress, say, warn
    from hedge.devices import named_after, write_profile
    from hedge.files import check_writable, write_atomically

    if out is None and not refresh:
        other = ", or give --refresh, or both" if runtime == "onnxruntime" else ""
        raise InputError(f"calibrate: name a file with --out{other}")
    _check_options(runtime, {"compiler": compiler, "flags": flags}, threads, refresh=refresh)
    if out is not None:
        check_writable(out, force=force)
    if refresh:
        check_can_be_kept()
    with progress() as on_progress:
        if runtime == "c":
            device = _of_c(compiler, flags, on_progress, quick=quick)
        else:
            device = _of_onnxruntime(threads, on_progress, quick=quick)
        if out is not None:
            write_atomically(out, write_profile(named_after(out, device)), force=force)
        if refresh:
            kept = keep_as_auto(device, on_progress)
            device = kept if out is None else device
    if device.unstable:
        warn(f"unstable: {device.unstable}; calibrate again where the machine is quieter")
    if json:
        print_json(device.model_dump())
        return
    say(f"{out or 'auto'}: {device.description}")
    for line in _summary(device):
        say(line)


def _check_options(
    runtime: str, of_c: Mapping[str, object], threads: int, *, refresh: bool
) -> None:
    """Raise InputError for options that are not of the runtime."""
    if runtime == "c":
        if refresh:
            raise InputError("refresh: auto is of onnxruntime; give --out alone")
        if threads != 1:
            raise InputError(f"threads: C runs on one, not {threads}; leave --threads out")
        return
    if refresh and threads != 1:  # all predictions with auto are of one core
        raise InputError(f"refresh: auto is of one thread, not {threads}; give --out alone")
    for option, value in of_c.items():
        if value is not None:
            raise InputError(f"{option}: is for --runtime c; leave it out, or give that")


def _of_c(compiler: str | None, flags: str | None, on_progress: Progress, *, quick: bool) -> Device:
    from hedge.benching.calibration import FULL_C, QUICK_C, calibrate_c
    from hedge.exporting.compiling import FLAGS, compiler_here, flags_in

    chosen = compiler_here(compiler, FLAGS if flags is None else flags_in(flags))
    return calibrate_c(chosen, on_progress, scope=QUICK_C if quick else FULL_C)


def _of_onnxruntime(threads: int, on_progress: Progress, *, quick: bool) -> Device:
    from hedge.benching import FULL, QUICK
    from hedge.benching import calibrate as calibrate_machine

    return calibrate_machine(threads, on_progress, scope=QUICK if quick else FULL)


def _summary(device: Device) -> list[str]:
    """What was measured, and how far predictions are off, in a few lines."""
    from hedge.cli.console import seconds
    from hedge.devices import OnnxRuntime

    checked, runtime = device.calibration, device.runtime
    assert checked is not None
    if isinstance(runtime, OnnxRuntime):
        own = (
            f"call {seconds(runtime.call.value)}, node {seconds(runtime.node.value)}, "
            f"fastest Gemm {runtime.compute.value / 1e9:.3g} GFLOP/s"
        )
    else:
        own = f"{runtime.compiler}, vectors of {runtime.lanes}"
    return [
        f"{own}; Theorem 11 holds with C = {device.paper.compute.value / 1e9:.3g} GFLOP/s, "
        f"B = {device.paper.bandwidth.value / 1e9:.3g} GB/s",
        f"off by {checked.held_out_median:.0%} in the median, {checked.held_out_worst:.0%} at worst, "
        f"on {checked.held_out} {'times of ' if device.runs_c else ''}networks not in the fit",
    ]
