"""Names from users and from files, in C and C++: what is accepted compiles, and stays where it was put."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

import hedge
from hedge.errors import InputError, ModelError
from hedge.exporting import COptions, to_c
from hedge.graph import load_model, run_float32, with_derivatives
from tests.conftest import make_model, random_mlp
from tests.exporting.c_compiler import WARNINGS, gcc, needs_gcc
from tests.exporting.c_models import parted

# Words of C++, of the standard library, of the preprocessor, and the files' own.
WORDS = [
    "main", "tanhf", "sqrtf", "errno", "NULL", "NAN", "assert", "int8_t", "size_t", "linux", "class",
    "namespace", "template", "bool", "new", "this", "J", "x", "u", "s", "r", "i", "w0", "multiply",
    "multiply_tile", "evaluate", "relu", "fast_tanh", "E1", "a__b", "a_",
]  # fmt: skip
ODD = '*/\r\n#error "??/\n/* \\ %s {0}'
DOCUMENT = f"a\r\nb */\r\n#error\r\n{ODD}"


@needs_gcc
def test_every_word_can_begin_the_names_of_functions(tmp_path: Path) -> None:
    model = parted(random_mlp([2, 3, 1], activation="Relu"))
    for i, word in enumerate(WORDS):
        files = to_c(model.skeleton, model.matrices, COptions(word, jacobian=True), f"n{i}")
        (tmp_path / f"n{i}.c").write_text(files.source)
        (tmp_path / f"n{i}.h").write_text(files.header)
    stems = [f"n{i}" for i in range(len(WORDS))]
    every = "".join(f'#include "{stem}.h"\n' for stem in stems)
    (tmp_path / "all.c").write_text(f"{every}int main(void) {{ return 0; }}\n")
    (tmp_path / "all.cpp").write_text(every)
    gcc(tmp_path, *WARNINGS, "-O0", "all.c", *(f"{stem}.c" for stem in stems), "-o", "all", "-lm")
    gcc(tmp_path, "-Wall", "-Wextra", "-pedantic", "-Werror", "-c", "all.cpp", "-o", "all.o")


def _hostile() -> ModelProto:
    """Two outputs of one input, which are called as nobody would call them."""
    x, first, second = (f"{name}{ODD}" for name in ("x", "u", "v"))
    nodes = [
        helper.make_node("Gemm", [x, "w"], ["z"], transB=1, name=f"site{ODD}"),
        helper.make_node("Relu", ["z"], ["a"], name=f"bent{ODD}"),
        helper.make_node("Gemm", ["a", "v"], [first], transB=1, name=ODD),
        helper.make_node("Neg", ["a"], [second], name=ODD[1:]),
    ]
    weights = {"w": np.array([[0.5, -1.0], [1.0, 0.25]]), "v": np.array([[1.0, 2.0]])}
    model = make_model(nodes, weights, inputs={x: 2}, outputs={first: 1, second: 2})
    model.doc_string = DOCUMENT
    helper.set_model_props(model, {"hedge.problem": ODD})
    return model


@needs_gcc
@pytest.mark.parametrize(
    "options", [{"jacobian": True}, {"outputs": f"v{ODD}_x,u{ODD}", "inputs": "x,y"}]
)
def test_names_from_files_stay_in_their_comments(
    tmp_path: Path, options: dict[str, object]
) -> None:
    onnx.save(_hostile(), tmp_path / "odd.onnx")
    hedge.export_c(tmp_path / "odd.onnx", tmp_path / "n.c", test=True, **options)
    gcc(tmp_path, *WARNINGS, "-O0", "n_test.c", "n.c", "-o", "n_test", "-lm")
    tested = subprocess.run([tmp_path / "n_test"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout


def test_names_from_files_are_kept_in_onnx(tmp_path: Path) -> None:
    onnx.save(_hostile(), tmp_path / "odd.onnx")
    wanted = f"u{ODD}_x,u{ODD}"
    hedge.export(tmp_path / "odd.onnx", tmp_path / "d.onnx", outputs=wanted, inputs="x,y")
    made = load_model(tmp_path / "d.onnx")
    assert [value.name for value in made.graph.output] == wanted.split(",")
    assert made.doc_string == DOCUMENT
    points = np.array([[0.5, 0.25], [-0.5, 0.75]])
    own = run_float32(_hostile(), points)[:, :1]
    np.testing.assert_array_equal(run_float32(made, points)[:, 1:], own)


def test_messages_about_odd_names_are_one_line() -> None:
    model = _hostile()
    for names, letters in (
        (["u_x"], "xy"),
        ([f"u{ODD}_q"], "xy"),
        ([f"u{ODD}"] * 2, "xy"),
        (["u"], ODD),
    ):
        with pytest.raises(InputError) as unknown:
            with_derivatives(model, names, letters)
        assert len(str(unknown.value).splitlines()) == 1
    with pytest.raises(ModelError, match=r"^Relu 'bent.* has a kink, and so no second") as kinked:
        with_derivatives(model, [f"u{ODD}_xx"], "xy")
    assert len(str(kinked.value).splitlines()) == 1
