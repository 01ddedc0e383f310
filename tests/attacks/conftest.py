"""Every command, as it is run on a stranger's file; each must end in one line that names the file."""

from __future__ import annotations

from tests.cli.conftest import refuses, run

__all__ = ["ON_COMPRESSED", "ON_DENSE", "refuses", "run"]

DEVICE = ("--device", "laptop-x86")
DOMAIN = ("--domain", "0:1,0:1")
QUICK = ("--seconds", "0.01", "--batch", "1")

# Commands that read an .onnx called m.onnx, by name.
ON_DENSE = {
    "inspect": ("inspect", "m.onnx"),
    "compress": (
        "compress", "m.onnx", "--no-recover", "--tolerance", "0.1", *DEVICE, *DOMAIN,
        "--out", "o.safetensors",
    ),
    "evaluate": ("evaluate", "m.onnx", "--problem", "heat"),
    "bench": ("bench", "m.onnx", *DEVICE, *QUICK),
    "bench in C": ("bench", "m.onnx", *DEVICE, *QUICK, "--backend", "c"),
    "compare": ("compare", "m.onnx", "--tolerance", "0.1", *DEVICE, *DOMAIN, *QUICK),
    "export to C": ("export", "m.onnx", "--format", "c", "--out", "m.c"),
    "ntk": ("ntk", "m.onnx", *DOMAIN, "--points", "8"),
    "report": ("report", "m.onnx", "--out", "r.html"),
    "devices --check": ("devices", "m.onnx", "--check", "laptop-x86", *QUICK),
}  # fmt: skip
# Commands that read a compressed model called c.safetensors.
ON_COMPRESSED = {
    "inspect": ("inspect", "c.safetensors"),
    "export": ("export", "c.safetensors", "--out", "o.onnx"),
    "export at another opset": ("export", "c.safetensors", "--opset", "19", "--out", "o.onnx"),
    "export to C": ("export", "c.safetensors", "--format", "c", "--out", "o.c"),
    "ntk": ("ntk", "dense.onnx", "c.safetensors", *DOMAIN, "--points", "8"),
    "report": ("report", "c.safetensors", "--out", "r.html"),
}
