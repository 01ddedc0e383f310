"""Choosing the form of every site by the device model."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto

from hedge.devices import Device, predicted_seconds
from hedge.graph.lowering import Form, forms_of
from hedge.graph.matrices import Matrix
from hedge.graph.sites import assemble
from hedge.graph.work import graph_work

# Predictions err by some percent: other forms than the usual ones must gain more than that.
LEAST_GAIN = 0.05


def best_forms(
    skeleton: ModelProto, matrices: Mapping[str, Matrix], device: Device, batch: int
) -> dict[str, Form]:
    """The form of each site with the least predicted time of the whole graph for ``batch`` rows.

    Each site is tried with all others in their usual forms: what a form costs depends on the nodes
    around it (a Gemm takes in the activation behind it, a Concat does not), but not on other forms.
    Where all together gain less than predictions err, the usual forms stay.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from hedge.devices import find_profile
    >>> from hedge.graph import SiteMatrix, load_model, split
    >>> parts = split(load_model(Path("models/heat-64x3.onnx")))
    >>> full = {s.name: SiteMatrix((s.matrix.factors[0], np.eye(s.matrix.shape[1])), s.matrix.bias)
    ...         for s in parts.sites}
    >>> best_forms(parts.skeleton, full, find_profile("laptop-x86"), batch=1)["site1"]
    'dense'
    """

    def seconds(forms: Mapping[str, Form]) -> float:
        model = assemble(skeleton, matrices, forms=forms)
        return float(predicted_seconds(device, graph_work(model, batch)))

    usual = {name: forms_of(matrix)[0] for name, matrix in matrices.items()}
    several = [name for name, matrix in matrices.items() if len(forms_of(matrix)) > 1]
    if not several:
        return usual
    before = seconds(usual)
    best = dict(usual)
    for name in several:
        others = {form: seconds({**usual, name: form}) for form in forms_of(matrices[name])[1:]}
        times = {usual[name]: before, **others}
        best[name] = min(times, key=times.__getitem__)
    return best if seconds(best) < (1.0 - LEAST_GAIN) * before else usual
