"""One small network as every format writes it, byte for byte: what changes in a file is seen in a diff.

``python -m tests.exporting.golden`` writes the files anew, where a change is meant.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch
from zipfile import ZipFile

import numpy as np

from hedge.compression import CompressedModel, Plan, SitePlan
from hedge.exporting.fmu.sources import TEMPLATES
from hedge.formats import FORMATS, export_as
from hedge.graph import GraphBuilder, Matrix, SiteMatrix, matrix_bytes, split, stored_as

FOLDER = Path(__file__).parent
RENEW = "python -m tests.exporting.golden"
# What else than one file of the defaults is worth to be seen.
DOMAIN = {"guard": True, "domain": "0:1,-1:1"}
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "c": {"tiny": {"jacobian": True}},
    "library": {"tiny": {"jacobian": True, **DOMAIN}},
    "arduino": {"tiny": {"units": "x[0]=m,u=m/s"}},
    "fmu": {f"tiny{version[0]}": {"fmi": version, **DOMAIN} for version in ("2.0", "3.0")},
}


def written(format: str) -> dict[str, bytes]:
    """The files of the network in a format, by name."""
    suffix = FORMATS[format].suffixes[:1] or ("",)
    with (
        TemporaryDirectory() as folder,
        patch.dict(os.environ, CC="no-compiler-has-the-same-bytes"),
    ):
        for stem, options in OPTIONS.get(format, {"tiny": {}}).items():
            export_as(format, tiny(), Path(folder) / f"{stem}{suffix[0]}", options=options)
        return contents(Path(folder))


def contents(folder: Path) -> dict[str, bytes]:
    """All files in it, by their path; those of an FMU as if it were a folder."""
    found: dict[str, bytes] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        if path.suffix == ".fmu":
            found |= {f"{path.stem}/{name}": data for name, data in _of_fmu(path).items()}
        else:
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def _of_fmu(path: Path) -> dict[str, bytes]:
    """What is written into it; the C that is the same for all networks lies in the package as it is."""
    same = {f"sources/{each.name}" for each in TEMPLATES.iterdir()}
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name not in same}


def tiny() -> CompressedModel:
    """u = x₀ N(x) of 2 x 3 neurons, a dense matrix and one of two int8 factors; all numbers are exact."""
    graph = GraphBuilder()
    first = np.array([[0.5, -1.0], [0.25, 0.75], [-0.5, 0.125]])
    h = graph.add("Tanh", graph.linear("x", first, np.array([0.0, 0.5, -0.25])))
    h = graph.add("Tanh", graph.linear(h, np.eye(3), np.array([0.125, 0.0, -0.5])))
    n = graph.linear(h, np.array([[1.0, -2.0, 0.5]]), np.array([0.75]))
    left = graph.add("Slice", "x", np.array([0]), np.array([1]), np.array([1]))
    model = graph.model({"x": 2}, {graph.add("Mul", left, n, output="u"): 1})
    parts = split(model)
    outer, inner = np.array([[1.0], [-0.5], [0.25]]), np.array([[0.5, -1.0, 1.0]])
    factors = SiteMatrix((outer, inner), parts.matrices["site1"].bias)
    matrices = parts.matrices | {"site1": stored_as(factors, "int8")}
    return CompressedModel(parts.skeleton, matrices, _plan(matrices))


def _plan(matrices: dict[str, Matrix]) -> Plan:
    sites = tuple(
        SitePlan(
            name=name,
            dense_outputs=matrix.shape[0],
            dense_inputs=matrix.shape[1],
            structure=matrix.structure,
            precision=matrix.precision,
            parameters=matrix.parameters,
            bytes=matrix_bytes(matrix),
            reason="an example",
        )
        for name, matrix in matrices.items()
    )
    return Plan(
        method="hierarchical", objective="size", keep_widths=True, batch=1, seed=0, device="none",
        points="none", against="dense", tolerance=0.5, relative_error=0.25, fresh_points=1,
        parameters=sum(site.parameters for site in sites), dense_parameters=25,
        bytes=sum(site.bytes or 0 for site in sites), dense_bytes=100, predicted_s=0.0,
        dense_predicted_s=0.0, energy_j=0.0, dense_energy_j=0.0, gains=True, note="an example",
        source="tiny.onnx", source_sha256="0" * 64, hedge_version="0.1.0", sites=sites,
    )  # fmt: skip
