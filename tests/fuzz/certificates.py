"""Certificates: by key and by byte, sealed anew or not; one that is verified must be true."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np

import hedge
from hedge.certifying.certificate import digest_of
from hedge.graph import load_model, run_float32
from tests.conftest import random_mlp
from tests.fuzz.altering import altered_bytes, altered_document
from tests.fuzz.kind import Fault, Kind, Said


def honest(folder: Path) -> None:
    for name, scale in (("m.onnx", 1.0), ("s.onnx", 0.9)):
        model = random_mlp([2, 6, 6, 1], scale=scale)
        (folder / name).write_bytes(model.SerializeToString())
    hedge.certify(
        folder / "s.onnx", folder / "m.onnx", domain="-1:1", boxes=40, out=folder / "c.json"
    )


def alter(rng: Random, folder: Path) -> str:
    data = (folder / "c.json").read_bytes()
    if rng.random() < 0.2:
        how, data = "bytes", altered_bytes(rng, data)
    else:
        how, document = "values", altered_document(rng, json.loads(data))
        if rng.random() < 0.7:
            how, document = "values, sealed anew", {**document, "digest": digest_of(document)}
        data = json.dumps(document).encode()
    (folder / "c.json").write_bytes(data)
    return how


def check(folder: Path, command: str, said: Said) -> None:
    if not command.startswith("certify"):
        return
    document = json.loads((folder / "c.json").read_text())
    lower, upper = np.array(document["difference"]["domain"]).T
    points = np.random.default_rng(0).uniform(lower, upper, (2000, 2)).astype(np.float32)
    small, dense = (run_float32(load_model(folder / n), points) for n in ("s.onnx", "m.onnx"))
    largest = np.abs(small - dense).max()
    claims = document["difference"]["claims"]
    if largest > claims[0]["largest"] + 1e-5:
        raise Fault(f"verified, though the error is {largest}: {claims}")


KIND = Kind(
    honest,
    alter,
    ("certify --check c.json", "certify --check c.json --json", "report c.json --out r.html"),
    check,
)
