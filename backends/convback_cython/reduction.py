"""Plans dw: every entry is a sum over images and positions.

The *slots* of a tile are filters of one group, packed in panels as in gather.py; its *rows* are pairs of an input
channel and a tap. With many channels a tile has rows of one tap, and leaves out the positions where that tap reads
padding. With few, it has rows of several taps, and inputs are copied with their padding.

With `lanes`, a slot is a group, and a row the channel of that number in each; a thread sums whole vectors of groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product

from convback import ConvGeometry
from convback_cython.planning import (
    PARALLEL_MACS,
    Indices,
    Triple,
    Window,
    balanced,
    block,
    chunk,
    flattened,
    in_lines,
    indices,
    panels,
    triple,
)

# So many tiles can be shared out evenly among any likely number of threads.
TILES = 32


@dataclass(frozen=True)
class Reduction:
    """What `_kernels.Reduction` reads. Offsets in memory count numbers, not bytes."""

    window: Window
    N: int
    weights: int  # in all
    macs: int
    panels: int
    chunk: int  # panels that are summed at once
    packed: int  # panels for which dy is packed at once, by all threads together or, with lanes, by each
    slots: int  # of a panel
    slot_step: int  # channels of dy between neighbouring slots
    block: tuple[int, int, int, int]  # images and positions
    parts: int  # of a block, which are summed apart
    image: int  # of dy
    clipped: bool  # whether a tile has rows of one tap
    taps: int  # that tiles are told apart by: all, or none but one
    count: Triple
    step: Triple
    origin: Triple
    panel_vecs: Indices
    panel_group: Indices
    vec_channel: Indices  # [panel, vector]: the channel of dy in its first slot
    vec_filled: Indices  # [panel, vector]
    slot_weight: Indices  # [panel, slot], -1 for an empty slot
    tap_at: Indices  # [tap, axis], from the origin
    tile_first: Indices  # [tile]: its first row; and the number of rows
    tile_weight: Indices  # [tile]: the place of its first row in the weights of a filter; others are `taps` apart
    row_unit: Indices
    row_tap: Indices  # [row, axis], from that of the tile
    itemsize: int

    def scratch_bytes(self, threads: int) -> int:
        sums = self.parts * self.chunk * len(self.row_unit) * self.slots
        packed = self.packed * math.prod(self.block) * self.slots
        copies = in_lines(packed) + in_lines(self.window.numbers(self.block[0]))
        segments = self.taps * (in_lines(math.prod(self.block[:3])) * 16 + (self.parts + 1) * 8)
        own = copies * self.itemsize + segments
        return sums * self.itemsize + own * (threads if self.window.lanes > 1 else 1)


def reduction(geom: ConvGeometry, itemsize: int, vector_bytes: int, tile_rows: int, lanes: bool) -> Reduction:
    """The plan of dw."""
    geom = flattened(geom)
    V = vector_bytes // itemsize
    # A step that is never taken may have any length.
    stride = triple(1 if n == 1 else s for n, s in zip(geom.y_spatial, geom.stride, strict=True))
    C, F = geom.C // geom.groups, geom.F // geom.groups
    clipped = not lanes and tile_rows < 2 * C
    taps = [[k * d for k, d in zip(tap, geom.dilation, strict=True)] for tap in product(*map(range, geom.kernel))]
    nowhere = [0, 0, 0]
    apart = taps if clipped else [nowhere]
    rows, tile_first = tiles(C, len(taps), tile_rows, clipped)
    found = slots(geom, V, lanes)
    number = len(found["vecs"])
    parts = min(16, -(-TILES // (number * (len(tile_first) - 1)))) if geom.macs >= PARALLEL_MACS else 1
    summed = chunk(number, parts * len(rows) * 2 * V * itemsize)
    reach = triple((k - 1) * d + 1 for k, d in zip(geom.kernel, geom.dilation, strict=True))
    units = C if lanes else geom.C
    width = V if lanes else 1

    def size(count: Triple) -> Triple:
        return triple((n - 1) * s + r for n, s, r in zip(count, stride, reach, strict=True))

    packed = number // -(-geom.groups // V) if lanes else summed

    def cost(count: Triple) -> int:
        copied = 0 if clipped else math.prod(size(count)) * units * width
        return (packed * math.prod(count) * 2 * V + copied) * itemsize + len(apart) * count[0] * count[1] * 16

    count = triple(geom.y_spatial)
    blocks = block(geom.N, count, (1, 1, 1) if clipped else reach, cost, own=lanes)
    if lanes:  # a part has whole blocks
        parts = min(parts, math.prod(-(-n // b) for n, b in zip((geom.N, *count), blocks, strict=True)))
    return Reduction(
        window=Window(
            extent=triple(geom.x_spatial), size=size(blocks[1:]), channels=geom.C, groups=geom.groups, depth=C,
            lanes=width, units=units, copied=not clipped,
        ),
        N=geom.N, weights=math.prod(geom.w_shape), macs=geom.macs, panels=number, chunk=summed, packed=packed,
        slots=2 * V, slot_step=F if lanes else 1, block=blocks, parts=parts, image=geom.F * math.prod(geom.y_spatial),
        clipped=clipped, taps=len(apart), count=count, step=stride, origin=triple(-lo for lo, _ in geom.padding),
        panel_vecs=indices(found["vecs"]), panel_group=indices(found["group"]),
        vec_channel=indices(found["channel"]), vec_filled=indices(found["filled"]),
        slot_weight=indices(found["weight"]), tap_at=indices(apart).ravel(), tile_first=indices(tile_first),
        tile_weight=indices([rows[first][0] * len(taps) + rows[first][1] for first in tile_first[:-1]]),
        row_unit=indices([c for c, _ in rows]),
        row_tap=indices([nowhere if clipped else taps[tap] for _, tap in rows]).ravel(),
        itemsize=itemsize,
    )  # fmt: skip


def tiles(C: int, taps: int, tile_rows: int, clipped: bool) -> tuple[list[tuple[int, int]], list[int]]:
    """All rows, as (channel, tap), and where each tile begins, and the last ends."""
    if not clipped:
        return list(product(range(C), range(taps))), balanced(C * taps, tile_rows)
    rows, first = [], [0]
    for c0, c1 in pairwise(balanced(C, tile_rows)):
        for tap in range(taps):  # one after another, since they read the same inputs
            rows += [(c, tap) for c in range(c0, c1)]
            first.append(len(rows))
    return rows, first


def slots(geom: ConvGeometry, V: int, lanes: bool) -> dict[str, list[int]]:
    """Panels, their vectors and their slots."""
    found: dict[str, list[int]] = {"vecs": [], "group": [], "channel": [], "filled": [], "weight": []}
    F = geom.F // geom.groups
    weights = geom.C // geom.groups * math.prod(geom.kernel)
    for unit, group in enumerate(range(0, geom.groups, V if lanes else 1)):
        for first, vecs in panels(F * V if lanes else F, V):
            found["vecs"].append(vecs)
            found["group"].append(unit)
            for start in (first, first + V):
                # With lanes, a vector is one filter of each of V groups; else V filters of a group.
                channel = group * F + (start // V if lanes else start)
                left = geom.groups - group if lanes else F - start
                filled = max(0, min(V, left)) if start < first + vecs * V else 0
                found["channel"].append(channel)
                found["filled"].append(filled)
                step = F if lanes else 1
                found["weight"] += [(channel + i * step) * weights if i < filled else -1 for i in range(V)]
    return found
