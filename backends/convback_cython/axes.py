"""Axes of y and dx, as the passes of gather.py and planes.py see them.

On one axis, outputs are taken in blocks of B neighbours: output = t * B + phase, phase < B. For y, tap k reads at

    r = (t * B + phase) * stride + k * dilation - p            step = B * stride

and for dx, where B is a multiple of the stride, those taps for which the division has no remainder:

    i = (t * B + phase + p - k * dilation) / stride            step = B / stride

Either way an output reads at t * step + offset, and the offsets of a phase do not depend on t. A *pass* does one phase
of each axis; so dx with a stride multiplies no zeros. Only the phases of the last axis, if they are few, share a pass,
as *columns* with a set of taps each, since their outputs are neighbours in memory.

With few output channels one pass does all phases *joined*: each phase of a channel is a slot beside the others, as
otherwise the vector registers would not be filled. A slot has weight zero at an offset that is not its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

from convback import ConvGeometry
from convback_cython.planning import PARALLEL_MACS, Triple

# Phases of the last axis that may be columns of one pass.
MOST_COLUMNS = 4


@dataclass(frozen=True)
class Axis:
    """One axis of a pass: `taps[phase][o]` is the tap that the phase has at `offsets[o]`, or -1."""

    block: int
    step: int
    phases: tuple[int, ...]
    counts: tuple[int, ...]  # positions of each phase
    offsets: tuple[int, ...]
    taps: tuple[tuple[int, ...], ...]

    @property
    def neighbours(self) -> int:
        """All offsets, where they are neighbours; else 1."""
        count = len(self.offsets)
        return count if count and self.offsets[-1] - self.offsets[0] + 1 == count else 1


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
    if B > MOST_COLUMNS and max(counts) == 1:  # a step that is never taken may have any length
        B = step = 1
    return Axis(
        B,
        step,
        tuple(phases),
        counts,
        tuple(offsets),
        tuple(tuple(taps.get(offset, -1) for offset in offsets) for taps in met),
    )


def phases(geom: ConvGeometry, axis: int, B: int, extent: int) -> list[int]:
    """The phases of dx that any tap contributes to; the single one of y, where B = 1."""
    reach = (k * geom.dilation[axis] - geom.padding[axis][0] for k in range(geom.kernel[axis]))
    return sorted(phase for phase in {distance % B for distance in reach} if phase < extent)


def joining(op: str, geom: ConvGeometry, vector: int) -> Triple | None:
    """Blocks whose phases are best done in one pass, or None where separate passes are as good.

    The cost of an output is the vectors of weights it needs: offsets * vectors of slots / outputs of a block.
    """
    channels = (geom.F if op == "y" else geom.C) // geom.groups
    if channels > vector // 2 or geom.macs < PARALLEL_MACS:  # packing its many zeros must pay
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
