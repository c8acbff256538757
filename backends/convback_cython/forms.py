"""Which form y and dx take: planes, with vectors along the rows, or tiles, with vectors across channels or groups.

Both compute the same. Rows serve where channels or groups would not fill the vectors, and where little is summed: then
tiles spend their time on transposing inputs or results. The costs below, in seconds, were fitted to what 1160 passes
took on one core of an AMD Zen 3 with AVX2, in both dtypes. The form that they choose takes 2 % longer on average than
the faster one; tiles alone took 30 % longer with groups, and 50 % without.
"""

from __future__ import annotations

import math

from convback import ConvGeometry
from convback_cython.planes import STRIP_VECS, rolled_rows

ROWS_PASS = 2.8e-6
ROWS_VECTOR = 1.8e-10  # a multiplication and addition of two vectors
ROWS_CACHED = 192  # planes that are summed, whose rows and weights then take twice as long to come from the cache
ROWS_WAITING = 10  # sums in registers at least, so that none waits for the one before
ROWS_INPUT = 2.3e-10  # a number that is copied
ROWS_OUTPUT = 1.5e-9  # a vector of results
ROWS_SPREAD = 8e-11  # a result that is not the neighbour of the one before
ROWS_PLANES = 1.5e-7  # one group of one image

TILES_PASS = 7.7e-6
GROUPS_VECTOR = 2.9e-10
GROUPS_TRANSPOSED = 4.4e-9  # a vector of groups of inputs or results
CHANNELS_VECTOR = 2.2e-10
CHANNELS_SINGLE = 3.1e-10  # the same where a tile is one vector wide
CHANNELS_OUTPUT = 4.7e-9  # a vector of channels of results
CHANNELS_INPUT = 1.6e-10  # an input, where so many are summed that their channels become neighbours
FEW_SUMMED = 8


def rows_pay(op: str, geom: ConvGeometry, vector: int, lanes: bool) -> bool:
    """Whether planes are faster with vectors of so many numbers; else groups (`lanes`) or channels lie across these."""
    channels, summed = channels_of(op, geom)
    rolls = geom.rank > 1 and geom.kernel[-2] > 1
    if op == "y" and geom.stride[-1] > 1:  # a row is read without gaps
        return False
    if not rolls and not lanes and channels > vector and summed > 2 * FEW_SUMMED:  # each product fetches its input
        return False
    return rows(op, geom, vector) < (across_groups if lanes else across_channels)(op, geom, vector)


def rows(op: str, geom: ConvGeometry, vector: int) -> float:
    """Vectors along the rows."""
    inputs, outputs = sizes(op, geom)
    step = geom.stride if op == "dx" else (1,) * geom.rank
    width = -(-(geom.x_spatial if op == "dx" else geom.y_spatial)[-1] // step[-1])
    taps = -(-geom.kernel[-2] // step[-2]) if geom.rank > 1 else 1
    rolled = rolled_rows(taps)
    held = geom.kernel[-2] / step[-2] / -(-taps // rolled) if geom.rank > 1 else 1
    sums = held * min(-(-width // vector), 3 if rolled > 3 else 4 if rolled > 1 else STRIP_VECS)
    fill = -(-width // vector) * vector / width
    planes = channels_of(op, geom)[1] * math.prod(geom.kernel[:-2])
    products = geom.macs * part_inside(geom) / vector * fill * ROWS_VECTOR
    products *= max(1, ROWS_WAITING / sums) * (1 + planes / ROWS_CACHED)
    spread = outputs if step[-1] > 1 and not geom.groups == geom.C == geom.F else 0
    written = outputs / vector * fill * ROWS_OUTPUT + spread * ROWS_SPREAD
    return ROWS_PASS + products + inputs * ROWS_INPUT + written + geom.N * geom.groups * ROWS_PLANES


def part_inside(geom: ConvGeometry) -> float:
    """The part of the products that is left where rows of padding are left out."""
    if geom.rank == 1:
        return 1
    stride, x, y, taps = geom.stride[-2], geom.x_spatial[-2], geom.y_spatial[-2], geom.kernel[-2]
    offsets = (tap * geom.dilation[-2] - geom.padding[-2][0] for tap in range(taps))
    return sum(max(0, min(y, (x - 1 - o) // stride + 1) - max(0, -(o // stride))) for o in offsets) / (y * taps)


def across_groups(op: str, geom: ConvGeometry, vector: int) -> float:
    """Vectors across the groups."""
    fill = -(-geom.groups // vector) / geom.groups  # vectors of a group
    return TILES_PASS + fill * (geom.macs * GROUPS_VECTOR + sum(sizes(op, geom)) * GROUPS_TRANSPOSED)


def across_channels(op: str, geom: ConvGeometry, vector: int) -> float:
    """Vectors across the channels of a result."""
    inputs, outputs = sizes(op, geom)
    channels, summed = channels_of(op, geom)
    fill = -(-channels // vector) / channels
    copied = inputs * CHANNELS_INPUT if summed >= FEW_SUMMED else 0
    product = CHANNELS_VECTOR if channels > vector else CHANNELS_SINGLE
    return TILES_PASS + fill * (geom.macs * product + outputs * CHANNELS_OUTPUT) + copied


def channels_of(op: str, geom: ConvGeometry) -> tuple[int, int]:
    """Channels of a group: of the result, and those that are summed."""
    C, F = geom.C // geom.groups, geom.F // geom.groups
    return (F, C) if op == "y" else (C, F)


def sizes(op: str, geom: ConvGeometry) -> tuple[int, int]:
    """Numbers that are read, but for the weights, and written."""
    x, y = math.prod(geom.x_shape), math.prod(geom.y_shape)
    return (x, y) if op == "y" else (y, x)
