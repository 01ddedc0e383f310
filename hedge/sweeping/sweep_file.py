"""The file of a sweep: stages, axes, and options that are the same for all cells."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hedge.clusters import ClusterSettings, cluster_settings
from hedge.devices import AUTO, find_profile, shipped_profiles
from hedge.documents import fault, read_text
from hedge.errors import HedgeError, InputError, first_line, quoted, suggestion
from hedge.files import sha256_of
from hedge.formats import FORMATS
from hedge.methods import COMPRESSING
from hedge.problems import OPERATORS, find_problem, is_in_file, parse_domain
from hedge.request import Asked, Request
from hedge.sweeping.axes import checked, expanded
from hedge.sweeping.plan import Cell, InputFile, Plan, Task, task
from hedge.sweeping.stages import NAMING_FILES, OF_THE_CELL, STAGES

MODEL = "model"
REQUESTED = frozenset(Asked.__annotations__)
MOST_NAMED = 8
WHERE_NAMES_ARE = (
    "options are called as those of the commands, see hedge compress --help and the like"
)
KEYS = ("stages", "axes", "cluster", *STAGES)


@dataclass(frozen=True)
class Target:
    """Which option of which stage an axis is for; the stage is "" for the model that cells begin with."""

    stage: str
    option: str


@dataclass(frozen=True)
class Axis:
    """An axis: its name in tables, its values, and what it sets."""

    name: str
    values: tuple[Any, ...]
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Sweep:
    """What a sweep's file asks: values are those that the stages' options take.

    folder is that which names of files begin at, source how messages call the file.
    """

    stages: tuple[str, ...]
    axes: tuple[Axis, ...]
    fixed: Mapping[str, Mapping[str, Any]]
    cluster: ClusterSettings
    folder: Path
    source: str
    _hashes: dict[Path, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def count(self) -> int:
        """How many cells there are."""
        return math.prod(len(axis.values) for axis in self.axes)

    @cached_property
    def _shipped(self) -> dict[str, Path]:
        return shipped_profiles()

    @cached_property
    def plan(self) -> Plan:
        """All cells. Reads the files that they name; raises InputError for one that can't be read."""
        known: dict[str, Task] = {}
        cells = tuple(
            self._cell(values, known) for values in product(*(axis.values for axis in self.axes))
        )
        self._check_distinct(cells)
        files: dict[Path, InputFile] = {
            file.path: file for one in known.values() for file in one.files.values()
        }
        axes = {axis.name: axis.values for axis in self.axes}
        return Plan(self.stages, axes, cells, tuple(files.values()))

    def _check_distinct(self, cells: Iterable[Cell]) -> None:
        """Raise InputError for two cells that would do the same, as of one model under two names."""
        known: dict[str, Cell] = {}
        for cell in cells:
            other = known.setdefault(cell.key, cell)
            if other is not cell:
                differ = {name for name in cell.axes if cell.axes[name] != other.axes[name]}
                pairs = [f"{name} {cell.axes[name]} and {other.axes[name]}" for name in differ]
                what = f" ({min(pairs)})" if pairs else ""
                raise InputError(
                    f"{self.source}: two of its cells are the same{what}; leave out one"
                )

    def _cell(self, values: tuple[Any, ...], known: dict[str, Task]) -> Cell:
        """The cell of these values; tasks of others that are the same are theirs."""
        options: dict[str, dict[str, Any]] = {
            stage: dict(self.fixed.get(stage, {})) for stage in ("", *self.stages)
        }
        pairs = list(zip(self.axes, values, strict=True))
        for axis, value in sorted(pairs, key=lambda pair: "." not in pair[0].name):
            for target in axis.targets:  # a stage's own come first
                options[target.stage].setdefault(target.option, value)
        if "compress" in options:
            self._check_request(options["compress"])
        tasks: list[Task] = []
        for stage in self.stages:
            asked = options[stage]
            files = self._files(asked)
            if MODEL in options[""]:
                files[MODEL] = self._file(options[""][MODEL])
            plain = {name: value for name, value in asked.items() if name not in files}
            made = task(stage, plain, files, tasks[-1] if tasks else None)
            tasks.append(known.setdefault(made.key, made))
        return Cell({axis.name: value for axis, value in pairs}, tuple(tasks))

    def _check_request(self, asked: Mapping[str, Any]) -> None:
        """Raise InputError for what every compression would be refused for, before the first one."""
        try:
            asking = Request(**{name: asked[name] for name in REQUESTED & asked.keys()})
        except InputError as error:
            raise InputError(f"{self.source}: {error}") from error
        if asking.method not in COMPRESSING:
            known = ", ".join(COMPRESSING)
            raise InputError(
                f"{self.source}: method: {quoted(asking.method)} is not known; take one of {known}"
            )

    def _files(self, asked: Mapping[str, Any]) -> dict[str, InputFile]:
        """Those of the options that name a file; a profile that comes with hedge is one, too."""
        found = {}
        for name in sorted(NAMING_FILES & asked.keys()):
            value = asked[name]
            if name == "device" and value in self._shipped:
                found[name] = self._hashed(value, self._shipped[value])
            elif name == "device" and value == AUTO:
                continue
            elif name == "problem" and value is not None and is_in_file(value):
                file, _, wanted = value.rpartition(":")
                path = self._file(file)
                found[name] = InputFile(
                    f"{path.name}:{wanted}", path.path, path.sha256, is_sent=False
                )
            elif value is not None and name != "problem":
                found[name] = self._profile(value) if name == "device" else self._file(value)
        return found

    def _profile(self, name: str) -> InputFile:
        """One of the user's own, which is read once to see that it can be."""
        path = (self.folder / name).absolute()
        if path not in self._hashes:
            find_profile(str(path))
        return self._hashed(path.name, path)

    def _file(self, name: str) -> InputFile:
        path = (self.folder / name).absolute()
        return self._hashed(path.name, path)

    def _hashed(self, name: str, path: Path) -> InputFile:
        if path not in self._hashes:
            self._hashes[path] = sha256_of(path)
        return InputFile(name, path, self._hashes[path])


def read_sweep(given: Path | str | Mapping[str, Any], models: Callable[[], list[str]]) -> Sweep:
    """The sweep in a TOML file, or in a table of the same keys; models gives those that come with hedge.

    Raises InputError, naming file and key, for what is no sweep.
    """
    if isinstance(given, Mapping):
        return _as_sweep(given, Path.cwd(), "sweep", models)
    path = Path(given)
    try:
        table = tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # of numbers that are too long, too
        raise InputError(f"{path}: is no TOML ({first_line(error)})") from error
    return _as_sweep(table, path.absolute().parent, str(path), models)


def _as_sweep(
    table: Mapping[str, Any], folder: Path, source: str, models: Callable[[], list[str]]
) -> Sweep:
    try:
        _check_known("key", table, KEYS)
        stages = _stages(table.get("stages"))
        for name in ("axes", "cluster", *STAGES):
            if not isinstance(table.get(name, {}), Mapping):
                raise InputError(f"{name}: is no table; write [{name}]")
        fixed = {"": {}, **{name: _fixed(name, table.get(name, {}), stages) for name in STAGES}}
        axes = tuple(_axes(table.get("axes", {}), stages, folder, models))
        for axis in axes:
            _check_not_fixed(axis, fixed)
        cluster = cluster_settings(table.get("cluster", {}))
        sweep = Sweep(stages, axes, fixed, cluster, folder, source)
        _check_complete(sweep)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    return sweep


def _check_known(what: str, found: Iterable[str], known: Iterable[str]) -> None:
    """Raise InputError for a name that is not known, with those that it may have been meant for."""
    names = list(known)
    for name in found:
        if name not in names:
            few = f"take {' or '.join(names)}" if len(names) <= MOST_NAMED else WHERE_NAMES_ARE
            way = suggestion(name, names, few)
            raise InputError(f"{what} {quoted(name)} is not known; {way}")


def _stages(given: Any) -> tuple[str, ...]:
    """In the chain's order."""
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        known = ", ".join(f'"{name}"' for name in STAGES)
        raise InputError(f"stages: give a list of some of {known}")
    _check_known("stages:", given, STAGES)
    return tuple(name for name in STAGES if name in given)


def _fixed(stage: str, given: Mapping[str, Any], stages: tuple[str, ...]) -> dict[str, Any]:
    """A stage's table, as its options take it."""
    if given and stage not in stages:
        raise InputError(f"[{stage}]: is no stage of this sweep; leave it out, or add it to stages")
    readers = STAGES[stage].readers
    _check_known(f"[{stage}]: option", given, readers)
    found = {}
    for name, value in given.items():
        try:
            found[name] = readers[name].validate_python(value)
        except ValidationError as error:
            raise InputError(f"{stage}.{name}: {quoted(value)}: {fault(error)}") from error
        _check_name(f"{stage}.{name}", name, found[name])
    return found


def _axes(
    given: Mapping[str, Any],
    stages: tuple[str, ...],
    folder: Path,
    models: Callable[[], list[str]],
) -> Iterable[Axis]:
    for name, value in given.items():
        if name in STAGES:
            if not isinstance(value, Mapping):
                raise InputError(f"axes.{name}: is a stage; write {name}.OPTION = [...]")
            for option, inner in value.items():
                _check_asked(name, option, stages)
                yield _axis(f"{name}.{option}", inner, (Target(name, option),), folder, models)
        else:
            yield _axis(name, value, _targets(name, stages), folder, models)


def _check_asked(stage: str, option: str, stages: tuple[str, ...]) -> None:
    if stage not in stages:
        raise InputError(
            f"axes.{stage}.{option}: {stage} is no stage of this sweep; add it to stages"
        )
    _check_known(f"axes.{stage}: option", [option], STAGES[stage].readers)


def _targets(name: str, stages: tuple[str, ...]) -> tuple[Target, ...]:
    """What an axis sets: the option of its name of one stage, or of all where that is the cell's."""
    if name == MODEL:
        if "train" in stages:
            raise InputError("axes.model: cells begin with train here; leave it out, or train")
        return (Target("", MODEL),)
    having = [stage for stage in stages if name in STAGES[stage].readers]
    shared = [stage for stage in having if name in STAGES[stage].shared]
    if name in OF_THE_CELL and shared:
        return tuple(Target(stage, name) for stage in shared)
    if len(having) > 1:
        ways = " or ".join(f"{stage}.{name}" for stage in having)
        raise InputError(f"axes.{name}: is an option of {' and '.join(having)}; write {ways}")
    if not having:
        elsewhere = [stage for stage in STAGES if name in STAGES[stage].readers]
        if elsewhere:
            raise InputError(
                f"axes.{name}: is an option of {' and '.join(elsewhere)}, which this sweep does not ask; "
                f"add {elsewhere[0]} to stages, or leave it out"
            )
        known = [MODEL, *(option for stage in stages for option in STAGES[stage].readers)]
        _check_known("axes: axis", [name], dict.fromkeys(known))
    return (Target(having[0], name),)


def _axis(
    name: str,
    value: Any,
    targets: tuple[Target, ...],
    folder: Path,
    models: Callable[[], list[str]],
) -> Axis:
    option = targets[0].option
    values = expanded(option, value, folder, models)
    if not targets[0].stage:
        if not all(isinstance(one, str) for one in values):
            raise InputError(f"axes.{name}: names files, .onnx or .hedge.safetensors")
    else:
        values = checked(name, values, STAGES[targets[0].stage].readers[option])
    for one in values:
        _check_name(f"axes.{name}", option, one)
    return Axis(name, tuple(values), targets)


def _check_name(key: str, option: str, value: Any) -> None:
    """Raise InputError for a problem, a device, a format or a domain that is none, before any work."""
    if value is None:
        return
    if option == "problem" and is_in_file(value) and not value.rpartition(":")[0].endswith(".py"):
        raise InputError(f"{key}: {quoted(value)} names no problem in a file; write FILE.py:NAME")
    if option == "format" and value not in FORMATS:
        raise InputError(f"{key}: {quoted(value)} is unknown; give one of {', '.join(FORMATS)}")
    try:
        if option == "problem" and not is_in_file(value) and value not in OPERATORS:
            find_problem(value)
        if option == "device" and value != AUTO and not value.endswith(".toml"):
            find_profile(value)
        if option == "domain":
            parse_domain(value)
    except HedgeError as error:
        raise InputError(f"{key}: {error}") from error


def _check_not_fixed(axis: Axis, fixed: Mapping[str, Mapping[str, Any]]) -> None:
    """Of an axis for several stages one may be fixed; one that is for a single one would say nothing."""
    if all(target.option in fixed[target.stage] for target in axis.targets):
        stage = axis.targets[0].stage
        raise InputError(f"axes.{axis.name}: stands in [{stage}], too; leave out one of them")


def _check_complete(sweep: Sweep) -> None:
    """Raise InputError where a stage lacks what it begins with."""
    given = {(target.stage, target.option) for axis in sweep.axes for target in axis.targets}
    given |= {(stage, option) for stage, table in sweep.fixed.items() for option in table}
    stages = sweep.stages
    if "train" in stages:
        if ("train", "problem") not in given:
            raise InputError('axes.problem: not given; name problems to train, or "gallery"')
    elif ("", MODEL) not in given:
        raise InputError('axes.model: not given; name .onnx files, "models/*.onnx", or "shipped"')
    if "compress" in stages and ("compress", "device") not in given:
        raise InputError(
            'axes.device: not given; name profiles to compress for (hedge devices), "all", or "auto"'
        )
    if "bench" in stages and "compress" in stages and "export" not in stages:
        raise InputError("stages: bench times what is exported; add export")
    if "bench" in stages and sweep.fixed["export"].get("format", "onnx") != "onnx":
        raise InputError("export.format: bench times ONNX, compiled C of it as well; leave it out")
