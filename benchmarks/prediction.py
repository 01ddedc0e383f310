"""How close the device model, calibrated here, comes to measured medians on graphs it has not seen.

python benchmarks/prediction.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

import hedge
from hedge.benching import Effort, calibrate
from hedge.benching.protocol import bound_run, interleaved_times
from hedge.cli.console import print_table
from hedge.compression import blocks_of
from hedge.devices import paper_bound_seconds, predicted_seconds, roofline_seconds
from hedge.graph import graph_work, load_model, split
from hedge.problems import GALLERY

BATCHES = (1, 16, 128, 1024)


def family(path: Path) -> list[onnx.ModelProto]:
    """A shipped model, dense and compressed at two tolerances, both ways."""
    found = [load_model(path)]
    for tolerance in (1e-1, 1e-3):
        for keep_widths in (True, False):
            small = hedge.compress(
                path, device="laptop-x86", tolerance=tolerance, batch=1024, keep_widths=keep_widths
            )
            found.append(small.to_onnx())
    return found


def main() -> None:
    device = calibrate()
    ratios, holds, below = [], [], []
    for name, path in hedge.reference_models().items():
        if name not in GALLERY:
            continue  # operators have no box of inputs
        models = family(path)
        for batch in BATCHES:
            runs = [bound_run(model, batch, 1) for model in models]
            times = interleaved_times(runs, Effort(warm_up_s=0.1, timed_s=0.2))
            for model, t in zip(models, times, strict=True):
                measured, work = float(np.median(t)), graph_work(model, batch)
                ratios.append(predicted_seconds(device, work) / measured)
                below.append(roofline_seconds(device, work) <= measured)
                bound = paper_bound_seconds(device, blocks_of(split(model).matrices), batch)
                holds.append(measured <= bound)
    off = np.abs(np.array(ratios) - 1.0)
    rows = [
        ["graphs x batches", str(len(off))],
        ["median deviation of the prediction", f"{np.median(off):.0%}"],
        ["within 10 %", f"{np.mean(off <= 0.10):.0%}"],
        ["within 25 %", f"{np.mean(off <= 0.25):.0%}"],
        ["roofline is below the measured median", f"{np.mean(below):.0%}"],
        ["Theorem 11 holds", f"{np.mean(holds):.0%}"],
    ]
    print_table(device.description, ["figure", "value"], rows)


if __name__ == "__main__":
    main()
