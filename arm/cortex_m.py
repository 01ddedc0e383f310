"""Exported C on microcontrollers: compiled for Cortex-M4F and M7, run by QEMU, compared with float32.

Prints what a model takes of flash and RAM beyond the same program without it, how deep one evaluation
reaches into the stack, and how many instructions it runs. Instructions, not cycles: QEMU knows nothing
of waiting for memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from debian import require
from numpy.typing import NDArray

from hedge import load
from hedge.graph import load_model, run_float32

HERE = Path(__file__).parent
MODELS = HERE.parent / "models"
TOLERANCE = 1e-5
NS_PER_INSTRUCTION, NS_PER_TICK = 1, 40  # -icount shift=0, and a processor clock of 25 MHz
NEEDED = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-nm": "binutils-arm-none-eabi",
    "/usr/lib/arm-none-eabi/newlib/nano.specs": "libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
ROW = "{:18} {:>10} {:>9} {:>8} {:>4} {:>6} {:>12} {:>10}"
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Core:
    """A processor with FPU, and the board that QEMU has it on."""

    name: str
    fpu: str
    machine: str

    @property
    def flags(self) -> list[str]:
        """What the compiler must know."""
        return [f"-mcpu={self.name}", "-mthumb", f"-mfpu={self.fpu}", "-mfloat-abi=hard"]


CORES = (
    Core("cortex-m4", "fpv4-sp-d16", "mps2-an386"),
    Core("cortex-m7", "fpv5-d16", "mps2-an500"),
)


@dataclass(frozen=True)
class Case:
    """A model as C, the points (N, d) it is run at, and its float32 outputs there (N, m)."""

    name: str
    parameters: int
    points: Floats
    expected: Floats


@dataclass(frozen=True)
class Measured:
    """Bytes of flash, static RAM and stack, instructions per evaluation, and the outputs (N, m)."""

    flash: int
    ram: int
    stack: int
    instructions: float
    outputs: Floats


def main() -> None:
    """Make the models, run each on both cores, and print what was found."""
    require(NEEDED)
    with tempfile.TemporaryDirectory(prefix="hedge-cortex-m-") as folder:
        work = Path(folder)
        print(ROW.format("model", "parameters", "core", "flash", "RAM", "stack", "instructions",
                         "to float32"))  # fmt: skip
        for case in cases(work):
            for core in CORES:
                found = measured(case, core, work)
                difference = np.linalg.norm(found.outputs - case.expected)
                error = float(difference / np.linalg.norm(case.expected))
                print(ROW.format(case.name, case.parameters, core.name, f"{found.flash} B",
                                 f"{found.ram} B", f"{found.stack} B",
                                 f"{found.instructions:.0f}", f"{error:.1e}"), flush=True)  # fmt: skip
                if not error < TOLERANCE:
                    sys.exit(f"{case.name}: outputs on {core.name} differ from those in float32")
    print(f"cortex-m: all outputs equal to {TOLERANCE:g}")


def cases(work: Path) -> Sequence[Case]:
    """A small trained net, a recovered one, one with a live parameter, and one with blocks."""
    trained, recovered, blocks = (
        work / name for name in ("burgers.onnx", "recovered.safetensors", "blocks.safetensors")
    )
    compress = ("compress", "--device", "laptop-x86", "--tolerance", "1e-3")
    hedge("train", "burgers", "--width", "20", "--depth", "3", "--steps", "50", "--out", trained)
    hedge(*compress, MODELS / "burgers-128x4.onnx", "--recover", "auto",
          "--out", recovered)  # fmt: skip
    hedge(*compress, MODELS / "poisson-operator-1024.onnx", "--out", blocks)
    strip, viscosity = [(-1.0, 1.0), (0.0, 1.0)], (3e-3, 3e-2)
    return [
        exported(work, "burgers_20x3", trained, strip, 64),
        exported(work, "burgers_recovered", recovered, strip, 64),
        exported(work, "burgers_nu_24x3", MODELS / "burgers-nu-24x3.onnx", [*strip, viscosity], 64),
        exported(work, "poisson_blocks", blocks, [(-1.0, 1.0)] * 1024, 4),
    ]


def hedge(*words: str | Path) -> str:
    """What a hedge command prints."""
    return run([sys.executable, "-m", "hedge", *map(str, words)])


def exported(
    work: Path, name: str, model: Path, box: Sequence[tuple[float, float]], count: int
) -> Case:
    """NAME.c and NAME.h, and what onnxruntime computes at random points of the box."""
    target = work / f"{name}.c"
    said = json.loads(hedge("export", model, "--format", "c", "--out", target, "--json"))
    low, high = np.transpose(box)
    points = np.random.default_rng(0).uniform(low, high, (count, len(box))).astype(np.float32)
    graph = load(model).to_onnx() if model.suffix == ".safetensors" else load_model(model)
    return Case(name, said["parameters"], points, run_float32(graph, points).astype(np.float32))


def measured(case: Case, core: Core, work: Path) -> Measured:
    """Compile and run the model, and compile the same program without it."""
    (work / "points.h").write_text(points_header(case))
    model = work / f"{case.name}.o"
    compiler = ["arm-none-eabi-gcc", *core.flags, *WARNINGS, "-O2", "-ffunction-sections",
                "-fdata-sections", f"-I{HERE}", f"-I{work}"]  # fmt: skip
    run([*compiler, "-c", str(work / f"{case.name}.c"), "-o", str(model)])
    program = [*compiler, str(HERE / "board.c"), str(HERE / "harness.c"), "-nostartfiles",
               "--specs=nano.specs", "-T", str(HERE / "board.ld"), "-Wl,--gc-sections"]  # fmt: skip
    whole, without = work / "whole.elf", work / "without.elf"
    named = [f"-DMODEL_EVAL={case.name}_eval", f'-DMODEL_HEADER="{case.name}.h"']
    run([*program, *named, str(model), "-lm", "-o", str(whole)])
    # What the model needs of libm and libc is in the other program, too.
    library = [f"-Wl,-u,{name}" for name in sorted(symbols(model, "U") & symbols(whole, "TtWwVv"))]
    run([*program, *library, "-lm", "-o", str(without)])
    flash, ram = (a - b for a, b in zip(sizes(whole), sizes(without), strict=True))

    printed = run(["qemu-system-arm", "-machine", core.machine, "-display", "none",
                   "-chardev", "stdio,id=out", "-semihosting-config", "enable=on,chardev=out",
                   "-icount", "shift=0", "-kernel", str(whole)])  # fmt: skip
    stack, ticks, *bits = (int(word, 16) for word in printed.split())
    return Measured(
        flash=flash,
        ram=ram,
        stack=stack,
        instructions=ticks * NS_PER_TICK / NS_PER_INSTRUCTION / len(case.points),
        outputs=np.array(bits, np.uint32).view(np.float32).reshape(case.expected.shape),
    )


def points_header(case: Case) -> str:
    """The points as C, exact to the last bit."""
    rows = ",\n".join(
        "{" + ", ".join(f"{float(value).hex()}f" for value in row) + "}" for row in case.points
    )
    return (
        f"#define POINTS {len(case.points)}\n#define OUTPUTS {case.expected.shape[1]}\n"
        f"static const float points[POINTS][{case.points.shape[1]}] = {{\n{rows}}};\n"
    )


def run(command: Sequence[str]) -> str:
    """What a command prints; ends with its first words of error if it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()[:500]
        sys.exit(f"{command[0]} failed: {words or 'it does not say why'}")
    return done.stdout


def symbols(file: Path, kinds: str) -> set[str]:
    """Names in an object or a program whose kind nm gives as one of these letters."""
    words = (line.split() for line in run(["arm-none-eabi-nm", str(file)]).splitlines())
    return {name for *_, kind, name in words if kind in kinds}


def sizes(program: Path) -> tuple[int, int]:
    """Bytes of flash and of static RAM."""
    text, data, bss = map(
        int, run(["arm-none-eabi-size", str(program)]).splitlines()[1].split()[:3]
    )
    return text + data, data + bss


if __name__ == "__main__":
    main()
