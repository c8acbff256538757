"""The specification: the formulas as loops, one product at a time.

The layer is one trilinear form, T = sum of all products dy[n,f,i] * x[n,c,r] * w[f,c,k] over the terms below. Its
derivative by dy is y, by x dx, by w dw; so the three functions differ only in which of the three factors is replaced by
the result. i, k and r stand for a whole position here, with one to three indices.

Cost: N F C' products for each meeting of a tap with an input, each some hundred nanoseconds. Speed is no concern.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from convback import ConvGeometry
from convback.contract import Array, DType
from convback.geometry import Shape

CONTRACT = 1
PRACTICAL_MACS = 1_000_000
LAYOUT = "any"


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    return None


@np.errstate(all="ignore")
def y(x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    """y[n,f,i] = sum over c,k of x[n,c,r] * w[f,c,k]"""
    out[...] = 0
    for n, f, c, c_of_group, i, k, r in terms(geom):
        out[n, f, *i] += x[n, c, *r] * w[f, c_of_group, *k]


@np.errstate(all="ignore")
def dx(dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    """dx[n,c,r] = sum over f,i,k of dy[n,f,i] * w[f,c,k]"""
    out[...] = 0
    for n, f, c, c_of_group, i, k, r in terms(geom):
        out[n, c, *r] += dy[n, f, *i] * w[f, c_of_group, *k]


@np.errstate(all="ignore")
def dw(dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
    """dw[f,c,k] = sum over n,i of dy[n,f,i] * x[n,c,r]"""
    out[...] = 0
    for n, f, c, c_of_group, i, k, r in terms(geom):
        out[f, c_of_group, *k] += dy[n, f, *i] * x[n, c, *r]


@np.errstate(all="ignore")
def db(dy: Array, out: Array) -> None:
    """db[f] = sum over n,i of dy[n,f,i], in float64: a float32 sum of ones stops growing at 2^24."""
    total = np.zeros(out.shape)
    for n, f, *i in np.ndindex(dy.shape):
        total[f] += dy[n, f, *i]
    out[...] = total


def terms(geom: ConvGeometry) -> Iterator[tuple[int, int, int, int, Shape, Shape, Shape]]:
    """The indices (n, f, c, c within its group, i, k, r) of every product."""
    channels_of_group, filters_of_group = geom.C // geom.groups, geom.F // geom.groups
    meetings = list(tap_meetings(geom))
    for n, f, c_of_group in product(range(geom.N), range(geom.F), range(channels_of_group)):
        c = f // filters_of_group * channels_of_group + c_of_group
        for i, k, r in meetings:
            yield n, f, c, c_of_group, i, k, r


def tap_meetings(geom: ConvGeometry) -> Iterator[tuple[Shape, Shape, Shape]]:
    """Every output position i, tap k and input position r = i * stride + k * dilation - p that is not padding."""
    for i in np.ndindex(geom.y_spatial):
        for k in np.ndindex(geom.kernel):
            axes = zip(i, k, geom.stride, geom.dilation, geom.padding, strict=True)
            r = tuple(i_ * s + k_ * d - lo for i_, k_, s, d, (lo, _) in axes)
            if all(0 <= r_ < extent for r_, extent in zip(r, geom.x_spatial, strict=True)):
                yield i, k, r
