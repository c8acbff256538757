"""The shapes of a layer: the formula with its numbers for every axis, and which positions of x no window reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convback import ConvGeometry
from convback.geometry import AXIS_LETTERS, effective_kernel

Ranges = tuple[tuple[int, int], ...]

LONGEST = 2**24  # positions of an axis that are looked at one by one


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a layer.

    Attributes
    ----------
    axis : str
        Its letter, as in kh and sw.
    formula : str
        The output extent, with the numbers filled in.
    leftover : int
        (x + padding - effective kernel) % stride, the positions at the end of the padded input that no window reaches.
    unread : tuple of (start, stop), or None
        Positions of x that no window reads, where dx is zero; None where the axis is too long to look.
    """

    axis: str
    x: int
    padding_lo: int
    padding_hi: int
    kernel: int
    dilation: int
    effective_kernel: int
    stride: int
    y: int
    formula: str
    leftover: int
    unread: Ranges | None


def axes(geom: ConvGeometry) -> list[Axis]:
    """Every spatial axis of a layer."""
    return [_axis(geom, position, letter) for position, letter in enumerate(AXIS_LETTERS[-geom.rank :])]


def _axis(geom: ConvGeometry, at: int, letter: str) -> Axis:
    x, k, s, d = geom.x_spatial[at], geom.kernel[at], geom.stride[at], geom.dilation[at]
    lo, hi = geom.padding[at]
    y, reach = geom.y_spatial[at], effective_kernel(k, d)
    span = x + lo + hi - reach
    formula = f"({x} + {lo} + {hi} - (({k} - 1) * {d} + 1)) // {s} + 1 = {span} // {s} + 1 = {y}"
    return Axis(letter, x, lo, hi, k, d, reach, s, y, formula, span % s, unread(geom, at))


def unread(geom: ConvGeometry, at: int) -> Ranges | None:
    """Positions of x on an axis that no window reads, as ranges (start, stop)."""
    x, y = geom.x_spatial[at], geom.y_spatial[at]
    if x > LONGEST or geom.kernel[at] > LONGEST:
        return None
    s, d, (lo, _) = geom.stride[at], geom.dilation[at], geom.padding[at]
    never = np.ones(x, bool)
    for k in range(geom.kernel[at]):
        shift = k * d - lo  # r = i * s + shift
        first = max(0, -(shift // s))
        never[first * s + shift : max(0, (y - 1) * s + shift + 1) : s] = False
    edges = np.flatnonzero(np.diff(never, prepend=False, append=False))
    return tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))
