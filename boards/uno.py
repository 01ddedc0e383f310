"""Exported Arduino libraries on AVR: built by Arduino's own builder, run by simavr.

The builder is the one that the IDE had up to version 1.8, with the core of the boards; both are Debian's, as
the compiler is. Prints what the builder says of flash and RAM, how long a call takes, and compares what is
printed with float32. Constants must not be copied into the RAM.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from counting import Floats
from debian import require
from microcontrollers import MODELS, distance, hedge
from sketches import TOLERANCE, Library, exported

HARDWARE = "/usr/share/arduino/hardware"
PACKAGES = {
    "arduino-builder": "arduino-builder",
    f"{HARDWARE}/arduino/avr/boards.txt": "arduino-core-avr",
    "avr-gcc": "gcc-avr",
    "simavr": "simavr",
}
STRIP = [(-1.0, 1.0), (0.0, 1.0)]
ROW = "{:12} {:8} {:>10} {:>12} {:>12} {:>10} {:>12}"
# Prints what the library gives at these points, and how many microseconds the last call took.
SKETCH = """#include <avr/sleep.h>
#include <{name}.h>

static const float points[][{guard}_INPUTS] = {{
{points}
}};

void setup()
{{
  unsigned long took = 0;
  Serial.begin(115200);
  for (const float *x : points) {{
    float u[{guard}_OUTPUTS];
    const unsigned long start = micros();
    {name}_eval(x, u);
    took = micros() - start;
    Serial.println(u[0], 7);
  }}
  Serial.println(took);
  Serial.flush();
  noInterrupts();
  sleep_mode();  // by which simavr ends
}}

void loop() {{}}
"""


@dataclass(frozen=True)
class Board:
    """A board as the builder calls it, and its processor."""

    name: str
    called: str
    processor: str


UNO = Board("Uno", "arduino:avr:uno", "atmega328p")
# What Arduino's core and the example take of the RAM: buffers of the serial port, inputs, texts.
LARGEST_RAM = 300
MEGA = Board("Mega", "arduino:avr:mega:cpu=atmega2560", "atmega2560")


def main() -> None:
    """Export, build and run, and print what was found."""
    require(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="hedge-boards-") as folder:
        work = Path(folder)
        small = work / "small.hedge.safetensors"
        hedge("compress", MODELS / "burgers-128x4.onnx", "--device", "rp2040", "--flash", "1024",
              "--tolerance", "1e-2", "--steps", "3000", "--out", small)  # fmt: skip
        large = MODELS / "burgers-128x4.hedge.safetensors"
        print(ROW.format("library", "board", "constants", "flash", "RAM", "a call", "to float32"))
        check(exported(work / "SmallNet", small, STRIP), UNO, work)
        check(exported(work / "BurgersNet", large, STRIP), MEGA, work)
    print("\nboards: what runs on AVR prints what float32 gives")


def check(library: Library, board: Board, work: Path) -> None:
    """Print what the library takes on the board; ends where it is not built, or prints other numbers."""
    example = library.folder / "examples" / library.name / f"{library.name}.ino"
    _, said = built(library, board, example, work)
    program, _ = built(library, board, sketch(library, work), work)
    *values, microseconds = told(program, board, len(library.points) + 1)
    error = distance(np.array(values, np.float32)[:, None], library.expected)
    flash, ram = re.findall(r"(?:Sketch uses|Global variables use) (\d+) bytes", said)
    print(ROW.format(library.name, board.name, f"{library.said('FLASH_BYTES')} B", f"{flash} B",
                     f"{ram} B", f"{microseconds / 1e3:.1f} ms", f"{error:.1e}"), flush=True)  # fmt: skip
    if int(ram) > LARGEST_RAM:
        sys.exit(f"{library.name}: {ram} bytes of RAM on {board.name} are more than {LARGEST_RAM}")
    if not error < TOLERANCE:
        sys.exit(f"{library.name}: it prints other numbers on {board.name} than float32 gives")


def sketch(library: Library, work: Path) -> Path:
    """One that evaluates the library at its points."""
    path = work / "Points" / "Points.ino"
    path.parent.mkdir(exist_ok=True)
    words = {"name": library.name, "guard": library.name.upper()}
    path.write_text(SKETCH.format(**words, points=literals(library.points)))
    return path


def literals(points: Floats) -> str:
    """The points (N, d) as rows of C."""
    return ",\n".join("{" + ", ".join(f"{value:.9g}" for value in row) + "}" for row in points)


def built(library: Library, board: Board, path: Path, work: Path) -> tuple[Path, str]:
    """The program of a sketch, and what the builder says; ends where it warns of what hedge wrote."""
    build, libraries = work / "build", work / "libraries"
    for folder in (build, libraries):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    shutil.copytree(library.folder, libraries / library.name)
    said = subprocess.run(
        ["arduino-builder", "-compile", "-hardware", HARDWARE,
         "-hardware", "/usr/share/arduino-builder", "-tools", "/usr/bin", "-tools", HARDWARE,
         "-libraries", str(libraries), "-fqbn", board.called, "-warnings", "all",
         "-build-path", str(build), "-prefs=runtime.tools.avr-gcc.path=/usr",
         "-prefs=runtime.tools.ctags.path=/usr/bin",
         # Debian's compiler is older than the core, which takes it from float.h.
         "-prefs=compiler.cpp.extra_flags=-DDECIMAL_DIG=9", str(path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300,
    )  # fmt: skip
    program = build / f"{path.name}.elf"
    lines = said.stdout.splitlines()
    if said.returncode != 0 or not program.exists():
        sys.exit(f"{library.name}: is not built for {board.name}: {(lines or ['no word why'])[-1]}")
    of_hedge = [x for x in lines if "warning:" in x and HARDWARE not in x and "/core/" not in x]
    if of_hedge:
        sys.exit(f"{library.name}: {of_hedge[0]}")
    return program, said.stdout


def told(program: Path, board: Board, count: int) -> list[float]:
    """The numbers that the program prints under simavr, of a board at 16 MHz."""
    command = ["simavr", "-m", board.processor, "-f", "16000000", str(program)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    # Each line in colours, its two ends of line as dots.
    found = [
        float(word) for word in re.findall(r"(-?\d+(?:\.\d+)?)\.\.$", done.stdout, re.MULTILINE)
    ]
    if len(found) != count:
        sys.exit(f"{program.name}: prints {len(found)} numbers under simavr, not {count}")
    return found


if __name__ == "__main__":
    main()
