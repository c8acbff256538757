"""Integers that are the same for good: on every machine, in every version of NumPy, in any language.

NumPy does not promise that a seed gives the same numbers in its next version. So these come from a generator that is
written out here, SplitMix64 (Steele, Lea and Flood 2014), in arithmetic modulo 2^64:

    state = first 8 bytes, little-endian, of SHA-256 of the text "x 1x4x8x8" (name and shape of the array; the second
            and further draws, "x 1x4x8x8 1" and so on)
    for each element, in row-major order:
        state = state + 0x9E3779B97F4A7C15
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9
        z = (z ^ z >> 27) * 0x94D049BB133111EB
        z = z ^ z >> 31
        element = (1 + (z >> 1) mod B), negative if z is odd
"""

from __future__ import annotations

import math
from hashlib import sha256

import numpy as np

from convback import ConvGeometry, ParameterError
from convback.contract import OPS, Array
from convback.geometry import Shape
from convback_tools.verification.question import EXACT_LIMIT, Question

DIGIT = 9  # makes sums that one can follow by hand

RECIPE = (
    "SplitMix64; its state starts as the first 8 bytes, little-endian, of SHA-256 of the text that is the seed; each "
    "output z makes the element 1 + (z >> 1) mod B, negative if z is odd; elements in row-major order"
)


def integer_operands(geom: ConvGeometry, draw: int = 0, dtype: str = "float32") -> dict[str, Array]:
    """x, w, dy and b of integers, none of them zero, for which all results are exact in any order of summation.

    A wrong bilinear form passes a draw with probability 1/B at most (Schwartz and Zippel).

    Raises
    ------
    ParameterError
        If the sums have too many terms for that.
    """
    bound, kind = largest(geom, dtype), np.dtype(dtype)
    shapes = {"x": geom.x_shape, "w": geom.w_shape, "dy": geom.y_shape, "b": (geom.F,)}
    return {name: integers(seed(name, shape, draw), shape, bound).astype(kind) for name, shape in shapes.items()}


def largest(geom: ConvGeometry, dtype: str) -> int:
    """B, the largest integer of a draw: K B^2 stays among the integers that the dtype holds."""
    terms = 1 + max(Question(op, geom, np.dtype(dtype)).most_terms for op in OPS)  # and the bias
    if not (bound := math.isqrt(EXACT_LIMIT[dtype] // terms)):
        advice = "choose a smaller case" if dtype == "float64" else "choose a smaller case or --dtype float64"
        raise ParameterError(f"sums of {terms} terms are not exact in {dtype}, whatever the integers; {advice}")
    return min(bound, DIGIT)


def seed(name: str, shape: Shape, draw: int = 0) -> str:
    """The text that the integers of an array follow from."""
    return f"{name} {'x'.join(map(str, shape))}" + (f" {draw}" if draw else "")


def integers(text: str, shape: Shape, bound: int) -> Array:
    """Integers 1 <= |v| <= bound that follow from a text."""
    start = np.uint64(int.from_bytes(sha256(text.encode()).digest()[:8], "little"))
    steps = np.arange(1, math.prod(shape) + 1, dtype=np.uint64)
    state = start + steps * np.uint64(0x9E3779B97F4A7C15)
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    magnitude = 1 + ((z >> np.uint64(1)) % np.uint64(bound)).astype(np.int64)
    result: Array = np.where(z & np.uint64(1), -magnitude, magnitude).reshape(shape)
    return result
