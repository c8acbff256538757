"""Plans dense 3x3 layers by Winograd's minimal filtering: fewer multiplications, and a larger error.

y and dx take tiles of 4 x 4 outputs, F(4x4, 3x3), in `winograd.pxi`; dw takes tiles of 4 x 4 numbers of dy,
F(3x3, 4x4), in `winograd_reduction.pxi`. Either way a tile is 36 products where the formulas have 144.

dx is y of dy, with the channels of the weights exchanged and each filter rotated by half a turn.

Depth, where there is one, is not transformed: its taps are further terms of the same sums.

How large the error may be: winograd_gauge.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from convback import ConvGeometry, workspace
from convback_cython.planning import Indices, TooLarge, Triple, Window, chunk, in_lines, indices, panels, triple

POINTS = 36
MOST_DEPTHS = 16  # taps along the depth

# Fewer terms hide less of the transforms' error: with these its root mean square is twice that of a sum of products.
FEWEST_CHANNELS = 32
FEWEST_SUMMED_TILES = 16

# What a thread works on at once is best near its second-level cache, but a register tile should be filled.
BLOCK_BYTES = 3 * 2**19
FEWEST_TILES, MOST_TILES = 24, 96
# Output channels that a thread takes where inputs come first: each input is so fetched once for as many.
OWN_SLOTS = 32
# Filters, and channels, that dw sums together: each number at the points is so fetched once for as many.
GROUP_CHANNELS = 32
FEWEST_GROUPS, FEWEST_FILTERS = 8, 14
# What threads share at the points, all inputs or a block of dw, stays in the third-level cache; tiles of a block of dw.
SHARED_BYTES = 12 * 2**20
MOST_SUMMED_TILES = 224


@dataclass(frozen=True)
class _Blocked:
    """What both plans have. Steps count numbers, not bytes."""

    window: Window  # of one vector of channels of the inputs, at one depth
    N: int
    count: Triple  # positions: depths, rows and columns of tiles
    block: tuple[int, int, int, int]  # images and positions
    step: Triple
    origin: Triple
    taps: int  # along the depth
    spacing: int  # of these
    units: int  # vectors of channels of the inputs
    panels: int
    slots: int  # of a panel
    image: int  # of the result; for dw of dy
    macs: int
    input_step: int  # from point to point
    copied: int  # numbers of the copy that a thread makes of a window
    itemsize: int


@dataclass(frozen=True)
class Tiles(_Blocked):
    """What `_kernels.Winograd` reads: y or dx."""

    depth: int  # channels that are summed
    chunk: int  # panels whose weights are at the points at once
    inputs_first: bool  # whether all inputs are put at the points before any weights
    own_panels: int  # that a thread takes then
    slot_step: int  # in the weights
    term_step: int  # in the weights, between neighbouring ci
    flipped: bool
    weights: int
    out: Triple
    weight_step: int  # from point to point
    product_step: int
    rows: int  # numbers of a row of tiles of outputs
    panel_vecs: Indices
    slot_out: Indices  # [panel, slot], -1 for an empty slot

    @property
    def blocks(self) -> int:
        return math.prod(-(-total // most) for total, most in zip((self.N, *self.count), self.block, strict=True))

    def scratch_bytes(self, threads: int) -> int:
        own = in_lines(self.copied) + in_lines(self.rows) + in_lines(POINTS * self.product_step)
        inputs, weights = in_lines(POINTS * self.input_step), POINTS * self.weight_step
        if self.inputs_first:
            shared, own = self.blocks * inputs, own + self.own_panels * weights
        else:
            shared, own = self.chunk * weights, own + inputs
        return (shared + own * threads) * self.itemsize


@dataclass(frozen=True)
class Products(_Blocked):
    """What `_kernels.WinogradReduction` reads: dw."""

    dy_window: Window
    channels: int
    filters: int
    dy_units: int  # vectors of filters
    group_filters: int
    group_panels: int
    gradient_step: int  # from point to point
    sum_step: int

    def scratch_bytes(self, threads: int) -> int:
        shared = in_lines(POINTS * self.input_step) + in_lines(POINTS * self.gradient_step)
        return (shared + in_lines(max(self.copied, POINTS * self.sum_step)) * threads) * self.itemsize


def groups_of(filters: int, in_panels: int, slots: int) -> tuple[int, int]:
    """Filters and panels of a group; smaller ones where there would be too few for threads to share out."""
    some, panels = min(GROUP_CHANNELS, filters), min(-(-GROUP_CHANNELS // slots), in_panels)
    while -(-filters // some) * -(-in_panels // panels) < FEWEST_GROUPS and some > FEWEST_FILTERS:
        some, panels = (some, panels // 2) if panels > 1 else (-(-some // 2), panels)
    return some, panels


Plan = TypeVar("Plan", Tiles, Products)


def refusal(op: str, geom: ConvGeometry) -> str | None:
    """Why a gradient is none for these transforms, or None."""
    if geom.rank == 1 or geom.kernel[-2:] != (3, 3):
        return f"it is for kernels of 3x3, and this one is {'x'.join(map(str, geom.kernel))}"
    if set(geom.stride) != {1} or set(geom.dilation[-2:]) != {1}:
        return f"it needs a stride and dilation of 1, and the layer has {geom.stride} and {geom.dilation}"
    if geom.groups > 1:
        return f"it needs one group, and there are {geom.groups}"
    if geom.as3d().kernel[0] > MOST_DEPTHS:
        return f"it takes at most {MOST_DEPTHS} taps along the depth, and there are {geom.kernel[0]}"
    depth, *plane = geom.as3d().y_spatial
    what, summed, fewest = {
        "y": ("channels", geom.C, FEWEST_CHANNELS),
        "dx": ("filters", geom.F, FEWEST_CHANNELS),
        "dw": ("tiles of 4x4", geom.N * depth * math.prod(-(-extent // 4) for extent in plane), FEWEST_SUMMED_TILES),
    }[op]
    if summed < fewest:
        return f"its error grows where it sums fewer than {fewest} {what}, and there are {summed}"
    return None


def tiles(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int) -> Tiles:
    """The plan of y or dx."""
    geom = geom.as3d()
    vector = vector_bytes // itemsize
    depth, channels = (geom.C, geom.F) if op == "y" else (geom.F, geom.C)
    source, out = triple(geom.x_spatial), triple(geom.y_spatial)
    lo = [p for p, _ in geom.padding]
    if op == "dx":
        source, out = out, source
        lo = [(k - 1) * d - p for k, d, p in zip(geom.kernel, geom.dilation, lo, strict=True)]
    taps, spacing = geom.kernel[0], geom.dilation[0]
    units, in_panels = -(-depth // vector), panels(channels, vector)
    slots, nine = 2 * vector, math.prod(geom.kernel)
    weight_step = apart(taps * depth * slots, itemsize)
    count = triple((out[0], -(-out[1] // 4), -(-out[2] // 4)))
    all_inputs = POINTS * geom.N * (count[0] + (taps - 1) * spacing) * count[1] * count[2] * units * vector * itemsize
    inputs_first = all_inputs < min(shared_bytes(), POINTS * weight_step * len(in_panels) * itemsize)
    own_panels = min(len(in_panels), -(-OWN_SLOTS // slots))
    some = own_panels if inputs_first else chunk(len(in_panels), POINTS * weight_step * itemsize)
    most = MOST_TILES if inputs_first else BLOCK_BYTES // (POINTS * (units * vector + some * slots) * itemsize)
    block = block_of(geom.N, count, max(FEWEST_TILES, min(MOST_TILES, most)))
    images, size = block[0], block[1:]
    slices = size[0] + (taps - 1) * spacing
    window = window_of(source, 4 * size[1] + 2, 4 * size[2] + 2, depth, vector)
    input_step = apart(images * slices * size[1] * size[2] * units * vector, itemsize)
    product_step = apart(images * math.prod(size) * some * slots, itemsize)
    return fitting(Tiles(
        window=window, N=geom.N, count=count, block=block, step=(1, 4, 4), origin=triple(-p for p in lo),
        taps=taps, spacing=spacing, depth=depth, units=units, panels=len(in_panels), chunk=some,
        inputs_first=inputs_first, own_panels=own_panels, slots=slots,
        slot_step=nine * (geom.C if op == "y" else 1), term_step=nine * (1 if op == "y" else geom.C),
        flipped=op == "dx", weights=math.prod(geom.w_shape), image=channels * math.prod(out), out=out, macs=geom.macs,
        weight_step=weight_step, input_step=input_step, product_step=product_step,
        copied=math.prod(window.size) * vector,
        rows=16 * size[2] * vector + vector * vector,
        panel_vecs=indices([vecs for _, vecs in in_panels]),
        slot_out=indices(
            [slot * math.prod(out) if slot < channels else -1 for slot in range(len(in_panels) * slots)]
        ),
        itemsize=itemsize,
    ))  # fmt: skip


def products(geom: ConvGeometry, itemsize: int, vector_bytes: int) -> Products:
    """The plan of dw."""
    geom = geom.as3d()
    vector = vector_bytes // itemsize
    slots, units, dy_units = 2 * vector, -(-geom.C // vector), -(-geom.F // vector)
    in_panels = -(-units // 2)
    out = triple(geom.y_spatial)
    count = triple((out[0], -(-out[1] // 4), -(-out[2] // 4)))
    one = POINTS * (in_panels * slots * (1 + (geom.kernel[0] - 1) * geom.dilation[0]) + dy_units * vector) * itemsize
    block = block_of(geom.N, count, min(MOST_SUMMED_TILES, max(1, shared_bytes() // one)))
    images, size = block[0], block[1:]
    slices = size[0] + (geom.kernel[0] - 1) * geom.dilation[0]
    window = window_of(triple(geom.x_spatial), 4 * size[1] + 2, 4 * size[2] + 2, geom.C, vector)
    group_filters, group_panels = groups_of(geom.F, in_panels, slots)
    return fitting(Products(
        window=window, dy_window=window_of(out, 4 * size[1], 4 * size[2], geom.F, vector), N=geom.N, count=count,
        block=block, step=(1, 4, 4), origin=triple(-p for p, _ in geom.padding), taps=geom.kernel[0],
        spacing=geom.dilation[0], channels=geom.C, filters=geom.F, units=units, dy_units=dy_units, slots=slots,
        panels=in_panels, group_filters=group_filters, group_panels=group_panels, image=geom.F * math.prod(out),
        macs=geom.macs, input_step=apart(images * slices * size[1] * size[2] * in_panels * slots, itemsize),
        gradient_step=apart(images * math.prod(size) * dy_units * vector, itemsize),
        sum_step=apart(group_filters * group_panels * slots, itemsize), copied=math.prod(window.size) * vector,
        itemsize=itemsize,
    ))  # fmt: skip


def fitting(plan: Plan) -> Plan:
    """The plan, if one thread finds room for it.

    Raises
    ------
    TooLarge
        If not.
    """
    if plan.scratch_bytes(1) > workspace.limit():
        raise TooLarge(
            f"what it has at the points takes {plan.scratch_bytes(1)} bytes at once, and the workspace has "
            f"{workspace.limit()}; raise CONVBACK_WORKSPACE"
        )
    return plan


def shared_bytes() -> int:
    """For what threads share at the points."""
    return min(SHARED_BYTES, workspace.limit() * 3 // 8)


def apart(numbers: int, itemsize: int) -> int:
    """At least so many numbers, in an odd number of lines of cache, as what is 4096 bytes apart shares its place."""
    return (-(-numbers * itemsize // 64) | 1) * 64 // itemsize


def window_of(extent: Triple, rows: int, columns: int, channels: int, vector: int) -> Window:
    """Of one vector of channels at one depth."""
    return Window(
        extent=extent, size=(1, rows, columns), channels=channels, groups=channels, depth=1, lanes=vector, units=1,
        copied=True,
    )  # fmt: skip


def block_of(images: int, count: Triple, most: int) -> tuple[int, int, int, int]:
    """Images and positions of a block of at most so many tiles: whole images, else whole rows, else parts of a row."""
    if math.prod(count) <= most:
        return (min(images, most // math.prod(count)), *count)
    size = list(count)
    for axis in range(3):
        rest = math.prod(size[axis + 1 :])
        if rest * size[axis] > most:
            parts = -(-size[axis] // max(1, most // rest))
            size[axis] = -(-size[axis] // parts)
    return (1, size[0], size[1], size[2])
