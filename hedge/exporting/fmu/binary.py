"""The shared library of an FMU, and the platform that it is for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hedge.errors import InputError, quoted
from hedge.exporting.c_network import CNetwork
from hedge.exporting.compiling import Compiler
from hedge.exporting.fmu.sources import Version, sources

# Code for any processor of its kind, unless flags are given.
FLAGS = ("-std=c99", "-O2")
# Other FMUs in a simulator must not meet the network's functions; those that nothing calls are left out.
# Nothing here throws: no tables by which to unwind.
HIDING = ("-fvisibility=hidden", "-ffunction-sections", "-fno-asynchronous-unwind-tables")
LINKING = {
    "linux": ("-s", "-Wl,--gc-sections", "-Wl,-z,noseparate-code"),
    "darwin": ("-Wl,-x", "-Wl,-dead_strip"),
}
PROCESSORS = {"arm64": "aarch64", "amd64": "x86_64", "i686": "x86", "i386": "x86"}


@dataclass(frozen=True)
class Binary:
    """A shared library; ``platform`` is what FMI 3.0 calls that which it is for: x86_64-linux."""

    platform: str
    data: bytes


def compiled(network: CNetwork, version: Version, compiler: Compiler) -> Binary:
    """The library of a network.

    Raises InputError for a compiler for a platform that FMI has no name for here, ModelError if the C does
    not compile.
    """
    platform = platform_of(compiler.target)
    hiding = replace(compiler, flags=(*compiler.flags, *HIDING))
    link = LINKING[platform.partition("-")[2]]
    return Binary(platform, hiding.shared(sources(network, version), *link))


def platform_of(target: str) -> str:
    """FMI 3.0's name of what a compiler compiles for.

    >>> platform_of("aarch64-linux-gnu"), platform_of("arm64-apple-darwin23.1.0")
    ('aarch64-linux', 'aarch64-darwin')

    Raises InputError for any but Linux and macOS.
    """
    processor, *rest = target.split("-")
    for system in LINKING:
        if any(part.startswith(system) for part in rest):
            return f"{PROCESSORS.get(processor, processor)}-{system}"
    raise InputError(
        f"compiler: it compiles for {quoted(target)}, and binaries are made for Linux and macOS; leave it "
        "out, and compile the sources in the FMU there"
    )
