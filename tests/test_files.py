"""Files that belong together: all of them are written, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from hedge.errors import OutputError
from hedge.files import write_together

# Its temporary file's name is longer than file systems take.
TOO_LONG = 250 * "x"


@pytest.mark.parametrize("force", [False, True])
def test_no_file_is_written_where_the_system_refuses_one(tmp_path: Path, force: bool) -> None:
    first = tmp_path / "u.c"
    if force:
        first.write_bytes(b"old")
    with pytest.raises(OutputError, match="can't be written"):
        write_together({first: b"new", tmp_path / TOO_LONG: b"new"}, force=force)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left == ({"u.c": b"old"} if force else {})
