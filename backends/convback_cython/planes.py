"""Plans y and dx of depthwise layers plane by plane, with vectors along the rows.

A position is a *cell* of outputs: one output of y, and of dx one of each phase (axes.py). Phases of the last axis are
columns: their vectors are interleaved as they are written. Those of the other axes are done one after another, on one
copy of the inputs.

Taps of the second axis, where they are few and evenly spaced, *roll*: what neighbouring output rows have in common is
loaded once. All others are *points*, each with its place in the window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

from convback import ConvGeometry
from convback_cython.axes import Axis, axis_of, phases
from convback_cython.planning import Indices, Triple, Window, block, in_lines, indices, triple

# Vectors that can be interleaved.
INTERLEAVED = 2
# Vectors of the longest strip; a row that is no longer than it is copied with room for whole vectors.
STRIP_VECS = 8
# Without taps that roll, rows are to fill so many vectors at least.
WIDE_ROW = 4


@dataclass(frozen=True)
class Planes:
    """What `_kernels.Planes` reads: one pass over every plane. Offsets in memory count numbers, not bytes."""

    window: Window
    N: int
    channels: int
    taps: int  # of a filter
    macs: int
    columns: int
    block: tuple[int, int, int, int]
    count: Triple
    step: Triple
    origin: Triple
    out: Triple
    out_step: Triple  # between cells
    phase_rolled: Indices  # taps that roll; 1 means none
    phase_spacing: Indices  # rows between these
    phase_out: Indices  # of the first output in a cell
    phase_count: Indices  # [phase, axis], of the first two axes
    phase_weight: Indices  # where its weights begin
    column_point: Indices  # [phase, column]: its first point; and the number of points
    point_at: Indices  # place in the window
    point_weight: Indices  # [point, rolled]: tap of the filter
    itemsize: int

    @property
    def outputs(self) -> int:
        """How many it writes."""
        rows = int(self.phase_count.reshape(-1, 2).prod(axis=1).sum())
        return self.N * self.channels * rows * self.out[2]

    @property
    def own(self) -> int:
        """Numbers of scratch memory of a thread."""
        return in_lines(self.window.numbers(1) + len(self.point_weight))

    def scratch_bytes(self, threads: int) -> int:
        return threads * self.own * self.itemsize


def suitable(op: str, geom: ConvGeometry, vector: int) -> bool:
    """Whether planes do better than lanes: one filter a channel, rows without gaps, and taps that roll or long rows."""
    step, row = geom.stride[-1], (geom.y_shape if op == "y" else geom.x_shape)[-1]
    whole_rows = step == 1 or (op == "dx" and step <= INTERLEAVED)
    rolls = geom.rank > 1 and geom.kernel[-2] > 1
    return geom.groups == geom.C == geom.F and whole_rows and (rolls or (step == 1 and row >= WIDE_ROW * vector))


def passes(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int, most_rolled: int) -> list[Planes]:
    """The pass that computes y or dx, if there are any taps; outputs that it does not write are zero."""
    geom = geom.as3d()
    out = triple(geom.y_spatial if op == "y" else geom.x_spatial)
    cell = (1, 1, 1) if op == "y" else triple(geom.stride)
    depths, heights = (
        [axis_of(op, geom, a, cell[a], range(p, p + 1)) for p in phases(geom, a, cell[a], out[a])] for a in range(2)
    )
    columns = [axis_of(op, geom, 2, cell[2], range(p, p + 1)) for p in range(cell[2])]
    if not (depths and heights and any(column.offsets for column in columns)):
        return []
    return [_planned(op, geom, depths, heights, columns, itemsize, vector_bytes // itemsize, most_rolled)]


def _planned(
    op: str,
    geom: ConvGeometry,
    depths: list[Axis],
    heights: list[Axis],
    columns: list[Axis],
    itemsize: int,
    vector: int,
    most_rolled: int,
) -> Planes:
    axes = (depths, heights, columns)
    out, source = triple(geom.y_spatial), triple(geom.x_spatial)
    if op == "dx":
        out, source = source, out
    offsets = [sorted(set().union(*(axis.offsets for axis in phases))) for phases in axes]
    origin, reach = triple(o[0] for o in offsets), triple(o[-1] - o[0] + 1 for o in offsets)
    count = triple(max(axis.counts[0] for axis in phases) for phases in axes)
    step, cell = triple(phases[0].step for phases in axes), triple(phases[0].block for phases in axes)
    longest = STRIP_VECS * vector if len(columns) == 1 else vector

    def size(count: Triple) -> Triple:
        wide = (count[0], count[1], -(-count[2] // vector) * vector if count[2] < longest else count[2])
        return triple((n - 1) * s + r for n, s, r in zip(wide, step, reach, strict=True))

    blocks = block(1, count, reach, lambda count: math.prod(size(count)) * itemsize, own=True)
    window = Window(
        extent=source, size=size(blocks[1:]), channels=geom.C, groups=geom.groups, depth=1, lanes=1, units=1,
        copied=True,
    )  # fmt: skip
    rolls, outs, counts, weights_from, points_from = [], [], [], [], [0]
    at: list[int] = []
    weight: list[int] = []
    for depth, height in product(depths, heights):
        rolls.append(rolling(height, most_rolled))
        outs.append((depth.phases[0] * out[1] + height.phases[0]) * out[2])
        counts.append((depth.counts[0], height.counts[0]))
        weights_from.append(len(weight))
        for width in columns:
            for place, taps in _points(depth, height, width, rolls[-1][0] > 1):
                q, r, s = (position - start for position, start in zip(place, origin, strict=True))
                at.append((q * window.size[1] + r) * window.size[2] + s)
                weight += [(m * geom.kernel[1] + k) * geom.kernel[2] + l for m, k, l in taps]
            points_from.append(len(at))
    return Planes(
        window=window, N=geom.N, channels=geom.C, taps=math.prod(geom.kernel), macs=geom.macs, columns=len(columns),
        block=blocks, count=count, step=step, origin=origin, out=out,
        out_step=(cell[0] * out[1] * out[2], cell[1] * out[2], cell[2]),
        phase_rolled=indices([taps for taps, _ in rolls]), phase_spacing=indices([rows for _, rows in rolls]),
        phase_out=indices(outs), phase_count=indices(counts).ravel(), phase_weight=indices(weights_from),
        column_point=indices(points_from), point_at=indices(at), point_weight=indices(weight), itemsize=itemsize,
    )  # fmt: skip


def _points(depth: Axis, height: Axis, width: Axis, rolls: bool) -> Iterator[tuple[Triple, list[Triple]]]:
    """Where each point of one phase reads at position 0, and its taps, of which those that roll come in turn."""
    rows = range(len(height.offsets))
    turns = [rows] if rolls else [range(k, k + 1) for k in rows]
    for m, turn, l in product(range(len(depth.offsets)), turns, range(len(width.offsets))):
        place = (depth.offsets[m], height.offsets[turn[0]], width.offsets[l])
        yield place, [(depth.taps[0][m], height.taps[0][k], width.taps[0][l]) for k in turn]


def rolling(height: Axis, most: int) -> tuple[int, int]:
    """How many taps roll, and the rows between them; one where they cannot."""
    spacing = {b - a for a, b in pairwise(height.offsets)}
    if len(spacing) == 1 and height.step == 1 and len(height.offsets) <= most:
        return len(height.offsets), spacing.pop()
    return 1, 1
