"""The ``[cluster]`` table of a file: where workers come from, and what they are given."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError

from hedge.documents import Positive, fault
from hedge.errors import InputError, quoted

MEMORY = re.compile(r"[1-9][0-9]*(\.[0-9]+)? ?[KMGT]i?B")
WALLTIME = re.compile(r"([0-9]+-)?[0-9]{1,3}(:[0-9]{2}){1,2}")
ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://[^\s/]+:[0-9]{1,5}")
LAST_PORT = 65535
HOST = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.@:%\[\]-]*")
WORD = re.compile(r"[\w.,:/@+=-]+")  # of a job script's header, where a blank begins another option
PYTHON = re.compile(r"[\w./~+-]+")


def _like(pattern: re.Pattern[str], example: str) -> AfterValidator:
    def checked(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{quoted(text)} is none; write for example {example}")
        return text

    return AfterValidator(checked)


def _with_port(address: str) -> str:
    if not 1 <= int(address.rpartition(":")[2]) <= LAST_PORT:
        raise ValueError(f"{quoted(address)} has no port from 1 to {LAST_PORT}")
    return address


Count = Annotated[Positive, Strict()]  # true is not 1
Memory = Annotated[str, _like(MEMORY, '"2 GiB"')]
Walltime = Annotated[str, _like(WALLTIME, '"01:30:00"')]
Address = Annotated[str, _like(ADDRESS, '"tcp://10.0.0.5:8786"'), AfterValidator(_with_port)]
Host = Annotated[str, _like(HOST, '"user@host"')]
Word = Annotated[str, _like(WORD, '"short"')]
Python = Annotated[str, _like(PYTHON, '"/home/me/.venv/bin/python"')]
Line = Annotated[str, _like(re.compile(r"[^\n\r\0]+"), '"module load python"')]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Local(_Table):
    """Processes of this machine, each with so much memory at most; if not given its part of the machine's."""

    kind: Literal["local"] = "local"
    memory: Memory | None = None


class Scheduler(_Table):
    """A Dask scheduler that runs already, with whatever workers it has."""

    kind: Literal["scheduler"]
    address: Address


class Ssh(_Table):
    """Machines that the user's ssh reaches: the scheduler runs on the first one, workers on all.

    ``python`` is that of hedge's environment there; ``interface`` the network by which they see each other.
    """

    kind: Literal["ssh"]
    hosts: tuple[Host, ...] = Field(min_length=1)
    python: Python = "~/.venv/bin/python"
    workers_each: Count = 1
    memory: Memory | None = None
    interface: Word | None = None


class Slurm(_Table):
    """Jobs of SLURM, each with so many cores, a worker to a core, and its memory.

    ``prologue`` are lines of shell before the workers start, ``options`` further ones of sbatch.
    """

    kind: Literal["slurm"]
    cores: Count
    memory: Memory
    jobs: Count = 1
    walltime: Walltime = "01:00:00"
    queue: Word | None = None
    account: Word | None = None
    python: Python | None = None
    interface: Word | None = None
    options: tuple[Line, ...] = ()
    prologue: tuple[Line, ...] = ()
    logs: Line | None = None


ClusterSettings = Local | Scheduler | Ssh | Slurm
KINDS: dict[str, type[Local] | type[Scheduler] | type[Ssh] | type[Slurm]] = {
    "local": Local,
    "scheduler": Scheduler,
    "ssh": Ssh,
    "slurm": Slurm,
}


def cluster_settings(table: Any, where: str = "cluster") -> ClusterSettings:
    """The settings in a ``[cluster]`` table; without a ``kind`` it is this machine.

    ``where`` names the table in messages. Raises InputError, naming the key that is wrong.

    >>> cluster_settings({"kind": "scheduler", "address": "tcp://10.0.0.5:8786"}).address
    'tcp://10.0.0.5:8786'
    """
    if not isinstance(table, dict):
        raise InputError(f"{where}: is no table; write for example kind = 'local'")
    kind = table.get("kind", "local")
    if kind not in tuple(KINDS):
        raise InputError(f"{where}: kind {quoted(kind)} is none of {', '.join(KINDS)}")
    known = list(KINDS[kind].model_fields)
    if unknown := [key for key in table if key not in known]:
        raise InputError(
            f"{where}: key {quoted(unknown[0])} is none of {kind!r}; it has {', '.join(known)}"
        )
    try:
        return KINDS[kind].model_validate({**table, "kind": kind})
    except ValidationError as error:
        raise InputError(f"{where}: {fault(error)}") from error
