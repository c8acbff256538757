"""Plans y and dx plane by plane, with vectors along the rows: depthwise layers, small groups, few channels.

A position is a *cell* of outputs: one output of y, and of dx one of each phase (axes.py). Phases are done one after
another, on one copy of the inputs; but in depthwise layers those of the last axis are *columns*: their vectors are
interleaved as they are written.

Taps of the second axis that are evenly spaced *roll*, some in a *turn*: what neighbouring output rows have in common is
loaded once. All other taps, and the channels that are summed, are *points*, each with its place in the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product

from convback import ConvGeometry
from convback_cython.axes import Axis, axis_of, phases
from convback_cython.planning import PARALLEL_MACS, Indices, Triple, Window, block, in_lines, indices, triple

# Vectors that can be interleaved.
INTERLEAVED = 2
# Vectors of the longest strip; a row that is no longer than it is copied with room for whole vectors.
STRIP_VECS = 8
# A strip of many planes reads what is near in memory, as their rows take about so many vectors in a block.
ROW_VECS = 128
# Parts that one image is divided into, where nothing else can be shared out.
PARTS = 8
TURN_BYTES = 48  # as in microkernel.h


@dataclass(frozen=True)
class Planes:
    """What `_kernels.Planes` reads: one pass over every plane. Offsets in memory count numbers, not bytes."""

    window: Window
    N: int
    groups: int
    channels: int  # of the result, in a group
    weight_channel: int  # between the weights of two of these
    weight_group: int
    weights: int  # in all
    macs: int
    columns: int  # phases of the last axis that are interleaved
    block: tuple[int, int, int, int]
    count: Triple
    step: Triple
    origin: Triple
    out: Triple
    out_step: Triple  # between cells
    phase_rolled: Indices  # output rows that roll; 1 means none
    phase_spacing: Indices  # rows between these
    phase_out: Indices  # of the first output in a cell
    phase_count: Indices  # [phase, axis]
    column_turn: Indices  # [phase, column]: its first turn; and the number of turns
    turn_point: Indices  # [turn]: its first point; and the number of points
    turn_taps: Indices
    turn_row: Indices  # the row of the window where position 0 has the first of its taps
    turn_weight: Indices  # where its weights begin
    point_at: Indices  # place in the window
    point_weight: Indices  # [point, tap of the turn]: place in the weights of one channel of the result
    itemsize: int

    @property
    def outputs(self) -> int:
        """How many it writes."""
        counts = self.phase_count.reshape(-1, 3).copy()
        if self.columns > 1:
            counts[:, 2] = self.out[2]
        return self.N * self.groups * self.channels * int(counts.prod(axis=1).sum())

    @property
    def own_turns(self) -> int:
        """Numbers of scratch memory for the turns of a thread, which begin it."""
        return in_lines(len(self.turn_taps) * TURN_BYTES // self.itemsize)

    @property
    def own(self) -> int:
        """Numbers of scratch memory of a thread."""
        return self.own_turns + in_lines(self.window.numbers(1) + len(self.point_weight))

    def scratch_bytes(self, threads: int) -> int:
        return threads * self.own * self.itemsize


def passes(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int, most_rolled: int) -> list[Planes]:
    """The pass that computes y or dx, if there are any taps; outputs that it does not write are zero."""
    geom = geom.as3d()
    out = triple(geom.y_spatial if op == "y" else geom.x_spatial)
    cell = (1, 1, 1) if op == "y" else triple(geom.stride)
    depths, heights, widths = (
        [axis_of(op, geom, a, cell[a], p) for p in phases(geom, a, cell[a], out[a])] for a in range(3)
    )
    if not (depths and heights and widths):
        return []
    columns = [[width] for width in widths]
    rolls = all(rolling(height, most_rolled)[0] == len(height.offsets) for height in heights)
    if geom.groups == geom.C == geom.F and cell[2] == len(widths) == INTERLEAVED and rolls:
        columns = [widths]
    return [_Planner(op, geom, depths, heights, columns, itemsize, vector_bytes // itemsize, most_rolled).plan()]


class _Planner:
    """Fills in a pass; `columns` are the phases of the last axis, those together that are interleaved."""

    def __init__(
        self, op: str, geom: ConvGeometry, depths: list[Axis], heights: list[Axis], columns: list[list[Axis]],
        itemsize: int, vector: int, most_rolled: int,
    ):  # fmt: skip
        self.geom, self.itemsize, self.vector, self.most_rolled = geom, itemsize, vector, most_rolled
        self.depths, self.heights, self.columns = depths, heights, columns
        axes = (depths, heights, [width for together in columns for width in together])
        C, F, kernel = geom.C // geom.groups, geom.F // geom.groups, math.prod(geom.kernel)
        self.out, self.source = triple(geom.y_spatial), triple(geom.x_spatial)
        self.summed, self.weight_summed, self.channels, self.weight_channel = C, kernel, F, C * kernel
        if op == "dx":
            self.out, self.source = self.source, self.out
            self.summed, self.weight_summed, self.channels, self.weight_channel = F, C * kernel, C, kernel
        offsets = [sorted(set().union(*(axis.offsets for axis in phases))) for phases in axes]
        self.origin, self.reach = triple(o[0] for o in offsets), triple(o[-1] - o[0] + 1 for o in offsets)
        self.count = triple(max(axis.count for axis in phases) for phases in axes)
        self.step, self.cell = triple(p[0].step for p in axes), triple(p[0].block for p in axes)
        self.taps: list[int] = []  # of each turn, and so on as in `Planes`
        self.rows: list[int] = []
        self.weights_from: list[int] = []
        self.points = [0]
        self.at: list[int] = []
        self.weights: list[int] = []

    def plan(self) -> Planes:
        geom, out, cell = self.geom, self.out, self.cell
        blocks = self.blocks()
        size = self.window(triple(blocks[1:]))
        window = Window(
            extent=self.source, size=size, channels=geom.groups * self.summed, groups=geom.groups, depth=self.summed,
            lanes=1, units=self.summed, copied=True,
        )  # fmt: skip
        rolled, spacing, outs, counts, columns = [], [], [], [], [0]
        for depth, height, together in product(self.depths, self.heights, self.columns):
            rows, apart = rolling(height, self.most_rolled)
            rolled.append(rows)
            spacing.append(apart)
            outs.append((depth.phase * out[1] + height.phase) * out[2] + together[0].phase)
            counts.append((depth.count, height.count, together[0].count))
            for width in together:
                for first in range(0, len(height.offsets), rows):
                    self.add_turn(depth, height, width, range(first, min(first + rows, len(height.offsets))), size)
                columns.append(len(self.taps))
        return Planes(
            window=window, N=geom.N, groups=geom.groups, channels=self.channels, weight_channel=self.weight_channel,
            weight_group=self.summed * self.channels * math.prod(geom.kernel), weights=math.prod(geom.w_shape),
            macs=geom.macs, columns=len(self.columns[0]), block=blocks, count=self.count, step=self.step,
            origin=self.origin, out=out, out_step=(cell[0] * out[1] * out[2], cell[1] * out[2], cell[2]),
            phase_rolled=indices(rolled), phase_spacing=indices(spacing), phase_out=indices(outs),
            phase_count=indices(counts).ravel(), column_turn=indices(columns), turn_point=indices(self.points),
            turn_taps=indices(self.taps), turn_row=indices(self.rows), turn_weight=indices(self.weights_from),
            point_at=indices(self.at), point_weight=indices(self.weights), itemsize=self.itemsize,
        )  # fmt: skip

    def add_turn(self, depth: Axis, height: Axis, width: Axis, turn: range, size: Triple) -> None:
        """Taps of the second axis that roll together, and their points in a window of that size."""
        row = height.offsets[turn[0]] - self.origin[1]
        self.taps.append(len(turn))
        self.rows.append(row)
        self.weights_from.append(len(self.weights))
        for ci, m, l in product(range(self.summed), range(len(depth.offsets)), range(len(width.offsets))):
            q, s = depth.offsets[m] - self.origin[0], width.offsets[l] - self.origin[2]
            self.at.append(((q * size[1] + row) * self.summed + ci) * size[2] + s)
            self.weights += [self.weight(ci, depth.taps[m], height.taps[k], width.taps[l]) for k in turn]
        self.points.append(len(self.at))

    def weight(self, ci: int, m: int, k: int, l: int) -> int:
        """The place of a tap in the weights of one channel of the result."""
        return ci * self.weight_summed + (m * self.geom.kernel[1] + k) * self.geom.kernel[2] + l

    def window(self, count: Triple) -> Triple:
        """What the windows of so many positions span; short rows have room for whole vectors."""
        longest = self.vector * STRIP_VECS // len(self.columns[0])
        width = -(-count[2] // self.vector) * self.vector if count[2] < longest else count[2]
        spans = zip((*count[:2], width), self.step, self.reach, strict=True)
        return triple((n - 1) * step + reach for n, step, reach in spans)

    def blocks(self) -> tuple[int, int, int, int]:
        depth, height, width = self.count
        width = min(width, max(STRIP_VECS // 2, ROW_VECS // self.summed) * self.vector)
        parts = PARTS // (self.geom.N * self.geom.groups * self.channels)
        if self.geom.macs >= PARALLEL_MACS and parts > 1:
            height = min(height, max(-(-height // parts), self.reach[1]))
        # Half of what a thread has of the second-level cache is left to what it reads and writes besides.
        return block(
            1, (depth, height, width), self.reach,
            lambda count: 2 * self.summed * math.prod(self.window(count)) * self.itemsize, own=True,
        )  # fmt: skip


def rolling(height: Axis, most: int) -> tuple[int, int]:
    """How many output rows roll, and the rows between them; one where they cannot."""
    spacing = {b - a for a, b in pairwise(height.offsets)}
    if len(spacing) != 1 or height.step != 1 or height.count == 1:
        return 1, 1
    return rolled_rows(len(height.offsets), most), spacing.pop()


def rolled_rows(taps: int, most: int) -> int:
    """How many rows roll, so that as few turns as can be take all taps; and of these the fewest."""
    return min(range(1, most + 1), key=lambda rows: (-(-taps // rows), rows))
