"""Measuring this machine: the device model's figures, fitted to onnxruntime's own times."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from scipy.optimize import nnls

from hedge.benching.machine import processor_name
from hedge.benching.protocol import Effort, bound_run, check_threads, interleaved_times
from hedge.devices import Device, Work, find_profile, read_profile, write_profile
from hedge.devices.profile import SCHEMA, ByteRate, FlopRate, Limits, Paper, Runtime, Seconds
from hedge.errors import HedgeError
from hedge.files import write_atomically
from hedge.graph import LEAST_OPSET, NEWEST_IR_VERSION, graph_work

Array = NDArray[np.float64]

# (widths of the Gemm chain, tanh between them, batch): from call overhead to compute-bound.
LAYOUTS: tuple[tuple[tuple[int, ...], bool, int], ...] = (
    ((1, 1), False, 1),
    ((1, 1, 1, 1, 1, 1, 1, 1, 1), False, 1),
    ((8, 8, 8, 8, 8), True, 1),
    ((64, 64, 64, 64, 64), True, 1),
    ((128, 128, 128, 128, 128), False, 1),
    ((512, 512, 512), False, 1),
    ((2, 16, 16, 16, 1), True, 1024),
    ((2, 64, 64, 64, 1), True, 1024),
    ((2, 128, 128, 128, 1), True, 1024),
    ((128, 8, 128, 8, 128), False, 1024),
    ((128, 16, 128, 16, 128), False, 1024),
    ((64, 64, 64, 64), False, 256),
    ((128, 128, 128, 128), False, 1024),
    ((256, 256, 256), False, 256),
    ((512, 512), False, 256),
    ((32, 32, 32, 32, 32), True, 128),
    ((2, 512, 2), True, 512),
)
AUTO = "auto"
EFFORT = Effort(warm_up_s=0.03, timed_s=0.05)
COPY_BYTES = 64 * 2**20
# How far above the best rate seen the roofline's limits are set, since no run shows the true peak.
PEAK_MARGIN, CACHE_MARGIN = 1.25, 2.0


def calibrate(
    threads: int = 1, on_progress: Callable[[str], None] = lambda message: None
) -> Device:
    """A profile of this machine: runtime figures by non-negative least squares on relative errors.

    C of the paper is the best Gemm rate seen, B the rate of a copy larger than the caches. Power is
    not measured: it is taken from the laptop-x86 profile and marked so. Takes a few seconds.

    Raises InputError for a thread count out of range.
    """
    check_threads(threads)
    on_progress("measuring call, node, Gemm, activation and memory rates")
    models = [_chain(widths, tanh) for widths, tanh, _ in LAYOUTS]
    batches = [batch for _, _, batch in LAYOUTS]
    works = [graph_work(model, batch) for model, batch in zip(models, batches, strict=True)]
    runs = [bound_run(model, batch, threads) for model, batch in zip(models, batches, strict=True)]
    times = np.array([float(np.median(interleaved_times([run], EFFORT)[0])) for run in runs])
    seconds = _fit(works, times)
    residual = float(np.median(np.abs(_features(works) @ seconds / times - 1.0)))

    flop_rates = np.array([work.flops for work in works]) / times
    moved = np.array([work.bytes for work in works])
    copy_rate = _copy_rate()
    call, node, flop, byte, activation = (float(s) for s in seconds)
    best = f"measured here on {len(works)} graphs, onnxruntime {onnxruntime.__version__}"
    fitted = f"{best}, least squares; median deviation {100 * residual:.0f} %"
    compute = FlopRate(value=float(flop_rates.max()), unit="flop/s", source=f"{best}: fastest Gemm")
    # A figure the fit puts at zero takes no time of its own: its rate is unlimited for practical use.
    fastest = 1e15
    return Device(
        hedge_profile=1,
        name=AUTO,
        description=f"this machine ({processor_name()}), {threads} thread(s)",
        paper=Paper(
            compute=compute,
            bandwidth=ByteRate(
                value=copy_rate,
                unit="byte/s",
                source="measured here: copy of 64 MiB, read + written",
            ),
            alpha=find_profile("laptop-x86").paper.alpha,
            beta=find_profile("laptop-x86").paper.beta,
        ),
        runtime=Runtime(
            call=Seconds(value=call, unit="s", source=fitted),
            node=Seconds(value=node, unit="s", source=fitted),
            compute=FlopRate(value=1.0 / max(flop, 1 / fastest), unit="flop/s", source=fitted),
            bandwidth=ByteRate(value=1.0 / max(byte, 1 / fastest), unit="byte/s", source=fitted),
            activation=Seconds(value=activation, unit="s", source=fitted),
        ),
        limits=Limits(
            compute=FlopRate(
                value=PEAK_MARGIN * compute.value,
                unit="flop/s",
                source=f"{best}: fastest Gemm, times {PEAK_MARGIN:g}",
            ),
            bandwidth=ByteRate(
                value=CACHE_MARGIN * max(float((moved / times).max()), copy_rate),
                unit="byte/s",
                source=f"{best}: fastest in cache, times {CACHE_MARGIN:g}",
            ),
        ),
        power=find_profile("laptop-x86").power,
    )


def this_machine(on_progress: Callable[[str], None] = lambda message: None) -> Device:
    """The profile of this machine, measured once and kept in the user's cache folder."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hedge"
    key = re.sub(r"[^A-Za-z0-9]+", "-", f"{processor_name()}-ort-{onnxruntime.__version__}")
    path = folder / f"{key}-v{SCHEMA}.toml"
    try:
        if path.is_file():
            return read_profile(path)
    except HedgeError:
        pass  # damaged or of an older form: measure again and replace it
    device = calibrate(on_progress=on_progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write_profile(device), force=True)
    except (HedgeError, OSError):
        on_progress(
            f"the calibration can't be kept in {folder}; it will be measured again next time"
        )
    return device


def _features(works: list[Work]) -> Array:
    return np.array([[1.0, w.nodes, w.flops, w.bytes, w.activations] for w in works])


def _fit(works: list[Work], times: Array) -> Array:
    """Seconds per call, node, flop, byte and activation: argmin ‖(F s − t) / t‖ over s ≥ 0."""
    scaled = _features(works) / times[:, None]
    sizes = np.linalg.norm(scaled, axis=0)
    solution, _ = nnls(scaled / sizes, np.ones(len(times)))
    return np.asarray(solution / sizes)


def _copy_rate() -> float:
    source = np.ones(COPY_BYTES // 8)
    target = np.empty_like(source)
    times = []
    for _ in range(8):
        started = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - started)
    return 2.0 * COPY_BYTES / min(times)


def _chain(widths: tuple[int, ...], tanh: bool) -> ModelProto:
    rng = np.random.default_rng(0)
    nodes: list[NodeProto] = []
    weights: list[TensorProto] = []
    source = "x"
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        names = [f"w{layer}", f"b{layer}"]
        values = rng.standard_normal((outputs, inputs)) / np.sqrt(inputs), np.zeros(outputs)
        weights += [
            numpy_helper.from_array(v.astype(np.float32), n)
            for n, v in zip(names, values, strict=True)
        ]
        nodes.append(helper.make_node("Gemm", [source, *names], [f"z{layer}"], transB=1))
        source = f"z{layer}"
        if tanh and layer < len(widths) - 2:
            nodes.append(helper.make_node("Tanh", [source], [f"a{layer}"]))
            source = f"a{layer}"
    graph = helper.make_graph(
        nodes,
        "calibration",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", widths[0]])],
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["n", widths[-1]])],
        weights,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", LEAST_OPSET)], ir_version=NEWEST_IR_VERSION
    )
