"""Every format has an example, and writes it byte for byte as it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from hedge.formats import FORMATS
from tests.exporting.c_compiler import WARNINGS, gcc, needs_gcc
from tests.exporting.golden import FOLDER, RENEW, contents, written


def check(format: str, folder: Path) -> None:
    there = contents(folder)
    assert there, f"{format} has no example; write it by {RENEW}"
    now = written(format)
    assert now.keys() == there.keys(), f"other files than in the example; if that is meant, {RENEW}"
    for name, data in now.items():
        texts = [each.decode("utf-8", "backslashreplace") for each in (data, there[name])]
        assert texts[0] == texts[1], f"{name} has changed; if that is meant, {RENEW}"


@pytest.mark.parametrize("format", FORMATS)
def test_a_format_writes_its_example(format: str) -> None:
    check(format, FOLDER / format)


@pytest.mark.parametrize("format", FORMATS)
def test_one_without_an_example_or_with_another_one_is_found(tmp_path: Path, format: str) -> None:
    with pytest.raises(AssertionError, match=f"has no example; write it by {RENEW}"):
        check(format, tmp_path)
    for name, data in contents(FOLDER / format).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data + b" ")
    with pytest.raises(AssertionError, match=f"has changed; if that is meant, {RENEW}"):
        check(format, tmp_path)


@needs_gcc
def test_the_example_in_c_compiles(tmp_path: Path) -> None:
    for name, data in contents(FOLDER / "c").items():
        (tmp_path / name).write_bytes(data)
    gcc(tmp_path, *WARNINGS, "-c", "tiny.c")
