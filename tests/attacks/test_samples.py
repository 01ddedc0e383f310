"""Files of samples that are none, or whose headers promise what they do not hold: never unpickled."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hedge.compression import points_of_file
from hedge.errors import InputError

SAMPLES = np.random.default_rng(0).uniform(-1, 1, (300, 2))


class Trap:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


def saved(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def archived(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "longdouble"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_of_any_width_and_order_are_read(dtype: str, order: Any, tmp_path: Path) -> None:
    data = saved(np.array(SAMPLES.astype(dtype), order=order))
    points = points_of_file(written(tmp_path / "s.npy", data), 2, 0)
    fresh = map(points.fresh, range(points.attempts))
    found = np.concatenate([points.fit, points.validation, *fresh, points.judge()])
    expected = SAMPLES.astype(dtype).astype(np.float64)
    np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(expected, axis=0))


def with_header(shape: str, kind: str = "'<f8'", more: str = "", data: bytes = b"") -> bytes:
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, {more}}}\n".encode()
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + data


NONE = "is not a .npy file of numbers"
REFUSED: dict[str, tuple[bytes, str]] = {
    "objects": (saved(np.array([[Trap()] * 2] * 300), allow_pickle=True), NONE),
    "a pickle": (pickle.dumps(Trap()), NONE),
    "objects in an archive": (archived(a=np.array([[Trap()] * 2] * 300)), "several arrays"),
    "an archive": (archived(a=SAMPLES), "is an .npz of several arrays"),
    "an archive of gigabytes": (archived(a=np.zeros((10**6, 2))), "is an .npz of several arrays"),
    "fields": (saved(np.zeros((300, 2), dtype=[("a", "f8")])), "no real numbers"),
    "text": (saved(np.array([["a", "b"]] * 300)), "holds <U1, no real numbers"),
    "dates": (saved(np.zeros((300, 2), dtype="M8[s]")), "no real numbers"),
    "truths": (saved(SAMPLES > 0), "holds bool, no real numbers"),
    "complex": (saved(SAMPLES + 0j), "holds complex128, no real numbers"),
    "nothing of any shape": (
        with_header("(10**10, 2)".replace("10**10", str(10**10)), "'|V0'"),
        "",
    ),
    "infinite halves": (
        saved(np.where(SAMPLES > 0, np.inf, SAMPLES).astype("f2")),
        "holds NaN, Inf",
    ),
    "NaN": (saved(np.where(SAMPLES > 0, np.nan, SAMPLES)), "holds NaN, Inf"),
    "a NaN that signals": (
        saved(np.full((300, 2), 0x7F800001, np.uint32).view(np.float32)),
        "holds NaN, Inf",
    ),
    "long doubles beyond all": (
        saved(np.full((300, 2), np.longdouble("1e4000"))),
        "beyond 1e+18",
    ),
    "the least int64": (saved(np.full((300, 2), -(2**63))), "beyond 1e+18"),
    "the largest uint64": (saved(np.full((300, 2), 2**64 - 1, dtype="u8")), "beyond 1e+18"),
    "a shape of terabytes": (with_header(f"({10**12}, 2)", data=bytes(9600)), NONE),
    "a shape beyond int64": (with_header(f"({2**63}, 2)", data=bytes(9600)), NONE),
    "a shape of 400 digits": (with_header(f"({10**400}, 2)", data=bytes(9600)), NONE),
    "a shape that wraps round": (with_header(f"({2**62}, 4)", data=bytes(9600)), NONE),
    "a shape below zero": (with_header("(-1, 2)", data=bytes(9600)), NONE),
    "a shape of floats": (with_header("(300.0, 2)", data=bytes(9600)), NONE),
    "a number of gigabytes": (with_header("(300, 2)", "('<f8', (10000000000,))"), NONE),
    "a header of 4 GiB": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", NONE),
    "a header of a megabyte": (with_header("(300, 2)", more=" " * 10**6, data=bytes(4800)), NONE),
    "a header nested too deep": (with_header("(" * 9000), NONE),
    "a header of signs": (with_header("-" * 9000 + "1"), NONE),
    "another version": (b"\x93NUMPY\x09\x00" + saved(SAMPLES)[8:], NONE),
    "cut": (saved(SAMPLES)[:-8], NONE),
    "empty": (b"", NONE),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_array_of_real_numbers_is_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, named = REFUSED[kind]
    with pytest.raises(InputError, match=r"^s\.npy: ") as refusal:
        points_of_file(written(Path("s.npy"), data), 2, 0)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not Path("sprung").exists()


def test_a_file_too_large_to_be_held_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "s.npy"
    with path.open("wb") as file:
        file.truncate(2**40)  # no block of the disk is used
    with pytest.raises(InputError, match=rf"has {2**40} bytes; give fewer rows"):
        points_of_file(path, 2, 0)
