"""What a model as C takes on a microcontroller: compiled for the core, run by QEMU, and counted.

``counted(files, name, core, points)`` is all that other scripts need. Instructions, not cycles: QEMU knows
nothing of waiting for memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from debian import require
from numpy.typing import NDArray

HERE = Path(__file__).parent
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2",
         "-ffunction-sections", "-fdata-sections"]  # fmt: skip

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Tools:
    """A compiler's prefix, the C library's specs, QEMU, and Debian's packages that have them."""

    prefix: str
    specs: str
    qemu: str
    packages: dict[str, str]


@dataclass(frozen=True)
class Core:
    """A processor: its tools and flags, its start-up, and QEMU's board that runs its code."""

    name: str
    tools: Tools
    flags: tuple[str, ...]
    start_up: str
    machine: tuple[str, ...]
    flash_at: int
    ram_at: int


@dataclass(frozen=True)
class Measured:
    """Bytes of flash, static RAM and stack, instructions per evaluation, and the outputs (N, m)."""

    flash: int
    ram: int
    stack: int
    instructions: float
    outputs: Floats


ARM = Tools(
    "arm-none-eabi-",
    "nano.specs",
    "qemu-system-arm",
    {
        "arm-none-eabi-gcc": "gcc-arm-none-eabi",
        "arm-none-eabi-nm": "binutils-arm-none-eabi",
        "/usr/lib/arm-none-eabi/newlib/nano.specs": "libnewlib-arm-none-eabi",
        "qemu-system-arm": "qemu-system-arm",
    },
)
RISCV = Tools(
    "riscv64-unknown-elf-",
    "picolibc.specs",
    "qemu-system-riscv32",
    {
        "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf",
        "riscv64-unknown-elf-nm": "binutils-riscv64-unknown-elf",
        "/usr/lib/picolibc/riscv64-unknown-elf/picolibc.specs": "picolibc-riscv64-unknown-elf",
        "qemu-system-riscv32": "qemu-system-misc",
    },
)


def cortex_m(name: str, machine: str, *flags: str) -> Core:
    """A Cortex-M on one of ARM's MPS2 boards."""
    return Core(
        name, ARM, (f"-mcpu={name}", "-mthumb", *flags), "cortex_m.c", (machine,), 0, 0x20000000
    )


CORES = {
    core.name: core
    for core in (
        # QEMU has no M0+ with enough memory; its code is a subset of what this M3 runs.
        cortex_m("cortex-m0plus", "mps2-an385"),
        cortex_m("cortex-m4", "mps2-an386", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        cortex_m("cortex-m7", "mps2-an500", "-mfpu=fpv5-d16", "-mfloat-abi=hard"),
        Core(
            "rv32imc",
            RISCV,
            ("-march=rv32imc", "-mabi=ilp32"),
            "riscv.c",
            ("virt", "-bios", "none"),
            0x80000000,
            0x80400000,
        ),
    )
}


def counted(
    files: Sequence[Path], name: str, core: Core, points: Floats, flags: Sequence[str] = FLAGS
) -> Measured:
    """Compile the ``files`` of the model ``name``, run it at ``points`` (N, d), and count.

    ``files`` are its sources; NAME.h, as hedge exports it, lies beside the first. Flash and RAM are
    the model's own: the program less the same program without it. Installs the tools that are
    missing (root, Debian), and ends with one line where a tool fails.
    """
    require(core.tools.packages)
    with tempfile.TemporaryDirectory(prefix="hedge-boards-") as folder:
        work = Path(folder)
        (work / "points.h").write_text(_points_header(points, name))
        whole, without = _programs(files, name, core, work, flags)
        flash, ram = (
            a - b for a, b in zip(_sizes(whole, core), _sizes(without, core), strict=True)
        )
        stack, instructions, *bits = (int(word, 16) for word in printed(whole, core).split())
    return Measured(
        flash=flash,
        ram=ram,
        stack=stack,
        instructions=instructions / len(points),
        outputs=np.array(bits, np.uint32).view(np.float32).reshape(len(points), -1),
    )


def run(command: Sequence[str]) -> str:
    """What a command prints; ends with its first error, or its last word, if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )
    except subprocess.TimeoutExpired:
        sys.exit(f"{command[0]} failed: it takes longer than five minutes")
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "it does not say why").splitlines()
        sys.exit(f"{command[0]} failed: {next((x for x in lines if 'error' in x), lines[-1])}")
    return done.stdout


def _programs(
    files: Sequence[Path], name: str, core: Core, work: Path, flags: Sequence[str]
) -> tuple[Path, Path]:
    """The program with the model, and the same one without."""
    compiler = [core.tools.prefix + "gcc", f"--specs={core.tools.specs}", *core.flags, *flags,
                f"-I{HERE}", f"-I{work}", f"-I{files[0].parent}", f'-DMODEL_HEADER="{name}.h"',
                f"-DMODEL_OUTPUTS={name.upper()}_OUTPUTS"]  # fmt: skip
    link = [*compiler, str(HERE / core.start_up), *linking(core), str(HERE / "harness.c")]
    objects = [work / f"{file.stem}.o" for file in files]
    for file, target in zip(files, objects, strict=True):
        run([*compiler, "-c", str(file), "-o", str(target)])
    whole, without = work / "whole.elf", work / "without.elf"
    run([*link, f"-DMODEL_EVAL={name}_eval", *map(str, objects), "-lm", "-o", str(whole)])
    # What the model needs of libm and libc is in the other program, too.
    needed = set().union(*(_symbols(file, core, "U") for file in objects))
    library = sorted(needed & _symbols(whole, core, "TtWwVv") - {f"{name}_eval"})
    run([*link, *(f"-Wl,-u,{symbol}" for symbol in library), "-lm", "-o", str(without)])
    return whole, without


def linking(core: Core) -> list[str]:
    """What the linker is told of the board."""
    return ["-nostartfiles", "-Wl,--gc-sections",
            f"-Wl,--defsym=flash_at={core.flash_at:#x},--defsym=ram_at={core.ram_at:#x}",
            "-T", str(HERE / "board.ld")]  # fmt: skip


def _points_header(points: Floats, name: str) -> str:
    """The points as C, exact to the last bit; it compiles only if they have the model's columns."""
    count, columns = points.shape
    rows = ",\n".join(
        "{" + ", ".join(f"{float(value).hex()}f" for value in row) + "}" for row in points
    )
    return (
        f"#define POINTS {count}\n#include MODEL_HEADER\n"
        f"typedef char columns_are_inputs[{name.upper()}_INPUTS == {columns} ? 1 : -1];\n"
        f"static const float points[POINTS][{columns}] = {{\n{rows}}};\n"
    )


def printed(program: Path, core: Core) -> str:
    """What the program prints under QEMU, one nanosecond an instruction."""
    return run([core.tools.qemu, "-machine", *core.machine, "-display", "none",
                "-chardev", "stdio,id=out", "-semihosting-config", "enable=on,chardev=out",
                "-icount", "shift=0", "-kernel", str(program)])  # fmt: skip


def _symbols(file: Path, core: Core, kinds: str) -> set[str]:
    """Names in an object or a program whose kind nm gives as one of these letters."""
    words = (line.split() for line in run([core.tools.prefix + "nm", str(file)]).splitlines())
    return {name for *_, kind, name in words if kind in kinds}


def _sizes(program: Path, core: Core) -> tuple[int, int]:
    """Bytes of flash and of static RAM."""
    listed = run([core.tools.prefix + "size", str(program)]).splitlines()[1]
    text, data, bss = map(int, listed.split()[:3])
    return text + data, data + bss
