"""The matrices of Winograd's transforms, and how far `winograd` can be off.

A tile of results is, with d the inputs of a window and g the weights, along both axes::

    result = A^T [ sum over terms (G g G^T) * (B^T d B) ] A

A is `powers` of the points; G is the same, each row divided by the distances of its point from the others; a row of B^T
has the coefficients of the polynomial whose roots are the other points. y and dx take 4 results from 6 inputs and 3
weights, F(4x4, 3x3); dw takes 3 from windows of x and 4 numbers of dy, F(3x3, 4x4).

Kernels hold `SCALE` G, whose entries are dyadic as those of A and B are, so that all constants are exact; and they
divide the results by the square of `SCALE`.

References
----------
A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, arXiv:1509.09308.
B. Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2018,
arXiv:1803.10986.
N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 2002, sections 2.8 and 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cache, reduce

import numpy as np

from convback import ConvGeometry, error_bounds
from convback.contract import Array

FINITE = tuple(map(Fraction, ("0", "5/8", "-5/8", "3/2", "-3/2")))  # and infinity, the last row of each matrix
SCALE = Fraction(26775, 2**15)
SCALE_ROUNDINGS = 3  # in float32 it is squared, inverted, and multiplied by; in float64 it takes one division
BLOCK = 2**20  # numbers of x and y that are treated at once, in whole images


def powers(count: int) -> Array:
    """1, t, t^2, ... at each point t; at infinity the last of them counts alone."""
    last = [Fraction(j == count - 1) for j in range(count)]
    return np.array([*([t**j for j in range(count)] for t in FINITE), last], object)


@cache
def A_T(results: int) -> Array:
    return powers(results).T


@cache
def G(weights: int) -> Array:
    distances = [math.prod(t - other for other in FINITE if other != t) for t in FINITE]
    scaled: Array = powers(weights) / np.array([*distances, Fraction(1)], object)[:, np.newaxis]
    return scaled


@cache
def B_T() -> Array:
    factors = {t: np.array([-t, Fraction(1)], object) for t in FINITE}
    rows = [reduce(np.convolve, [factors[other] for other in FINITE if other != t]) for t in FINITE]
    return np.array([*([*row, Fraction(0)] for row in rows), reduce(np.convolve, factors.values())], object)


def roundings(op: str, geom: ConvGeometry) -> int:
    """n: how often a product is rounded at most on its way from the operands to a result.

    A sum of products, in any order, with or without FMA, rounds each no more often than it has terms. So these add up:

    - the sum at the points: of y and dx over channels and taps of the depth; of dw over all tiles. Where dw is summed
      in blocks whose results are added, a tile is spared as many roundings as other blocks have tiles, at least one
      each, and passes one more for each of these blocks: no more in all.
    - every transform, twice, for two axes: the non-zeros of its longest row.
    - the scale.
    """
    geom = geom.as3d()
    if op == "dw":
        terms, matrices = geom.N * geom.y_shape[2] * math.prod(_tiles(geom.y_shape[3:])), (A_T(3), B_T(), G(4))
    else:
        terms, matrices = (geom.C if op == "y" else geom.F) * geom.kernel[0], (A_T(4), B_T(), G(3))
    return terms + 2 * sum(int(np.count_nonzero(matrix, axis=1).max()) for matrix in matrices) + SCALE_ROUNDINGS


def error_bound(op: str, geom: ConvGeometry | None, a: Array, b: Array | None) -> Array:
    """The largest error of each element, as `convback.error_bounds.from_gauge` says, whose parameters these are.

    The gauge is the formula at the top of this module on absolute values, of operands and of matrices alike, and n is
    that of `roundings`. An element may be off by so much however small its own terms are, as the whole of its tile goes
    through the same sums.
    """
    return error_bounds.from_gauge(op, geom, a, b, _gauge)


def _gauge(op: str, geom: ConvGeometry, a: Array, b: Array) -> tuple[int, Array]:
    # A product that underflows is off by u * tiny besides, where tiny is the smallest normal number. A number of any
    # stage sums at most n products, or 5 in each of at most n blocks; and n such errors, which grow by 1 + gamma_n
    # until the end, come to gamma_n * tiny. So 5 * tiny more in each number of the gauge covers them.
    floor, of_op = 5 * float(np.finfo(a.dtype).tiny), _of_dw if op == "dw" else _of_y
    # It is computed in float64, of positive numbers and of matrices that are exact, and passes the roundings of a
    # result and 6 of what is added for underflow: fewer than 4 n.
    shape = {"y": geom.y_shape, "dx": geom.x_shape, "dw": geom.w_shape}[op]
    return roundings(op, geom), of_op(op, geom.as3d(), _magnitudes(a), _magnitudes(b), floor).reshape(shape)


def _of_y(op: str, geom: ConvGeometry, source: Array, w: Array, floor: float) -> Array:
    """The gauge of y; or of dx, which is y of dy with each filter turned, and filters and channels exchanged."""
    gauge, w, before = np.empty(geom.y_shape), w.transpose(2, 0, 1, 3, 4), [lo for lo, _ in geom.padding[1:]]
    if op == "dx":
        gauge, w, before = np.empty(geom.x_shape), w.swapaxes(1, 2)[..., ::-1, ::-1], [2 - lo for lo in before]
    _, channels, depth, *plane = gauge.shape
    tiles, weights = _tiles(plane), _at_both_axes(G(3) * SCALE, w, -1, floor)
    for images in _blocks(geom):
        inputs = _at_points(B_T(), source[images], before, tiles, floor)
        sums = np.zeros((6, 6, depth, channels, inputs.shape[-1]))
        for h, m, q in _meetings(geom):
            to, at = (q, h) if op == "dx" else (h, q)
            sums[:, :, to] += weights[:, :, m] @ inputs[:, :, at]
        results = _results(A_T(4), sums, floor).reshape(4, 4, depth, channels, -1, *tiles)  # i, j, ..., n, tile
        rows = results.transpose(4, 3, 2, 5, 0, 6, 1).reshape(-1, channels, depth, *(4 * count for count in tiles))
        gauge[images] = rows[..., : plane[0], : plane[1]]
    return gauge


def _of_dw(op: str, geom: ConvGeometry, dy: Array, x: Array, floor: float) -> Array:
    before, tiles = [lo for lo, _ in geom.padding[1:]], _tiles(geom.y_shape[3:])
    sums = np.zeros((6, 6, geom.kernel[0], geom.F, geom.C))
    for images in _blocks(geom):
        gradients = _at_points(G(4) * SCALE, dy[images], [0, 0], tiles, floor)
        inputs = _at_points(B_T(), x[images], before, tiles, floor)
        for h, m, q in _meetings(geom):
            sums[:, :, m] += gradients[:, :, h] @ inputs[:, :, q].swapaxes(-1, -2)
    return _results(A_T(3), sums, floor).transpose(3, 4, 2, 0, 1)


def _magnitudes(v: Array) -> Array:
    return np.abs(v, dtype=np.float64).reshape(*v.shape[:2], *(1,) * (5 - v.ndim), *v.shape[2:])


def _tiles(plane: Iterable[int]) -> list[int]:
    return [-(-extent // 4) for extent in plane]


def _blocks(geom: ConvGeometry) -> Iterator[slice]:
    images = max(1, BLOCK * geom.N // (math.prod(geom.x_shape) + math.prod(geom.y_shape)))
    return (slice(n, n + images) for n in range(0, geom.N, images))


def _meetings(geom: ConvGeometry) -> Iterator[tuple[int, int, int]]:
    """All h, m and q that meet."""
    for h, m in np.ndindex(geom.y_shape[2], geom.kernel[0]):
        q = h * geom.stride[0] + m * geom.dilation[0] - geom.padding[0][0]
        if 0 <= q < geom.x_shape[2]:
            yield h, m, q


def _at_points(matrix: Array, images: Array, before: list[int], tiles: list[int], floor: float) -> Array:
    """[point, point, depth, channel, image and tile] of squares four apart, the first of which begins `before`."""
    # A row and a column of zeros stand for all that is outside.
    padded = np.pad(images.transpose(2, 1, 0, 3, 4), ((0, 0),) * 3 + ((0, 1),) * 2)
    index = []
    for lo, count, size in zip(before, tiles, images.shape[3:], strict=True):
        at = np.add.outer(4 * np.arange(count), np.arange(matrix.shape[1])) - lo
        index.append(np.where((at >= 0) & (at < size), at, size))
    squares = padded[..., index[0][:, np.newaxis, :, np.newaxis], index[1][:, np.newaxis, :]]
    points = _at_both_axes(matrix, squares, -1, floor)
    return points.reshape(*points.shape[:4], -1)


def _results(matrix: Array, sums: Array, floor: float) -> Array:
    """Back from the points, which are the first two axes, and from the scale."""
    return _at_both_axes(matrix, sums + floor, 1, floor) / float(SCALE**2) + floor


def _at_both_axes(matrix: Array, v: Array, axis: int, floor: float) -> Array:
    """|matrix| v |matrix|^T on the last two axes (axis = -1) or the first two (1), which come first in the result."""
    magnitudes = np.abs(matrix).astype(np.float64)
    for _ in range(2):
        v = np.tensordot(magnitudes, v, (1, axis)) + floor
    return v
