"""Lines that users wrote, run so that what they raise is told in a line, with the file and the line."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import TypeVar

from hedge.errors import HedgeError, InputError, first_line

T = TypeVar("T")

# Frames of what is installed are not where a user looks for a fault.
INSTALLED = tuple(
    f"{folder}/"
    for folder in (
        Path(__file__).parents[1],
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
    )
)

NO_FILES = ("<frozen ", "<string>", "<__array_function__")


class FunctionError(InputError):
    """A function of a problem raised something; ``reason`` says what and where, without the function."""

    def __init__(self, title: str, reason: str) -> None:
        super().__init__(f"{title} raises {reason}; mend it there")
        self.reason = reason


class OperandError(FunctionError):
    """It asked of what it was given what that can't do; a graph's tensors can do less than numpy's."""


RAISED_BY_LINES = (
    FunctionError,
    TypeError,
    AttributeError,
    ValueError,
    LookupError,
    ArithmeticError,
)
"""What lines of a problem raise where they ask more of what they are given than a reader of them can do."""


def reason_of(error: Exception) -> str:
    """What is wrong, in a message that names the problem itself."""
    return error.reason if isinstance(error, FunctionError) else first_line(error)


def called(title: str, function: Callable[..., T], *given: object) -> T:
    """What a function returns that messages call ``title``, with its problem.

    Raises OperandError or another FunctionError if it raises anything but errors of hedge, a lack of memory,
    or Ctrl-C.

    >>> called("problem 'plate': its offset", lambda x, math: 1.0 / x[0], [0.0], None)
    Traceback (most recent call last):
    hedge.problems.calls.FunctionError: problem 'plate': its offset raises ZeroDivisionError (float division
    by zero) at <doctest hedge.problems.calls.called[0]>:1; mend it there
    """
    try:
        return function(*given)
    except (HedgeError, MemoryError):
        raise
    except Exception as error:
        of_operands = isinstance(error, TypeError | AttributeError | ValueError)
        raise (OperandError if of_operands else FunctionError)(
            title, told(error, function)
        ) from error


def told(error: BaseException, function: object = None) -> str:
    """An exception in a line, and where in the user's own files it was raised.

    Of a fault of syntax that is where Python stopped reading; of a ``function`` that can't be called so,
    where it is written.
    """
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{type(error).__name__} ({error.msg}) at {error.filename}:{error.lineno}"
    said = first_line(error)
    said = "" if said == type(error).__name__ else f" ({said})"
    place = place_of(error) or _definition_of(function)
    return f"{type(error).__name__}{said}" + (f" at {place}" if place else "")


def place_of(error: BaseException) -> str:
    """FILE:LINE of the innermost frame that is not of an installed package; "" if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def _definition_of(function: object) -> str:
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType) or not _is_own(code.co_filename):
        return ""
    return f"{code.co_filename}:{code.co_firstlineno}"


def _is_own(file: str) -> bool:
    return not file.startswith((*INSTALLED, *NO_FILES))
