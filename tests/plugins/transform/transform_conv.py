"""A backend that sums no products: Winograd's F(4,3) in one dimension, with the error bound that this has.

A tile of four outputs is A^T [(G g) * (B^T d)], summed over channels before the last product. By the rules for sums and
products each of its numbers is off by at most gamma_n times the same expression of absolute values, the gauge; n counts
the roundings that one number goes through.
"""

from fractions import Fraction

import numpy as np

CONTRACT = 1

# Points 0, 5/8, -5/8, 3/2, -3/2 and infinity.
A_T = np.array([
    [1, 1, 1, 1, 1, 0],
    [0, 5 / 8, -5 / 8, 3 / 2, -3 / 2, 0],
    [0, 25 / 64, 25 / 64, 9 / 4, 9 / 4, 0],
    [0, 125 / 512, -125 / 512, 27 / 8, -27 / 8, 1],
])  # fmt: skip
G = np.array([
    [Fraction(256, 225), 0, 0],
    [Fraction(-2048, 2975), Fraction(-256, 595), Fraction(-32, 119)],
    [Fraction(-2048, 2975), Fraction(256, 595), Fraction(-32, 119)],
    [Fraction(128, 1071), Fraction(64, 357), Fraction(32, 119)],
    [Fraction(128, 1071), Fraction(-64, 357), Fraction(32, 119)],
    [0, 0, 1],
]).astype(float)  # fmt: skip
B_T = np.array([
    [225 / 256, 0, -169 / 64, 0, 1, 0],
    [0, -45 / 32, -9 / 4, 5 / 8, 1, 0],
    [0, 45 / 32, -9 / 4, -5 / 8, 1, 0],
    [0, -75 / 128, -25 / 64, 3 / 2, 1, 0],
    [0, 75 / 128, -25 / 64, -3 / 2, 1, 0],
    [0, 225 / 256, 0, -169 / 64, 0, 1],
])  # fmt: skip


def supports(op, geom, dtype):
    if op in ("dw", "db"):
        return "it is made for y and dx"
    if (geom.kernel, geom.stride, geom.dilation, geom.groups) != ((3,), (1,), (1,), 1):
        return "it is made for 3 taps on one axis, without stride, dilation or groups"
    return None


def y(x, w, geom, out):
    out[...] = tiles(padded(x, *geom.padding[0], geom), w, out.shape[-1], A_T, B_T, G)


def dx(dy, w, geom, out):
    out[...] = tiles(*as_forward(dy, w, geom), out.shape[-1], A_T, B_T, G)


def dw(dy, x, geom, out):
    raise AssertionError("never asked")


def db(dy, out):
    raise AssertionError("never asked")


def error_bound(op, geom, a, b):
    (d, w), width = ((padded(a, *geom.padding[0], geom), b), geom.y_shape[-1])
    if op == "dx":
        (d, w), width = as_forward(a, b, geom), geom.x_shape[-1]
    d, w = np.abs(d, dtype=float), np.abs(w, dtype=float)
    gauge = tiles(d, w, width, np.abs(A_T), np.abs(B_T), np.abs(G))
    n = w.shape[1] + 2 * sum(int((m != 0).sum(axis=1).max()) for m in (A_T, B_T, G)) + 1
    u = np.finfo(a.dtype).epsneg / 2
    return n * u / (1 - n * u) * gauge


def as_forward(dy, w, geom):
    """dx is the forward pass of dy with the kernel turned round, filters and channels changed over."""
    lo, _ = geom.padding[0]
    behind = geom.x_shape[-1] + 2 - dy.shape[-1] - (2 - lo)
    return padded(dy, 2 - lo, behind, geom), w.swapaxes(0, 1)[..., ::-1]


def padded(a, lo, hi, geom):
    """With that many zeros on both sides; fewer than none cuts off."""
    a = a[..., max(0, -lo) : a.shape[-1] - max(0, -hi)]
    return np.pad(a, ((0, 0), (0, 0), (max(0, lo), max(0, hi))))


def tiles(d, w, width, a_t, b_t, g):
    """Correlation of padded data with 3 taps, four outputs a time."""
    a_t, b_t, g = (matrix.astype(d.dtype) for matrix in (a_t, b_t, g))
    count = -(-width // 4)
    d = np.pad(d, ((0, 0), (0, 0), (0, 4 * count + 2 - d.shape[-1])))
    windows = np.lib.stride_tricks.sliding_window_view(d, 6, axis=-1)[..., ::4, :]
    products = np.einsum("nctp,fcp->nftp", windows @ b_t.T, w @ g.T)
    return (products @ a_t.T).reshape(len(d), len(w), -1)[..., :width]
