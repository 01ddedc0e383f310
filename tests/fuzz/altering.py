"""Changes of bytes, of documents and of protobuf messages, drawn from a seed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from hedge.graph.vetting import parts_of

# What no document should hold where a sensible number, text or list stands.
NUMBERS: tuple[Any, ...] = (10**400, 1e308, -1, 0, 1e-320, math.nan, math.inf, "9" * 5000)
OTHERS: tuple[Any, ...] = (None, True, "", [], {}, [1] * 100, "x" * 10**5)
WHOLE = (
    0,
    1,
    2,
    3,
    7,
    -1,
    -2,
    13,
    17,
    2**15,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**62,
    2**63 - 1,
    -(2**63),
)
REAL = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-38, 1e30, 3e38, math.nan, math.inf, -math.inf)
TEXTS = (
    "",
    "x",
    "ai.onnx",
    "com.microsoft",
    "hedge",
    "Site",
    "\x00",
    "ä\n\x1b[31m",
    "%s{0}",
    "x" * 3000,
)
Spot = tuple[str | int, ...]


def altered_bytes(rng: Random, data: bytes) -> bytes:
    """Some bytes changed, cut out, doubled or put in."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(found) + 1)
        length = rng.choice((1, 1, 1, 2, 4, 8, rng.randrange(len(found) + 1)))
        change = rng.randrange(5)
        if change <= 1 and place < len(found):
            found[place] = rng.randrange(256)
        elif change == 2:
            del found[place : place + length]
        elif change == 3:
            found[place:place] = found[place : place + length]
        else:
            found[place:place] = rng.randbytes(min(length, 64))
    return bytes(found)


def spots(document: Any, at: Spot = (), *, of_lists: int | None = 1) -> Iterator[Spot]:
    """Every key and the first numbers of every list (None: all), from the outside to the inside."""
    inside = document.items() if isinstance(document, dict) else enumerate(document[:of_lists])
    for key, value in inside:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from spots(value, (*at, key), of_lists=of_lists)


def with_value(document: Any, spot: Spot, value: object) -> Any:
    """The same with another value in one place."""
    changed = copy.deepcopy(document)
    place = _at(changed, spot[:-1])
    place[spot[-1]] = value
    return changed


def altered_document(rng: Random, document: Any) -> Any:
    """Some values of a JSON or TOML document changed, left out, doubled, scaled or swapped."""
    changed = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(spots(changed, of_lists=None))
        if not places:
            return changed
        numbers = [spot for spot in places if type(_at(changed, spot)) in (int, float)]
        *outer, key = rng.choice(numbers if numbers and rng.random() < 0.5 else places)
        place = _at(changed, tuple(outer))
        change = rng.choice((0, 1, 2, 3, 3, 3, 3, 5))
        if change == 0:
            del place[key]
        elif change == 1 and isinstance(place, list):
            place.insert(key, copy.deepcopy(place[key]))
        elif change == 1:
            place[rng.choice(("", "x", f"{key}2", "sites", "rank"))] = place[key]
        elif change == 2:
            other = rng.choice(places)
            place[key] = copy.deepcopy(_at(document, other)) if _has(document, other) else None
        elif change == 3:
            place[key] = _other_value(rng, place[key])
        else:
            place[key] = rng.choice((*NUMBERS, *OTHERS))
    return changed


def _other_value(rng: Random, value: Any) -> Any:
    """One of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, value - 1, 2 * value, -value, *WHOLE))
    if isinstance(value, float):
        return rng.choice((value * 10.0 ** rng.randint(-9, 9), -value, *REAL))
    if isinstance(value, str):
        return rng.choice((*TEXTS, value[::-1], value * 2, value[:-1]))
    return rng.choice((*NUMBERS, *OTHERS))


def _at(document: Any, spot: Spot) -> Any:
    for key in spot:
        document = document[key]
    return document


def _has(document: Any, spot: Spot) -> bool:
    try:
        _at(document, spot)
    except (KeyError, IndexError, TypeError):
        return False
    return True


def alter_message(rng: Random, message: Message) -> str:
    """Change a field of a message or of one that it holds, in place; says which."""
    parts = list(parts_of(message))
    part = rng.choice(parts)
    given = [field for field, _ in part.ListFields()]
    fields = given if given and rng.random() < 0.8 else list(part.DESCRIPTOR.fields)
    field = rng.choice(fields)
    alike = [one for one in parts if one.DESCRIPTOR is field.message_type]
    strings = [s for one in parts for s in _texts(one)]
    value = _drawn(rng, field, alike, strings)
    if field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED:
        _alter_list(rng, getattr(part, field.name), value)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        if rng.random() < 0.5 or value is None:
            part.ClearField(field.name)
        else:
            getattr(part, field.name).CopyFrom(value)
    elif rng.random() < 0.1:
        part.ClearField(field.name)
    else:
        _set(part, field.name, value)
    return f"{part.DESCRIPTOR.name}.{field.name}"


def _texts(part: Message) -> Iterator[str]:
    for field, value in part.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            yield from [value] if isinstance(value, str) else value


def _drawn(rng: Random, field: FieldDescriptor, alike: list[Message], strings: list[str]) -> Any:
    kinds: dict[int, Callable[[], Any]] = {
        FieldDescriptor.CPPTYPE_MESSAGE: lambda: (
            copy.deepcopy(rng.choice(alike)) if alike else None
        ),
        FieldDescriptor.CPPTYPE_STRING: lambda: rng.choice((*TEXTS, *strings, *strings)),
        FieldDescriptor.CPPTYPE_FLOAT: lambda: rng.choice(REAL),
        FieldDescriptor.CPPTYPE_DOUBLE: lambda: rng.choice(REAL),
        FieldDescriptor.CPPTYPE_ENUM: lambda: rng.randrange(16),
    }
    found = kinds.get(field.cpp_type, lambda: rng.choice(WHOLE))()
    return found.encode() if field.type == FieldDescriptor.TYPE_BYTES else found


def _set(part: Message, name: str, value: Any) -> None:
    try:
        setattr(part, name, value)
    except ValueError:  # beyond the bounds of its type
        setattr(part, name, 1)


def _alter_list(rng: Random, values: Any, value: Any) -> None:
    place = rng.randrange(len(values)) if values else 0
    change = rng.randrange(4)
    try:
        if change == 0 and values:
            del values[place]
        elif change == 1 and len(values) > 1:
            other = rng.randrange(len(values))
            first, second = copy.deepcopy(values[place]), copy.deepcopy(values[other])
            _put(values, place, second)
            _put(values, other, first)
        elif change == 2 and values and value is not None:
            _put(values, place, value)
        elif value is not None:
            values.append(value)
    except ValueError:  # beyond the bounds of its type
        del values[place:]


def _put(values: Any, place: int, value: Any) -> None:
    if isinstance(value, Message):
        values[place].CopyFrom(value)
    else:
        values[place] = value
