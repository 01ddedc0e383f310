"""What is told of the machine, on a made-up tree of the kernel's files, and its speed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hedge.benching.machine import (
    LOOPS,
    loop_seconds,
    machine_facts,
    throttled_meanwhile,
    throttling,
)


def no_pi(question: str) -> str | None:
    return None


def test_facts_come_from_the_kernels_files(tmp_path: Path) -> None:
    cpu, zone = (
        tmp_path / "devices/system/cpu/cpu0/cpufreq",
        tmp_path / "class/thermal/thermal_zone0",
    )
    for folder in (cpu, zone):
        folder.mkdir(parents=True)
    (cpu / "scaling_governor").write_text("ondemand\n")
    (cpu / "scaling_cur_freq").write_text("1500000\n")
    (zone / "temp").write_text("48312\n")
    facts = machine_facts(tmp_path, lambda question: "throttled=0x1\n")
    assert facts.governor == "ondemand"
    assert facts.frequency_hz == 1.5e9
    assert facts.temperature_c == pytest.approx(48.312)
    assert facts.throttled == ("under-voltage",)
    assert facts.memory_bytes is not None
    assert facts.memory_bytes > 2**26


def test_what_a_machine_does_not_tell_is_null(tmp_path: Path) -> None:
    facts = machine_facts(tmp_path, no_pi)
    assert facts.governor is facts.frequency_hz is facts.temperature_c is facts.throttled is None
    assert facts.throttling_unknown is None
    assert facts.processor


@pytest.mark.parametrize("answer", ["", "error", "throttled="])
def test_an_answer_without_flags_is_unknown_and_not_none(answer: str) -> None:
    assert throttling(lambda question: answer) == (None, f"vcgencmd get_throttled said {answer!r}")


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ("echo \"Can't open device file: /dev/vcio\" >&2; exit 255",
         "vcgencmd get_throttled: Can't open device file: /dev/vcio"),
        ("exit 3", "vcgencmd get_throttled: exit code 3"),
        ("echo throttled=0x4", None),
    ],
)  # fmt: skip
def test_a_firmware_that_may_not_be_asked_is_unknown(
    ends: str, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vcgencmd").write_text(f"#!/bin/sh\n{ends}\n")
    (tmp_path / "vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    facts = machine_facts(tmp_path)
    assert facts.throttling_unknown == reason
    assert facts.throttled == (("throttled",) if reason is None else None)


def test_a_pi_without_the_program_is_unknown_and_others_have_no_flags() -> None:
    assert throttling(no_pi, "Raspberry Pi 4 Model B Rev 1.4") == (
        None,
        "vcgencmd is not installed",
    )
    assert throttling(no_pi, "AMD EPYC") == (None, None)


def test_flags_of_now_count_and_old_ones_do_not() -> None:
    old, unknown = throttling(lambda question: "throttled=0x50000")
    assert unknown is None
    assert old == ("under-voltage since boot", "throttled since boot")
    assert throttled_meanwhile(old, old) == ()
    assert throttled_meanwhile(old, (*old, "clock capped since boot")) == (
        "clock capped since boot",
    )
    assert throttled_meanwhile(("throttled",), ("throttled since boot",)) == (
        "throttled",
        "throttled since boot",
    )
    assert throttled_meanwhile(None, None) == ()


def test_the_loop_takes_the_fastest_of_a_few() -> None:
    ticks = iter([t for i in range(LOOPS) for t in (10.0 * i, 10.0 * i + 1.0 + i % 3)])
    assert loop_seconds(lambda: next(ticks)) == 1.0
