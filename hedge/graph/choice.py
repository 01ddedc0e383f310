"""Choosing the form of every site by the device model."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from onnx import ModelProto

from hedge.devices import LEAST_GAIN, Device, predicted_seconds
from hedge.graph.sites import assemble
from hedge.graph.structures.lowering import forms_of
from hedge.graph.structures.structure import Form, Matrix
from hedge.graph.work import graph_work


def best_forms(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    device: Device,
    batch: int,
    without: Collection[Form] = (),
) -> dict[str, Form]:
    """The form of each site with the least predicted time of the whole graph for ``batch`` rows.

    Each site is tried with all others in their usual forms: what a form costs depends on the nodes
    around it (a Gemm takes in the activation behind it, a Concat does not), but not on other forms.
    Where all together gain less than predictions err, the usual forms stay. ``without`` names forms
    that are not to be used.

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
    others = {
        name: [form for form in forms_of(matrix)[1:] if form not in without]
        for name, matrix in matrices.items()
    }
    if not any(others.values()):
        return usual
    before = seconds(usual)
    best = dict(usual)
    for name, forms in others.items():
        times = {usual[name]: before} | {form: seconds({**usual, name: form}) for form in forms}
        best[name] = min(times, key=times.__getitem__)
    return best if seconds(best) < (1.0 - LEAST_GAIN) * before else usual
