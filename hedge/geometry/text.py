"""Shapes as text: what ``str`` of them writes is read back."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hedge.errors import InputError, quoted
from hedge.geometry.checks import NAME
from hedge.geometry.polygon import Polygon
from hedge.geometry.primitives import Ball, Disc, Rectangle
from hedge.geometry.shape import Combination, Op, Shape

HOW = (
    "write disc(x y, r), ball(x y z, r), rectangle(x y, x y) or polygon(x y, x y, ...), each with a name as "
    "its last part if you like, with |, & or - between"
)
_MOST_LETTERS, _DEEPEST = 100_000, 40
_PRIMITIVE = re.compile(r"([a-z]+)\(([^()]*)\)")
# From the loosest to the tightest, as in Python.
_OPS: tuple[Op, ...] = ("|", "&", "-")


def parse_shape(text: str) -> Shape:
    """Read ``"rectangle(0 0, 1 1) - disc(0.5 0.5, 0.2, hole)"``; - binds tighter than &, & than |.

    Raises InputError for what is no shape.

    >>> str(parse_shape("rectangle(0 0, 2 1)|disc(0 0, 1)-disc(0 0,0.5)"))
    'rectangle(0 0, 2 1) | (disc(0 0, 1) - disc(0 0, 0.5))'
    """
    if len(text) > _MOST_LETTERS:
        raise InputError(f"shape: has {len(text):,} letters; give up to {_MOST_LETTERS:,}")
    tokens = list(_tokens(text))
    shape, rest = _chain(tokens, 0, 0, 0)
    if rest != len(tokens):
        raise InputError(f"shape: {quoted(text[:60])} goes on after its end; {HOW}")
    return shape


def _tokens(text: str) -> Iterator[str | Shape]:
    """Primitives, as shapes, and what stands between them."""
    at = 0
    while at < len(text):
        primitive = _PRIMITIVE.match(text, at)
        if primitive is not None:
            yield _primitive(primitive[1], primitive[2])
            at = primitive.end()
            continue
        if text[at] in "()|&-":
            yield text[at]
        elif not text[at].isspace():
            raise InputError(f"shape: can't read {quoted(text[at : at + 60])}; {HOW}")
        at += 1


def _chain(tokens: list[str | Shape], at: int, level: int, depth: int) -> tuple[Shape, int]:
    """The shape that begins at a token, of operators from that level on, and where it ends."""
    if level == len(_OPS):
        return _single(tokens, at, depth)
    shape, at = _chain(tokens, at, level + 1, depth)
    while at < len(tokens) and tokens[at] == _OPS[level]:
        other, at = _chain(tokens, at + 1, level + 1, depth)
        shape = Combination(_OPS[level], shape, other)
    return shape, at


def _single(tokens: list[str | Shape], at: int, depth: int) -> tuple[Shape, int]:
    token = tokens[at] if at < len(tokens) else ""
    if isinstance(token, Shape):
        return token, at + 1
    if token != "(" or depth > _DEEPEST:
        what = quoted(token) if token else "nothing"
        raise InputError(
            f"shape: {what} stands where a shape should be"
            + (f", {depth} parentheses deep" if depth > _DEEPEST else "")
            + f"; {HOW}"
        )
    shape, at = _chain(tokens, at + 1, 0, depth + 1)
    if at >= len(tokens) or tokens[at] != ")":
        raise InputError(f"shape: a parenthesis is not closed; {HOW}")
    return shape, at + 1


def _primitive(kind: str, inner: str) -> Shape:
    """Of what stands in its parentheses."""
    parts = [part.split() for part in inner.split(",")]
    if any(not part for part in parts):
        raise InputError(f"shape: {quoted(f'{kind}({inner})'[:60])} has an empty part; {HOW}")
    name = None
    if len(parts[-1]) == 1 and NAME.fullmatch(parts[-1][0]):
        (name,) = parts.pop()
    named = {} if name is None else {"name": name}
    if kind in ("disc", "ball") and len(parts) == 2 and len(parts[1]) == 1:
        make = Disc if kind == "disc" else Ball
        return make(_numbers(kind, parts[0]), _numbers(kind, parts[1])[0], **named)
    if kind == "rectangle" and len(parts) == 2:
        return Rectangle(_numbers(kind, parts[0]), _numbers(kind, parts[1]), **named)
    if kind == "polygon":
        edges = [part.pop() for part in parts if len(part) == 3]
        if edges and (len(edges) < len(parts) or named):
            raise InputError(
                "shape: a polygon has names at some vertices; give all of them one, or none"
            )
        vertices = tuple(_numbers(kind, part) for part in parts)
        return Polygon(vertices, edges=tuple(edges) or None, **named)
    raise InputError(f"shape: can't read {quoted(f'{kind}({inner})'[:60])}; {HOW}")


def _numbers(kind: str, words: list[str]) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words)
    except ValueError as error:
        raise InputError(
            f"shape: {kind} has {quoted(' '.join(words)[:60])} where numbers belong; {HOW}"
        ) from error
