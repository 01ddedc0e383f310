"""The FMU itself: a zip of the description, the sources, a binary and what is known of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from hedge.exporting.c_network import CNetwork
from hedge.exporting.fmu.binary import Binary
from hedge.exporting.fmu.description import build_description, model_description
from hedge.exporting.fmu.sources import Version, sources

EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can hold
# Where FMI 2.0 has the binary of a platform that 3.0 calls so. For ARM revision 2.0.4 says what 3.0 says, and
# FMPy and OpenModelica look where that of x86 lies: it lies in both places.
FOLDERS = {
    "x86_64-linux": ("linux64",),
    "x86_64-darwin": ("darwin64",),
    "aarch64-linux": ("aarch64-linux", "linux64"),
    "aarch64-darwin": ("aarch64-darwin", "darwin64"),
}

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
{lines}
</body>
</html>
"""


def fmu(network: CNetwork, version: Version, binary: Binary | None) -> bytes:
    """An FMU for co-simulation and model exchange, a zip; equal networks give equal bytes.

    binary is made of :func:`~hedge.exporting.fmu.sources.sources`; without one the FMU holds these alone.

    Raises InputError for names that FMI forbids and units that it can't write.
    """
    files = {
        "modelDescription.xml": model_description(network, version),
        "documentation/index.html": _page(network.name, network.sheet.lines()),
        **{f"resources/{name}": data for name, data in network.papers.items()},
        **{f"sources/{name}": text.encode() for name, text in sources(network, version).items()},
    }
    if version == "3.0":
        files["sources/buildDescription.xml"] = build_description(network.name)
    if binary is not None:
        files |= dict.fromkeys(_binary_paths(network.name, version, binary.platform), binary.data)
    return _zipped(files)


def _binary_paths(name: str, version: Version, platform: str) -> list[str]:
    folders = FOLDERS.get(platform, (platform,)) if version == "2.0" else (platform,)
    suffix = ".dylib" if platform.endswith("-darwin") else ".so"
    return [f"binaries/{folder}/{name}{suffix}" for folder in folders]


def _page(title: str, lines: Sequence[str]) -> bytes:
    paragraphs = "\n".join(f"<p>{escape(line)}</p>" for line in lines if line)
    return PAGE.format(title=escape(title), lines=paragraphs).encode()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    stream = BytesIO()
    with ZipFile(stream, "w", ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = ZipInfo(name, EPOCH)
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = (0o100755 if name.startswith("binaries/") else 0o100644) << 16
            entry.create_system = 3  # Unix, wherever it is written
            archive.writestr(entry, files[name])
    return stream.getvalue()
