"""The matrices of the transforms, and how large the error of a result can be.

A correlation of polynomials is taken at as many points as it has coefficients, here 0, +-5/8, +-3/2 and infinity, and
brought back [1]_. With d the inputs of a tile and g its weights, on both axes::

    result = A^T [ sum over terms  (G g G^T) * (B^T d B) ] A

Every number on this way is a sum of products. So each is off by at most gamma_n times the same expression of absolute
values, its *gauge*, where n counts the roundings that a number passes from the operands to the result, and
gamma_n = n u / (1 - n u) [2]_. The bound is not componentwise: an element may be off by as much where its own terms
are small, as its tile is transformed together.

References
----------
.. [1] A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", 2015, arXiv:1509.09308. The points
   are those of B. Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep neural
   networks", 2018, arXiv:1803.10986.
.. [2] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 2002, section 3.1.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from convback import ConvGeometry
from convback.contract import Array

Matrix = list[list[Fraction]]

P, Q = Fraction(5, 8), Fraction(3, 2)
FINITE = (Fraction(0), P, -P, Q, -Q)
SCALE = Fraction(26775, 2**15)  # kernels hold G times this, which makes its entries dyadic, and divide in the end

# Of products of a tile: non-zeros in a row of B (4), A (5) and G (3, or 4 where it takes squares of dy), twice each, as
# no number passes more roundings in a sum than the sum has terms; and 3 for the scale.
ROUNDINGS = {"y": 2 * (4 + 5 + 3) + 3, "dx": 2 * (4 + 5 + 3) + 3, "dw": 2 * (4 + 5 + 4) + 3}


def evaluation(count: int) -> Matrix:
    """Values of a polynomial of so many coefficients at the six points; at infinity it is the last coefficient."""
    rows = [[_product([point] * power) for power in range(count)] for point in FINITE]
    return [*rows, [Fraction(power == count - 1) for power in range(count)]]


def A_T(count: int) -> Matrix:
    """The rows that give `count` results from six products: the transpose of `evaluation`."""
    return [list(row) for row in zip(*evaluation(count), strict=True)]


def G(count: int) -> Matrix:
    """`evaluation`, each row divided by the product of the distances of its point from the others."""
    weights = [1 / _product([point - other for other in FINITE if other != point]) for point in FINITE]
    rows = zip(evaluation(count), [*weights, Fraction(1)], strict=True)
    return [[value * weight for value in row] for row, weight in rows]


def B_T() -> Matrix:
    """Coefficients of the polynomials that are zero at all finite points but one; in the last row, at all."""
    rows = [_with_roots([other for other in FINITE if other != point]) for point in FINITE]
    return [*([*row, Fraction(0)] for row in rows), _with_roots(list(FINITE))]


def _with_roots(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients of the product of (t - root), the lowest first."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


def _product(factors: list[Fraction]) -> Fraction:
    found = Fraction(1)
    for factor in factors:
        found *= factor
    return found


def error_bound(op: str, geom: ConvGeometry | None, a: Array, b: Array | None) -> Array:
    """gamma_n * gauge, an upper bound of the error of each element of a result of `winograd`.

    Parameters
    ----------
    op : {"y", "dx", "dw", "db"}
    geom : ConvGeometry, or None for "db"
    a, b : ndarray
        x and w, dy and w, or dy and x, or dy and None; their dtype says which u counts.

    Returns
    -------
    ndarray of float64
        Of the shape of the result.

    Notes
    -----
    n is the number of terms that are summed at the points plus `ROUNDINGS`. Terms are channels times taps of the depth,
    or for dw the tiles of all images; that these are summed in blocks adds no rounding, as a block has a tile at least.

    db is a sum, and its bound gamma_K * sum |dy|.

    A product may also be smaller than any normal number, and then be off by half the smallest one there is. Gamma_n
    being at least 28 u, a few smallest normal numbers in every sum of the gauge cover that.
    """
    tiny, u = np.finfo(a.dtype).tiny, np.finfo(a.dtype).eps / 2
    if geom is None or b is None:
        gauge, n = np.abs(a.astype(np.float64)).sum(axis=(0, *range(2, a.ndim))), a.size // a.shape[1]
    elif geom.is_empty:
        gauge, n = np.zeros({"y": geom.y_shape, "dx": geom.x_shape, "dw": geom.w_shape}[op]), 0
    else:
        gauge, terms = _gauge(op, geom.as3d(), _three_axes(a), _three_axes(b), tiny)
        gauge, n = gauge.reshape({"y": geom.y_shape, "dx": geom.x_shape, "dw": geom.w_shape}[op]), terms + ROUNDINGS[op]
    # The gauge is itself a sum of positive numbers in float64: off by a far smaller part than this.
    bound: Array = n * u / (1 - n * u) * (1 + 1e-6) * (gauge + 8 * tiny)
    return bound


def _three_axes(a: Array) -> Array:
    """Absolute values in float64, with three spatial axes."""
    return np.abs(a.astype(np.float64)).reshape(*a.shape[:2], *(1,) * (5 - a.ndim), *a.shape[2:])


def _gauge(op: str, geom: ConvGeometry, a: Array, b: Array, tiny: float) -> tuple[Array, int]:
    """The gauge, and the number of terms that are summed at the points."""
    before = [lo for lo, _ in geom.padding]
    if op == "dw":
        return _gauge_of_dw(geom, a, b, before, tiny)
    if op == "y":
        return _gauge_of_y(geom.y_shape, a, b, before, geom.dilation[0], tiny)
    turned = b.swapaxes(0, 1)[..., ::-1, ::-1, ::-1]
    before = [(k - 1) * d - p for k, d, p in zip(geom.kernel, geom.dilation, before, strict=True)]
    return _gauge_of_y(geom.x_shape, a, turned, before, geom.dilation[0], tiny)


def _gauge_of_y(
    shape: tuple[int, ...], source: Array, w: Array, before: list[int], spacing: int, tiny: float
) -> tuple[Array, int]:
    """Of y, and of dx as y of dy."""
    tiles = [-(-extent // 4) for extent in shape[-2:]]
    inputs = _at_points(_tiles(source, before[1:], tiles, 6), B_T()) + 4 * tiny
    weights = _at_points(w, G(3)) + 4 * tiny
    products = np.zeros((36, shape[0], shape[2], *tiles, shape[1]))
    for h in range(shape[2]):
        for m in range(w.shape[2]):
            q = h + m * spacing - before[0]
            if 0 <= q < source.shape[2]:
                there = inputs[:, :, :, q].transpose(0, 1, 3, 4, 2).reshape(36, -1, source.shape[1])
                products[:, :, h] += (there @ weights[:, :, :, m].swapaxes(1, 2)).reshape(products[:, :, h].shape)
    results = _from_points(products + 4 * tiny, A_T(4))  # n, h, tile row, tile column, f, i, j
    rows = results.transpose(0, 4, 1, 2, 5, 3, 6).reshape(shape[0], shape[1], shape[2], 4 * tiles[0], 4 * tiles[1])
    return rows[..., : shape[3], : shape[4]], w.shape[1] * w.shape[2]


def _gauge_of_dw(geom: ConvGeometry, dy: Array, x: Array, before: list[int], tiny: float) -> tuple[Array, int]:
    tiles = [-(-extent // 4) for extent in geom.y_spatial[1:]]
    inputs = _at_points(_tiles(x, before[1:], tiles, 6), B_T()) + 4 * tiny
    gradients = _at_points(_tiles(dy, [0, 0], tiles, 4), G(4)) + 4 * tiny
    products = np.zeros((36, geom.kernel[0], geom.F, geom.C))
    for h in range(geom.y_spatial[0]):
        for m in range(geom.kernel[0]):
            q = h + m * geom.dilation[0] - before[0]
            if 0 <= q < geom.x_spatial[0]:
                there = (gradients[:, :, :, h], inputs[:, :, :, q])
                left, right = (v.transpose(0, 2, 1, 3, 4).reshape(36, v.shape[2], -1) for v in there)
                products[:, m] += left @ right.swapaxes(1, 2)
    results = _from_points(products + 4 * tiny, A_T(3))  # m, f, c, k, l
    return results.transpose(1, 2, 0, 3, 4), geom.N * geom.y_spatial[0] * tiles[0] * tiles[1]


def _tiles(a: Array, before: list[int], tiles: list[int], extent: int) -> Array:
    """[..., tile row, tile column, i, j]: squares of that extent, four apart, the first `before` the origin."""
    sizes = [4 * count + extent - 4 for count in tiles]
    framed = np.zeros((*a.shape[:-2], *sizes))
    spans = [(max(0, lo), min(size, lo + n)) for lo, size, n in zip(before, sizes, a.shape[-2:], strict=True)]
    (r0, r1), (s0, s1) = spans
    if r0 < r1 and s0 < s1:
        framed[..., r0:r1, s0:s1] = a[..., r0 - before[0] : r1 - before[0], s0 - before[1] : s1 - before[1]]
    windows = np.lib.stride_tricks.sliding_window_view(framed, (extent, extent), (-2, -1))
    return windows[..., ::4, ::4, :, :]


def _at_points(tiles: Array, matrix: Matrix) -> Array:
    """[point, ...]: |matrix| tile |matrix|^T."""
    m = np.abs(np.array(matrix, np.float64))
    points = m @ tiles @ m.T
    return np.moveaxis(points.reshape(*points.shape[:-2], 36), -1, 0)


def _from_points(products: Array, matrix: Matrix) -> Array:
    """[..., i, j]: |matrix| product |matrix|^T."""
    m = np.abs(np.array(matrix, np.float64))
    results: Array = m @ np.moveaxis(products, 0, -1).reshape(*products.shape[1:], 6, 6) @ m.T
    return results
