"""Tangent kernels as tables and documents."""

from __future__ import annotations

import math
from typing import Any

from hedge.cli.console import print_table, say
from hedge.ntk import Comparison, Spectrum
from hedge.paper import Bound

SHOWN_EIGENVALUES = 10


def kernel_document(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON values; null where a figure does not exist."""
    return {
        "before": _spectrum_document(found.before),
        "after": None if found.after is None else _spectrum_document(found.after),
        "relative_difference": found.difference,
        "rank_correlation": found.rank_correlation,
        "bound_rows": found.bound_rows,
        "bounds": [_bound_document(bound) for bound in found.bounds],
    }


def _spectrum_document(spectrum: Spectrum) -> dict[str, Any]:
    return {
        "rows": spectrum.rows,
        "eigenvalues": [float(value) for value in spectrum.values],
        "largest": spectrum.largest,
        "smallest": spectrum.smallest,
        "resolution": spectrum.resolution,
        "smallest_resolved": spectrum.resolved,
        "condition_number": spectrum.condition,
        "effective_rank": spectrum.effective_rank,
        "trace": spectrum.trace,
        "frobenius_norm": spectrum.frobenius,
        "numbers": spectrum.numbers,
    }


def _bound_document(bound: Bound) -> dict[str, Any]:
    return {
        "item": bound.item,
        "claim": bound.claim,
        "left": bound.left if math.isfinite(bound.left) else None,
        "right": bound.right if math.isfinite(bound.right) else None,
        "applies": bound.applies,
        "holds": bound.holds,
        "reason": bound.reason,
    }


def print_kernels(found: Comparison, of: str) -> None:
    """Spectra side by side, then the theorems."""
    spectra = [found.before] if found.after is None else [found.before, found.after]
    rows = [
        ["largest eigenvalue", *(f"{s.largest:.6g}" for s in spectra)],
        ["smallest eigenvalue", *(_smallest(s) for s in spectra)],
        ["condition number", *(_condition(s) for s in spectra)],
        ["effective rank (Σλ)²/Σλ²", *(f"{s.effective_rank:.4g}" for s in spectra)],
        ["trace", *(f"{s.trace:.6g}" for s in spectra)],
        ["numbers kept", *(f"{s.numbers} ({s.rows**2 / s.numbers:.3g}x less)" for s in spectra)],
    ]
    shown = min(SHOWN_EIGENVALUES, *(len(s.values) for s in spectra))
    rows += [
        [f"eigenvalue {i + 1}", *(f"{s.values[i]:.4g}" for s in spectra)] for i in range(shown)
    ]
    title = f"Tangent kernel of the {of} at {found.before.rows} rows"
    print_table(title, ["", "before", "after"][: len(spectra) + 1], rows)
    if found.difference is not None:
        correlation = "–" if found.rank_correlation is None else f"{found.rank_correlation:.4f}"
        say(
            f"relative difference of the kernels (Frobenius) {found.difference:.3g}; rank correlation "
            f"of the modes {correlation}"
        )
    print_table(
        f"Theorems, both sides computed on {found.bound_rows} rows (A before, H after; thm9 on 64)",
        ["item", "claim", "left", "right", "holds", "note"],
        [
            [b.item, b.claim, f"{b.left:.3g}", f"{b.right:.3g}", _verdict(b), b.reason]
            for b in found.bounds
        ],
        prose={"claim", "note"},
    )


def _smallest(spectrum: Spectrum) -> str:
    return f"{spectrum.smallest:.4g}" if spectrum.resolved else f"below {spectrum.resolution:.2g}"


def _condition(spectrum: Spectrum) -> str:
    return f"{'' if spectrum.resolved else 'at least '}{spectrum.condition:.3g}"


def _verdict(bound: Bound) -> str:
    answer = "yes" if bound.holds else "no"
    return answer if bound.applies else f"({answer})"
