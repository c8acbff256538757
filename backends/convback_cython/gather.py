"""Plans y and dx in gather form: every output is a sum over taps, and nothing is scattered.

axes.py explains passes, phases and columns.

Slots are packed in *panels* of one or two vectors. With `lanes`, a slot is a group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from convback import ConvGeometry
from convback_cython.axes import MOST_COLUMNS, Axis, axis_of, phases
from convback_cython.planning import (
    PARALLEL_MACS,
    Indices,
    Triple,
    Window,
    block,
    chunk,
    flattened,
    in_lines,
    indices,
    panels,
    triple,
)

# With fewer that are summed, copies have rows and not channels as neighbours, and taps may be summed first.
FEW_CHANNELS = 8


@dataclass(frozen=True)
class Pass:
    """What `_kernels.Gather` reads: one pass over every image. Offsets in memory count numbers, not bytes."""

    window: Window
    N: int
    taps: int
    columns: int  # phases of the last axis
    panels: int
    chunk: int  # panels that are packed at once
    slots: int  # of a panel
    block: tuple[int, int, int, int]  # images and positions
    weight_depth: int  # between neighbouring ci
    weights: int  # in all
    kernel: int  # taps of a filter
    macs: int
    image: int  # of the output
    skips: bool  # whether it pays to look for taps that read padding only
    count: Triple
    step: Triple
    origin: Triple  # what position 0 reads at the first offset
    out_step: Triple
    out: Triple
    set_tap: Indices  # [column]: its first tap; and the number of taps
    set_inner: Indices  # [column]: taps along the last axis that are summed innermost; 1: the channels are
    set_step: Indices  # [column]: between these
    set_length: Indices  # [column]: products of a segment: a row of taps, or the channels of one or more
    tap_at: Indices  # [tap, axis], from the first offset
    tap_weight: Indices  # [tap]: in a filter
    panel_vecs: Indices
    panel_group: Indices
    slot_out: Indices  # [panel, slot], -1 for an empty slot
    slot_weight: Indices
    itemsize: int

    @property
    def outputs(self) -> int:
        """How many it writes."""
        depth, height, width = self.count
        return self.N * int((self.slot_out >= 0).sum()) * depth * height * (self.out[2] if self.columns > 1 else width)

    @property
    def terms(self) -> int:
        return self.taps * self.window.depth

    def scratch_bytes(self, threads: int) -> int:
        packed = self.chunk * self.terms * self.slots
        copies = in_lines(self.window.numbers(self.block[0])) * threads
        return (packed + copies) * self.itemsize + (1 + threads) * in_lines(self.terms) * 16


def passes(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int, lanes: bool) -> list[Pass]:
    """The passes that compute y or dx; outputs that none of them writes are zero."""
    geom = flattened(geom)
    vector = vector_bytes // itemsize
    blocks = (1, 1, 1) if op == "y" else geom.stride
    out = geom.y_spatial if op == "y" else geom.x_spatial
    single = [[axis_of(op, geom, a, blocks[a], p) for p in phases(geom, a, blocks[a], out[a])] for a in range(3)]
    columns = [[axis] for axis in single[2]]
    if 1 < blocks[2] <= MOST_COLUMNS and single[2]:
        columns = [[axis_of(op, geom, 2, blocks[2], p) for p in range(blocks[2])]]
    return [_Planner(op, geom, axes, itemsize, vector, lanes).plan() for axes in product(single[0], single[1], columns)]


class _Planner:
    """Fills in one pass; `axes` are the first, the second, and each column of the last."""

    def __init__(
        self, op: str, geom: ConvGeometry, axes: tuple[Axis, Axis, list[Axis]], itemsize: int, vector: int, lanes: bool
    ):
        self.op, self.geom, self.itemsize, self.vector, self.lanes = op, geom, itemsize, vector, lanes
        self.C, self.F = geom.C // geom.groups, geom.F // geom.groups
        self.depth, self.channels = (self.C, self.F) if op == "y" else (self.F, self.C)
        self.source, self.out = triple(geom.x_spatial), triple(geom.y_spatial)
        if op == "dx":
            self.source, self.out = self.out, self.source
        *self.outer, self.columns = axes
        self.sets = [(*self.outer, column) for column in self.columns]
        self.set_taps = [math.prod(len(axis.offsets) for axis in axes) for axes in self.sets]
        self.offsets = [axis.offsets for axis in self.outer]
        self.offsets.append(tuple(sorted(set().union(*(column.offsets for column in self.columns)))))
        self.axes = (*self.outer, self.columns[0])
        self.counts = triple(axis.count for axis in self.axes)
        self.origin = triple(offsets[0] for offsets in self.offsets)

    def plan(self) -> Pass:
        slots = self.slots()
        inner = [self.innermost(column) for column in self.columns]
        window, block = self.window()
        skips = self.geom.macs >= PARALLEL_MACS and self.useful() < 0.95
        whole = window.pixel == self.depth and not skips  # the channels of neighbouring taps are then one run
        vectors, taps = 2 * self.vector, sum(self.set_taps)
        geom = self.geom
        taps_in_w = math.prod(geom.kernel)
        steps = (self.out[1] * self.out[2], self.out[2], 1)
        at = [at for axes in self.sets for at in product(*(axis.offsets for axis in axes))]
        return Pass(
            window=window, N=geom.N, taps=taps, columns=len(self.columns), panels=len(slots["vecs"]),
            chunk=chunk(len(slots["vecs"]), taps * self.depth * vectors * self.itemsize), slots=vectors, block=block,
            weights=math.prod(geom.w_shape), kernel=taps_in_w, macs=geom.macs,
            weight_depth=taps_in_w if self.op == "y" else taps_in_w * self.C,
            image=(geom.F if self.op == "y" else geom.C) * math.prod(self.out),
            skips=skips,
            count=self.counts, step=triple(axis.step for axis in self.axes), origin=self.origin,
            out_step=triple(axis.block * step for axis, step in zip(self.axes, steps, strict=True)), out=self.out,
            set_tap=indices(np.cumsum([0, *self.set_taps])),
            set_inner=indices([taps for taps, _ in inner]), set_step=indices([step for _, step in inner]),
            set_length=indices([
                taps if taps > 1 else self.depth * (column.neighbours if whole else 1)
                for (taps, _), column in zip(inner, self.columns, strict=True)
            ]),
            tap_at=indices([[o - first for o, first in zip(tap, self.origin, strict=True)] for tap in at]).ravel(),
            tap_weight=indices(self.tap_weights()),
            panel_vecs=indices(slots["vecs"]), panel_group=indices(slots["group"]),
            slot_out=indices(slots["out"]), slot_weight=indices(slots["weight"]), itemsize=self.itemsize,
        )  # fmt: skip

    def tap_weights(self) -> list[int]:
        """For each tap of a pass its index in the weights of one filter and channel."""
        kernel = self.geom.kernel
        sets = (product(*(axis.taps for axis in axes)) for axes in self.sets)
        return [(m * kernel[1] + k) * kernel[2] + l for taps in sets for m, k, l in taps]

    def slots(self) -> dict[str, list[Any]]:
        """Panels and their slots, in order; each list is as long as there are panels, or panels * slots."""
        found: dict[str, list[Any]] = {"vecs": [], "group": [], "out": [], "weight": []}
        geom, V = self.geom, self.vector
        for unit, group in enumerate(range(0, geom.groups, V if self.lanes else 1)):
            contents = [
                (group + lane, channel) for channel in range(self.channels) for lane in range(V if self.lanes else 1)
            ]
            for first, vecs in panels(len(contents), V):
                found["vecs"].append(vecs)
                found["group"].append(unit)
                for slot in range(first, first + 2 * V):
                    self.add_slot(found, *(contents[slot] if slot < len(contents) else (geom.groups, 0)))
        return found

    def add_slot(self, found: dict[str, list[Any]], group: int, channel: int) -> None:
        empty = group >= self.geom.groups
        at = [axis.phase for axis in self.axes]
        out = (group * self.channels + channel) * math.prod(self.out)
        out += (at[0] * self.out[1] + at[1]) * self.out[2] + at[2]
        filters = group * self.F + (channel if self.op == "y" else 0)
        weight = (filters * self.C + (0 if self.op == "y" else channel)) * math.prod(self.geom.kernel)
        found["out"].append(-1 if empty else out)
        found["weight"].append(-1 if empty else weight)

    def innermost(self, column: Axis) -> tuple[int, int]:
        """Sum along the last axis first where that is longer than the channels are many, and taps are evenly spaced."""
        spacing = {b - a for a, b in pairwise(column.offsets)}
        if len(spacing) == 1 and len(column.offsets) > self.depth and (self.depth < FEW_CHANNELS or self.lanes):
            return len(column.offsets), spacing.pop()
        return 1, 1

    def window(self) -> tuple[Window, tuple[int, int, int, int]]:
        reach = triple(offsets[-1] - offsets[0] + 1 for offsets in self.offsets)
        steps = [axis.step for axis in self.axes]
        last = [(n - 1) * step + offsets[-1] for n, step, offsets in zip(self.counts, steps, self.offsets, strict=True)]
        inside = min(self.origin) >= 0 and all(end < extent for end, extent in zip(last, self.source, strict=True))
        lanes = self.vector if self.lanes else 1
        units = self.depth if self.lanes else self.geom.C if self.op == "y" else self.geom.F
        pixel = 0 if self.lanes or self.depth < FEW_CHANNELS else -(-units // self.vector) * self.vector

        def size(count: Triple) -> Triple:
            return triple((n - 1) * step + r for n, step, r in zip(count, steps, reach, strict=True))

        found = block(
            self.geom.N, self.counts, reach,
            lambda count: math.prod(size(count)) * (pixel or units * lanes) * self.itemsize, own=True,
        )  # fmt: skip
        return Window(
            extent=self.source, size=size(found[1:]), channels=self.geom.groups * self.depth, groups=self.geom.groups,
            depth=self.depth, lanes=lanes, units=units, pixel=pixel,
            copied=self.lanes or not inside or max(self.set_taps) > 1 or pixel > 0,
        ), found  # fmt: skip

    def useful(self) -> float:
        """The part of the taps that read no padding."""
        parts = 1.0
        for axis, offsets, extent in zip(self.axes, self.offsets, self.source, strict=True):
            count = axis.count
            met = sum(
                max(0, min(count, -(-(extent - offset) // axis.step)) - max(0, -(offset // axis.step)))
                for offset in offsets
            )
            parts *= met / (count * len(offsets))
        return parts
