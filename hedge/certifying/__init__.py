"""Proofs of the error over a whole box: Taylor models of both networks on boxes that are bisected."""

from __future__ import annotations

from hedge.certifying.bounds import Pair
from hedge.certifying.certificate import (
    Certificate,
    CertifiedFile,
    Claim,
    Difference,
    Distance,
    Solution,
    read_certificate,
)
from hedge.certifying.distances import as_deployed, by_theorems
from hedge.certifying.network import network_of
from hedge.certifying.proving import as_certificate, as_difference, prove
from hedge.certifying.search import Proof
from hedge.certifying.solution import prove_solution

__all__ = [
    "Certificate",
    "CertifiedFile",
    "Claim",
    "Difference",
    "Distance",
    "Pair",
    "Proof",
    "Solution",
    "as_certificate",
    "as_deployed",
    "as_difference",
    "by_theorems",
    "network_of",
    "prove",
    "prove_solution",
    "read_certificate",
]
