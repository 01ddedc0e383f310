"""The program: runs a command, and says in one line what ends it.

Modules are imported inside: they take a second, in which Ctrl-C and a lack of memory may come, too.
"""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130  # as shells have it
# What a lack of memory is called by those who raise other errors of it.
NO_MEMORY = (
    "annot allocate memory",
    "ailed to allocate memory",
    "not enough memory",
    "failed to map segment",
    "bad_alloc",
    "bad allocation",
    "can't start new thread",
)


def main() -> None:
    """Run the command line; an error of the user or the system is one line on stderr and exit code 1.

    Ctrl-C is exit code 130, a signal to terminate 143; temporary files go.
    """
    try:
        _run()
    except SystemExit:
        raise
    except BaseException as error:
        if _is_interrupt(error):
            sys.exit(INTERRUPTED)
        if not _is_of_memory(error):
            raise
        print(
            "hedge: out of memory; take a smaller model, or fewer points or rows", file=sys.stderr
        )
        sys.exit(1)


def _run() -> None:
    from hedge.cli.commands import program
    from hedge.cli.messages import error_line, missing_package, warnings_as_lines
    from hedge.cli.signals import ending_in_order
    from hedge.cli.streams import flush_output, open_streams
    from hedge.errors import HedgeError

    open_streams()
    os.environ["MPLBACKEND"] = (
        "agg"  # figures go to files, whatever a notebook around this shell wants
    )
    try:
        try:
            with ending_in_order(), warnings_as_lines():
                program()()
        finally:
            flush_output()
    except HedgeError as error:
        reason = str(error)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # a full disk, no more memory for a process, a limit of open files
        where = "" if error.filename is None else f"{error.filename}: "
        reason = f"{where}{error.strerror or error}"
    except ImportError as error:  # torch and others of the extras are named where they are needed
        if _is_interrupt(error) or _is_of_memory(error):
            raise
        reason = missing_package(error)
    print(error_line(reason), file=sys.stderr)
    sys.exit(1)


def _is_interrupt(error: BaseException) -> bool:
    """Compiled modules that are interrupted while they load say so by errors of their own."""
    return any(isinstance(each, KeyboardInterrupt) for each in _chain(error))


def _is_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | ImportError | RuntimeError | SystemError) and any(
        isinstance(each, MemoryError) or any(text in str(each) for text in NO_MEMORY)
        for each in _chain(error)
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    """An error and those that it came of."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
