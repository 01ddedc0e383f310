"""What derivatives as outputs cost: the time of a model with them over that of its value alone.

    python benchmarks/derivatives.py

The files run by turns, window by window, on one thread: in onnxruntime and, where there is a compiler, as
the C that hedge writes (hedge bench --backend c). 'first' is u and its first derivatives, 'second' those and
second ones in space.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import hedge
from hedge.benching import Effort, has_compiler

MODELS = Path(__file__).parent.parent / "models"
CASES = {
    "burgers-128x4.onnx": ("u,u_x,u_t", "u,u_x,u_t,u_xx"),
    "burgers-128x4.hedge.safetensors": ("u,u_x,u_t", "u,u_x,u_t,u_xx"),
    "heat-64x3.onnx": ("u,u_x,u_t", "u,u_x,u_t,u_xx"),
    "poisson-64x3.onnx": ("u,u_x,u_y", "u,u_x,u_y,u_xx,u_yy"),
    "burgers-nu-24x3.onnx": ("u,u_x,u_t", "u,u_x,u_t,u_xx"),
}
BATCHES = (1, 1024)


def main() -> None:
    backends = ["onnxruntime", *(["c"] if has_compiler() else [])]
    for name, (first, second) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / f"{which}.onnx" for which in ("value", "first", "second")]
            for out, outputs in zip(files, ("u", first, second), strict=True):
                hedge.export(MODELS / name, out, outputs=outputs)
            for backend in backends:
                found = hedge.bench(
                    files, device="laptop-x86", batches=BATCHES, backend=backend,
                    effort=Effort(warm_up_s=0.1, timed_s=0.5),
                )  # fmt: skip
                ratios = [
                    f"{Path(m.path).stem} {1.0 / m.speedup:.2f} times at batch {m.batch}"
                    + (" (unstable)" if m.unstable else "")
                    for m in found.models
                    if Path(m.path).stem != "value"
                ]
                print(f"{name}, {backend}: {'; '.join(ratios)}", flush=True)


if __name__ == "__main__":
    main()
