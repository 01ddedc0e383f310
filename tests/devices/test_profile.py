"""Profiles: what ships is sound, and what is wrong is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hedge.devices import find_profile, read_profile, shipped_profiles, write_profile
from hedge.errors import ProfileError

NAMES = [
    "jetson-orin-nano", "laptop-x86", "n100-mini-pc", "paper-example", "raspberry-pi-3b-plus",
    "raspberry-pi-4b", "raspberry-pi-5", "raspberry-pi-zero-2w",
]  # fmt: skip


def test_the_promised_profiles_ship() -> None:
    assert sorted(shipped_profiles()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profiles_are_consistent(name: str) -> None:
    device = find_profile(name)
    assert device.name == name
    assert device.limits.compute.value >= device.runtime.compute.value
    assert device.limits.bandwidth.value >= device.runtime.bandwidth.value
    for section in (device.paper, device.runtime, device.limits, device.power):
        for key in section.model_fields_set:
            figures = getattr(section, key)
            for figure in figures if isinstance(figures, tuple) else (figures,):
                assert len(figure.source) > 8


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


def test_a_profile_from_before_kinds_and_tables_is_read(tmp_path: Path) -> None:
    old = re.sub(r', kind = "\w+"', "", write_profile(find_profile("raspberry-pi-4b")).decode())
    path = tmp_path / "old.toml"
    path.write_text(old)
    device = read_profile(path)
    assert device.runtime.gemm is None
    assert device.limits.compute.kind == "estimated"
    assert device.runtime.call.value == find_profile("raspberry-pi-4b").runtime.call.value


TEXT = write_profile(find_profile("raspberry-pi-4b")).decode()
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
