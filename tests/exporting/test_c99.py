"""C99 out: compiled with every warning an error and with sanitizers, equal to hedge's float64."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from hedge.errors import InputError, ModelError, RoomError
from hedge.exporting import CFiles, COptions, to_c
from hedge.exporting.c99.builder import Builder
from hedge.exporting.c99.export import CALL_BYTES
from hedge.exporting.c99.text import KEYWORDS, check_identifier, comment, number
from hedge.exporting.c99.vector_functions import (
    FAST_TANH,
    FAST_TANH_64,
    FAST_TANH_ERROR,
    FAST_TANH_ERROR_64,
)
from hedge.graph import LeafMatrix, SiteMatrix, assemble, run_float32, split
from hedge.ops import OPS
from tests.architectures import NARROW, Net
from tests.conftest import make_model, random_mlp
from tests.exporting.c_compiler import (
    ROWS,
    SANITIZERS,
    WARNINGS,
    Model,
    Results,
    gcc,
    needs_gcc,
    run_all,
)
from tests.exporting.c_models import (
    MATRICES,
    all_models,
    compressed,
    mixing,
    parted,
    shipped,
    with_matrix,
)

MODELS = all_models()
NET = COptions("net")
FASTEST = ("-O3", "-march=native", "-ffast-math")
Run = tuple[bool, dict[str, Results]]


@pytest.fixture(scope="module", params=[False, True], ids=["float", "double"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All models: in float with sanitizers, in double without, since the loops are the same."""
    flags = ("-O0",) if request.param else ("-O0", *SANITIZERS)
    folder = tmp_path_factory.mktemp("c")
    return request.param, run_all(folder, MODELS, double=request.param, flags=flags)


def assert_equal(model: Model, results: Results, tolerance: float) -> None:
    expected = model.expected
    allowed = tolerance * np.abs(expected).max()
    assert np.abs(results.single - expected).max() < allowed
    assert np.abs(results.batched - expected).max() < allowed


# --- What the C computes ----------------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize("label", MODELS)
def test_c_gives_what_hedge_computes_in_float64(run: Run, label: str) -> None:
    double, results = run
    assert_equal(MODELS[label], results[label], 1e-12 if double else 1e-5)


@needs_gcc
def test_compressed_models_of_every_method_do(tmp_path: Path) -> None:
    models = compressed()
    stored = [matrix for model in models.values() for matrix in model.matrices.values()]
    assert any(isinstance(matrix, LeafMatrix) for matrix in stored)
    assert any(matrix.precision == "float16" for matrix in stored)
    assert models["slopes"].matrices["site0"].shape[0] <= NARROW
    for label, results in run_all(tmp_path, models).items():
        assert_equal(models[label], results, 1e-5)


@needs_gcc
def test_the_fastest_flags_give_the_same_as_the_runtime(tmp_path: Path) -> None:
    models = shipped()
    for label, results in run_all(tmp_path, models, flags=FASTEST).items():
        model = models[label]
        runtime = run_float32(assemble(model.skeleton, model.matrices), model.points)
        allowed = 1e-5 * np.abs(runtime).max()
        assert np.abs(results.single - runtime).max() < allowed
        assert np.abs(results.batched - runtime).max() < allowed


@needs_gcc
@pytest.mark.parametrize("flags", [("-O2",), ("-O3", "-march=native"), ("-O1", "-DLANES=1")])
def test_blocks_of_every_size_give_the_same(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """171 outputs are blocks of 8, 1, 4 and single ones for any width of vectors."""
    models = {f"{n}": parted(random_mlp([3, 171, n, 2], seed=n)) for n in (1, 7, 21)}
    for label, results in run_all(tmp_path, models, flags=flags).items():
        assert_equal(models[label], results, 1e-5)


@needs_gcc
@pytest.mark.parametrize("count", [-1, 3, 32])
def test_vectors_that_no_tile_is_made_of_are_refused(tmp_path: Path, count: int) -> None:
    """Of 32 floats they would be written beyond the tile."""
    model = parted(random_mlp([2, 4, 1]))
    files = to_c(model.skeleton, model.matrices, COptions("net"), "net")
    (tmp_path / "net.c").write_text(files.source)
    (tmp_path / "net.h").write_text(files.header)
    with pytest.raises(AssertionError, match="LANES must divide 16"):
        gcc(tmp_path, "-c", f"-DLANES={count}", "net.c")


# --- tanh ----------------------------------------------------------------------------------------------

SWEEP = """
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
{function}
int main(void)
{{
    double worst = 0;
    for (uint32_t bits = 0; bits <= 0x7f800000u; bits += 997) {{
        float x;
        memcpy(&x, &bits, sizeof x);
        const double exact = tanh((double)x), allowed = 1e-37 / {bound} + exact;
        worst = fmax(worst, fabs((double)fast_tanh(x) - exact) / allowed);
        worst = fmax(worst, fabs((double)fast_tanh(-x) + exact) / allowed);
    }}
    printf("%.9e", worst);
    return fast_tanh(INFINITY) > 1 || fast_tanh(-INFINITY) < -1 || !isnan(fast_tanh(NAN));
}}
"""

SWEEP_64 = """
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
{function}
int main(void)
{{
    long double worst = 0;
    for (uint64_t i = 0; i < 300000; ++i) {{
        double x;
        const uint64_t bits = i * 61489146912365u;  /* up to infinity */
        const double part = (double)((i * 6364136223846793005u) >> 11) * 0x1p-53;
        memcpy(&x, &bits, sizeof x);
        if (i % 2) x = part * (i % 3 ? 1.25 : 20.5);
        const long double exact = tanhl((long double)x);
        if (!(exact > 1e-300L)) continue;
        worst = fmaxl(worst, fabsl((long double)fast_tanh(x) - exact) / exact);
        if (fast_tanh(-x) != -fast_tanh(x)) return 1;
    }}
    printf("%.9e", (double)worst);
    if (fast_tanh(5e-324) != 5e-324 || fast_tanh(0.0) != 0 || !signbit(fast_tanh(-0.0))) return 2;
    return fast_tanh(INFINITY) != 1 || fast_tanh(-INFINITY) != -1 || !isnan(fast_tanh(NAN));
}}
"""


@needs_gcc
def test_nan_stays_nan_as_in_onnx(tmp_path: Path) -> None:
    class Failed(Model):
        """Points of sensors that failed."""

        @property
        def points(self) -> np.ndarray:
            return np.full((ROWS, 2), np.nan)

    def failed(op: str, *others: str) -> Model:
        net = Net()
        net.weights |= {"low": np.array(-0.5), "high": np.array(0.5)}
        net.op(op, ["x", *others], "u")
        model = parted(net.model(outputs={"u": 2}))
        return Failed(model.skeleton, model.matrices)

    models = {op: failed(op) for op in ("Relu", "HardSigmoid", "HardSwish", "Softplus", "Tanh")}
    models |= {op: failed(op, "low") for op in ("Max", "Min")}
    models |= {"Clip": failed("Clip", "low", "high")}
    for label, results in run_all(tmp_path, models, flags=("-O2",)).items():
        assert np.isnan(results.single).all(), label
        assert np.isnan(results.batched).all(), label


@needs_gcc
def test_the_fast_tanh_keeps_its_bound(tmp_path: Path) -> None:
    """Every 997th float of either sign; the worst of all is 3.40e-7, at 6.78, with FMA 3.38e-7."""
    assert OPS["Tanh"].error32 == (1e-37, FAST_TANH_ERROR)  # what is proved reckons with
    (tmp_path / "sweep.c").write_text(SWEEP.format(function=FAST_TANH, bound=FAST_TANH_ERROR))
    gcc(tmp_path, *WARNINGS, "-O2", "sweep.c", "-o", "sweep", "-lm")
    found = subprocess.run([tmp_path / "sweep"], capture_output=True, text=True, check=True)
    assert 0.8 * FAST_TANH_ERROR < float(found.stdout) < FAST_TANH_ERROR


@needs_gcc
@pytest.mark.parametrize(
    "flags", [("-O2",), ("-O2", "-D__AVX2__"), ("-O3", "-march=native", "-std=gnu99")]
)
def test_the_fast_tanh_in_double_keeps_its_bound(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Against libm's in numbers of 64 bits or more: of all sizes, and where it is hardest, below 1."""
    (tmp_path / "sweep.c").write_text(SWEEP_64.format(function=FAST_TANH_64))
    gcc(tmp_path, *WARNINGS, *flags, "sweep.c", "-o", "sweep", "-lm")
    found = subprocess.run([tmp_path / "sweep"], capture_output=True, text=True, check=True)
    assert float(found.stdout) < FAST_TANH_ERROR_64


@needs_gcc
def test_tanh_is_libm_s_where_asked_for(tmp_path: Path) -> None:
    models = {"tanh": MODELS["tanh"]}
    results = run_all(tmp_path, models, fast_tanh=False)["tanh"]
    assert_equal(models["tanh"], results, 1e-5)
    assert "tanhf(" in (tmp_path / "m0.c").read_text()


# --- What it takes -------------------------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("label", ["tanh", "mixed tail", "leaves, int8", "burgers", "unary ops"])
def test_flash_and_stack_are_what_the_compiler_takes(
    tmp_path: Path, label: str, double: bool
) -> None:
    model = MODELS[label]
    files = to_c(model.skeleton, model.matrices, COptions("net", double), "net")
    (tmp_path / "net.c").write_text(files.source)
    (tmp_path / "net.h").write_text(files.header)
    frames = frames_of(tmp_path, "-O2" if double else "-Os")
    row = sum(frames[name] for name in frames.keys() - {"evaluate_tile", "net_eval_batch"})
    batch = sum(frames[name] for name in frames.keys() - {"net_eval"})
    assert files.stack_bytes <= row <= files.stack_bytes + CALL_BYTES
    assert files.batch_stack_bytes <= batch <= files.batch_stack_bytes + CALL_BYTES
    gcc(tmp_path, "-std=c99", "-O0", "-c", "net.c", "-o", "plain.o")
    symbols = subprocess.run(
        ["nm", "-S", "plain.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    constants = re.findall(r"^\S+ (\S+) r w\d+$", symbols.stdout, flags=re.MULTILINE)
    assert sum(int(size, 16) for size in constants) == files.flash_bytes


def frames_of(folder: Path, level: str) -> dict[str, int]:
    """Bytes of the stack that each function of net.c takes, by its name."""
    gcc(folder, *WARNINGS, level, "-fstack-usage", "-c", "net.c", "-o", "net.o")
    lines = (line.split("\t") for line in (folder / "net.su").read_text().splitlines())
    return {place.rsplit(":", 1)[1]: int(taken) for place, taken, _ in lines}


def test_ram_is_kept_row_by_row_or_refused_with_the_excess() -> None:
    model = MODELS["tanh"]
    free = to_c(model.skeleton, model.matrices, NET, "net")
    assert free.batch_stack_bytes > free.stack_bytes

    def within(ram: int) -> CFiles:
        return to_c(model.skeleton, model.matrices, COptions("net", ram=ram), "net")

    assert within(free.batch_stack_bytes + CALL_BYTES) == free
    for ram in (free.batch_stack_bytes + CALL_BYTES - 1, free.stack_bytes + CALL_BYTES):
        kept = within(ram)
        assert kept.batch_stack_bytes == kept.stack_bytes == free.stack_bytes
        assert f"#define NET_BATCH_STACK_BYTES {free.stack_bytes}\n" in kept.header
    told = f"ram: a row takes {free.stack_bytes} bytes .* {CALL_BYTES} for calls, 1 more than"
    with pytest.raises(RoomError, match=told):
        within(free.stack_bytes + CALL_BYTES - 1)


@needs_gcc
def test_a_batch_that_goes_row_by_row_gives_the_same(tmp_path: Path) -> None:
    models = {label: MODELS[label] for label in ("tanh", "mixed tail", "leaves, int8")}
    rows = [to_c(m.skeleton, m.matrices, NET, "net").stack_bytes for m in models.values()]
    results = run_all(tmp_path, models, ram=max(rows) + CALL_BYTES)
    for label, model in models.items():
        assert_equal(model, results[label], 1e-5)
    texts = [(tmp_path / f"m{i}.c").read_text() for i in range(len(models))]
    assert not any("evaluate_tile" in text for text in texts)


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="there is no ARM gcc here")
def test_a_small_network_fits_a_microcontroller(tmp_path: Path) -> None:
    """3 x 20 neurons on a Cortex-M4F: at most 12 KiB of flash and 1 KiB of stack, libm aside."""
    parts = split(random_mlp([2, 20, 20, 20, 1]))
    files = to_c(parts.skeleton, parts.matrices, COptions("net"), "net")
    (tmp_path / "net.c").write_text(files.source)
    (tmp_path / "net.h").write_text(files.header)
    core = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
    compile_net = ["arm-none-eabi-gcc", *core, *WARNINGS, "-O2", "-fstack-usage", "-c", "net.c"]
    subprocess.run(compile_net, cwd=tmp_path, check=True)
    sizes = subprocess.run(
        ["arm-none-eabi-size", "net.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    flash, data, bss = map(int, sizes.stdout.splitlines()[1].split()[:3])
    assert flash <= 12 * 1024
    assert data == bss == 0
    usage = (tmp_path / "net.su").read_text()
    (frame,) = re.findall(r":net_eval\t(\d+)\t", usage)
    assert int(frame) <= 1024


def test_scratch_memory_is_used_again() -> None:
    """Two neighbouring layers are all that a chain needs at a time."""
    parts = split(random_mlp([2, 40, 30, 20, 10, 1]))
    files = to_c(parts.skeleton, parts.matrices, COptions("net"), "net")
    assert files.stack_bytes == 4 * (40 + 30)


@pytest.mark.parametrize(("precision", "saved"), [("int8", 3), ("float16", 2), ("bfloat16", 2)])
def test_weights_take_as_few_bytes_in_flash_as_in_files(precision: str, saved: int) -> None:
    wide, narrow = (
        to_c(m.skeleton, m.matrices, COptions("net"), "net").flash_bytes
        for m in (MODELS["rank 5, float32"], MODELS[f"rank 5, {precision}"])
    )
    weights = sum(factor.size for factor in MATRICES["rank 5"].arrays.values())
    scales = 37 + 5 if precision == "int8" else 0
    assert wide - narrow == saved * weights - 4 * scales


def test_what_nothing_reads_is_not_written() -> None:
    layer = to_c(MODELS["a layer unread"].skeleton, MODELS["a layer unread"].matrices, NET, "net")
    assert "tanhf" not in layer.source
    assert (
        layer.source.count("static const") == 2
    )  # the weights and biases of the layer that is read
    constant = MODELS["inputs unread"]
    found = to_c(constant.skeleton, constant.matrices, NET, "net")
    assert found.source.count("(void)x;") == 2
    assert (found.flash_bytes, found.stack_bytes) == (0, 0)
    assert "(void)x;" not in layer.source


def test_equal_models_give_equal_text() -> None:
    for label in ("mixed tail", "leaves, int8"):
        first, second = (
            to_c(m[label].skeleton, m[label].matrices, COptions("net"), "net")
            for m in (MODELS, MODELS)
        )
        assert first == second


# --- Text ----------------------------------------------------------------------------------------------

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(FLOATS)
def test_floats_are_written_exactly(value: float) -> None:
    text = number(value, double=False)
    assert np.float32(text.strip("()").removesuffix("f")) == np.float32(value)
    assert re.fullmatch(r"\(-.*\)|[^-].*", text)
    assert re.search(r"[.e]", text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_are_written_exactly(value: float) -> None:
    text = number(value, double=True)
    assert float(text.strip("()")) == value
    assert re.search(r"[.e]", text)


@given(st.text(alphabet="*/\\?\n\r\0a é\u2028", max_size=30))
@example("a*/b")
@example("*" + "/" * 3)
@example("/*/")
@example("??/\n#error")
def test_comments_hold_any_text(text: str) -> None:
    found = comment(text)
    assert found.isascii()
    assert found.isprintable()
    assert not re.search(r"\*/|/\*|\\|\?", f" {found} ")


@needs_gcc
def test_names_from_hostile_files_stay_in_their_comments(tmp_path: Path) -> None:
    odd = '*/\n#error "é"\n/* \\ ??/'
    model = random_mlp([2, 3, 1])
    model.graph.input[0].name = model.graph.node[0].input[0] = f"x{odd}"
    model.graph.output[0].name = model.graph.node[-1].output[0] = f"u{odd}"
    parts = split(model)
    files = to_c(parts.skeleton, parts.matrices, COptions("net"), "net", [odd])
    (tmp_path / "net.c").write_text(files.source, encoding="ascii")
    (tmp_path / "net.h").write_text(files.header, encoding="ascii")
    gcc(tmp_path, *WARNINGS, "-O2", "-c", "net.c")


@pytest.mark.parametrize("name", ["burgers", "B2_x", "x"])
def test_c_identifiers_are_accepted(name: str) -> None:
    check_identifier(name)


@pytest.mark.parametrize(
    "name", ["", "2d", "a-b", "a b", "_a", "ä", "a.b", "int", *sorted(KEYWORDS)[:3]]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="no C identifier"):
        check_identifier(name)


# --- What is refused -----------------------------------------------------------------------------------


def test_an_op_that_c_cannot_do_is_named_with_those_that_it_can() -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["z"], transB=1),
        helper.make_node("Softmax", ["z"], ["u"], name="soft"),
    ]
    model = parted(make_model(nodes, {"w": np.ones((3, 2))}, inputs=2, outputs=3))
    with pytest.raises(ModelError, match=r"Softmax 'soft' can't be written in C.*Gather.*Tanh"):
        to_c(model.skeleton, model.matrices, COptions("net"), "net")


@pytest.mark.parametrize("over", ["rows", "everything"])
def test_rows_that_read_each_other_are_refused(over: str) -> None:
    model = parted(mixing(over))
    with pytest.raises(ModelError, match="'mean' has no axis of its own for the batch"):
        to_c(model.skeleton, model.matrices, COptions("net"), "net")


def test_numbers_that_are_not_finite_are_refused() -> None:
    weight = np.ones((37, 50))
    weight[3, 4] = np.nan
    model = with_matrix(SiteMatrix((weight,), np.zeros(37)))
    with pytest.raises(ModelError, match="NaN or Inf"):
        to_c(model.skeleton, model.matrices, COptions("net"), "net")


def test_numbers_that_float_cannot_hold_are_refused() -> None:
    with pytest.raises(ModelError, match="beyond float32"):
        Builder(1).known(np.array([1e39]))


def no_numbers(net: Net) -> None:
    net.weights["zero"] = np.array([0])
    net.op("Slice", ["x", "zero", "zero", "one"], "u")


def whole_numbers(net: Net) -> None:
    net.op("Cast", ["x"], "whole", to=TensorProto.INT64, saturate=1)
    net.op("Cast", ["whole"], "u", to=TensorProto.FLOAT)


def halves(net: Net) -> None:
    net.op("Cast", ["x"], "half", to=TensorProto.FLOAT16)
    net.op("Cast", ["half"], "u", to=TensorProto.FLOAT)


def doubles(net: Net) -> None:
    net.weights["big"] = np.array(1e8)
    net.op("Cast", ["x"], "d", to=TensorProto.DOUBLE)
    net.op("Cast", ["big"], "far", to=TensorProto.DOUBLE)
    net.op("Add", ["d", "far"], "there")
    net.op("Sub", ["there", "far"], "back")
    net.op("Cast", ["back"], "u", to=TensorProto.FLOAT)


def times_rows(net: Net) -> None:
    net.op("Shape", ["x"], "shape")
    net.op("Cast", ["shape"], "sizes", to=TensorProto.FLOAT)
    net.op("Expand", ["sizes", "shape"], "every")
    net.op("Mul", ["x", "every"], "u")


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (no_numbers, "'u' has no numbers"),
        (whole_numbers, "makes int64 of numbers"),
        (halves, "makes float16 of numbers"),
        (doubles, "makes float64 of numbers, .* give --precision double"),
        (times_rows, "depends on how many rows there are"),
    ],
)
def test_graphs_that_are_no_function_of_one_row_are_refused(
    build: Callable[[Net], None], reason: str
) -> None:
    net = Net()
    net.weights |= {"one": np.array([1]), "two": np.array([2]), "three": np.array([3])}
    build(net)
    model = parted(net.model(opset=19, outputs={"u": None}))
    with pytest.raises(ModelError, match=reason):
        to_c(model.skeleton, model.matrices, COptions("net"), "net")


def test_constants_beyond_the_flash_are_refused_with_the_excess() -> None:
    model = MODELS["tanh"]
    needed = to_c(model.skeleton, model.matrices, COptions("net"), "net").flash_bytes
    to_c(model.skeleton, model.matrices, COptions("net", flash=needed), "net")
    with pytest.raises(InputError, match=f"take {needed} bytes, 1 more than {needed - 1}"):
        to_c(model.skeleton, model.matrices, COptions("net", flash=needed - 1), "net")


@needs_gcc
def test_weights_of_two_types_and_casts_to_double(tmp_path: Path) -> None:
    """A constant that float can't hold is double, beside those of linear layers."""
    net = Net()
    net.weights |= {"w": np.eye(2), "tenths": np.array([[1.0], [3.0]]), "ten": np.array([[10.0]])}
    net.op("Gemm", ["x", "w"], "h")
    net.op("Cast", ["tenths"], "t", to=TensorProto.DOUBLE)
    net.op("Cast", ["ten"], "d", to=TensorProto.DOUBLE)
    net.op("Div", ["t", "d"], "v")
    net.op("Cast", ["h"], "wide", to=TensorProto.DOUBLE)
    net.op("MatMul", ["wide", "v"], "y")
    net.op("Cast", ["y"], "u", to=TensorProto.FLOAT)
    model = parted(net.model(opset=19, outputs={"u": None}))
    files = to_c(model.skeleton, model.matrices, COptions("net", double=True), "net")
    (tmp_path / "net.c").write_text(files.source)
    (tmp_path / "net.h").write_text(files.header)
    gcc(tmp_path, *WARNINGS, "-c", "net.c")
