"""A problem of the user's own, in a Python file: ``my_problem.py:plate``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import CodeType, ModuleType

from hedge.errors import HedgeError, InputError, quoted
from hedge.files import open_file
from hedge.problems.calls import INSTALLED, place_of, told
from hedge.problems.problem import Problem

EXAMPLE = "write for example my_problem.py:plate"


def is_in_file(name: str) -> bool:
    """Whether a problem's name says in which file it is.

    >>> is_in_file("my_problem.py:plate"), is_in_file("heat")
    (True, False)
    """
    return ":" in name or "/" in name or name.endswith(".py")


def own_problem(name: str) -> Problem:
    """The Problem that ``FILE.py:NAME`` names; the file is run.

    Modules beside the file can be imported by it. What it prints goes to standard error. Raises InputError
    if there is no such file, it is no Python or raises, or there is no such Problem in it.
    """
    file, _, wanted = name.rpartition(":") if ":" in name else (name, "", "")
    path = Path(file)
    if path.suffix != ".py":
        raise InputError(
            f"problem {quoted(name)} is in no Python file, whose name ends in .py; {EXAMPLE}"
        )
    found = vars(_run(path, _compiled(path)))
    problems = [n for n, v in found.items() if isinstance(v, Problem) and not n.startswith("_")]
    if not problems and wanted not in found:
        raise InputError(
            f"{path}: has no Problem; see how one is written: hedge problems --template"
        )
    there = f"it has {', '.join(problems)}" if problems else "it has none"
    if not wanted:
        raise InputError(f"{path}: name a Problem in it, {path}:NAME; {there}")
    chosen = found.get(wanted)
    if wanted not in found:
        raise InputError(f"{path}: has no Problem called {quoted(wanted)}; {there}")
    if not isinstance(chosen, Problem):
        kind = type(chosen).__name__
        raise InputError(f"{path}: {quoted(wanted)} is a {kind}, no Problem; {there}")
    return chosen


def _compiled(path: Path) -> CodeType:
    with open_file(path) as file:
        text = file.read()
    try:
        return compile(text, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise InputError(f"{path}:{error.lineno or 1}: is no Python: {error.msg}") from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise InputError(f"{path}: is no Python: {error}") from error


def _run(path: Path, code: CodeType) -> ModuleType:
    """The module that the file makes."""
    module = ModuleType(path.stem)
    module.__file__ = str(path.absolute())
    try:
        with _importing_beside(path.absolute().parent, module), redirect_stdout(sys.stderr):
            exec(code, vars(module))
    except (KeyboardInterrupt, MemoryError):
        raise
    except HedgeError as error:
        raise InputError(f"{place_of(error) or path}: {error}") from error
    except SystemExit as error:
        raise InputError(
            f"{place_of(error) or path}: ends Python before the problem is read; leave that out, or put it "
            'below: if __name__ == "__main__":'
        ) from error
    except BaseException as error:
        raise InputError(f"{path}: raises {told(error)}; mend it there") from error
    return module


@contextmanager
def _importing_beside(folder: Path, module: ModuleType) -> Iterator[None]:
    """Modules in the folder are found first while the file runs, and last by what its functions import.

    They are forgotten afterwards, for beside another file there may be others of the same names.
    """
    before = set(sys.modules)
    if module.__name__ not in before:
        sys.modules[module.__name__] = module  # as dataclasses expect of where they are written
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        for name in set(sys.modules) - before:
            if sys.modules[name] is module or _is_beside(folder, sys.modules[name]):
                del sys.modules[name]


def _is_beside(folder: Path, module: ModuleType) -> bool:
    """Whether a module is the user's own: an environment may lie in the folder, too, and so may hedge."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py") or file.startswith(INSTALLED):
        return False
    top = module.__name__.partition(".")[0]
    return Path(file) == folder / f"{top}.py" or folder / top in Path(file).parents
