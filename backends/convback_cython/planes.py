"""Plans y and dx of depthwise layers whose rows are read without a step: plane by plane, with vectors along the rows.

The passes are those of axes.py. Taps of the second axis, where they are few and evenly spaced, *roll*: what
neighbouring output rows have in common is loaded once. All others are *points*, each with its place in the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product

from convback import ConvGeometry
from convback_cython.axes import Axis, axis_of, phases
from convback_cython.planning import Indices, Triple, Window, block, in_lines, indices, triple


@dataclass(frozen=True)
class Planes:
    """What `_kernels.Planes` reads: one pass over every plane. Offsets in memory count numbers, not bytes."""

    window: Window
    N: int
    channels: int
    taps: int  # of a filter
    macs: int
    rolled: int  # taps that roll; 1 means none
    spacing: int  # rows between these
    block: tuple[int, int, int, int]
    count: Triple
    step: Triple
    origin: Triple
    out_plane: int
    out_first: int
    out_step: Triple
    point_at: Indices  # place in the window
    point_weight: Indices  # [point, rolled]: tap of the filter
    itemsize: int

    @property
    def outputs(self) -> int:
        """How many it writes."""
        return self.N * self.channels * math.prod(self.count)

    @property
    def own(self) -> int:
        """Numbers of scratch memory of a thread."""
        return in_lines(self.window.numbers(1) + len(self.point_weight))

    def scratch_bytes(self, threads: int) -> int:
        return threads * self.own * self.itemsize


def suitable(geom: ConvGeometry) -> bool:
    """Whether planes do better than lanes: one filter a channel, no step along the rows, and rows that roll."""
    return geom.groups == geom.C == geom.F and geom.rank > 1 and geom.stride[-1] == 1 and geom.kernel[-2] > 1


def passes(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int, most_rolled: int) -> list[Planes]:
    """The passes that compute y or dx; outputs that none of them writes are zero."""
    geom = geom.as3d()
    out = triple(geom.y_spatial if op == "y" else geom.x_spatial)
    blocks = (1, 1, 1) if op == "y" else geom.stride
    axes = [
        [axis_of(op, geom, a, blocks[a], range(p, p + 1)) for p in phases(geom, a, blocks[a], out[a])] for a in range(3)
    ]
    return [_planned(op, geom, d, h, w, itemsize, vector_bytes, most_rolled) for d, h, w in product(*axes)]


def _planned(
    op: str,
    geom: ConvGeometry,
    depth: Axis,
    height: Axis,
    width: Axis,
    itemsize: int,
    vector_bytes: int,
    most_rolled: int,
) -> Planes:
    axes = (depth, height, width)
    out, source = triple(geom.y_spatial), triple(geom.x_spatial)
    if op == "dx":
        out, source = source, out
    rolled, spacing = rolling(height, most_rolled)
    origin = triple(axis.offsets[0] for axis in axes)
    reach = triple(axis.offsets[-1] - axis.offsets[0] + 1 for axis in axes)
    step, count = triple(axis.step for axis in axes), triple(axis.counts[0] for axis in axes)
    vector = vector_bytes // itemsize

    def size(count: Triple) -> Triple:
        wide = (count[0], count[1], max(count[2], vector))
        return triple((n - 1) * s + r for n, s, r in zip(wide, step, reach, strict=True))

    blocks = block(1, count, reach, lambda count: math.prod(size(count)) * itemsize, own=True)
    window = Window(
        extent=source, size=size(blocks[1:]), channels=geom.C, groups=geom.groups, depth=1, lanes=1, units=1,
        copied=True,
    )  # fmt: skip
    rows = range(len(height.offsets))
    turns = [rows] if rolled > 1 else [range(k, k + 1) for k in rows]  # taps that a point has in turn
    at, weight = [], []
    for m, turn, l in product(range(len(depth.offsets)), turns, range(len(width.offsets))):
        places = (depth.offsets[m], height.offsets[turn[0]], width.offsets[l])
        q, r, s = (place - start for place, start in zip(places, origin, strict=True))
        at.append((q * window.size[1] + r) * window.size[2] + s)
        taps = ((depth.taps[0][m], height.taps[0][k], width.taps[0][l]) for k in turn)
        weight += [(m * geom.kernel[1] + k) * geom.kernel[2] + l for m, k, l in taps]
    return Planes(
        window=window, N=geom.N, channels=geom.C, taps=math.prod(geom.kernel), macs=geom.macs, rolled=rolled,
        spacing=spacing, block=blocks, count=count, step=step, origin=origin, out_plane=math.prod(out),
        out_first=(depth.phases[0] * out[1] + height.phases[0]) * out[2] + width.phases[0],
        out_step=(depth.block * out[1] * out[2], height.block * out[2], 1),
        point_at=indices(at), point_weight=indices(weight), itemsize=itemsize,
    )  # fmt: skip


def rolling(height: Axis, most: int) -> tuple[int, int]:
    """How many taps roll, and the rows between them; one where they cannot."""
    spacing = {b - a for a, b in pairwise(height.offsets)}
    if len(spacing) == 1 and height.step == 1 and len(height.offsets) <= most:
        return len(height.offsets), spacing.pop()
    return 1, 1
