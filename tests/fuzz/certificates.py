"""Certificates: by key and by byte, sealed anew or not; one that is verified must be true."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import hedge
from hedge.certifying.certificate import digest_of
from hedge.certifying.residual import residual_model
from hedge.graph import Evaluator, load_model, run_float32
from hedge.problems import find_problem
from tests.certifying.problems import untrained
from tests.fuzz.altering import altered_bytes, altered_document
from tests.fuzz.kind import Fault, Kind, Said

HEAT = find_problem("heat")


def honest(folder: Path) -> None:
    for seed, name in enumerate(("m.onnx", "s.onnx")):
        model = untrained(HEAT, widths=(4,), seed=seed)
        (folder / name).write_bytes(model.SerializeToString())
    hedge.certify(
        folder / "s.onnx", folder / "m.onnx", problem="heat", boxes=40, out=folder / "c.json"
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
    if document["difference"] is not None:
        _check_difference(folder, document["difference"])
    for solution in document["solutions"]:
        _check_solution(folder, solution)
    small, points = load_model(folder / "s.onnx"), _points(HEAT.domain.intervals)
    error = run_float32(small, points) - HEAT.reference(points.astype(np.float64))
    for distance in document["distances"]:
        if distance["kind"] == "max" and np.abs(error).max() > distance["bound"] + 1e-5:
            raise Fault(f"verified, though the error is {np.abs(error).max()}: {distance}")


def _points(domain: Any) -> np.ndarray:
    lower, upper = np.array(domain).T
    return np.random.default_rng(0).uniform(lower, upper, (2000, 2)).astype(np.float32)


def _check_difference(folder: Path, difference: dict[str, Any]) -> None:
    points = _points(difference["domain"])
    small, dense = (run_float32(load_model(folder / n), points) for n in ("s.onnx", "m.onnx"))
    largest = np.abs(small - dense).max()
    if largest > difference["claims"][0]["largest"] + 1e-5:
        raise Fault(f"verified, though the error is {largest}: {difference['claims']}")


def _check_solution(folder: Path, solution: dict[str, Any]) -> None:
    residual = residual_model(load_model(folder / solution["file"]["name"]), HEAT)
    found, value = np.abs(Evaluator(residual)(_points(solution["domain"]))).max(axis=0)
    if found > solution["residual"]["largest"] + 1e-9 or value > solution["value"] + 1e-9:
        raise Fault(f"verified, though the residual is {found} and the value {value}")


KIND = Kind(
    honest,
    alter,
    ("certify --check c.json", "certify --check c.json --json", "report c.json --out r.html"),
    check,
)
