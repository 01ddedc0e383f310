"""Shapes in the plane and in space: which points they hold, their boundaries, and functions zero there."""

from hedge.geometry.checks import BOUNDARY
from hedge.geometry.polygon import Polygon
from hedge.geometry.primitives import Ball, Disc, Rectangle
from hedge.geometry.rfunctions import conjunction, disjunction, joined, trimmed
from hedge.geometry.sequences import sobol
from hedge.geometry.shape import Combination, Shape
from hedge.geometry.text import parse_shape

__all__ = [
    "BOUNDARY", "Ball", "Combination", "Disc", "Polygon", "Rectangle", "Shape", "conjunction",
    "disjunction", "joined", "parse_shape", "sobol", "trimmed",
]  # fmt: skip
