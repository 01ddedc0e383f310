"""Where compress puts what it finds: a compressed model or, by the file's name, what it is exported as."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from hedge.api.fmu import fmu_network
from hedge.api.room import Room
from hedge.compression import CompressedModel, as_bytes
from hedge.devices import Device
from hedge.errors import InputError
from hedge.files import OwnFile, check_writable, sha256_of
from hedge.formats import FORMATS, Exported, export_as, format_of
from hedge.graph import check_read, reads_of
from hedge.problems import Problem
from hedge.temporaries import scratch_folder


class Results:
    """The files of a run that is told every better result, the last of which they hold.

    ``small.onnx``, ``small.fmu`` and ``small.c`` (with ``small.h``) are exported, any other name is that of a
    ``.hedge.safetensors``. With ``resume`` they may be replaced as well as with ``force``;
    ``written`` is what the last export tells.

    Raises InputError where a run could not go on from such a file, OutputError where they can't be written.
    """

    def __init__(self, out: Path, *, force: bool, resume: bool) -> None:
        self._out = out
        self._format = format_of(out)
        self.written: Exported | None = None
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
        """Raise, before the work, what :meth:`write` would of names in C and FMI, or of this model's ops."""
        if self._format == "c":
            with scratch_folder() as folder:
                export_as("c", dense, folder / self._out.name, options={})
        if self._format == "fmu":
            fmu_network(dense, self._out)

    def check_device(self, dense: ModelProto, device: Device) -> None:
        """Raise ModelError, before the work, where the device's onnxruntime could not read the export."""
        if self._format == "onnx":
            check_read(dense, reads_of(device))

    def write(self, model: CompressedModel, room: Room, problem: Problem | None) -> None:
        """Put this result, which keeps to ``room`` and solves the ``problem``, in place of the one before.

        Raises OutputError if another process has written there since, ModelError for what can't be exported.
        """
        if self._format is None:
            self._files[self._out.name].write(as_bytes(model))
            return
        options: dict[str, Any] = {**room.options} if self._format == "c" else {}
        if problem is not None and "problem" in FORMATS[self._format].options:
            options["problem"] = problem
        with scratch_folder() as folder:
            made = folder / self._out.name
            exported = export_as(self._format, model, made, options=options)
            for name, file in self._files.items():
                file.write(made.with_name(name).read_bytes())
            place = str(self._out).removesuffix(self._out.name)
            self.written = replace(exported, told=exported.told.replace(f"{folder}/", place))
