"""Exported Arduino libraries on microcontrollers: compiled as the IDE does, their example run by QEMU.

Prints for every library and core what its header says of flash and stack, and what was found, and compares
what the sketch prints with float32.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from counting import CORES, HERE, Core, Floats, counted, linking, printed, run
from debian import require
from microcontrollers import MODELS, distance, hedge

from hedge import load
from hedge.graph import load_model, run_float32

ARDUINO = HERE / "arduino"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# Those that the cores of boards share; some take newer C++.
COMMON = ["-Os", "-ffunction-sections", "-fdata-sections", *WARNINGS]
C_FLAGS = ["-std=gnu11", *COMMON]
CPP_FLAGS = ["-std=gnu++11", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", *COMMON]
CPP_LIBRARY = "/usr/lib/arm-none-eabi/newlib/libstdc++_nano.a"
# What registers and calls add to local arrays, of networks with tanh: software floats take more.
CALL_BYTES = {"cortex-m0plus": 160, "cortex-m4": 96}
MAY_DIFFER = 0.1  # of what the header says, relatively
# Of a sketch's seven decimals, and of sums in another order.
TOLERANCE = 1e-5
ROW = "{:14} {:>14} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}"


@dataclass(frozen=True)
class Library:
    """An exported folder, the points (N, d) at which its sketch is asked, and outputs (N, m) in float32."""

    folder: Path
    points: Floats
    expected: Floats

    @property
    def name(self) -> str:
        """What its files and functions are called."""
        return self.folder.name

    @property
    def source(self) -> Path:
        """Its C."""
        return self.folder / "src" / f"{self.name}.c"

    def said(self, what: str) -> int:
        """A number of its header."""
        text = self.source.with_suffix(".h").read_text()
        return int(re.findall(rf"{self.name.upper()}_{what} (\d+)", text)[0])


def main() -> None:
    """Export, compile and run, and print what was found."""
    cores = [CORES[name] for name in CALL_BYTES]
    packages = {
        "arm-none-eabi-g++": "gcc-arm-none-eabi",
        CPP_LIBRARY: "libstdc++-arm-none-eabi-newlib",
    }
    require(cores[0].tools.packages | packages)
    strip = [(-1.0, 1.0), (0.0, 1.0)]
    with tempfile.TemporaryDirectory(prefix="hedge-boards-") as folder:
        work = Path(folder)
        libraries = [
            exported(work / "BurgersNet", MODELS / "burgers-128x4.hedge.safetensors", strip),
            exported(
                work / "BurgersNuNet", MODELS / "burgers-nu-24x3.onnx", [*strip, (3e-3, 3e-2)]
            ),
            exported(work / "HeatNet", MODELS / "heat-64x3.onnx", [(0.0, 1.0)] * 2),
        ]
        print(ROW.format("library", "core", "constants", "in header", "stack", "in header",
                         "sketch", "to float32"))  # fmt: skip
        for library in libraries:
            for core in cores:
                check(library, core, work)
    print("\nboards: sketches print what float32 gives; flash and stack are as their headers say")


def exported(folder: Path, model: Path, box: Sequence[tuple[float, float]]) -> Library:
    """The library of a model, and what onnxruntime computes at random points of the box."""
    hedge("export", model, "--format", "arduino", "--out", folder)
    low, high = np.transpose(box)
    points = np.random.default_rng(0).uniform(low, high, (16, len(box))).astype(np.float32)
    graph = load(model).to_onnx() if model.suffix == ".safetensors" else load_model(model)
    return Library(folder, points, run_float32(graph, points).astype(np.float32))


def check(library: Library, core: Core, work: Path) -> None:
    """Print what the library takes on the core; ends where that is not what its header says."""
    found = counted([library.source], library.name, core, library.points, C_FLAGS)
    sketch = compiled(library, core, work)
    error = distance(outputs(printed(sketch, core), library.expected.shape[1]), library.expected)
    constants = bytes_of_constants(work / "network.o", core)
    said = library.said("FLASH_BYTES"), library.said("STACK_BYTES") + CALL_BYTES[core.name]
    flash = int(run([core.tools.prefix + "size", str(sketch)]).splitlines()[1].split()[0])
    print(ROW.format(library.name, core.name, f"{constants} B", f"{said[0]} B", f"{found.stack} B",
                     f"{said[1]} B", f"{flash} B", f"{error:.1e}"), flush=True)  # fmt: skip
    for what, seen, told in zip(
        ("constants", "stack"), (constants, found.stack), said, strict=True
    ):
        if abs(seen - told) > MAY_DIFFER * told:
            sys.exit(f"{library.name}: {what} on {core.name} take {seen} bytes, not {told}")
    if not error < TOLERANCE:
        sys.exit(
            f"{library.name}: its sketch on {core.name} prints other numbers than float32 gives"
        )


def compiled(library: Library, core: Core, work: Path) -> Path:
    """The program of the example sketch, the library's source in network.o."""
    rows = "\\n".join(" ".join(f"{value:.9g}" for value in row) for row in library.points)
    (work / "serial_input.h").write_text(f'#define SERIAL_INPUT "{rows}\\n"\n')
    example = library.folder / "examples" / library.name / f"{library.name}.ino"
    places = [f"-I{path}" for path in (work, HERE, ARDUINO, library.source.parent)]
    c, cpp = (
        [core.tools.prefix + tool, f"--specs={core.tools.specs}", "--specs=nosys.specs",
         *core.flags, *flags, *places]
        for tool, flags in (("gcc", C_FLAGS), ("g++", CPP_FLAGS))
    )  # fmt: skip
    objects = {
        "network.o": [*c, "-c", str(library.source)],
        "start_up.o": [*c, "-c", str(HERE / core.start_up)],
        "core.o": [*cpp, "-c", str(ARDUINO / "core.cpp")],
        # As the IDE does, which also declares the sketch's functions.
        "sketch.o": [*cpp, "-include", "Arduino.h", "-c", "-x", "c++", str(example)],
    }
    for name, command in objects.items():
        run([*command, "-o", str(work / name)])
    program = work / "sketch.elf"
    heap = f"-Wl,--defsym=end={core.ram_at + 0x200000:#x}"  # strtod may allocate
    run([*cpp, *linking(core), heap, *(str(work / name) for name in objects), "-lm",
         "-o", str(program)])  # fmt: skip
    return program


def outputs(text: str, count: int) -> Floats:
    """What a sketch printed, (N, count)."""
    lines = [line for line in text.splitlines() if " us" in line]
    return np.array([line.split(": ")[1].split()[:count] for line in lines], np.float32)


def bytes_of_constants(file: Path, core: Core) -> int:
    """Those in an object, by their symbols."""
    listed = run([core.tools.prefix + "nm", "--print-size", str(file)]).splitlines()
    words = [line.split() for line in listed]
    return sum(
        int(size, 16) for _, size, kind, _ in (w for w in words if len(w) == 4) if kind == "r"
    )


if __name__ == "__main__":
    main()
