"""The alphabet of indices: which letters index which array, what is summed over, and where a tap stands in w.

    n batch · f filter · c channel of w · h,i,j output position · m,k,l tap · q,r,s input position

One and two dimensions use the last one and two letters of each triple.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convback import ConvGeometry
from convback.geometry import Shape
from convback_tools.submission import MODES, Submission

OUTPUT, TAP, INPUT = "hij", "mkl", "qrs"

FACTORS = {"y": ("x", "w"), "dx": ("dy", "w"), "dw": ("dy", "x"), "db": ("dy",)}
LEAD = {"y": "c", "dx": "f", "dw": "n", "db": "n"}  # what is summed over beside positions of space
LEADS = {"y": "channel", "dx": "filter", "dw": "image", "db": "image"}
BY_TAP = ("y", "dx")  # sums over taps; the others over output positions


def letters(triple: str, geom: ConvGeometry) -> str:
    """Those of h,i,j or m,k,l or q,r,s that a layer of this rank uses."""
    return triple[-geom.rank :]


def index_letters(name: str, geom: ConvGeometry) -> tuple[str, ...]:
    """The letters that index an array."""
    if name in ("b", "db"):
        return ("f",)
    first, space = {"x": ("nc", INPUT), "w": ("fc", TAP), "y": ("nf", OUTPUT)}[name.removeprefix("d")]
    return (*first, *letters(space, geom))


def kernel_letters(layer: Submission) -> tuple[str, ...]:
    """How a tap is spelled as an index of w."""
    taps = letters(TAP, layer.geom)
    return tuple(map(turned, taps)) if is_flipped(layer) else tuple(taps)


def turned(tap: str) -> str:
    """How a tap is spelled as an index of the kernel turned by 180 degrees."""
    return f"{tap.upper()}-1-{tap}"


def place_letters(op: str, geom: ConvGeometry) -> str:
    """The letters of the positions that a sum runs over."""
    return letters(TAP if op in BY_TAP else OUTPUT, geom)


def entry(name: str, index: Sequence[Any]) -> str:
    """An entry as it is written in formulas."""
    return f"{name}[{','.join(map(str, index))}]"


def map_of(name: str, n: int, f: int, c: int | None, geom: ConvGeometry) -> Shape:
    """The first two indices of x, w or dy."""
    if name == "dy":
        return n, f
    if name == "w":
        return f, c or 0
    return n, f // (geom.F // geom.groups) * geom.w_shape[1] + (c or 0)


def rotated(tap: Shape, geom: ConvGeometry) -> Shape:
    """Where a tap stands in the kernel turned by 180 degrees: K - 1 - k."""
    return tuple(extent - 1 - k for k, extent in zip(tap, geom.kernel, strict=True))


def is_flipped(layer: Submission) -> bool:
    """Whether the layer is a true convolution, whose taps k stand in w at K - 1 - k."""
    return layer.mode == MODES[1]


def in_kernel(tap: Shape, layer: Submission) -> Shape:
    """Where a tap stands in w, or the other way round."""
    return rotated(tap, layer.geom) if is_flipped(layer) else tap
