"""hedge: from a trained physics-informed neural network to a small, fast model with a known error.

The pipeline on a model that comes with hedge, from dense to factorized, in Python:

>>> import tempfile, pathlib, hedge
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> dense = hedge.reference_models()["poisson"]
>>> small = hedge.compress(dense, device="raspberry-pi-4b", tolerance=1e-2, batch=256)
>>> small.plan.relative_error < 1e-2
True
>>> small.plan.parameters < small.plan.dense_parameters
True
>>> model = hedge.export(small, folder / "poisson.pi.onnx")

The same from the shell: ``hedge compress``, ``hedge export``, ``hedge bench``; see ``hedge --help``.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hedge.version import __version__

# onnxruntime would tell its makers what is run, keep a database of that in the cache folder, and write
# .ses in TMPDIR through a link or into a pipe that lies there. It looks when it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from hedge.api import (
        bench,
        bench_fleet,
        certify,
        check_certificate,
        compare_methods,
        compress,
        export,
        export_arduino,
        export_c,
        export_casadi,
        export_fmu,
        export_library,
        find_device,
        import_model,
        load,
        reference_models,
        report,
        sweep,
        train,
        train_operator,
    )

__all__ = [
    "__version__", "bench", "bench_fleet", "certify", "check_certificate", "compare_methods", "compress",
    "export", "export_arduino", "export_c", "export_casadi", "export_fmu", "export_library",
    "find_device", "import_model", "load", "reference_models", "report", "sweep", "train", "train_operator",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # numpy, onnx and onnxruntime take a second to import; `import hedge` and `--help` must not.
    if name in __all__:
        return getattr(import_module("hedge.api"), name)
    raise AttributeError(f"module 'hedge' has no attribute {name!r}")
