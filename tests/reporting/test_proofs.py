"""The report on a certificate: its claims, and the map of its boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import hedge
from hedge.problems import parse_domain
from hedge.reporting.maps import ACROSS, UP, plane_of
from hedge.reporting.proofs import _painted


def test_every_pixel_has_the_bound_of_its_box(tmp_path: Path) -> None:
    dense = hedge.reference_models()["poisson"]
    certificate = hedge.certify(
        dense, dense, problem="poisson", boxes=60, out=tmp_path / "cert.json"
    )
    assert certificate.difference is not None
    # x below and above the middle; y above it is halved once more
    painted = _painted(
        np.array([[1, 0], [1, 1], [1, 1]]),
        np.array([[0, 0], [1, 0], [1, 1]]),
        np.array([1.0, 2.0, 3.0]),
        plane_of(parse_domain("0:1,0:1"), ("x", "y")),
    )
    assert painted.shape == (UP, ACROSS)
    assert (painted[:, : ACROSS // 2] == 1.0).all()
    assert (painted[UP // 2 :, ACROSS // 2 + 1 :] == 2.0).all()
    assert (painted[: UP // 2 - 1, ACROSS // 2 + 1 :] == 3.0).all()
    assert set(np.unique(painted)) == {1.0, 2.0, 3.0}

    hedge.report([dense, tmp_path / "cert.json"], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "What is proved" in page
    assert f"{certificate.difference.claims[0].largest:.3e}" in page
    assert "bound of |e| box by box" in page
    assert f"{certificate.solutions[0].residual.rms:.3e}" in page
    assert "bound of the residual of poisson-64x3.onnx box by box" in page
