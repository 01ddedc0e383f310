"""Meters found on made-up trees of the kernel's files and answers of the Pi's firmware."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hedge.errors import MeterError
from hedge.meters import FirmwareError, PowerMeter, RaplMeter, find_meter

INA = {"class/hwmon/hwmon2/name": "ina226", "class/hwmon/hwmon2/power1_input": "3500000"}
INA_WITHOUT_POWER = {
    "class/hwmon/hwmon2/name": "ina219",
    "class/hwmon/hwmon2/curr1_input": "700",
    "class/hwmon/hwmon2/in1_input": "5000",
}
JETSON = {
    "class/hwmon/hwmon1/name": "ina3221",
    "class/hwmon/hwmon1/in1_label": "VDD_IN",
    "class/hwmon/hwmon1/in1_input": "5000",
    "class/hwmon/hwmon1/curr1_input": "1200",
    "class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV",
    "class/hwmon/hwmon1/in2_input": "5000",
    "class/hwmon/hwmon1/curr2_input": "400",
}
BATTERY = {
    "class/power_supply/BAT0/type": "Battery",
    "class/power_supply/BAT0/status": "Discharging",
    "class/power_supply/BAT0/power_now": "8000000",
}
BATTERY_WITHOUT_POWER = {
    "class/power_supply/BAT0/type": "Battery",
    "class/power_supply/BAT0/status": "Discharging",
    "class/power_supply/BAT0/current_now": "800000",
    "class/power_supply/BAT0/voltage_now": "12000000",
}
# As the kernel's class has it: currents out of a battery are below zero.
BATTERY_BELOW_ZERO = {**BATTERY_WITHOUT_POWER, "class/power_supply/BAT0/current_now": "-800000"}
# Nested as the kernel nests them: psys around the packages, cores inside.
RAPL = {
    "class/powercap/intel-rapl:0/name": "package-0",
    "class/powercap/intel-rapl:0/energy_uj": "5000000",
    "class/powercap/intel-rapl:0/max_energy_range_uj": "100000000",
    "class/powercap/intel-rapl:0:0/name": "core",
    "class/powercap/intel-rapl:0:0/energy_uj": "3000000",
    "class/powercap/intel-rapl:0:0/max_energy_range_uj": "100000000",
    "class/powercap/intel-rapl-mmio:0/name": "package-0",  # the same package once more
    "class/powercap/intel-rapl-mmio:0/energy_uj": "5000000",
    "class/powercap/intel-rapl-mmio:0/max_energy_range_uj": "100000000",
    "class/powercap/intel-rapl:1/name": "package-1",
    "class/powercap/intel-rapl:1/energy_uj": "7000000",
    "class/powercap/intel-rapl:1/max_energy_range_uj": "50000000",
    "class/powercap/intel-rapl:2/name": "psys",
    "class/powercap/intel-rapl:2/energy_uj": "20000000",
    "class/powercap/intel-rapl:2/max_energy_range_uj": "100000000",
}
PMIC = """ 3V7_WL_SW_A current(0)=0.50000000A
   VDD_CORE_A current(7)=2.00000000A
  3V7_WL_SW_V volt(8)=3.70000000V
   VDD_CORE_V volt(15)=0.80000000V
      EXT5V_V volt(24)=5.15000000V
       BATT_V volt(25)=0.00000000V
"""


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def no_pi(question: str) -> str | None:
    return None


def a_pi_5(question: str) -> str | None:
    return PMIC if question == "pmic_read_adc" else None


@pytest.mark.parametrize(
    ("files", "named", "watts"),
    [
        (INA, "ina226", 3.5),
        (INA_WITHOUT_POWER, "ina219", 3.5),
        (JETSON, "VDD_IN", 6.0),  # the rail that feeds the others, not their sum
        (BATTERY, "BAT0", 8.0),
        (BATTERY_WITHOUT_POWER, "BAT0", 9.6),
        (BATTERY_BELOW_ZERO, "BAT0", 9.6),
    ],
)
def test_sensors_of_power(
    tmp_path: Path, files: Mapping[str, str], named: str, watts: float
) -> None:
    meter = find_meter(tree(tmp_path, files), no_pi)
    assert isinstance(meter, PowerMeter)
    assert named in meter.source
    assert meter.read()[0] == pytest.approx(watts)


def test_the_power_chip_of_a_pi_5(tmp_path: Path) -> None:
    meter = find_meter(tmp_path, a_pi_5)
    assert "Pi 5" in meter.source
    rails = 0.5 * 3.7 + 2.0 * 0.8  # of the two without a current one is the 5 V input
    assert meter.read()[0] == pytest.approx(1.1451 * rails + 0.5879)


def test_rapl_sums_packages_and_nothing_nested(tmp_path: Path) -> None:
    meter = find_meter(tree(tmp_path, RAPL), no_pi)
    assert isinstance(meter, RaplMeter)
    assert meter.read() == pytest.approx((5.0, 7.0))
    assert meter.joules((5.0, 7.0), (6.0, 9.5), 1.0) == pytest.approx(3.5)


def test_rapl_counters_wrap_each_at_its_own_range(tmp_path: Path) -> None:
    meter = find_meter(tree(tmp_path, RAPL), no_pi)
    assert meter.joules((99.0, 49.5), (2.0, 0.25), 1.0) == pytest.approx(3.0 + 0.75)


@pytest.mark.parametrize("after", [(2.0, 8.0), (6.0, 0.5)])
def test_a_rapl_counter_that_jumps_back_is_no_wrap(
    tmp_path: Path, after: tuple[float, float]
) -> None:
    meter = find_meter(tree(tmp_path, RAPL), no_pi)
    with pytest.raises(MeterError, match="jumped back"):
        meter.joules((5.0, 7.0), after, 1.0)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "lots", ""])
def test_a_rapl_range_that_can_not_be_is_named(tmp_path: Path, text: str) -> None:
    files = {**RAPL, "class/powercap/intel-rapl:1/max_energy_range_uj": text}
    with pytest.raises(MeterError, match=r"intel-rapl:1/max_energy_range_uj can't be"):
        find_meter(tree(tmp_path, files), no_pi)


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "9" * 5000, "1e30", "lots", ""])
def test_a_power_that_is_no_number_is_named(tmp_path: Path, text: str) -> None:
    files = {**INA, "class/hwmon/hwmon2/power1_input": text}
    with pytest.raises(MeterError, match=r"hwmon2/power1_input can't be read"):
        find_meter(tree(tmp_path, files), no_pi)


def test_a_battery_that_is_plugged_in_meanwhile_stops(tmp_path: Path) -> None:
    meter = find_meter(tree(tmp_path, BATTERY), no_pi)
    tree(tmp_path, {"class/power_supply/BAT0/status": "Charging"})
    with pytest.raises(MeterError, match="BAT0 no longer discharges"):
        meter.read()


def test_the_meter_that_sees_most_comes_first(tmp_path: Path) -> None:
    tree(tmp_path, RAPL)
    assert "RAPL" in find_meter(tmp_path, no_pi).source
    tree(tmp_path, BATTERY)
    assert "BAT0" in find_meter(tmp_path, no_pi).source
    assert "Pi 5" in find_meter(tmp_path, a_pi_5).source
    tree(tmp_path, INA)
    assert "ina226" in find_meter(tmp_path, a_pi_5).source


@pytest.mark.parametrize(
    "files",
    [
        {},
        {**BATTERY, "class/power_supply/BAT0/status": "Charging"},
        {"class/power_supply/AC/type": "Mains"},
        {"class/hwmon/hwmon0/name": "coretemp"},
        {**JETSON, "class/hwmon/hwmon1/in1_label": "VDD_SOC"},
    ],
)
def test_without_a_meter_the_line_says_what_to_do(tmp_path: Path, files: Mapping[str, str]) -> None:
    with pytest.raises(MeterError, match=r"no meter.*leave out --energy"):
        find_meter(tree(tmp_path, files), no_pi)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Made up, since the suite may run as root, who may read everything.
    tree(tmp_path, RAPL)
    read = Path.read_text

    def refuse(path: Path, encoding: str | None = None) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, encoding)

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MeterError, match=r"no permission to read .*energy_uj; run as root"):
        find_meter(tmp_path, no_pi)


def test_rapl_that_is_seen_in_part_is_not_taken_for_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = {
        f"devices/system/cpu/cpu{i}/topology/physical_package_id": f"{i // 2}" for i in range(4)
    }
    assert "RAPL" in find_meter(tree(tmp_path / "whole", {**RAPL, **cores}), no_pi).source
    one = {name: text for name, text in RAPL.items() if "intel-rapl:1" not in name}
    with pytest.raises(MeterError, match="RAPL tells of 1 of 2 processor packages"):
        find_meter(tree(tmp_path / "hidden", {**one, **cores}), no_pi)
    tree(tmp_path / "unnamed", RAPL)
    (tmp_path / "unnamed/class/powercap/intel-rapl:1/name").unlink()
    with pytest.raises(MeterError, match=r"intel-rapl:1/name can't be read.*part"):
        find_meter(tmp_path / "unnamed", no_pi)


def test_a_pi_that_may_not_be_asked_says_so(tmp_path: Path) -> None:
    def refuse(question: str) -> str | None:
        raise FirmwareError(f"vcgencmd {question}: Can't open device file: /dev/vcio")

    with pytest.raises(
        MeterError, match=r"no meter.*, and vcgencmd pmic_read_adc: Can't open device"
    ):
        find_meter(tmp_path, refuse)
    assert "RAPL" in find_meter(tree(tmp_path, RAPL), refuse).source


def test_a_meter_that_vanishes_or_talks_nonsense_is_one_line(tmp_path: Path) -> None:
    meter = find_meter(tree(tmp_path, INA), no_pi)
    power = tmp_path / "class/hwmon/hwmon2/power1_input"
    power.write_text("much")
    with pytest.raises(MeterError, match=r"power1_input can't be read \(holds no number"):
        meter.read()
    power.unlink()
    with pytest.raises(MeterError, match=r"power1_input can't be read \(No such file"):
        meter.read()


def test_a_pi_that_no_longer_answers_is_one_line(tmp_path: Path) -> None:
    answers = iter([PMIC, PMIC])
    meter = find_meter(tmp_path, lambda question: next(answers, None))
    with pytest.raises(MeterError, match="no longer answers"):
        meter.read()
