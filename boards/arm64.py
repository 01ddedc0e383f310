"""Does hedge work on 64-bit ARM? Debian's arm64 under qemu says so, on any x86 Debian; needs root.

Builds hedge's base wheel, installs it with its dependencies into a fresh arm64 root, and there exports
compressed models, evaluates and benches them. Their outputs must be those of this machine to 1e-5,
their files the same to the byte. It proves function, never timing. The root and all mounts are gone
afterwards.
"""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from debian import require, require_root

REPOSITORY = Path(__file__).parent.parent
TOLERANCE = 1e-5
SUITE, PYTHON_VERSION = "bookworm", "3.11"  # what Raspberry Pi OS was made of in 2023 to 2025
# The wheels that this Debian's C library (2.36) can load.
WHEEL_PLATFORMS = [
    f"manylinux{tag}_aarch64" for tag in ("2014", "_2_17", "_2_26", "_2_27", "_2_28")
]
NEEDED = {
    "debootstrap": "debootstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "update-binfmts": "binfmt-support",
}
BINFMT = Path("/proc/sys/fs/binfmt_misc")
# Outputs for inputs that both machines draw alike.
OUTPUTS = """
import sys, pathlib, numpy
from hedge.graph import input_dimension, load_model, run_float32
model = load_model(pathlib.Path(sys.argv[1]))
x = numpy.random.default_rng(0).uniform(0, 1, (256, input_dimension(model)))
numpy.save(sys.argv[2], run_float32(model, x.astype(numpy.float32)))
"""


@dataclass(frozen=True)
class Case:
    """A shipped model, how it is compressed, and the problem that it solves."""

    model: str
    problem: str
    options: tuple[str, ...]


CASES = (
    Case("burgers-128x4", "burgers", ("--tolerance", "1e-2", "--batch", "64")),
    Case("heat-64x3", "heat", ("--tolerance", "1e-2", "--objective", "size")),
    Case("poisson-operator-1024", "poisson-operator", ("--tolerance", "1e-3")),
)


def main() -> None:
    """Build the root, run all cases in it, and print what was found."""
    if platform.machine() == "aarch64":
        sys.exit("this machine is arm64 itself: make test proves more")
    require_root("for apt-get, mount and chroot")
    require(NEEDED)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    with arm64_programs_run(), temporary_root() as root:
        step("unpacking Debian arm64 (minutes)")
        checked(["debootstrap", "--arch=arm64", "--variant=minbase",
                 "--include=python3,python3-venv", SUITE, str(root)])  # fmt: skip
        checked(["mount", "-t", "proc", "proc", str(root / "proc")])
        install_hedge(root)
        print(
            f"{inside(root, 'hedge', '--version').strip()} on {inside(root, 'uname', '-m')}", end=""
        )
        for case in CASES:
            check(case, root)
    print(f"arm64: {len(CASES)} models have the same files, and outputs equal to {TOLERANCE:g}")


def step(text: str) -> None:
    """Say what is being done."""
    print(f"- {text}", flush=True)


def checked(command: Sequence[str], shown: Sequence[str] = ()) -> str:
    """What a command prints; ends with its last words if it fails, and its name or what is shown."""
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        name = " ".join((shown or command)[:4])
        sys.exit(f"{name} failed: {(words or ['it does not say why'])[-1]}")
    return done.stdout


def inside(root: Path, *command: str) -> str:
    """What a command prints in the root, with an environment of its own."""
    environment = ["PATH=/hedge/bin:/usr/bin:/bin", "HOME=/root", "LANG=C.UTF-8"]
    whole = ["chroot", str(root), "/usr/bin/env", "-i", *environment, *command]
    return checked(whole, shown=["on arm64:", *command])


@contextmanager
def arm64_programs_run() -> Iterator[None]:
    """The kernel hands arm64 programs to qemu while this lasts; then things are as before."""
    entry = BINFMT / "qemu-aarch64"
    mounts_it = not (BINFMT / "register").exists()
    if mounts_it:
        checked(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)])
    enables_it = not entry.exists()
    try:
        if enables_it:
            checked(["update-binfmts", "--enable", "qemu-aarch64"])
        if not entry.exists():
            sys.exit("this kernel can't hand arm64 programs to qemu (binfmt_misc)")
        yield
    finally:
        if enables_it:
            subprocess.run(["update-binfmts", "--disable", "qemu-aarch64"], check=False)
        if mounts_it:
            subprocess.run(["umount", str(BINFMT)], check=False)


@contextmanager
def temporary_root() -> Iterator[Path]:
    """An empty folder; whatever was mounted below it is unmounted before it is deleted."""
    with tempfile.TemporaryDirectory(prefix="hedge-arm64-") as folder:
        try:
            yield Path(folder)
        finally:
            mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
            for place in sorted((m for m in mounted if m.startswith(f"{folder}/")), reverse=True):
                subprocess.run(["umount", place], check=True)


def install_hedge(root: Path) -> None:
    """The base wheel and what it needs, without the network: as on a board that has none."""
    step("building the wheel, fetching those of its dependencies")
    wheels = root / "wheels"
    pip = [sys.executable, "-m", "pip"]
    checked([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), "."])
    (wheel,) = wheels.glob("hedge_pinn-*.whl")
    platforms = [word for platform in WHEEL_PLATFORMS for word in ("--platform", platform)]
    abis = [word for abi in ("cp311", "abi3", "none") for word in ("--abi", abi)]
    checked([*pip, "download", "--only-binary=:all:", *platforms, *abis,
             "--python-version", PYTHON_VERSION, "--implementation", "cp",
             "--constraint", "constraints.txt", "--dest", str(wheels), str(wheel)])  # fmt: skip
    step("installing them in the root")
    inside(root, "python3", "-m", "venv", "/hedge")
    inside(root, "pip", "install", "--no-index", "--find-links", "/wheels", "hedge-pinn")


def check(case: Case, root: Path) -> None:
    """Compress here, export on both, and compare bytes, outputs and errors."""
    step(f"{case.model}: compress, export, evaluate, bench")
    here, there = root / "here" / case.model, Path("/there") / case.model
    back = root / there.relative_to("/")
    for folder in (here, back):
        folder.mkdir(parents=True)
    python, hedge = sys.executable, [sys.executable, "-m", "hedge"]
    dense = f"models/{case.model}.onnx"
    compressed, exported = here / "m.hedge.safetensors", here / "m.onnx"
    checked([*hedge, "compress", dense, "--device", "raspberry-pi-4b", *case.options,
             "--out", str(compressed)])  # fmt: skip
    checked([*hedge, "export", str(compressed), "--out", str(exported)])
    checked([python, "-c", OUTPUTS, str(exported), str(here / "outputs.npy")])

    for name in (compressed, REPOSITORY / dense):
        (back / name.name).write_bytes(name.read_bytes())
    model = str(there / "m.onnx")
    inside(root, "hedge", "export", str(there / compressed.name), "--out", model)
    inside(root, "python", "-c", OUTPUTS, model, str(there / "outputs.npy"))
    inside(root, "hedge", "bench", str(there / f"{case.model}.onnx"), model,
           "--device", "raspberry-pi-4b", "--batch", "1,64", "--seconds", "0.1")  # fmt: skip
    evaluate = ["evaluate", "--problem", case.problem, "--json"]
    errors = [
        relative_l2(text)
        for text in (
            checked([*hedge, *evaluate, str(exported)]),
            inside(root, "hedge", *evaluate, model),
        )
    ]

    same = (back / "m.onnx").read_bytes() == exported.read_bytes()
    x86, arm = (np.load(folder / "outputs.npy") for folder in (here, back))
    difference = float(np.linalg.norm(arm - x86) / np.linalg.norm(x86))
    print(
        f"  {case.model}: outputs differ by {difference:.1e}, "
        f"relative L2 error {errors[0]:.6e} on x86, {errors[1]:.6e} on arm64, "
        f"exported files {'equal' if same else 'differ'}"
    )
    if not (same and difference < TOLERANCE and abs(errors[0] - errors[1]) < TOLERANCE):
        sys.exit(f"{case.model}: arm64 differs from x86")


def relative_l2(document: str) -> float:
    """The error in what ``hedge evaluate --json`` prints."""
    found: dict[str, Any] = json.loads(document)
    return float(found["relative_l2"])


if __name__ == "__main__":
    main()
