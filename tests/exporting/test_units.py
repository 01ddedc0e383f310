"""Units come to powers of SI's base units, and mean the same in ASCII."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hedge
from hedge.errors import InputError
from hedge.exporting.units import base_unit
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("unit", "exponents", "factor", "offset"),
    [
        ("W/(m^2*K)", {"kg": 1, "s": -3, "K": -1}, 1.0, 0.0),
        ("km/h", {"m": 1, "s": -1}, 1 / 3.6, 0.0),
        ("degC", {"K": 1}, 1.0, 273.15),
        ("degF", {"K": 1}, 5 / 9, 459.67 * 5 / 9),
        ("rpm", {"rad": 1, "s": -1}, np.pi / 30, 0.0),
        ("%", {}, 0.01, 0.0),
        ("1", {}, 1.0, 0.0),
        ("kg*m^2/s^2", {"kg": 1, "m": 2, "s": -2}, 1.0, 0.0),
        ("W/(m^2 * K**(-4))", {"kg": 1, "s": -3, "K": 4}, 1.0, 0.0),
        ("(m/s)^2", {"m": 2, "s": -2}, 1.0, 0.0),
        ("m\N{SUPERSCRIPT TWO}", {"m": 2}, 1.0, 0.0),
        ("\N{MICRO SIGN}m", {"m": 1}, 1e-6, 0.0),
        ("\N{GREEK SMALL LETTER MU}m", {"m": 1}, 1e-6, 0.0),
        ("\N{DEGREE SIGN}C", {"K": 1}, 1.0, 273.15),
    ],
)
def test_units_are_powers_of_base_units(
    unit: str, exponents: dict[str, int], factor: float, offset: float
) -> None:
    found = base_unit(unit)
    assert found.exponents == exponents
    np.testing.assert_allclose([found.factor, found.offset], [factor, offset], rtol=1e-14)


@pytest.mark.parametrize(
    "unit",
    [
        "furlops", "m^0.5", "bit", "dB", "2 m", "m^999", "", "__class__", "9^9^9", "9**9**9",
        "(9^9)^9", "m^9^9^9", "m*9^(9^9)", "((((m^99)^99)^99)^99)^99", "pm^99", "m;import os", "m/",
        "\N{PLANCK CONSTANT}", ".5 m", "3-2",
    ],
)  # fmt: skip
def test_other_units_are_refused(unit: str) -> None:
    with pytest.raises(InputError, match="is no unit by SI's base units"):
        base_unit(unit)


def test_signs_beyond_ascii_are_no_other_unit_in_c(tmp_path: Path) -> None:
    heat = ROOT / "models" / "heat-64x3.onnx"
    hedge.export_c(heat, tmp_path / "m.c", units="x=\N{MICRO SIGN}m,t=\N{DEGREE SIGN}C")
    assert "Inputs: x in [0, 1] um, t in [0, 1] degC." in (tmp_path / "m.h").read_text()
    hedge.export_arduino(heat, tmp_path / "Net", units="x=\N{MICRO SIGN}m")
    assert "x [um], t" in (tmp_path / "Net" / "examples" / "Net" / "Net.ino").read_text()
    hedge.export_c(
        heat, tmp_path / "m.c", inputs="\N{LATIN SMALL LETTER E WITH ACUTE},t", force=True
    )
    assert "Inputs: _ in [0, 1], t in [0, 1]." in (tmp_path / "m.h").read_text()
