"""Arduino libraries: what the IDE reads of them, and a sketch that prints what the model gives."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hedge
from hedge.errors import InputError, ModelError, OutputError
from hedge.exporting import COptions, Guard, open_model, to_c
from hedge.exporting.arduino import BOARD_HEADERS
from hedge.formats import export_as
from hedge.graph import Evaluator, load_model, with_jacobian
from tests.conftest import ROOT, blocks, random_mlp
from tests.exporting.c_compiler import gcc
from tests.exporting.c_models import stored_kinds

COMPRESSED = ROOT / "models" / "burgers-128x4.hedge.safetensors"
HEAT = ROOT / "models" / "heat-64x3.onnx"
BOARDS = ROOT / "boards" / "arduino"
PAGE = (ROOT / "docs" / "arduino.md").read_text(encoding="utf-8")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
FIELDS = (
    "name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url",
    "architectures", "includes",
)  # fmt: skip

needs_compilers = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("g++")), reason="there is no gcc, or no g++, here"
)


def ran(library: Path, sent: str, sketch: Path | None = None) -> str:
    """What a sketch prints that is sent this text: that of the library, or another one."""
    work, name = library.parent, library.name
    sketch = sketch or library / "examples" / name / f"{name}.ino"
    (work / "serial_input.h").write_text(f"#define SERIAL_INPUT {json.dumps(sent)}\n")
    places = [f"-I{place}" for place in (BOARDS, work, library / "src")]
    commands = [
        ["gcc", "-std=gnu11", "-O1", *WARNINGS, *places, "-c", str(library / "src" / f"{name}.c"),
         "-o", "network.o"],
        # As the IDE does, which also declares the sketch's functions.
        ["g++", "-std=gnu++11", *WARNINGS, *places, "-include", "Arduino.h", "-c", "-x", "c++",
         str(sketch), "-o", "sketch.o"],
        ["g++", "-std=gnu++11", *WARNINGS, *places, "network.o", "sketch.o",
         str(BOARDS / "core.cpp"), "-lm", "-o", "sketch"],
        ["./sketch"],
    ]  # fmt: skip
    for command in commands:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    return done.stdout


def sent(points: np.ndarray) -> str:
    """The points as one types them."""
    return "".join(", ".join(f"{value:.9g}" for value in row) + "\r\n" for row in points)


def numbers(printed: str, before: str) -> np.ndarray:
    """Those behind this word, a row for each line or run."""
    found = re.findall(rf"{re.escape(before)}((?: ?-?[\d.]+(?![\d.]| us)| nan)+)", printed)
    return np.array([line.split() for line in found], float)


@needs_compilers
@pytest.mark.parametrize("precision", ["float", "double"])
def test_the_sketch_prints_what_the_model_gives(tmp_path: Path, precision: str) -> None:
    library = tmp_path / "BurgersNet"
    hedge.export_arduino(
        COMPRESSED, library, jacobian=True, guard=True, precision=precision,
        units="x=m,t=s,u=m/s",
    )  # fmt: skip
    points = np.random.default_rng(0).uniform([-1, 0], [1, 1], (6, 2)).astype(np.float32)
    printed = ran(library, sent(points) + "1.5 0.5\n")
    graph = open_model(COMPRESSED).graph
    expected = Evaluator(with_jacobian(graph, np.float64))(points.astype(np.float64))
    assert printed.startswith("Send x [m], t [s]\n")
    values, slopes = numbers(printed, "u [m/s]:"), numbers(printed, "derivatives:")
    np.testing.assert_allclose(values[:-1], expected[:, :1], atol=2e-5)
    np.testing.assert_allclose(slopes[:-1], expected[:, 1:], rtol=1e-4, atol=2e-4)
    assert np.isnan(values[-1]).all()  # outside the domain
    assert np.isnan(slopes[-1]).all()


@needs_compilers
@pytest.mark.parametrize(
    ("names", "told"),
    [
        # They would end a string, a comment, or a line of the properties.
        (
            ['a"b', "*/", "\\n", "é\nversion=9", "/*", "??/"],
            "Send a'b [%d], * / , _n, _ version=9,  / *, __/\n",
        ),
        ([f"c{i}" for i in range(20)], "Send c0 [%d] to c19, 20 in all"),
    ],
)
def test_columns_of_any_name_and_number(tmp_path: Path, names: list[str], told: str) -> None:
    model, library = random_mlp([len(names), 4, 3], 1), tmp_path / "Wide-Net.2"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    hedge.export_arduino(
        tmp_path / "m.onnx", library, inputs=",".join(names), name="wide", units=f"{names[0]}=%d"
    )
    points = np.random.default_rng(0).uniform(-1, 1, (3, len(names))).astype(np.float32)
    printed = ran(library, sent(points))
    assert printed.startswith(told)
    expected = Evaluator(load_model(tmp_path / "m.onnx"))(points.astype(np.float64))
    np.testing.assert_allclose(numbers(printed, "u[2]:"), expected, atol=1e-6)
    assert properties(library)["version"] == "1.0.0"


def properties(library: Path) -> dict[str, str]:
    """The fields of library.properties, each of which stands on one line."""
    lines = (library / "library.properties").read_text("utf-8").splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    assert tuple(fields) == FIELDS
    return fields


def test_what_the_ide_reads(tmp_path: Path) -> None:
    library = tmp_path / "HeatNet"
    files = hedge.export_arduino(HEAT, library, guard=True)
    found = properties(library)
    assert (found["name"], found["includes"]) == ("HeatNet", "HeatNet.h")
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["version"])
    assert found["architectures"] == "*"
    assert "x, t to u" in found["sentence"]
    assert "to the solution" in found["paragraph"]  # what the certificate beside the model proves
    words = dict(line.split("\t") for line in (library / "keywords.txt").read_text().splitlines())
    assert words.keys() >= {
        "HeatNet_eval",
        "HeatNet_eval_batch",
        "HeatNet_inside",
        "HEATNET_INPUTS",
    }
    assert set(words.values()) == {"KEYWORD2", "LITERAL1"}
    assert (library / "src" / "HeatNet.h").read_text() == files.header
    assert f"takes {files.flash_bytes} bytes of flash" in (library / "README.md").read_text()
    sheet = json.loads((library / "extras" / "datasheet.json").read_text())
    assert [column["name"] for column in sheet["inputs"]] == ["x", "t"]
    certificate = HEAT.with_suffix(".certificate.json").read_bytes()
    assert (library / "extras" / "certificate.json").read_bytes() == certificate
    assert {path.relative_to(library).as_posix() for path in library.rglob("*.*")} == {
        "README.md", "examples/HeatNet/HeatNet.ino", "extras/certificate.json", "keywords.txt",
        "extras/datasheet.json", "library.properties", "src/HeatNet.c", "src/HeatNet.h",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("_net", "is no name of an Arduino library"),
        ("my net", "is no name of an Arduino library"),
        ("été", "is no name of an Arduino library"),
        ("12", "is no name of an Arduino library"),
        ("..", "is no name of an Arduino library"),
        ("n" * 64, "has 64 characters; Arduino libraries have 63 at most"),
        ("Arduino", r"Arduino\.h is a header of C, of boards or of their libraries"),
        ("servo", r"servo\.h is a header"),
        ("Math", r"Math\.h is a header"),
    ],
)
def test_names_that_no_library_can_have_are_refused(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(InputError, match=f"^out: .*{told}"):
        hedge.export_arduino(HEAT, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_headers_of_boards_are_known_by_their_small_letters() -> None:
    assert all(name == name.lower() for name in BOARD_HEADERS)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "2nd"}, "^name: '2nd' is no C identifier"),
        ({"flash": 100}, "^flash: the constants take 34304 bytes"),
        ({"ram": 600}, "^ram: a row takes 512 bytes of stack"),
        ({"units": "y=m"}, "^units: 'y' is no column"),
    ],
)
def test_what_c_refuses_is_refused(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises((InputError, ModelError), match=told):
        hedge.export_arduino(HEAT, tmp_path / "HeatNet", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_identifier_needs_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^name: 'heat-net' is no C identifier; .* --name"):
        hedge.export_arduino(HEAT, tmp_path / "heat-net")
    hedge.export_arduino(HEAT, tmp_path / "heat-net", name="heat")
    assert "void heat_eval(" in (tmp_path / "heat-net" / "src" / "heat-net.h").read_text()


def test_a_folder_is_taken_again_with_force_and_no_proof_of_another_network_stays(
    tmp_path: Path,
) -> None:
    library = tmp_path / "Net"
    told = export_as("arduino", HEAT, library, options={})
    assert "34304 bytes of constants, stack 512 bytes a row" in told.told
    assert told.document["flash_bytes"] == 34304
    assert (library / "extras" / "certificate.json").is_file()
    with pytest.raises(OutputError, match="is not empty; choose another name or pass --force"):
        hedge.export_arduino(COMPRESSED, library)
    hedge.export_arduino(COMPRESSED, library, force=True)
    assert not (library / "extras" / "certificate.json").exists()
    assert "burgers" in (library / "README.md").read_text()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs the second address space of x86")
@needs_compilers
def test_constants_may_lie_in_an_address_space_of_their_own(tmp_path: Path) -> None:
    """As on an AVR: a pointer to them that is of the other space is an error to the compiler."""
    guard, avr = Guard((-1.0, -1.0), (1.0, 1.0)), "#define IN_FLASH\n"
    for place, model in enumerate(stored_kinds().values()):
        name = f"m{place}"
        options = COptions(name, double=place % 2 == 1, jacobian=place % 3 == 0, guard=guard)
        files = to_c(model.skeleton, model.matrices, options, name)
        assert files.source.count(avr) == 1
        apart = files.source.replace(avr, "#define IN_FLASH __seg_gs\n")
        (tmp_path / f"{name}.c").write_text(apart)
        (tmp_path / f"{name}.h").write_text(files.header)
    gcc(tmp_path, "-std=gnu99", *WARNINGS, "-fsyntax-only", *(p.name for p in tmp_path.glob("*.c")))
    wrong = re.sub(r"const IN_FLASH (\w+ \*restrict w)", r"const \1", apart, count=1)
    (tmp_path / f"{name}.c").write_text(wrong)
    with pytest.raises(AssertionError, match="address space"):
        gcc(tmp_path, "-std=gnu99", *WARNINGS, "-fsyntax-only", f"{name}.c")


@needs_compilers
def test_the_page(tmp_path: Path) -> None:
    """Its commands are run by the tests of the documentation; its sketch is compiled with what they write."""
    command = next(line for line in blocks(PAGE, "")[0].splitlines() if "--format arduino" in line)
    words = command.split()
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert (words[2], options.pop("--format")) == (f"models/{COMPRESSED.name}", "arduino")
    library = tmp_path / options.pop("--out")
    hedge.export_arduino(
        COMPRESSED, library, **{name.lstrip("-"): value for name, value in options.items()}
    )
    sketch = tmp_path / "mine.ino"
    sketch.write_text(blocks(PAGE, "cpp")[0])
    assert len(sketch.read_text().splitlines()) <= 14
    expected = Evaluator(open_model(COMPRESSED).graph)(np.array([[0.5, 0.25]]))
    assert float(ran(library, "", sketch)) == pytest.approx(expected.item(), abs=1e-5)
    written = {path.relative_to(library).as_posix() for path in library.rglob("*.*")}
    assert written == rows(PAGE)


def rows(page: str) -> set[str]:
    """The files that the page's table names."""
    table = page[page.index("| file | what |") :].split("\n\n")[0]
    return {
        name
        for row in table.splitlines()
        for name in re.findall(r"`([\w./]+\.\w+)`", row.split("|")[1])
    }
