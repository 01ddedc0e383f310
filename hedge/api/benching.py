"""bench: latencies measured here, or on other machines over ssh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hedge.api.inputs import chosen_device
from hedge.benching import (
    ONNXRUNTIME,
    BenchResult,
    Effort,
    Metering,
    RemoteBench,
    backend_for,
    bench_on_each,
    check_batches,
    check_threads,
    check_window,
    find_backend,
)
from hedge.benching import bench as bench_models
from hedge.benching.remote import check_host
from hedge.devices import AUTO, Device
from hedge.errors import InputError, RemoteError
from hedge.files import require_any
from hedge.meters import find_meter
from hedge.progress import Progress, silent


def bench(
    models: Sequence[Path | str],
    *,
    device: Device | str = AUTO,
    batches: Sequence[int] = (1, 1024),
    threads: int = 1,
    effort: Effort | None = None,
    backend: str | None = None,
    compiled: Sequence[Path | str] = (),
    energy_s: float | None = None,
    on_progress: Progress = silent,
) -> BenchResult:
    """Time ``.onnx`` files side by side on this machine; the first is the one compared with.

    ``backend`` is by default that of the device's runtime; C is compiled with the flags of a profile that was
    calibrated here, else with the usual ones.
    Of the files ``compiled`` the C99 export is timed in turn with the others, as the .c file of their name.

    With ``energy_s`` the machine's energy meter is read for as many seconds per model and batch, at
    least 10; raises MeterError if there is none or it may not be read.
    """
    if backend is not None:  # before this machine is calibrated
        find_backend(backend)
    metering = None
    if energy_s is not None:
        check_window(energy_s)
        metering = Metering(find_meter(), energy_s)
    check_batches(batches)
    check_threads(threads)
    paths = [Path(m) for m in models]
    require_any(paths)  # before this machine is calibrated
    device = chosen_device(device, on_progress)
    return bench_models(
        paths,
        device,
        batches=batches,
        threads=threads,
        effort=effort or Effort(),
        backend=backend_for(device, backend),
        compiled=[Path(m) for m in compiled],
        metering=metering,
        on_progress=on_progress,
    )


def bench_fleet(
    models: Sequence[Path | str],
    hosts: Sequence[str],
    *,
    device: Device | str = AUTO,
    batches: Sequence[int] = (1, 1024),
    threads: int = 1,
    effort: Effort | None = None,
    backend: str | None = None,
    energy_s: float | None = None,
    remote_hedge: str | None = None,
    on_progress: Progress = silent,
) -> Mapping[str, BenchResult | RemoteError]:
    """The same on other machines, all at once: ``hosts`` are what the system's ssh takes, user@host.

    ``"auto"`` is each machine's own calibration. A host that fails is its RemoteError, and the others'
    results are kept. ``remote_hedge`` is the path of hedge there, absolute or from the home folder; it is
    looked for in the usual places without one. Raises InputError for what is no host or out of range.
    """
    if len(set(hosts)) < len(hosts):
        raise InputError("on: a host is named twice; name each once")
    for host in hosts:
        check_host(host)
    check_batches(batches)
    check_threads(threads)
    if energy_s is not None:
        check_window(energy_s)
    chosen = None if device == AUTO else chosen_device(device)
    task = RemoteBench(
        models=tuple(Path(m) for m in models),
        device=chosen,
        batches=tuple(batches),
        threads=threads,
        timed_s=(effort or Effort()).timed_s,
        backend=backend or (ONNXRUNTIME if chosen is None else chosen.runtime.name),
        energy_s=energy_s,
        hedge=remote_hedge,
    )
    on_progress(f"benching {len(models)} model(s) on {', '.join(hosts)}")
    found = bench_on_each(hosts, task)
    return {host: _as_named_here(result, task.device) for host, result in found.items()}


def _as_named_here(
    result: BenchResult | RemoteError, device: Device | None
) -> BenchResult | RemoteError:
    """There the device is called after the file that its profile was sent as."""
    if device is None or isinstance(result, RemoteError):
        return result
    return result.model_copy(update={"device": device.name})
