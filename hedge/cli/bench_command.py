"""``hedge bench``: models timed side by side, here or on other machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from hedge.cli.messages import report
from hedge.cli.options import (
    Batches,
    DeviceName,
    Json,
    TimedSeconds,
    batches_of,
    file_argument,
    file_option,
    timed_seconds,
)
from hedge.errors import HedgeError, InputError
from hedge.files import check_writable, write_atomically


def bench(
    models: Annotated[list[Path], file_argument(help=".onnx files; the first is compared with.")],
    device: DeviceName = "auto",
    batch: Batches = "1,1024",
    threads: Annotated[int, typer.Option(help="Threads of the runtime.")] = 1,
    seconds: TimedSeconds = 1.0,
    backend: Annotated[
        str | None,
        typer.Option(
            help="What runs the models: onnxruntime, openvino or c; else the device's runtime."
        ),
    ] = None,
    energy: Annotated[
        float | None,
        typer.Option(help="Read the energy meter for so many seconds per model and batch (10 up)."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(help="user@host: bench there over ssh instead; once or several times."),
    ] = None,
    remote_hedge: Annotated[
        str | None, typer.Option(help="With --on: hedge's path there, if it is in no usual place.")
    ] = None,
    against: Annotated[Path | None, file_option(help="An earlier result to compare with.")] = None,
    out: Annotated[Path | None, file_option(help="Write the result, with raw times, here.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite; compare with another machine's result.")
    ] = False,
    json: Json = False,
) -> None:
    """Time models side by side on this machine, beside what the device's figures predict.

    A model or host that fails is a line on stderr and makes the exit code 1; the others are measured all
    the same.
    """
    from hedge import api
    from hedge.benching import (
        Effort,
        changes_since,
        check_comparable,
        check_shared,
        machine_facts,
        read_result,
    )
    from hedge.cli.bench_table import change_document, print_bench, print_changes
    from hedge.cli.console import print_json, progress

    request: dict[str, Any] = {
        "device": device,
        "batches": batches_of(batch),
        "threads": threads,
        "effort": Effort.of(timed_seconds(seconds)),
        "backend": backend,
        "energy_s": energy,
    }
    if out is not None:
        check_writable(out, force=force)
        api.check_not_read(out, [*models, *([] if against is None else [against])], device)
    if on:
        if against is not None:
            raise InputError("against: compares on this machine; leave out --on")
        request |= {"remote_hedge": remote_hedge}
        _bench_fleet(models, on, request, out, force=force, json=json)
        return
    if remote_hedge is not None:
        raise InputError("remote-hedge: is for --on; leave it out")
    before = None if against is None else read_result(against)
    if before is not None:
        check_shared(before, models, request["batches"], str(against))
        if not force:
            runs = backend or api.runtime_of(device)
            check_comparable(before, machine_facts(), threads, runs, str(against))
    with progress() as on_progress:
        result = api.bench(models, **request, on_progress=on_progress)
    document = result.to_json()
    _write(out, document, force=force)
    changes = () if before is None else changes_since(before, result)
    if json:
        compared = {"against": [change_document(change) for change in changes]} if changes else {}
        print_json({**document, **compared})
    else:
        print_bench(result)
        if changes:
            print_changes(changes, str(against))
    report([failure.reason for failure in result.failures])


def _bench_fleet(
    models: Sequence[Path],
    hosts: Sequence[str],
    request: Mapping[str, Any],
    out: Path | None,
    *,
    force: bool,
    json: bool,
) -> None:
    from hedge import api
    from hedge.benching import fleet_document
    from hedge.cli.bench_table import print_bench
    from hedge.cli.console import print_json, progress

    with progress() as on_progress:
        fleet = api.bench_fleet(models, hosts, **request, on_progress=on_progress)
    document = fleet_document(fleet)
    _write(out, document, force=force)
    if json:
        print_json(document)
    problems = []
    for host, result in fleet.items():
        if isinstance(result, HedgeError):
            problems.append(str(result))
            continue
        problems += [f"{host}: {failure.reason}" for failure in result.failures]
        if not json:
            print_bench(result, host)
    report(problems)


def _write(out: Path | None, document: Any, *, force: bool) -> None:
    if out is not None:
        write_atomically(out, dumps(document).encode(), force=force)
