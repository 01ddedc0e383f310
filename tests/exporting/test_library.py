"""The folder that Python imports: it computes what the model does, and says what is wrong with it."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import onnx
import pytest

import hedge
from hedge.api.library import write_library
from hedge.errors import InputError, ModelError, OutputError
from hedge.exporting import open_model
from hedge.exporting.compiling import compiler_here
from hedge.exporting.library import FEATURES, library_name
from hedge.graph import Evaluator, load_model, with_jacobian
from hedge.progress import silent
from tests.conftest import ROOT, blocks, random_mlp
from tests.exporting.c_compiler import needs_gcc

COMPRESSED = ROOT / "models" / "burgers-128x4.hedge.safetensors"
HEAT = ROOT / "models" / "heat-64x3.onnx"
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")

Imported = Callable[[Path], ModuleType]


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Imported:
    """Imports a folder, and forgets it afterwards."""

    def load(folder: Path) -> ModuleType:
        monkeypatch.syspath_prepend(str(folder.parent))
        monkeypatch.delitem(sys.modules, folder.name, raising=False)
        return importlib.import_module(folder.name)

    return load


@needs_gcc
@pytest.mark.parametrize("precision", ["float", "double"])
def test_it_computes_what_the_model_does(
    tmp_path: Path, imported: Imported, precision: str
) -> None:
    folder = tmp_path / f"net_{precision}"
    assert hedge.export_library(
        COMPRESSED, folder, jacobian=True, guard=True, precision=precision, flags="-O1"
    )
    net = imported(folder)
    points = np.random.default_rng(0).uniform([-1, 0], [1, 1], (5, 7, 2))
    points = points.astype(np.float32).astype(np.float64)
    graph = open_model(COMPRESSED).graph
    expected = Evaluator(graph)(points.reshape(-1, 2))
    slopes = Evaluator(with_jacobian(graph, np.float64))(points.reshape(-1, 2))[:, 1:]
    rounding = 2e-5 if precision == "float" else 1e-6  # the graph's own constants are floats
    u, J = net.jacobian(points)
    assert (u.shape, J.shape, net.evaluate(points).dtype) == (
        (5, 7, 1), (5, 7, 1, 2), np.dtype("f4" if precision == "float" else "f8"),
    )  # fmt: skip
    np.testing.assert_allclose(u.reshape(-1, 1), expected, atol=rounding)
    np.testing.assert_allclose(net.evaluate(points).reshape(-1, 1), expected, atol=rounding)
    np.testing.assert_allclose(J.reshape(-1, 2), slopes, atol=rounding * np.abs(slopes).max())
    one_by_one = [net.evaluate(list(point)) for point in points.reshape(-1, 2)]
    np.testing.assert_allclose(one_by_one, expected, atol=rounding)
    # A view, of every second point and backwards.
    np.testing.assert_allclose(net.evaluate(points[::2, ::-1]), u[::2, ::-1], atol=rounding)
    assert net.evaluate(np.empty((0, 2))).shape == (0, 1)
    np.testing.assert_array_equal(net.inside([[0.0, 0.5], [1.5, 0.5], [0.0, np.nan]]), [1, 0, 0])
    np.testing.assert_array_equal(np.isnan(net.evaluate([[0.0, 0.5], [1.5, 0.5]])), [[0], [1]])
    assert np.isnan(net.evaluate([0.0, -1e-6]))[0]
    for shape in [(), (3,), (4, 1), (2, 0)]:
        with pytest.raises(ValueError, match=r"its last axis must be 2: x, t"):
            net.evaluate(np.zeros(shape))


@needs_gcc
def test_several_columns_and_the_datasheet(tmp_path: Path, imported: Imported) -> None:
    model = random_mlp([3, 8, 2], 1)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    folder = tmp_path / "several"
    hedge.export_library(
        tmp_path / "m.onnx", folder, inputs="mass,speed,q", units="mass=kg,u[1]=N",
        domain="0:1,0:2,-1:1", flags="-O1",
    )  # fmt: skip
    net = imported(folder)
    points = np.random.default_rng(0).uniform(0, 1, (20, 3)).astype(np.float32)
    expected = Evaluator(load_model(tmp_path / "m.onnx"))(points)
    np.testing.assert_allclose(net.evaluate(points), expected, atol=1e-5)
    inputs = net.DATASHEET["inputs"]
    assert inputs[0] == {"name": "mass", "unit": "kg", "lower": 0.0, "upper": 1.0}
    assert [column["name"] for column in net.DATASHEET["outputs"]] == ["u[0]", "u[1]"]
    assert not hasattr(net, "inside")
    assert not hasattr(net, "jacobian")


@needs_gcc
def test_rows_at_odd_addresses_are_taken(tmp_path: Path, imported: Imported) -> None:
    hedge.export_library(HEAT, tmp_path / "net_odd", flags="-O1")
    net = imported(tmp_path / "net_odd")
    points = np.random.default_rng(0).uniform(0, 1, (20, 2)).astype(np.float32)
    odd = np.frombuffer(b"-" + points.tobytes(), np.float32, offset=1).reshape(20, 2)
    assert net._points(odd).flags.aligned  # C may trap at others
    np.testing.assert_array_equal(net.evaluate(odd), net.evaluate(points))


@needs_gcc
def test_what_is_wrong_with_the_library_is_said_on_import(
    tmp_path: Path, imported: Imported
) -> None:
    folder = tmp_path / "a b's" / "net_here"
    folder.parent.mkdir()
    hedge.export_library(HEAT, folder, flags="-O0")
    library = folder / library_name("net_here")
    good = library.read_bytes()
    library.write_bytes(b"no library")
    with pytest.raises(ImportError, match=r"can't be loaded .*; compile it here: cd .* && cc"):
        imported(folder)
    library.unlink()
    with pytest.raises(ImportError, match=r"is not there; compile it here"):
        imported(folder)
    hedge.export_library(HEAT, folder, flags="-O0", domain="0:0.5,0:0.5", force=True)
    library.write_bytes(good)
    with pytest.raises(ImportError, match=r"is of another export; compile it here"):
        imported(folder)
    # The command that is named makes it whole again.
    with pytest.raises(ImportError) as refused:
        imported(folder)
    again = str(refused.value).partition("compile it here: ")[2].replace(" -march=native", "")
    subprocess.run(again, shell=True, check=True)
    code = (
        "import net_here; print(net_here.evaluate([0.5, 0.5]).shape)"  # here the old one is loaded
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder.parent)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "(1,)\n"


@needs_gcc
def test_a_processor_that_lacks_something_is_told(tmp_path: Path, imported: Imported) -> None:
    """As if the library were compiled for what no processor has."""
    folder = tmp_path / "net_for_others"
    hedge.export_library(HEAT, folder, flags="-O0")
    here = (folder / "net_for_others_here.c").read_text()
    assert all(macro in here and f'"{word}"' in here for macro, word in FEATURES.items())
    files = {path.name: path.read_text() for path in folder.glob("net*.[ch]")}
    files["net_for_others_here.c"] = here.replace("return 1;", "return 0;")
    library = compiler_here(flags=("-O0",)).shared(files)
    (folder / library_name("net_for_others")).write_bytes(library)
    with pytest.raises(ImportError, match=r"is compiled for another processor; compile it here"):
        imported(folder)


def test_without_a_compiler_the_rest_is_there_and_no_older_library(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / library_name("net")).write_bytes(b"older")
    with mock.patch.dict(os.environ, CC="no-such-compiler"):
        told = write_library(HEAT, folder, force=True, on_progress=silent)
    assert "there is no C compiler 'no-such-compiler', which CC names" in told.told
    assert told.document == {"parameters": 8577, "library_bytes": None}
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "__init__.py", "datasheet.json", "certificate.json", "net.c", "net.h", "net_here.c",
    }  # fmt: skip
    bounds = json.loads((folder / "datasheet.json").read_text())["bounds"]
    assert bounds[0]["what"].endswith("to the solution")


@needs_gcc
def test_a_certificate_of_another_network_does_not_stay(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    other = tmp_path / "m.onnx"
    onnx.save(random_mlp([2, 4, 1]), other)
    for write in (hedge.export_library, hedge.export_casadi):
        write(HEAT, folder, flags="-O0", force=True)
        assert (folder / "certificate.json").is_file()
        write(other, folder, flags="-O0", force=True)
        assert not (folder / "certificate.json").exists()


def test_a_compiler_is_found_from_here_and_its_silence_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, line in (("mute", "exit 3"), ("wrapped", 'exec cc "$@"')):
        Path(name).write_text(f"#!/bin/sh\n{line}\n")
        Path(name).chmod(0o755)
    with pytest.raises(ModelError, match=r"mute says nothing and ends with 3\)$"):
        hedge.export_library(HEAT, "net", compiler="./mute")
    assert hedge.export_library(HEAT, "net", compiler="./wrapped").library is not None


def test_what_cc_names_is_told_where_it_is_no_program(tmp_path: Path) -> None:
    with mock.patch.dict(os.environ, CC="cc -O2"):
        told = write_library(HEAT, tmp_path / "net", force=False, on_progress=silent).told
    assert "there is no C compiler 'cc -O2', which CC names: name a program there, without" in told


@pytest.mark.parametrize("name", ["a-b", "1net", "class", "json", "numpy", "été"])
def test_folders_that_python_can_t_import_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"^out: .*; name the folder"):
        hedge.export_library(HEAT, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_nothing_is_left_where_it_fails(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^compiler: 'no-such' is not there"):
        hedge.export_library(HEAT, tmp_path / "net", compiler="no-such")
    with pytest.raises(InputError, match=r"^flags: "):
        hedge.export_library(HEAT, tmp_path / "net", compiler=sys.executable, flags="'")
    with pytest.raises((ModelError, InputError)):
        hedge.export_library(HEAT, tmp_path / "net", compiler=sys.executable)
    with pytest.raises(OutputError, match="there is no folder"):
        hedge.export_library(HEAT, tmp_path / "none" / "net")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty; choose another name or pass --force"):
        hedge.export_library(HEAT, tmp_path / "full")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is no folder"):
        hedge.export_library(HEAT, tmp_path / "file", force=True)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


@needs_gcc
@pytest.mark.parametrize("code", blocks(PAGE, "python"))
def test_the_page(
    code: str, tmp_path: Path, imported: Imported, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    command, *_ = (line for line in blocks(PAGE, "")[0].splitlines())
    words = [sys.executable, "-m", *command.split(), "--flags=-O1"]
    subprocess.run(words, check=True, capture_output=True)
    imported(tmp_path / "burgers_net")
    exec(code, {})


@needs_gcc
def test_names_from_files_stay_names(tmp_path: Path, imported: Imported) -> None:
    """None ends the text of the module, is run by it, or is taken for a field of its template."""
    odd = '"""\n\\x41{evil} {0} */ \'\N{GREEK SMALL LETTER PI}\ud800?%s\x00'.replace("\ud800", "")
    model = random_mlp([2, 8, 1])
    model.graph.input[0].name = model.graph.node[0].input[0] = f"x{odd}"
    model.doc_string = f"raise SystemExit{odd}"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    folder = tmp_path / "net_of_odd_names"
    hedge.export_library(
        tmp_path / "m.onnx", folder, guard=True, jacobian=True, domain="0:1", flags="-O0"
    )
    net = imported(folder)
    assert net.evaluate([0.5, 0.5]).shape == (1,)
    assert net.DATASHEET["inputs"][1]["name"] == f"x{odd}[1]"
    with pytest.raises(ValueError, match=r"its last axis must be 2"):
        net.evaluate([0.5])
