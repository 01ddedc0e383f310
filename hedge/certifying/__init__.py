"""Proofs of the error over a whole box: Taylor models of both networks on boxes that are bisected."""

from __future__ import annotations

from hedge.certifying.certificate import Certificate, CertifiedFile, Claim, read_certificate
from hedge.certifying.network import network_of
from hedge.certifying.proving import as_certificate, prove
from hedge.certifying.search import Proof

__all__ = [
    "Certificate",
    "CertifiedFile",
    "Claim",
    "Proof",
    "as_certificate",
    "network_of",
    "prove",
    "read_certificate",
]
