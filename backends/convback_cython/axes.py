"""Axes of y and dx, as the passes of gather.py and planes.py see them.

On one axis, outputs are taken in blocks of B neighbours: output = t * B + phase, phase < B. For y, tap k reads at

    r = (t * B + phase) * stride + k * dilation - p            step = B * stride

and for dx, where B is a multiple of the stride, those taps for which the division has no remainder:

    i = (t * B + phase + p - k * dilation) / stride            step = B / stride

Either way an output reads at t * step + offset, and the offsets of a phase do not depend on t. A *pass* does one phase
of each axis; so dx with a stride multiplies no zeros. Only the phases of the last axis, if they are few, share a pass,
as *columns* with a set of taps each, since their outputs are neighbours in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from convback import ConvGeometry

# Phases of the last axis that may be columns of one pass.
MOST_COLUMNS = 4


@dataclass(frozen=True)
class Axis:
    """One axis of a pass: the phase has the tap `taps[o]` at `offsets[o]`, from each of `count` positions."""

    block: int
    step: int
    phase: int
    count: int
    offsets: tuple[int, ...]
    taps: tuple[int, ...]

    @property
    def neighbours(self) -> int:
        """All offsets, where they are neighbours; else 1."""
        count = len(self.offsets)
        return count if count and self.offsets[-1] - self.offsets[0] + 1 == count else 1


def axis_of(op: str, geom: ConvGeometry, axis: int, B: int, phase: int) -> Axis:
    """One axis of the pass that does this phase."""
    stride, dilation, lo = geom.stride[axis], geom.dilation[axis], geom.padding[axis][0]
    out = (geom.y_spatial if op == "y" else geom.x_spatial)[axis]
    if op == "y":
        met = {phase * stride + k * dilation - lo: k for k in range(geom.kernel[axis])}
    else:
        reach = ((phase + lo - k * dilation, k) for k in range(geom.kernel[axis]))
        met = {distance // stride: k for distance, k in reach if distance % stride == 0}
    count = -(-(out - phase) // B)
    step = B * stride if op == "y" else B // stride
    if count == 1:  # a step that is never taken may have any length
        step = 1
        B = B if B <= MOST_COLUMNS else 1
    offsets = sorted(met)
    return Axis(B, step, phase, count, tuple(offsets), tuple(met[offset] for offset in offsets))


def phases(geom: ConvGeometry, axis: int, B: int, extent: int) -> list[int]:
    """The phases of dx that any tap contributes to; the single one of y, where B = 1."""
    reach = (k * geom.dilation[axis] - geom.padding[axis][0] for k in range(geom.kernel[axis]))
    return sorted(phase for phase in {distance % B for distance in reach} if phase < extent)
