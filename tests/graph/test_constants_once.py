"""Sites that shared a weight share in the file what is put in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from hedge.graph import SiteMatrix, assemble, load_model, run_float32, split
from hedge.problems import cubic_operator
from hedge.training import OperatorNetwork, operator_network_to_onnx

SENSORS = 160


def test_equal_matrices_are_stored_once_and_others_are_not(tmp_path: Path) -> None:
    problem = cubic_operator(SENSORS)
    network = OperatorNetwork(problem, problem.layer.solve(np.eye(SENSORS)))
    onnx.save(operator_network_to_onnx(network), tmp_path / "c.onnx")
    parts = split(load_model(tmp_path / "c.onnx"))
    sources = problem.sample(8, 0)
    assert len(parts.sites) == 8
    dense = assemble(parts.skeleton, parts.matrices)
    large = [t for t in dense.graph.initializer if np.prod(t.dims) == SENSORS**2]
    assert len(large) == 1
    wanted = network(sources)
    assert np.linalg.norm(run_float32(dense, sources) - wanted) < 1e-5 * np.linalg.norm(wanted)
    weight = parts.matrices["site0"].dense()
    other = SiteMatrix((1.5 * weight,), np.zeros(SENSORS))
    changed = assemble(parts.skeleton, {**parts.matrices, "site7": other})
    large = [t for t in changed.graph.initializer if np.prod(t.dims) == SENSORS**2]
    assert len(large) == 2
    off = run_float32(changed, sources) - wanted
    assert np.linalg.norm(off) > 1e-4 * np.linalg.norm(wanted)
