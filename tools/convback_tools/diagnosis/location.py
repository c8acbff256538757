"""Where the wrong entries of a result stand, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convback import ConvGeometry
from convback.contract import Array

FEW = 4  # indices that are listed one by one


def location(op: str, wrong: Array, geom: ConvGeometry) -> str:
    """A description such as "only in rows 8 to 9, the last 2 of 10"; `wrong` marks the entries."""
    if not wrong.any():
        return ""
    total = f"{wrong.sum()} of {wrong.size} entries are wrong"
    if wrong.all():
        return f"all {wrong.size} entries are wrong"
    places = [
        text for axis, name in enumerate(_names(op, wrong.ndim)) if (text := _on_axis(wrong, axis, name, geom, op))
    ]
    if op != "db" and not places and (ring := _ring(wrong)):
        places = [ring]
    return f"{total}, {'; '.join(places)}" if places else total


def _names(op: str, rank: int) -> Sequence[str]:
    first = {
        "y": ("images", "filters"),
        "dx": ("images", "channels"),
        "dw": ("filters", "channels"),
        "db": ("filters",),
    }
    spatial = ("planes", "rows", "columns")[5 - rank :] if rank > 2 else ()
    return (*first[op], *spatial)[:rank]


def _on_axis(wrong: Array, axis: int, name: str, geom: ConvGeometry, op: str) -> str:
    """Which indices of an axis hold errors, if not all do."""
    others = tuple(a for a in range(wrong.ndim) if a != axis)
    hit = np.flatnonzero(wrong.any(axis=others))
    extent = wrong.shape[axis]
    if len(hit) == extent:
        return ""
    first, last = int(hit[0]), int(hit[-1])
    if last - first + 1 == len(hit):
        where = f"only in {name} {first}" + (f" to {last}" if last > first else "")
        if last == extent - 1:
            where += f", the last of {extent}" if first == last else f", the last {len(hit)} of {extent}"
        return where
    stride = geom.stride[axis - 2] if axis >= 2 and op == "dx" else 1
    for step in (stride, 2) if axis >= 2 else (2,):
        if step > 1 and len(set(hit % step)) == 1:
            return f"only in {name} {first}, {first + step}, ...: one in {step}"
    if len(hit) <= FEW:
        return f"only in {name} {', '.join(map(str, hit))}"
    return f"in {len(hit)} of {extent} {name}"


def _ring(wrong: Array) -> str:
    """How wide the border is that holds all errors, if there is one."""
    extents = wrong.shape[2:]
    for width in range(1, (min(extents, default=0) + 1) // 2):
        inside: Any = (..., *(slice(width, extent - width) for extent in extents))
        if not wrong[inside].any():
            return f"only in the border, {width} wide"
    return ""
