"""The right answers, by a method that no backend uses: one product of matrices for each tap.

For one kernel tap the output positions that meet an input form a box, and so do the inputs they meet. So a tap adds

    y[box] += w[tap] @ x[box']        dx[box'] += w[tap]^T @ dy[box]        dw[tap] = dy[box] @ x[box']^T

with the matrices of each image and group multiplied by BLAS in float64, or by plain loops in longdouble. Integers are
exact while sum |a b| <= 2^53, in any order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convback import ConvGeometry
from convback.contract import Array

Slices = tuple[slice, ...]


def gradient(op: str, geom: ConvGeometry | None, a: Array, b: Array | None, dtype: Any = np.float64) -> Array:
    """y of (x, w), dx of (dy, w), dw of (dy, x) or db of (dy, None), computed in `dtype`."""
    if geom is None or b is None:
        result: Array = a.astype(dtype).sum(axis=(0, *range(2, a.ndim)))
        return result
    shape = {"y": geom.y_shape, "dx": geom.x_shape, "dw": geom.w_shape}[op]
    space = geom.as3d()
    result = np.zeros({"y": space.y_shape, "dx": space.x_shape, "dw": space.w_shape}[op], dtype)
    a3, b3 = (v.astype(dtype).reshape(v.shape[:2] + (1,) * (5 - v.ndim) + v.shape[2:]) for v in (a, b))
    {"y": _add_y, "dx": _add_dx, "dw": _add_dw}[op](space, a3, b3, result)
    return result.reshape(shape)


def _add_y(geom: ConvGeometry, x: Array, w: Array, y: Array) -> None:
    for tap, outputs, inputs in tap_boxes(geom):
        product = _filters(w, tap, geom) @ _positions(x, inputs, geom)
        y[outputs] += product.reshape(y[outputs].shape)


def _add_dx(geom: ConvGeometry, dy: Array, w: Array, dx: Array) -> None:
    for tap, outputs, inputs in tap_boxes(geom):
        product = _filters(w, tap, geom).swapaxes(-1, -2) @ _positions(dy, outputs, geom)
        dx[inputs] += product.reshape(dx[inputs].shape)


def _add_dw(geom: ConvGeometry, dy: Array, x: Array, dw: Array) -> None:
    for tap, outputs, inputs in tap_boxes(geom):
        product = _positions(dy, outputs, geom) @ _positions(x, inputs, geom).swapaxes(-1, -2)
        dw[(slice(None), slice(None), *tap)] = product.sum(axis=0).reshape(geom.w_shape[:2])


def _filters(w: Array, tap: Any, geom: ConvGeometry) -> Array:
    """One tap of w as (G, F', C')."""
    of_tap: Array = w[(..., *tap)]
    return of_tap.reshape(geom.groups, geom.F // geom.groups, geom.C // geom.groups)


def _positions(a: Array, box: Slices, geom: ConvGeometry) -> Array:
    """A box of x or y as (N, G, channels, positions)."""
    part = a[box]
    return part.reshape(geom.N, geom.groups, a.shape[1] // geom.groups, math.prod(part.shape[2:]))


def tap_boxes(geom: ConvGeometry) -> Iterator[tuple[Any, Slices, Slices]]:
    """Every tap that meets an input, with the boxes of outputs and of inputs that meet in it, in the same order."""
    everything = (slice(None), slice(None))
    for tap in np.ndindex(geom.kernel):
        outputs, inputs = [], []
        axes = zip(tap, geom.x_spatial, geom.y_spatial, geom.stride, geom.dilation, geom.padding, strict=True)
        for k, x, y, s, d, (lo, _) in axes:
            shift = k * d - lo  # r = i * s + shift
            first, last = max(0, -(shift // s)), min(y, (x - 1 - shift) // s + 1)
            outputs.append(slice(first, max(first, last)))
            inputs.append(slice(first * s + shift, max(first, last) * s + shift, s))
        if all(box.start < box.stop for box in outputs):
            yield tap, (*everything, *outputs), (*everything, *inputs)


def terms(op: str, geom: ConvGeometry | None, dy_shape: tuple[int, ...] = ()) -> NDArray[np.int64]:
    """K, the number of products that each element of a gradient sums, in a shape that broadcasts to the gradient's."""
    if geom is None:
        return np.array([math.prod(dy_shape) // max(1, dy_shape[1])])
    counts = np.array({"y": geom.C, "dx": geom.F, "dw": geom.N * geom.groups}[op] // geom.groups)
    for axis in range(geom.rank):
        counts = np.multiply.outer(counts, _axis_terms(op, geom, axis))
    return counts[np.newaxis, np.newaxis]


def _axis_terms(op: str, geom: ConvGeometry, axis: int) -> NDArray[np.int64]:
    i, k = np.arange(geom.y_spatial[axis]), np.arange(geom.kernel[axis])
    r = np.add.outer(i * geom.stride[axis], k * geom.dilation[axis] - geom.padding[axis][0])
    meets = (r >= 0) & (r < geom.x_spatial[axis])
    counts = np.bincount(r[meets], minlength=geom.x_spatial[axis]) if op == "dx" else meets.sum(axis=int(op == "y"))
    return counts.astype(np.int64)


class Sample(NamedTuple):
    """Some elements of a gradient: where they are, their values, and sum |a b| of each."""

    where: tuple[NDArray[np.intp], ...]
    values: Array
    magnitudes: Array


def sample(op: str, geom: ConvGeometry | None, a: Array, b: Array | None, where: NDArray[np.intp]) -> Sample:
    """Chosen elements of a gradient, each as the float64 nearest to the exact sum; `where` has a row for each."""
    values, magnitudes = [], []
    for index in where:
        left, right = _factors(op, geom, a, b, tuple(map(int, index)))
        values.append(math.fsum(part for parts in _exact_products(left, right) for part in parts))
        magnitudes.append(math.fsum(np.abs(left * right)))
    return Sample(tuple(where.T), np.array(values), np.array(magnitudes))


def _factors(
    op: str, geom: ConvGeometry | None, a: Array, b: Array | None, index: tuple[int, ...]
) -> tuple[Array, Array]:
    """The pairs of factors that one element sums, in float64."""
    if geom is None or b is None:
        values = a[:, index[0]].astype(np.float64).ravel()
        return values, np.ones_like(values)
    channels, filters = geom.C // geom.groups, geom.F // geom.groups
    first, second, *place = index
    group = second // channels if op == "dx" else (second if op == "y" else first) // filters
    c_of_group = slice(group * channels, (group + 1) * channels)
    f_of_group = slice(group * filters, (group + 1) * filters)
    i, k, r = zip(*(_meetings(op, geom, axis, at) for axis, at in enumerate(place)), strict=True)
    if op == "y":
        return _at(a[first, c_of_group], r), _at(b[second], k)
    if op == "dx":
        return _at(a[first, f_of_group], i), _at(b[f_of_group, second - group * channels], k)
    return _at(a[:, first], i), _at(b[:, group * channels + second], r)


def _at(a: Array, places: tuple[Array, ...]) -> Array:
    """What stands at these places of the spatial axes, in float64 and in one row."""
    index: Any = (slice(None), *np.ix_(*places))
    part: Array = a[index]
    return part.astype(np.float64).ravel()


def _meetings(op: str, geom: ConvGeometry, axis: int, at: int) -> tuple[Array, Array, Array]:
    """All i, k and r that meet on an axis, where i, r or k is given for "y", "dx" or "dw"."""
    s, d, (lo, _) = geom.stride[axis], geom.dilation[axis], geom.padding[axis]
    x, y, kernel = geom.x_spatial[axis], geom.y_spatial[axis], geom.kernel[axis]
    if op == "dw":
        i, k = np.arange(y), np.full(y, at)
    else:
        k = np.arange(kernel)
        i = np.full(kernel, at) if op == "y" else (at + lo - k * d) // s
    r = i * s + k * d - lo
    meet = (i >= 0) & (i < y) & (r >= 0) & (r < x) & ((op != "dx") | (r == at))
    return i[meet], k[meet], r[meet]


def _exact_products(a: Array, b: Array) -> tuple[Array, Array]:
    """Two float64 arrays whose sum is exactly a * b (Dekker 1971, with Veltkamp's splitting by 2^27 + 1)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _split(a), _split(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def _split(a: Array) -> tuple[Array, Array]:
    scaled = a * (2.0**27 + 1)
    high = scaled - (scaled - a)
    return high, a - high
