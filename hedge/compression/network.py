"""A network on its way to a smaller one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hedge.compression.case import Case, Matrices
from hedge.compression.fitting import Choice
from hedge.compression.site_plan import parameter_count
from hedge.graph import SiteMatrix, SplitModel, with_kept_neurons
from hedge.progress import silent

# Networks of more parameters take so long to cut that it is told of.
LARGE = 5000


@dataclass(frozen=True)
class Network:
    """The case for what is left of the layers and of constants per neuron, and the sites' matrices."""

    case: Case
    matrices: Matrices

    @cached_property
    def here(self) -> Case:
        """What is cut: the network as if it were the dense one. Small ones are cut too quickly to tell of.

        How deep a cut is says the mean: the largest error would call a few points off a deep one.
        """
        case = self.case
        unchanged = all(self.matrices[name] is m for name, m in case.split.matrices.items())
        if unchanged and case.request.norm == "l2" and case.folded_from is None:
            return case  # which has measured it
        return replace(
            case,
            split=case.split.replaced(_dense(self.matrices)),
            request=replace(case.request, norm="l2"),
            folded_from=None,
            tell=case.tell if parameter_count(self.matrices) > LARGE else silent,
        )

    @property
    def validation_error(self) -> float:
        """That of the case."""
        return self.case.validation_error(self.matrices)


def network_of(case: Case, split: SplitModel, matrices: Matrices) -> Network:
    """What ``split`` leaves of a case's graph, with these matrices."""
    if split.skeleton is case.split.skeleton:
        return Network(case, matrices)
    return Network(case.folded(split.replaced(_dense(matrices))), matrices)


def cut(case: Case, kept: Mapping[str, NDArray[np.int64]], choose: Choice) -> Network:
    """The neurons kept of some groups, all sites fitted (:func:`hedge.compression.fitting.fit_sites`)."""
    matrices = case.fits.fitted(kept, choose)
    return network_of(case, with_kept_neurons(case.split, case.groups, kept), matrices)


def _dense(matrices: Matrices) -> dict[str, SiteMatrix]:
    return {name: SiteMatrix((m.dense(),), m.bias) for name, m in matrices.items()}
