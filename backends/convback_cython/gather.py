"""Plans y and dx in gather form: every output is a sum over taps, and nothing is scattered.

On one axis, outputs are taken in blocks of B neighbours: output = t * B + phase, phase < B. For y, tap k reads at

    r = (t * B + phase) * stride + k * dilation - p            step = B * stride

and for dx, where B is a multiple of the stride, those taps for which the division has no remainder:

    i = (t * B + phase + p - k * dilation) / stride            step = B / stride

Either way an output reads at t * step + offset, and the offsets of a phase do not depend on t. A *pass* does one phase
of each axis; so dx with a stride multiplies no zeros. With few output channels one pass does all phases at once, and
each phase of a channel is a *slot* beside the others, as otherwise the vector registers would not be filled; a slot has
weight zero at an offset that is not its own.

Slots are packed in *panels* of one or two vectors. With `lanes`, a slot is a group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from convback import ConvGeometry
from convback_cython.planning import Indices, Triple, Window, block, chunk, flattened, indices, panels, triple


@dataclass(frozen=True)
class Axis:
    """One axis of a pass: `taps[phase][o]` is the tap that the phase has at `offsets[o]`, or -1."""

    block: int
    step: int
    phases: tuple[int, ...]
    counts: tuple[int, ...]  # positions of each phase
    offsets: tuple[int, ...]
    taps: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Pass:
    """What `_kernels.Gather` reads: one pass over every image. Offsets in memory count numbers, not bytes."""

    window: Window
    N: int
    taps: int
    inner: int  # taps along the last axis that are summed innermost; 1: the channels are
    inner_step: int
    panels: int
    chunk: int  # panels that are packed at once
    slots: int  # of a panel
    block: tuple[int, int, int, int]  # images and positions
    weight_depth: int  # between neighbouring ci
    image: int  # of the output
    merged: bool
    skips: bool  # whether it pays to look for taps that read padding only
    count: Triple
    step: Triple
    origin: Triple  # what position 0 reads at the first offset
    out_step: Triple
    tap_at: Indices  # [tap, axis], from the first offset
    tap_weight: Indices  # [phase, tap], -1 where the phase has none
    panel_vecs: Indices
    panel_group: Indices
    slot_out: Indices  # [panel, slot], -1 for an empty slot
    slot_weight: Indices
    slot_phase: Indices
    slot_count: Indices  # [panel, slot, axis]
    itemsize: int

    @property
    def outputs(self) -> int:
        """How many it writes."""
        return self.N * int(np.prod(self.slot_count.reshape(-1, 3), axis=1)[self.slot_out >= 0].sum())

    @property
    def terms(self) -> int:
        return self.taps * self.window.depth

    @property
    def segments(self) -> int:
        return self.terms // (self.inner if self.inner > 1 else self.window.depth)

    def scratch_bytes(self, threads: int) -> int:
        packed = self.chunk * self.terms * self.slots
        return (packed + self.window.numbers(self.block[0])) * self.itemsize + (1 + threads) * self.segments * 16


def axis_of(op: str, geom: ConvGeometry, axis: int, B: int, phases: range) -> Axis:
    """One axis of the pass that does these phases."""
    stride, dilation, lo = geom.stride[axis], geom.dilation[axis], geom.padding[axis][0]
    out = (geom.y_spatial if op == "y" else geom.x_spatial)[axis]
    met: list[dict[int, int]] = []  # offset -> tap, for each phase
    for phase in phases:
        if op == "y":
            met.append({phase * stride + k * dilation - lo: k for k in range(geom.kernel[axis])})
        else:
            reach = ((phase + lo - k * dilation, k) for k in range(geom.kernel[axis]))
            met.append({distance // stride: k for distance, k in reach if distance % stride == 0})
    offsets = sorted(set().union(*met))
    counts = tuple(-(-(out - phase) // B) for phase in phases)
    step = B * stride if op == "y" else B // stride
    if max(counts) == 1:  # a step that is never taken may have any length
        B = step = 1
    return Axis(
        B,
        step,
        tuple(phases),
        counts,
        tuple(offsets),
        tuple(tuple(taps.get(offset, -1) for offset in offsets) for taps in met),
    )


def passes(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int, lanes: bool) -> list[Pass]:
    """The passes that compute y or dx; outputs that none of them writes are zero."""
    geom = flattened(geom)
    vector = vector_bytes // itemsize
    blocks = (1, 1, 1) if op == "y" else geom.stride
    merged = None if lanes else merging(op, geom, vector)
    out = geom.y_spatial if op == "y" else geom.x_spatial
    if merged is not None:
        found = [tuple(axis_of(op, geom, a, merged[a], range(min(merged[a], out[a]))) for a in range(3))]
    else:
        single = [
            [axis_of(op, geom, a, blocks[a], range(p, p + 1)) for p in phases(geom, a, blocks[a], out[a])]
            for a in range(3)
        ]
        found = list(product(*single))
    return [_Planner(op, geom, axes, itemsize, vector, lanes).plan() for axes in found]


def phases(geom: ConvGeometry, axis: int, B: int, extent: int) -> list[int]:
    """The phases of dx that any tap contributes to; the single one of y, where B = 1."""
    reach = (k * geom.dilation[axis] - geom.padding[axis][0] for k in range(geom.kernel[axis]))
    return sorted(phase for phase in {distance % B for distance in reach} if phase < extent)


def merging(op: str, geom: ConvGeometry, vector: int) -> Triple | None:
    """Blocks whose phases are best done in one pass, or None where separate passes are as good.

    The cost of an output is the vectors of weights it needs: offsets * vectors of slots / outputs of a block.
    """
    channels = (geom.F if op == "y" else geom.C) // geom.groups
    if channels > vector // 2:
        return None
    strides = (1, 1, 1) if op == "y" else geom.stride
    out = geom.y_spatial if op == "y" else geom.x_spatial

    def cost(blocks: Triple) -> float:
        axes = [axis_of(op, geom, a, blocks[a], range(blocks[a])) for a in range(3)]
        offsets = math.prod(len(axis.offsets) for axis in axes)
        return offsets * -(-channels * math.prod(blocks) // vector) / math.prod(blocks)

    factors = [[f for f in (1, 2, 4, 8) if f == 1 or f * s <= extent] for s, extent in zip(strides, out, strict=True)]
    candidates = [
        (f[0] * strides[0], f[1] * strides[1], f[2] * strides[2])
        for f in product(*factors)
        if channels * math.prod(f) * math.prod(strides) <= 2 * vector
    ]
    separate = math.prod(geom.kernel) / math.prod(strides)
    best = min(candidates, key=cost, default=None)
    return best if best is not None and cost(best) < 0.8 * separate else None


class _Planner:
    """Fills in one pass."""

    def __init__(self, op: str, geom: ConvGeometry, axes: tuple[Axis, ...], itemsize: int, vector: int, lanes: bool):
        self.op, self.geom, self.axes, self.itemsize, self.vector, self.lanes = op, geom, axes, itemsize, vector, lanes
        self.C, self.F = geom.C // geom.groups, geom.F // geom.groups
        self.depth, self.channels = (self.C, self.F) if op == "y" else (self.F, self.C)
        self.source, self.out = triple(geom.x_spatial), triple(geom.y_spatial)
        if op == "dx":
            self.source, self.out = self.out, self.source
        self.taps = math.prod(len(axis.offsets) for axis in axes)
        self.counts = (max(axes[0].counts), max(axes[1].counts), max(axes[2].counts))
        self.origin = (axes[0].offsets[0], axes[1].offsets[0], axes[2].offsets[0])
        self.phases = list(product(*(range(len(axis.phases)) for axis in axes)))

    def plan(self) -> Pass:
        slots = self.slots()
        inner, inner_step = self.innermost()
        window, block = self.window()
        vectors = 2 * self.vector
        terms = self.taps * self.depth
        geom = self.geom
        taps_in_w = math.prod(geom.kernel)
        steps = (self.out[1] * self.out[2], self.out[2], 1)
        return Pass(
            window=window, N=geom.N, taps=self.taps, inner=inner, inner_step=inner_step, panels=len(slots["vecs"]),
            chunk=chunk(len(slots["vecs"]), terms * vectors * self.itemsize), slots=vectors, block=block,
            weight_depth=taps_in_w if self.op == "y" else taps_in_w * self.C,
            image=(geom.F if self.op == "y" else geom.C) * math.prod(self.out),
            merged=len(self.phases) > 1, skips=inner == 1 and self.useful() < 0.95,
            count=self.counts, step=triple(axis.step for axis in self.axes), origin=self.origin,
            out_step=triple(axis.block * step for axis, step in zip(self.axes, steps, strict=True)),
            tap_at=indices(
                [[o - first for o, first in zip(at, self.origin, strict=True)]
                 for at in product(*(axis.offsets for axis in self.axes))]
            ).ravel(),
            tap_weight=indices([self.taps_of(phase) for phase in self.phases]).ravel(),
            panel_vecs=indices(slots["vecs"]), panel_group=indices(slots["group"]),
            slot_out=indices(slots["out"]), slot_weight=indices(slots["weight"]), slot_phase=indices(slots["phase"]),
            slot_count=indices(slots["count"]).ravel(), itemsize=self.itemsize,
        )  # fmt: skip

    def taps_of(self, phase: tuple[int, ...]) -> list[int]:
        """For each offset the index of its tap in the weights of one filter and channel, -1 for none."""
        kernel = self.geom.kernel
        rows = [axis.taps[p] for axis, p in zip(self.axes, phase, strict=True)]
        return [-1 if min(m, k, l) < 0 else (m * kernel[1] + k) * kernel[2] + l for m, k, l in product(*rows)]

    def slots(self) -> dict[str, list[Any]]:
        """Panels and their slots, in order; each list is as long as there are panels, or panels * slots."""
        found: dict[str, list[Any]] = {"vecs": [], "group": [], "out": [], "weight": [], "phase": [], "count": []}
        geom, V = self.geom, self.vector
        groups = range(0, geom.groups, V if self.lanes else 1)
        for unit, group in enumerate(groups):
            if self.lanes:
                contents = [(group + lane, channel, 0) for channel in range(self.channels) for lane in range(V)]
            else:
                contents = [(group, channel, p) for channel in range(self.channels) for p in range(len(self.phases))]
            for first, vecs in panels(len(contents), V):
                found["vecs"].append(vecs)
                found["group"].append(unit)
                for slot in range(first, first + 2 * V):
                    self.add_slot(found, *(contents[slot] if slot < len(contents) else (geom.groups, 0, 0)))
        return found

    def add_slot(self, found: dict[str, list[Any]], group: int, channel: int, phase: int) -> None:
        empty = group >= self.geom.groups
        at = [axis.phases[p] for axis, p in zip(self.axes, self.phases[phase], strict=True)]
        plane = math.prod(self.out)
        out = (group * self.channels + channel) * plane + (at[0] * self.out[1] + at[1]) * self.out[2] + at[2]
        filters = group * self.F + (channel if self.op == "y" else 0)
        weight = (filters * self.C + (0 if self.op == "y" else channel)) * math.prod(self.geom.kernel)
        found["out"].append(-1 if empty else out)
        found["weight"].append(-1 if empty else weight)
        found["phase"].append(phase)
        found["count"].append([axis.counts[p] for axis, p in zip(self.axes, self.phases[phase], strict=True)])

    def innermost(self) -> tuple[int, int]:
        """Sum along the last axis first where that is longer than the channels are many, and taps are evenly spaced."""
        offsets = self.axes[2].offsets
        spacing = {b - a for a, b in pairwise(offsets)}
        if len(spacing) == 1 and len(offsets) > self.depth and (self.depth < 8 or self.lanes):
            return len(offsets), spacing.pop()
        return 1, 1

    def window(self) -> tuple[Window, tuple[int, int, int, int]]:
        axes = self.axes
        reach = [axis.offsets[-1] - axis.offsets[0] + 1 for axis in axes]
        last = [(count - 1) * axis.step + axis.offsets[-1] for count, axis in zip(self.counts, axes, strict=True)]
        inside = min(self.origin) >= 0 and all(end < extent for end, extent in zip(last, self.source, strict=True))
        copied = self.lanes or not inside or self.taps > 1
        groups = self.geom.groups
        lanes = self.vector if self.lanes else 1
        units = -(-groups // lanes) * self.depth

        def size(count: Triple) -> Triple:
            return triple((n - 1) * axis.step + r for n, axis, r in zip(count, axes, reach, strict=True))

        found = block(
            self.geom.N, self.counts, triple(reach),
            lambda count: math.prod(size(count)) * units * lanes * self.itemsize,
        )  # fmt: skip
        return Window(
            extent=self.source, size=size(found[1:]), channels=groups * self.depth, groups=groups, depth=self.depth,
            lanes=lanes, units=units, copied=copied,
        ), found  # fmt: skip

    def useful(self) -> float:
        """The part of the taps that read no padding."""
        parts = 1.0
        for axis, count, extent in zip(self.axes, self.counts, self.source, strict=True):
            met = sum(
                max(0, min(count, -(-(extent - offset) // axis.step)) - max(0, -(offset // axis.step)))
                for offset in axis.offsets
            )
            parts *= met / (count * len(axis.offsets))
        return parts
