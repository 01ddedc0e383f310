"""Files of PhysicsNeMo, .mdlus: an archive of weights and of the arguments that their module was made with.

No code is run: the modules are known by their names.
"""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hedge.errors import ModelError, quoted
from hedge.files import require_file
from hedge.training.state_file import checked_state, read_torch

SUFFIX = ".mdlus"
WEIGHTS, ARGUMENTS = "model.pt", "args.json"
MOST_ARGUMENTS = 2**20  # bytes of them


@dataclass(frozen=True)
class StoredModule:
    """What modules are called and were made with, and the weights of all by their keys.

    described is the whole module, with an entry for each one that is an argument, by its place.
    """

    described: Mapping[str, Any]
    state: Mapping[str, Tensor]

    def name(self, place: str = "") -> str:
        """What kind of module stands there; "" is the whole.

        Raises ModelError if there is none.
        """
        return str(self._entry(place).get("__name__"))

    def argument(self, name: str, usual: Any, place: str = "", *, or_list: bool = False) -> Any:
        """What a module was made with, ``usual`` if nothing is said.

        Raises ModelError for a value of another type than the usual one, or a list of these.
        """
        found = self._entry(place).get("__args__", {}).get(name, usual)
        values = found if or_list and isinstance(found, list) and found else [found]
        if any(type(value) is not type(usual) for value in values):
            raise ModelError(f"{quoted(name)} of its {self.name(place)} is {quoted(found)}")
        return found

    def weights(self, prefix: str) -> dict[str, Tensor]:
        """Those whose keys begin with ``prefix``, without it."""
        own = {key: value for key, value in self.state.items() if key.startswith(prefix)}
        return {key.removeprefix(prefix): value for key, value in own.items()}

    def _entry(self, place: str) -> Mapping[str, Any]:
        entry = self.described.get(place) if place else self.described
        if not isinstance(entry, dict) or not isinstance(entry.get("__args__", {}), dict):
            raise ModelError(f"its {ARGUMENTS} describes no module {quoted(place)}; save it again")
        return entry


def read_mdlus(path: Path) -> StoredModule:
    """What a .mdlus holds: a zip, or a tar as older ones are.

    Raises InputError if there is no such file; ModelError, naming it, if it is damaged, claims more than it
    has, or holds more than weights.
    """
    require_file(path)
    try:
        held = _members(path)
        described = json.loads(held[ARGUMENTS])
    except (OSError, KeyError, ValueError, RecursionError, EOFError, *DAMAGED) as error:
        raise ModelError(
            f"{path}: is no {SUFFIX} of PhysicsNeMo, with {WEIGHTS} and {ARGUMENTS}, or is cut short"
        ) from error
    if not isinstance(described, dict):
        raise ModelError(f"{path}: its {ARGUMENTS} describes no module; save it again")
    return StoredModule(described, checked_state(path, read_torch(path, held[WEIGHTS])))


DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError)


def _members(path: Path) -> dict[str, bytes]:
    """The bytes of the weights and of the arguments, once no more is claimed than the file has."""
    if tarfile.is_tarfile(path):  # asked first: the weights in an old one are a zip at its end
        with tarfile.open(path, "r:") as tar:
            files = {file.name.removeprefix("./"): file for file in tar if file.isreg()}
            for name in (WEIGHTS, ARGUMENTS):
                _check_size(path, name, files[name].size)
            opened = {name: tar.extractfile(files[name]) for name in (WEIGHTS, ARGUMENTS)}
            return {name: file.read() for name, file in opened.items() if file is not None}
    with zipfile.ZipFile(path) as archive:
        for name in (WEIGHTS, ARGUMENTS):
            record = archive.getinfo(name)
            if record.compress_type != zipfile.ZIP_STORED:
                raise ModelError(
                    f"{path}: its {name} is compressed, which PhysicsNeMo never does; save it again"
                )
            _check_size(path, name, record.file_size)
        return {name: archive.read(name) for name in (WEIGHTS, ARGUMENTS)}


def _check_size(path: Path, name: str, claimed: int) -> None:
    most = path.stat().st_size if name == WEIGHTS else min(path.stat().st_size, MOST_ARGUMENTS)
    if claimed > most:
        raise ModelError(f"{path}: its {name} claims {claimed} bytes, and may have {most}")
