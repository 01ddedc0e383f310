"""Problems in files of the user's own: found, run, and every fault told with its file and line."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hedge.errors import InputError
from hedge.problems import GALLERY, Problem, chosen_problem, find_problem

PLATE = """
from hedge.problems import Domain, Problem

plate = Problem(
    name="my plate",
    title="a plate",
    inputs="xy",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    derivatives=("u", "u_xx", "u_yy"),
    residual=lambda x, d, math: d["u_xx"] + d["u_yy"] + 1.0,
    offset=None,
    distance=lambda x, math: x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1]),
)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())


def _written(text: str, name: str = "my_problem.py") -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text)


@pytest.mark.parametrize("folder", ["", "./", "sub/", None])
def test_a_problem_is_found_wherever_its_file_is(folder: str | None, tmp_path: Path) -> None:
    at = f"{tmp_path}/" if folder is None else folder
    _written(PLATE, f"{at}my_problem.py")
    found = chosen_problem(f"{at}my_problem.py:plate")
    assert (found.name, found.inputs) == ("my plate", "xy")
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_file_is_read_anew_each_time_and_so_is_what_lies_beside_it() -> None:
    """Two files may have helpers of one name, which differ."""
    for folder, load in (("a", 2.0), ("b", 3.0)):
        _written(f"LOAD = {load}", f"{folder}/loads.py")
        text = PLATE.replace("+ 1.0", "+ LOAD").replace(
            "plate = ", "from loads import LOAD\nplate = "
        )
        _written(text, f"{folder}/my_problem.py")
    zero = dict.fromkeys(("u", "u_xx", "u_yy"), 0.0)
    for folder, load in (("a", 2.0), ("b", 3.0), ("a", 2.0)):
        found = chosen_problem(f"{folder}/my_problem.py:plate")
        assert found.residuals([], zero, np) == (load,)
    assert "loads" not in sys.modules
    assert "my_problem" not in sys.modules


def test_its_functions_may_import_what_lies_beside_it() -> None:
    _written("def exact(x):\n    return x[:, :1] * 7.0", "exact_solution.py")
    _written(f"{PLATE}\ndef reference(x):\n    from exact_solution import exact\n    return exact(x)\n"
             "from dataclasses import replace\nplate = replace(plate, reference=reference)")  # fmt: skip
    reference = chosen_problem("my_problem.py:plate").reference
    assert reference is not None
    np.testing.assert_array_equal(reference(np.ones((2, 2))), 7.0)
    del sys.modules["exact_solution"]


def test_what_the_file_prints_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    _written(f"print('hello')\n{PLATE}")
    chosen_problem("my_problem.py:plate")
    assert capsys.readouterr() == ("", "hello\n")


def test_it_is_no_program_when_it_is_read() -> None:
    _written(f"{PLATE}\nassert __name__ == 'my_problem'\nif __name__ == '__main__':\n    exit(1)")
    chosen_problem("my_problem.py:plate")


def test_dataclasses_in_it_know_where_they_are_written() -> None:
    _written("from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import "
             f"ClassVar\n@dataclass\nclass Load:\n    of: ClassVar[int] = 1\n    p: float = 1.0\n{PLATE}"
             "assert Load(2.0).p == 2.0\n")  # fmt: skip
    chosen_problem("my_problem.py:plate")


MINE = "my_problem.py:plate"
BAD: dict[str, tuple[str, str, str]] = {
    "no file": (PLATE, "gone.py:plate", r"gone.py: there is no such file"),
    "a folder": (PLATE, "folder.py:plate", r"folder.py: is a folder"),
    "no Python": (PLATE, "my_problem.txt:plate", r"'my_problem.txt:plate' is in no Python file"),
    "a path alone": (PLATE, "sub/heat", r"'sub/heat' is in no Python file, .* my_problem.py:plate"),
    "no name": (PLATE, "my_problem.py", r"my_problem.py: name a Problem in it, .*; it has plate$"),
    "no such name": (PLATE, "my_problem.py:beam", r"has no Problem called 'beam'; it has plate$"),
    "hidden names": (
        PLATE + "_old = plate", "my_problem.py:beam", r"has no Problem called 'beam'; it has plate$",
    ),
    "no Problem": (PLATE, "my_problem.py:Domain", r"'Domain' is a type, no Problem; it has plate$"),
    "a function": (
        "def plate():\n    return 1", MINE, r"'plate' is a function, no Problem; it has none",
    ),
    "nothing": ("x = 1", MINE, r"my_problem.py: has no Problem; .*--template"),
    "syntax": ("x = 1\ny = (", MINE, r"my_problem.py:2: is no Python: '\(' was never"),
    "zeros": ("x = 1\0", MINE, r"my_problem.py(:1)?: is no Python: .*null bytes"),
    "no text": ("x = 1\n'\udcff'", MINE, r"my_problem.py:\d: is no Python: .*utf-8"),
    "it raises": (
        "x = {}\nx['k']", MINE, r"my_problem.py: raises KeyError \('k'\) at my_problem.py:2;",
    ),
    "it raises in what it calls": (
        "import json\njson.loads('{')", MINE, r"raises JSONDecodeError .* at my_problem.py:2;",
    ),
    "it raises beside": (
        "import other", MINE, r"raises ZeroDivisionError .* at .*other.py:2;",
    ),
    "syntax beside": (
        "import spoilt", MINE, r"raises SyntaxError \(.*\) at .*spoilt.py:1;",
    ),
    "no module": ("import nowhere_", MINE, r"raises ModuleNotFoundError .* at my_problem.py:1;"),
    "it ends": ("import sys\nsys.exit(0)", MINE, r"my_problem.py:2: ends Python"),
    "an odd end": (
        "class End(BaseException): pass\nraise End", MINE, r"raises End at my_problem.py:2;",
    ),
    "a derivative of nothing": (
        PLATE.replace('"u_yy")', '"u_zz")'), MINE,
        r"^my_problem.py:4: problem 'my plate': derivative 'u_zz' is unknown",
    ),
    "a number for a function": (
        PLATE.replace("offset=None", "offset=0.0"), MINE,
        r"^my_problem.py:4: problem 'my plate': its offset is 0.0, no function; write lambda x, math: …$",
    ),
    "nothing for a residual": (
        PLATE.replace('lambda x, d, math: d["u_xx"] + d["u_yy"] + 1.0', "None"), MINE,
        r"its residual is None, no function; write lambda x, d, math: …$",
    ),
    "readings of nothing": (
        "from hedge.problems import Measurements\nimport numpy as np\n" + PLATE.replace(
            "offset=None,",
            'data=(Measurements(np.full((1, 2), 0.5), np.ones(1), of="w", name="w of s.csv"),),',
        ), MINE, r"'my plate': w of s.csv: derivative 'w' is unknown; write u, alone",
    ),
    "a name of the gallery": (
        PLATE.replace("my plate", "heat"), MINE, r"problem 'heat': is the name of another",
    ),
    "a name of an operator": (
        PLATE.replace("my plate", "heat-operator"), MINE, r"'heat-operator': is the name of",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_faults_are_told_in_a_line(kind: str, tmp_path: Path) -> None:
    text, name, message = BAD[kind]
    (tmp_path / "my_problem.py").write_bytes(text.encode("utf-8", "surrogateescape"))
    Path("folder.py").mkdir()
    _written("x = 0\n1 / x", "other.py")
    _written("def f(", "spoilt.py")
    with pytest.raises(InputError, match=message) as refused:
        chosen_problem(name)
    assert "\n" not in str(refused.value)


def test_ctrl_c_in_a_file_is_ctrl_c() -> None:
    _written("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        chosen_problem(MINE)


def test_a_problem_of_the_gallery_may_come_from_a_file() -> None:
    _written("from hedge.problems import GALLERY\nheat = GALLERY['heat']")
    assert chosen_problem("my_problem.py:heat") is GALLERY["heat"]


def test_a_value_with_a_name_of_the_gallery_is_refused() -> None:
    with pytest.raises(InputError, match="problem 'heat': is the name of another one"):
        chosen_problem(replace(GALLERY["heat"], title="hotter"))


def test_a_plain_lookup_runs_no_file() -> None:
    """Names that model files carry are looked up so."""
    _written("raise AssertionError")
    with pytest.raises(InputError, match=r"problem 'my_problem.py:plate' is not known"):
        find_problem(MINE)


def _raising(what: str) -> Problem:
    def broken(*given: Any) -> Any:
        return {}["nu"]

    return replace(GALLERY["heat"], name="mine", **{what: broken})


def _call(problem: Problem, what: str) -> object:
    columns = [np.zeros(1), np.zeros(1)]
    derivatives = dict.fromkeys(problem.derivatives, np.zeros(1))
    calls = {
        "residual": lambda: problem.residuals(columns, derivatives, np),
        "offset": lambda: problem.offsets(columns, np),
        "distance": lambda: problem.distances(columns, np),
        "features": lambda: problem.network_inputs(columns, np),
    }
    return calls[what]()


FUNCTIONS = ["residual", "offset", "distance", "features"]


@pytest.mark.parametrize("what", FUNCTIONS)
def test_what_a_function_raises_is_told_with_its_line(what: str) -> None:
    line = _raising.__code__.co_firstlineno + 2
    with pytest.raises(
        InputError,
        match=rf"problem 'mine': its {what} raises KeyError \('nu'\) at {__file__}:{line}; mend it there",
    ):
        _call(_raising(what), what)


@pytest.mark.parametrize("what", FUNCTIONS)
def test_what_can_t_be_called_so_is_told_where_it_is_written(what: str) -> None:
    def takes_nothing() -> float:
        return 0.0

    problem = replace(GALLERY["heat"], name="mine", **{what: takes_nothing})  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=rf"its {what} raises TypeError \(.*\) at {__file__}:"
    ) as refused:
        _call(problem, what)
    assert "hedge/problems" not in str(refused.value)


@pytest.mark.parametrize("what", [*FUNCTIONS, "reference"])
def test_what_is_no_function_is_told_before_it_is_called(what: str) -> None:
    with pytest.raises(
        InputError, match=f"^problem 'mine': its {what} is 1.0, no function; write lambda"
    ):
        replace(GALLERY["heat"], name="mine", **{what: 1.0})  # type: ignore[arg-type]
