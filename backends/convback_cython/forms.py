"""Which form y and dx take, all of which compute the same.

Pointwise layers take *positions*: in 600 gradients, on one core of a Zen 3, these took 10 % longer than the fastest of
all forms on average, and the other two, as chosen here, 48 %. Other layers take *rows* of planes, with vectors along
the rows, or *tiles*, with vectors across channels or groups.

Rows serve where channels or groups would not fill the vectors, and where little is summed: then tiles spend their time
on transposing inputs or results. The costs below, in seconds, were fitted to what 3308 passes took on one core of an
AMD Zen 4, half of them with AVX-512 and half with AVX2, in both dtypes. In 952 others the form that they choose took
2 % longer on average than the faster one with AVX-512, and 4 % with AVX2; tiles alone took 66 and 61 % longer.
"""

from __future__ import annotations

import math

from convback import ConvGeometry
from convback_cython import pointwise
from convback_cython.gather import FEW_CHANNELS
from convback_cython.planes import INTERLEAVED, STRIP_VECS, rolled_rows
from convback_cython.planning import PARALLEL_MACS

ROWS_PASS = 4e-6
ROWS_PRODUCT = 3.2e-12  # a byte of vectors that are multiplied and added
ROWS_LOAD = 5.6e-12  # a byte of inputs, which are multiplied by the weights of all rows that roll
ROWS_CACHED = 770  # planes that are summed, whose rows and weights then take twice as long to come from the cache
ROWS_WAITING = 5.6  # sums in registers at least, so that none waits for the one before
ROWS_INPUT = 9.3e-11  # a number that is copied
ROWS_OUTPUT = 1.5e-9  # a vector of results
ROWS_SPREAD = 2.4e-10  # a result that is not the neighbour of the one before
ROWS_PLANES = 7.9e-8  # one group of one image

TILES_PASS = 4.5e-6
GROUPS_PRODUCT = 6.6e-12
GROUPS_TRANSPOSED = 3.1e-9  # a vector of groups of inputs or results
CHANNELS_PRODUCT = 4.9e-12
CHANNELS_SINGLE = 5.9e-12  # the same where a tile is one vector wide
CHANNELS_OUTPUT = 3.2e-9  # a vector of channels of results
CHANNELS_INPUT = 1.1e-10  # an input, where so many are summed that their channels become neighbours


def fastest(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int, most_rolled: int, lanes: bool) -> str:
    """Which of "positions", "rows" and "tiles" is fastest with vectors so long; tiles are of groups with `lanes`."""
    size = (itemsize, vector_bytes)
    if pointwise.suits(geom, *size) and not geom.groups == geom.C == geom.F:
        return "positions"
    if op == "y" and geom.stride[-1] > 1:  # a row is read without gaps
        return "tiles"
    tiles = across_groups if lanes else across_channels
    return "rows" if rows(op, geom, *size, most_rolled) < tiles(op, geom, *size) else "tiles"


def rows(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int, most_rolled: int) -> float:
    """Vectors along the rows."""
    vector = vector_bytes // itemsize
    inputs, outputs = sizes(op, geom)
    step = geom.stride if op == "dx" else (1,) * geom.rank
    row = (geom.x_spatial if op == "dx" else geom.y_spatial)[-1]
    width = -(-row // step[-1])
    vectors = -(-width // vector)
    taps = -(-geom.kernel[-2] // step[-2]) if geom.rank > 1 else 1
    rolled = rolled_rows(taps, most_rolled)
    held = geom.kernel[-2] / step[-2] / -(-taps // rolled) if geom.rank > 1 else 1
    depthwise = geom.groups == geom.C == geom.F
    columns = INTERLEAVED if depthwise and step[-1] == INTERLEAVED else 1
    sums = held * min(columns * vectors, 3 if rolled == most_rolled else 4 if rolled > 1 else STRIP_VECS)
    planes = channels_of(op, geom)[1] * math.prod(geom.kernel[:-2])
    products = gathered(op, geom) * vectors / (row / step[-1])
    if geom.rank > 1:
        products *= part_inside(op, geom, -2)
    product = ROWS_PRODUCT * max(1, ROWS_WAITING / sums) + ROWS_LOAD / held
    spread = outputs if step[-1] > columns else 0
    return (
        ROWS_PASS
        + products * vector_bytes * product * (1 + planes / ROWS_CACHED)
        + inputs * ROWS_INPUT
        + outputs / width * vectors * ROWS_OUTPUT
        + spread * ROWS_SPREAD
        + geom.N * geom.groups * ROWS_PLANES
    )


def gathered(op: str, geom: ConvGeometry) -> float:
    """Products of all outputs and taps, those that read padding among them."""
    outputs, step = (geom.y_shape, 1) if op == "y" else (geom.x_shape, math.prod(geom.stride))
    return math.prod(outputs) * channels_of(op, geom)[1] * math.prod(geom.kernel) / step


def part_inside(op: str, geom: ConvGeometry, axis: int) -> float:
    """The part of these that reads no padding on one axis."""
    stride, x, y, taps = geom.stride[axis], geom.x_spatial[axis], geom.y_spatial[axis], geom.kernel[axis]
    offsets = (tap * geom.dilation[axis] - geom.padding[axis][0] for tap in range(taps))
    inside = sum(max(0, min(y, (x - 1 - o) // stride + 1) - max(0, -(o // stride))) for o in offsets)
    return inside / ((y if op == "y" else x / stride) * taps)


def tiled(op: str, geom: ConvGeometry) -> float:
    """Products that tiles compute: they leave out taps that read nothing but padding."""
    products = gathered(op, geom)
    if geom.macs >= PARALLEL_MACS:
        products *= math.prod(part_inside(op, geom, axis) for axis in range(geom.rank - 1))
    return products


def passes(op: str, geom: ConvGeometry) -> int:
    """How often tiles copy their inputs: once for each phase, but those of the last axis together."""
    return 1 if op == "y" else math.prod(map(min, geom.stride[:-1], geom.kernel))


def across_groups(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int) -> float:
    """Vectors across the groups."""
    inputs, outputs = sizes(op, geom)
    vectors = -(-geom.groups // (vector_bytes // itemsize)) / geom.groups  # of a group
    transposed = (passes(op, geom) * inputs + outputs) * GROUPS_TRANSPOSED
    products = tiled(op, geom) * vector_bytes * GROUPS_PRODUCT
    return passes(op, geom) * TILES_PASS + vectors * (products + transposed)


def across_channels(op: str, geom: ConvGeometry, itemsize: int, vector_bytes: int) -> float:
    """Vectors across the channels of a result."""
    vector = vector_bytes // itemsize
    inputs, outputs = sizes(op, geom)
    channels, summed = channels_of(op, geom)
    vectors = -(-channels // vector) / channels  # of a channel
    copied = inputs * CHANNELS_INPUT if summed >= FEW_CHANNELS else 0
    product = vector_bytes * (CHANNELS_PRODUCT if channels > vector else CHANNELS_SINGLE)
    products = vectors * (tiled(op, geom) * product + outputs * CHANNELS_OUTPUT)
    return passes(op, geom) * (TILES_PASS + copied) + products


def channels_of(op: str, geom: ConvGeometry) -> tuple[int, int]:
    """Channels of a group: of the result, and those that are summed."""
    C, F = geom.C // geom.groups, geom.F // geom.groups
    return (F, C) if op == "y" else (C, F)


def sizes(op: str, geom: ConvGeometry) -> tuple[int, int]:
    """Numbers that are read, but for the weights, and written."""
    x, y = math.prod(geom.x_shape), math.prod(geom.y_shape)
    return (x, y) if op == "y" else (y, x)
