"""Plans y and dx of pointwise layers, whose kernel is one tap: products of matrices, with vectors along the positions.

For each group, out[i, p] = sum over k of  weights[i, k] * source[k, p]      i, k: channels of the result, and summed

A position p is one of y; those of all images are counted through, so that small maps fill vectors too. Where there is
a stride, the place of a position in x is not p, and what lies between the places of two is zero in dx.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from convback import ConvGeometry, workspace
from convback_cython.planning import Triple, flattened, in_lines, triple

# Of inputs that are copied at once, so that they stay in a second-level cache.
COPY_BYTES = 2**17


@dataclass(frozen=True)
class Places:
    """Where positions lie in a channel: numbers of a channel, and between neighbours on each axis."""

    plane: int
    step: Triple


@dataclass(frozen=True)
class Pointwise:
    """What `_kernels.Pointwise` reads. Offsets in memory count numbers, not bytes."""

    N: int
    groups: int
    summed: int  # channels in a group
    channels: int  # of the result, in a group
    weight_summed: int  # between the weights of two of these
    weight_channel: int
    macs: int
    block: int  # positions
    count: Triple  # of an image
    source: Places
    out: Places
    itemsize: int

    @property
    def outputs(self) -> int:
        """How many it writes: all."""
        return self.N * self.groups * self.channels * self.out.plane

    def scratch_bytes(self, threads: int) -> int:
        weights = in_lines(self.groups * self.channels * self.summed)
        return (weights + threads * in_lines(self.summed * self.block)) * self.itemsize


def suits(geom: ConvGeometry, itemsize: int, vector_bytes: int) -> bool:
    """Whether a layer is pointwise, without padding, and with rows that are worth copying one by one where it has
    strides; and whether its weights and the least block of inputs fit into the workspace."""
    if set(geom.kernel) != {1} or any(map(any, geom.padding)):
        return False
    if geom.x_spatial != geom.y_spatial and geom.y_spatial[-1] * itemsize < vector_bytes:
        return False
    panel = 2 * vector_bytes * max(geom.C, geom.F) // geom.groups
    return math.prod(geom.w_shape) * itemsize <= workspace.limit() * 3 // 8 and panel <= workspace.limit() // 8


def product(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int) -> Pointwise:
    """The pass that computes y or dx."""
    geom = flattened(geom)
    # A step that is never taken may have any length.
    stride = triple(1 if n == 1 else s for n, s in zip(geom.y_spatial, geom.stride, strict=True))
    x, y = places(triple(geom.x_spatial), stride), places(triple(geom.y_spatial), (1, 1, 1))
    C, F = geom.C // geom.groups, geom.F // geom.groups
    summed, channels, weight_summed, weight_channel = (C, F, 1, C) if op == "y" else (F, C, C, 1)
    slots = 2 * vector_bytes // itemsize
    panels = min(-(-geom.N * y.plane // slots), max(1, COPY_BYTES // (summed * slots * itemsize)))
    return Pointwise(
        N=geom.N, groups=geom.groups, summed=summed, channels=channels, weight_summed=weight_summed,
        weight_channel=weight_channel, macs=geom.macs, block=panels * slots,
        count=triple(geom.y_spatial), source=x if op == "y" else y, out=y if op == "y" else x, itemsize=itemsize,
    )  # fmt: skip


def places(extent: Triple, stride: Triple) -> Places:
    """Of every so many-th number on each axis of a channel."""
    depth, height, width = stride
    return Places(math.prod(extent), (depth * extent[1] * extent[2], height * extent[2], width))
