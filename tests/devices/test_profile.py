"""Profiles: what ships is sound, and what is wrong is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hedge.devices import OnnxRuntime, find_profile, read_profile, shipped_profiles, write_profile
from hedge.devices.c_cost import TILE
from hedge.errors import ProfileError
from tests.devices.c_profile import c_device

NAMES = [
    "esp32", "esp32-c3", "jetson-orin-nano", "jetson-orin-nano-c", "laptop-x86", "laptop-x86-c",
    "n100-mini-pc", "n100-mini-pc-c", "paper-example", "raspberry-pi-3b-plus",
    "raspberry-pi-3b-plus-c", "raspberry-pi-4b", "raspberry-pi-4b-c", "raspberry-pi-5",
    "raspberry-pi-5-c", "raspberry-pi-zero-2w", "raspberry-pi-zero-2w-c", "rp2040", "rp2350",
    "stm32f407", "stm32h743", "teensy-4.1",
]  # fmt: skip


def test_the_promised_profiles_ship() -> None:
    assert sorted(shipped_profiles()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profiles_are_consistent(name: str) -> None:
    device = find_profile(name)
    assert device.name == name
    runtime = device.runtime
    if isinstance(runtime, OnnxRuntime):
        assert device.limits.compute.value >= runtime.compute.value
        assert device.limits.bandwidth.value >= runtime.bandwidth.value
    else:
        for loops, at_once in ((runtime.row, runtime.lanes), (runtime.tile, TILE)):
            assert loops.eights.value * device.limits.compute.value >= 2 * 8 * at_once
    found = list(figures_of(device))
    assert len(found) > 10
    assert all(len(source) > 8 for source in found)


def figures_of(part: Any) -> Iterator[str]:
    """The sources of all figures in a section."""
    if hasattr(part, "source"):
        yield part.source
    elif isinstance(part, tuple):
        for each in part:
            yield from figures_of(each)
    elif isinstance(part, BaseModel | dict):
        for _, each in part.items() if isinstance(part, dict) else part:
            yield from figures_of(each)


def test_the_paper_example_is_the_papers() -> None:
    paper = find_profile("paper-example").paper
    figures = [paper.compute.value, paper.bandwidth.value, paper.alpha.value, paper.beta.value]
    assert figures == [1e3, 1e2, 0.01, 0.5]


def test_a_profile_survives_being_written(tmp_path: Path) -> None:
    device = find_profile("raspberry-pi-5").model_copy(
        update={"description": 'a "quoted" \\ name\n\x1b[2J \x7f µ 🙂'}
    )
    path = tmp_path / "p.toml"
    path.write_bytes(write_profile(device))
    assert read_profile(path) == device


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "with a byte order mark"])
def test_profiles_of_windows_are_read(tmp_path: Path, mark: bytes, line_end: str) -> None:
    """Those of its editors end lines in two characters, and begin with one that is none."""
    known = find_profile("paper-example")
    text = write_profile(known).decode().replace("\n", line_end)
    path = tmp_path / "mine.toml"
    path.write_bytes(mark + text.encode())
    assert read_profile(path) == known


def test_a_profile_from_before_kinds_and_tables_is_read(tmp_path: Path) -> None:
    old = re.sub(r', kind = "\w+"', "", write_profile(find_profile("raspberry-pi-4b")).decode())
    path = tmp_path / "old.toml"
    path.write_text(old)
    device = read_profile(path)
    assert isinstance(device.runtime, OnnxRuntime)
    assert device.runtime.gemm is None
    assert device.limits.compute.kind == "estimated"
    assert device.runtime.call.value == find_profile("raspberry-pi-4b").runtime.call.value


@pytest.mark.parametrize("lanes", [1, 8])
def test_a_profile_of_c_survives_being_written(tmp_path: Path, lanes: int) -> None:
    device = c_device(lanes)
    path = tmp_path / "p.toml"
    path.write_bytes(write_profile(device))
    assert read_profile(path) == device
    assert device.runtime_label == "C, gcc 12.2.0 -std=c99 -O2"


def test_the_runtime_of_files_without_a_name_is_onnxruntime(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(TEXT.replace("[runtime]", '[runtime]\nname = "onnxruntime"'))
    assert read_profile(path) == find_profile("raspberry-pi-4b")
    assert "onnxruntime" not in TEXT.partition("call =")[0]


TEXT = write_profile(find_profile("raspberry-pi-4b")).decode()
C_TEXT = write_profile(c_device(8)).decode()
CALIBRATED = (
    TEXT
    + """
[calibration]
processor = "some"
onnxruntime = "1.22.0"
hedge = "0.1.0"
threads = 1
graphs = 3
fit_median = 0.1
held_out = 3
held_out_median = 0.1
held_out_p90 = 0.1
held_out_worst = 0.1
"""
)
HUGE_SIZE = f'{{ size = {10**30}, value = 1e9, unit = "flop/s", source = "made up" }}'
WRONG = {
    "missing key": (TEXT.replace("node = ", "nodes = "), r"runtime\.node"),
    "misspelt key": (TEXT + "\n[pwoer]\nidle = 1\n", "pwoer"),
    "zero rate": (TEXT.replace("value = 5900000000.0", "value = 0.0"), r"paper\.compute\.value"),
    "negative figure": (TEXT.replace("value = 1.6,", "value = -1.6,"), r"power\.idle\.value"),
    "infinite figure": (TEXT.replace("value = 1.6,", "value = inf,"), r"power\.idle\.value"),
    "wrong unit": (TEXT.replace('unit = "W"', 'unit = "mW"'), r"power\.idle\.unit"),
    "no source": (TEXT.replace('source = "idle at', 'sauce = "idle at'), r"power\.idle"),
    "text for a number": (TEXT.replace("value = 1.6,", 'value = "lots",'), r"power\.idle\.value"),
    "another version": (TEXT.replace("hedge_profile = 1", "hedge_profile = 2"), "hedge_profile"),
    "figure beyond any device": (TEXT.replace("value = 1.6,", "value = 1e308,"), "not between"),
    "rate beyond any device": (
        TEXT.replace("value = 5900000000.0", "value = 1e-320"),
        r"paper\.compute\.value.*not between",
    ),
    "size beyond any device": (
        TEXT.replace("[runtime]", f"[runtime]\ncompute_by_size = [{HUGE_SIZE}]", 1),
        "size",
    ),
    "another runtime": (TEXT.replace("[runtime]", '[runtime]\nname = "tvm"'), "onnxruntime, c"),
    "no bytes": (
        TEXT + '\n[memory]\nflash = { value = 0, unit = "byte", source = "made up" }\n',
        r"memory\.flash\.value",
    ),
    "calibrated with nothing": (
        re.sub("onnxruntime = .*\n", "", CALIBRATED),
        r"calibration\.onnxruntime",
    ),
    "C without a figure of a row": (
        C_TEXT.replace("\nsingle =", "\nsimple ="),
        r"runtime\.row\.single",
    ),
    "C without a tile": (C_TEXT.partition("[runtime.tile]")[0], r"runtime\.tile"),
    "C without vectors": (re.sub("vector = .*", "", C_TEXT), r"row\.vector: is missing"),
    "C with vectors of one": (C_TEXT.replace("lanes = 8", "lanes = 1"), r"row\.vector: is not for"),
    "C without lanes": (C_TEXT.replace("lanes = 8", ""), r"runtime\.lanes"),
    "no function": (C_TEXT.replace("Tanh =", "Relu ="), r"runtime\.row\.functions.*'Relu'"),
    "a negative figure of C": (
        C_TEXT.replace("value = 1e-07", "value = -1e-07"),
        r"runtime\.row\.call\.value",
    ),
    "C with vectors of none": (C_TEXT.replace("lanes = 8", "lanes = 0"), r"must be greater than 0"),
    "true lanes": (C_TEXT.replace("lanes = 8", "lanes = true"), r"runtime\.lanes"),
    "a true figure": (C_TEXT.replace("value = 1e-07", "value = true"), r"row\.call\.value"),
    "a figure in quotes": (C_TEXT.replace("value = 1e-07", 'value = "1"'), r"row\.call\.value"),
    "not TOML": ("name = = 3", "not TOML"),
    "a number of 5,000 digits": (f"hedge_profile = {'1' * 5000}", "not TOML"),
    "nested too deep": (f"name = {'[' * 100_000}", "not TOML"),
    "empty": ("", "hedge_profile"),
}


@pytest.mark.parametrize(("text", "named"), WRONG.values(), ids=WRONG)
def test_wrong_profiles_are_refused_with_file_and_key(
    tmp_path: Path, text: str, named: str
) -> None:
    assert text != TEXT
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=rf"mine\.toml.*{named}"):
        read_profile(path)


def test_binary_files_and_unknown_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="can't be read"):
        read_profile(path)
    with pytest.raises(ProfileError, match="raspberry-pi-5"):
        find_profile("raspberry-pi-9")
    with pytest.raises(ProfileError, match="gone"):
        find_profile(str(tmp_path / "gone.toml"))
