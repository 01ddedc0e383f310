"""Files of measurements, and what files keep of the constants that were found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hedge.errors import InputError
from hedge.problems import Found, Measurements, as_text, found_in, found_told, read_measurements
from hedge.problems.unknowns import UNKNOWNS_KEY


def read(folder: Path, text: str) -> tuple[Measurements, ...]:
    path = folder / "sensors.csv"
    path.write_text(text, encoding="utf-8")
    return read_measurements(path, "xt")


def test_columns_become_measurements_of_what_they_are_called(tmp_path: Path) -> None:
    text = "t, x, u, p_x, u_deviation\n0.5, 0.1, 1.25, nan, 0.01\n\n0.75, 0.2, 1.5, 3e-1, 0.02\n"
    u, p = read(tmp_path, text)
    assert (u.of, p.of) == ("u", "p_x")
    assert u.points.tolist() == [[0.1, 0.5], [0.2, 0.75]]
    assert (u.values.tolist(), u.scale.tolist()) == ([1.25, 1.5], [0.01, 0.02])
    assert (p.points.tolist(), p.values.tolist(), p.deviations) == ([[0.2, 0.75]], [0.3], None)
    assert p.scale.tolist() == [0.3]
    assert u.name == "u of sensors.csv"
    columns = [*u.points.T[::-1], u.values, [np.nan, 0.3], u.scale]
    np.save(tmp_path / "sensors.npy", np.column_stack(columns))
    names = ["t", "x", "u", "p_x", "u_deviation"]
    again = read_measurements(tmp_path / "sensors.npy", "xt", names)
    for one, other in zip((u, p), again, strict=True):
        assert (one.points == other.points).all()
        assert (one.values == other.values).all()
        assert (one.scale == other.scale).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; its first line names the columns"),
        ("x,t,u\n", "no line of numbers"),
        ("x,u\n1,2\n", "no column 't'"),
        ("x,t\n1,2\n", "no column of what was measured"),
        ("x,t,u,u\n1,2,3,4\n", "'u' is there twice"),
        ("x,t,,u\n1,2,3,4\n", "'' is there twice, or without a name"),
        ("x,t,u,v_deviation\n1,2,3,4\n", "'v_deviation' is of no column"),
        ("x,t,u\n1,2,3\n\n1,2\n", "line 4 has 2 cells, the first line 3"),
        ("x,t,u\n1,2,hot\n", "line 2: 'hot' is no finite number"),
        ("x,t,u\n1,2,inf\n", "line 2: 'inf' is no finite number"),
        ("x,t,u\n1,2,3\n1,,3\n", "line 3 does not say where"),
        ("x,t,u,v\n1,2,3,\n", "the column 'v' is empty"),
        (
            "x,t,u,u_deviation\n1,2,,1\n1,2,3,0\n1,2,3,4\n",
            "line 3 has no positive 'u_deviation' for its 'u'",
        ),
        ("x,t,u,u_deviation\n1,2,3,\n", "line 2 has no positive 'u_deviation' for its 'u'"),
        ("x,t,u\n1_0,2,3\n", "line 2: '1_0' is no finite number"),
        ("x;t;u\n0,1;0,2;3\n", "has no commas between its columns"),
        ("x\tt\tu\n0.1\t0.2\t3\n", "has no commas between its columns"),
    ],
)
def test_what_can_not_be_read_is_told_with_its_line(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"sensors\.csv: .*" + message):
        read(tmp_path, text)


def test_a_column_that_is_called_as_several_inputs_is_measured(tmp_path: Path) -> None:
    assert [data.of for data in read(tmp_path, "x,t,u,xt\n1,2,3,4\n")] == ["u", "xt"]


def test_arrays_need_the_names_of_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "s.npy"
    np.save(path, np.ones((2, 3)))
    for names in (None, ("x", "t"), ("x", "t", 3)):
        with pytest.raises(InputError, match="name its columns"):
            read_measurements(path, "xt", names)  # type: ignore[arg-type]
    np.save(path, np.array([[1.0, 2.0, np.inf]]))
    with pytest.raises(InputError, match="infinite"):
        read_measurements(path, "xt", ("x", "t", "u"))
    np.save(path, np.array([["a", "b", "c"]]))
    with pytest.raises(InputError, match="holds <U1"):
        read_measurements(path, "xt", ("x", "t", "u"))
    with pytest.raises(InputError, match="there is no such file"):
        read_measurements(tmp_path / "none.csv", "xt")


def test_metadata_is_refused_with_what_is_wrong() -> None:
    with pytest.raises(InputError, match=r"'k\.value': Input should be a valid number"):
        found_in({UNKNOWNS_KEY: '{"k": {"value": "x"}}'})


def test_what_was_found_is_read_back_from_metadata() -> None:
    found = {"kappa": Found(value=0.1, deviation=0.002), "c": Found(value=-3.0, at_bound=True)}
    metadata = {UNKNOWNS_KEY: as_text(found)}
    assert found_in(metadata) == found
    assert found_in({}) == {}
    assert found_told(metadata) == "kappa 0.1 +/- 0.002, c -3, at its bound"


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{", '{"k": 1}', '{"k": {"value": 1e400}}', '{"k": {"value": "x"}}', '{"a*/b": {"value": 1}}',
        '{"k": {"value": 1, "deviation": -1}}', '{"k": {"value": 1, "more": 1}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_metadata_that_is_damaged_is_refused_and_never_shown(text: str) -> None:
    with pytest.raises(InputError, match=r"'hedge\.unknowns' can't be read"):
        found_in({UNKNOWNS_KEY: text})
    assert found_told({UNKNOWNS_KEY: text}) == ""
