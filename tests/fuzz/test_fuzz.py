"""200 altered files of all kinds, always the same; ``make fuzz`` runs more."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.running import KINDS, fuzz, inputs


def test_altered_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    verdicts = list(fuzz(inputs(200, 1, None), tmp_path))
    assert not [one.about for one in verdicts if one.found == "fault"]
    assert {one.input.kind for one in verdicts} == set(KINDS)
    assert {one.found for one in verdicts} == {"accepted", "refused"}
