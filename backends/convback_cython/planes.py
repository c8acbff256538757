"""Plans y and dx of depthwise layers whose rows are read without a step: plane by plane, with vectors along the rows.

The passes are those of gather.py. Taps of the second axis, where they are few and evenly spaced, *roll*: what
neighbouring output rows have in common is loaded once. All others are *points*, each with its place in the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product

from convback import ConvGeometry
from convback_cython.gather import Axis, axis_of, phases
from convback_cython.planning import Indices, Triple, Window, block, indices, triple

MOST_ROLLED = 7
MOST_COLUMNS = 2


@dataclass(frozen=True)
class Planes:
    """What `_kernels.Planes` reads: one pass over every plane. Offsets in memory count numbers, not bytes."""

    window: Window
    N: int
    channels: int
    taps: int  # of a filter
    rolled: int  # taps that roll; 1 means none
    spacing: int  # rows between these
    columns: int  # phases of the last axis
    vecs: int
    block: tuple[int, int, int, int]
    count: Triple
    step: Triple
    origin: Triple
    out: Triple
    out_first: int
    out_step: Triple
    point_at: Indices  # place in the window
    point_first: Indices  # [column]: its first point; and the number of points
    point_weight: Indices  # [point, rolled]: tap of the filter
    itemsize: int

    @property
    def outputs(self) -> int:
        """How many it writes."""
        return self.N * self.channels * self.count[0] * self.count[1] * self.out[2]

    def scratch_bytes(self, threads: int) -> int:
        return threads * (self.window.numbers(1) + len(self.point_weight)) * self.itemsize


def suitable(op: str, geom: ConvGeometry) -> bool:
    """Whether planes do better than lanes: one filter a channel, no step along the rows, and rows that roll."""
    if not geom.groups == geom.C == geom.F or geom.rank == 1:
        return False
    stride = geom.stride[-1]
    return (stride == 1 or (op == "dx" and stride <= MOST_COLUMNS)) and geom.kernel[-2] > 1


def passes(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int) -> list[Planes]:
    """The passes that compute y or dx; outputs that none of them writes are zero."""
    geom = geom.as3d()
    out = triple(geom.y_spatial if op == "y" else geom.x_spatial)
    blocks = (1, 1, 1) if op == "y" else geom.stride
    outer = [
        [axis_of(op, geom, a, blocks[a], range(p, p + 1)) for p in phases(geom, a, blocks[a], out[a])] for a in range(2)
    ]
    columns = [axis_of(op, geom, 2, blocks[2], range(p, p + 1)) for p in range(blocks[2])]
    if not any(column.offsets for column in columns):
        return []
    return [_planned(op, geom, depth, height, columns, itemsize, vector_bytes) for depth, height in product(*outer)]


def _planned(
    op: str, geom: ConvGeometry, depth: Axis, height: Axis, columns: list[Axis], itemsize: int, vector_bytes: int
) -> Planes:
    out, source = triple(geom.y_spatial), triple(geom.x_spatial)
    if op == "dx":
        out, source = source, out
    rolled, spacing = rolling(height)
    offsets = (depth.offsets, height.offsets, sorted({o for column in columns for o in column.offsets}))
    origin = triple(found[0] for found in offsets)
    reach = triple(found[-1] - found[0] + 1 for found in offsets)
    step = (depth.step, height.step, 1)
    count = (depth.counts[0], height.counts[0], max(column.counts[0] for column in columns))
    vector = vector_bytes // itemsize
    vecs = 2 if len(columns) == 1 and count[2] > vector else 1

    def size(count: Triple) -> Triple:
        wide = (count[0], count[1], max(count[2], vecs * vector))
        return triple((n - 1) * s + r for n, s, r in zip(wide, step, reach, strict=True))

    blocks = block(1, count, reach, lambda count: math.prod(size(count)) * itemsize, own=True)
    window = Window(
        extent=source, size=size(blocks[1:]), channels=geom.C, groups=geom.groups, depth=1, lanes=1, units=1,
        copied=True,
    )  # fmt: skip
    rows = range(len(height.offsets))
    turns = [rows] if rolled > 1 else [range(k, k + 1) for k in rows]  # what a point does one after another
    at, weight, first = [], [], [0]
    for column in columns:
        for m, turn, l in product(range(len(depth.offsets)), turns, range(len(column.offsets))):
            places = (depth.offsets[m], height.offsets[turn[0]], column.offsets[l])
            q, r, s = (place - start for place, start in zip(places, origin, strict=True))
            at.append((q * window.size[1] + r) * window.size[2] + s)
            weight += [
                (depth.taps[0][m] * geom.kernel[1] + height.taps[0][k]) * geom.kernel[2] + column.taps[0][l]
                for k in turn
            ]
        first.append(len(at))
    return Planes(
        window=window, N=geom.N, channels=geom.C, taps=math.prod(geom.kernel), rolled=rolled, spacing=spacing,
        columns=len(columns), vecs=vecs, block=blocks, count=count, step=step, origin=origin, out=out,
        out_first=(depth.phases[0] * out[1] + height.phases[0]) * out[2],
        out_step=(depth.block * out[1] * out[2], height.block * out[2], 1),
        point_at=indices(at), point_first=indices(first), point_weight=indices(weight), itemsize=itemsize,
    )  # fmt: skip


def rolling(height: Axis) -> tuple[int, int]:
    """How many taps roll, and the rows between them; one where they cannot."""
    spacing = {b - a for a, b in pairwise(height.offsets)}
    if len(spacing) == 1 and height.step == 1 and len(height.offsets) <= MOST_ROLLED:
        return len(height.offsets), spacing.pop()
    return 1, 1
