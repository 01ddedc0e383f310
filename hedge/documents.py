"""Documents from elsewhere (JSON, TOML): how large they may be, what numbers they may hold, what is wrong.

Numbers are bounded so that sums, products and quotients of them stay within float64.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from hedge.errors import InputError, first_line, once, quoted
from hedge.files import open_file

MOST_BYTES = 64 * 2**20
MOST_FAULTS = 1000
MOST_COUNTED = 2**53  # beyond, float64 skips whole numbers
SMALLEST, LARGEST = 1e-100, 1e100  # what is smaller counts as zero


def _zero_if_tiny(value: float) -> float:
    return value if abs(value) >= SMALLEST else 0.0


Count = Annotated[int, Field(ge=0, le=MOST_COUNTED)]
Positive = Annotated[int, Field(ge=1, le=MOST_COUNTED)]
Number = Annotated[
    float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False), AfterValidator(_zero_if_tiny)
]
Figure = Annotated[Number, Field(ge=0)]


def read_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """The UTF-8 text of a file, with or without a byte order mark.

    Raises InputError if there is no such file, it can't be read, has more bytes or is no text.
    """
    try:
        return _read(path, most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: can't be read as text ({first_line(error)})") from error


def read_json(path: Path, wanted: str) -> Any:
    """The document in a JSON file; ``wanted`` says what to give instead if it is none.

    Raises InputError if there is no such file, it can't be read, has more than MOST_BYTES or is no JSON.
    """
    try:
        return parse_json(_read(path, MOST_BYTES).decode("utf-8-sig"))
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({first_line(error)}); give {wanted}") from error


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        with open_file(path) as file:
            data = file.read(most_bytes + 1)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    if len(data) > most_bytes:
        raise InputError(
            f"{path}: has {size} bytes; such a file has at most {most_bytes}: give another one"
        )
    return data


def parse_json(text: str | bytes) -> Any:
    """The document in a JSON text; its numbers are for the reader of its keys to check.

    Raises ValueError if it is none, is nested too deep, or names a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError as error:
        raise ValueError("is nested too deep") from error


def finite(value: Any) -> Any:
    """The same for JSON, which knows no number that is not finite: None in its place.

    >>> finite({"u": 0.5, "v": float("inf")})
    {'u': 0.5, 'v': None}
    """
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fault(
    error: ValidationError,
    reasons: Mapping[str, str] = MappingProxyType({}),
    unions: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """The first thing that is wrong with a document, and where; ``reasons`` says it by pydantic's type.

    unions are the keys whose value is one of several kinds, with their names, which pydantic puts behind.
    """
    if error.error_count() > MOST_FAULTS:  # a list of them all would fill the memory
        return f"{error.error_count()} of its keys and values are wrong"
    first = error.errors(include_input=False, include_url=False)[0]
    keys: list[str] = []
    for part in map(str, first["loc"]):
        if not keys or part not in unions.get(keys[-1], ()):
            keys.append(part)
    key = ".".join(keys)
    ours = first["msg"].removeprefix("Value error, ")
    theirs = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
    reason = reasons.get(first["type"], ours if first["type"] == "value_error" else theirs)
    return f"key {quoted(key)}: {reason}" if key else reason
