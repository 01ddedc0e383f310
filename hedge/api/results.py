"""Where compress puts what it finds: a compressed model or, by the file's name, what it is exported as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from onnx import ModelProto

from hedge.compression import CompressedModel, as_bytes
from hedge.devices import Device
from hedge.errors import InputError, RoomError
from hedge.files import OwnFile, check_writable, sha256_of
from hedge.formats import FORMATS, Exported, export_as
from hedge.graph import check_read, reads_of
from hedge.temporaries import scratch_folder


class Results:
    """The files of a run that is told every better result, the last of which they hold.

    ``small.onnx`` and ``small.c`` (with ``small.h``) are exported, any other name is that of a
    ``.hedge.safetensors``. With ``resume`` they may be replaced as well as with ``force``. ``options`` are
    those of the format; ``written`` is what the last export tells.

    Raises InputError where a run could not go on from such a file or the format has no such option,
    OutputError where they can't be written.
    """

    def __init__(
        self,
        out: Path,
        *,
        force: bool,
        resume: bool,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._out = out
        self._format = _format_of(out)
        self._options = options
        self._too_large: RoomError | None = None
        self.written: Exported | None = None
        known = () if self._format is None else FORMATS[self._format].options
        for option in options:
            if option not in known:
                raise InputError(
                    f"{option}: is not for {out.suffix} files; leave it out, or write a .c"
                )
        if resume and self._format is not None:
            raise InputError(f"resume: goes on from a .hedge.safetensors, not from {out}")
        for path in self.paths:
            check_writable(path, force=force or resume)
        offered = sha256_of(out) if resume else None
        self._files = {p.name: OwnFile(p, force=force, offered=offered) for p in self.paths}

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that are written."""
        if self._format is None:
            return (self._out,)
        return tuple(self._out.with_suffix(suffix) for suffix in FORMATS[self._format].suffixes)

    def check(self, dense: Path) -> None:
        """Raise, before the work, what :meth:`write` would of the name in C or of the ops of this model."""
        if self._format == "c":
            with scratch_folder() as folder:
                export_as("c", dense, folder / self._out.name, options={})

    def check_device(self, dense: ModelProto, device: Device) -> None:
        """Raise ModelError, before the work, where the device's onnxruntime could not read the export."""
        if self._format == "onnx":
            check_read(dense, reads_of(device))

    def check_last(self) -> None:
        """Raise RoomError if the last result was left out."""
        if self._too_large is not None:
            raise self._too_large

    def write(self, model: CompressedModel) -> None:
        """Put this result in place of the one before; one that takes too much flash or stack is left out.

        Raises OutputError if another process has written there since, ModelError for what can't be exported.
        """
        self._too_large = None
        if self._format is None:
            self._files[self._out.name].write(as_bytes(model))
            return
        with scratch_folder() as folder:
            made = folder / self._out.name
            try:
                exported = export_as(self._format, model, made, options=self._options)
            except RoomError as error:
                self._too_large = error
                return
            for name, file in self._files.items():
                file.write(made.with_name(name).read_bytes())
            place = str(self._out).removesuffix(self._out.name)
            self.written = replace(exported, told=exported.told.replace(f"{folder}/", place))


def _format_of(out: Path) -> str | None:
    """The format of a file by its name; None for one of a compressed model.

    >>> _format_of(Path("small.onnx")), _format_of(Path("small.hedge.safetensors"))
    ('onnx', None)

    Raises InputError for a name of which another file's follows, and for one in capitals.
    """
    suffix = out.suffix.lower()
    for name, one in FORMATS.items():
        if suffix in one.suffixes[1:]:
            raise InputError(f"{out}: is written beside {one.suffixes[0]}; give the name of that")
        if suffix in one.suffixes:
            if suffix != out.suffix:
                raise InputError(f"{out}: ends in {out.suffix}; write {suffix}")
            return name
    return None
