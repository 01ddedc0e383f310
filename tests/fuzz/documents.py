"""Device profiles, and the results of bench and compare: by key and by byte."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from random import Random
from typing import Any

from hedge.devices import find_profile, write_profile
from tests.conftest import random_mlp
from tests.fuzz.altering import altered_bytes, altered_document
from tests.fuzz.kind import Kind
from tests.fuzz.onnx_files import QUICK
from tests.reporting.conftest import comparison
from tests.reporting.documents import bench_document, bench_document_1


def honest_model(folder: Path) -> None:
    (folder / "m.onnx").write_bytes(random_mlp([2, 6, 6, 1]).SerializeToString())


def toml(value: Any) -> str:
    """A value as TOML, of which the standard library writes none."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(str(k))} = {toml(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and value.bit_length() > 10_000:
        return "1" * 5000
    return '""' if value is None else json.dumps(value)


def alter_profile(rng: Random, folder: Path) -> str:
    name = rng.choice(("laptop-x86", "raspberry-pi-4b", "paper-example"))
    data = write_profile(find_profile(name))
    if rng.random() < 0.3:
        how, data = "bytes", altered_bytes(rng, data)
    else:
        document = altered_document(rng, tomllib.loads(data.decode()))
        lines = [f"{json.dumps(key)} = {toml(value)}" for key, value in document.items()]
        how, data = "values", "\n".join(lines).encode()
    (folder / "d.toml").write_bytes(data)
    return f"{how} of {name}"


PROFILE = Kind(
    honest_model,
    alter_profile,
    (
        "compress m.onnx --no-recover --tolerance 0.1 --device d.toml --domain 0:1 --out o.safetensors",
        f"bench m.onnx --device d.toml {QUICK}",
        f"bench m.onnx --device d.toml {QUICK} --json",
    ),
)


def alter_result(rng: Random, folder: Path) -> str:
    documents: dict[str, Any] = {
        "bench": bench_document(["m.onnx"], energy=True, unstable="busy"),
        "bench of schema 1": bench_document_1(["m.onnx"]),
        "comparison": {"model": "m.onnx", **comparison().to_json()},
    }
    name = rng.choice(list(documents))
    document = documents[name]
    if rng.random() < 0.2:
        how, data = "bytes", altered_bytes(rng, json.dumps(document).encode())
    else:
        how, data = "values", json.dumps(altered_document(rng, document)).encode()
    (folder / "b.json").write_bytes(data)
    return f"{how} of {name}"


RESULT = Kind(
    honest_model,
    alter_result,
    (
        "report b.json --out r.html",
        "report m.onnx b.json --out r.html",
        f"bench m.onnx --device laptop-x86 {QUICK} --against b.json --force",
        f"bench m.onnx --device laptop-x86 {QUICK} --against b.json --force --json",
    ),
)
