"""One einsum a gradient, over sliding windows: the string is the documentation.

Letters as in `convback.geometry`, with g the group; c and f count within the group::

    windows[n,g,c,h,i,j,m,k,l] = x[n, gC'+c, h*sd + m*dd - pd, i*sh + k*dh - ph, j*sw + l*dw - pw]

    y   ngchijmkl,gfcmkl->ngfhij
    dw  ngfhij,ngchijmkl->gfcmkl
    dx  ngfhij,gfcmkl->ngchijmkl, the gradient of every window; the windows are then added where they were cut out
    db  nfi->f, with i for all positions

NumPy turns each of these into products of matrices, which BLAS computes; for that it copies the windows. So a gradient
is computed in blocks of output rows whose windows take at most `BLOCK_BYTES`. BLAS has threads of its own: their number
is that of OMP_NUM_THREADS or threadpoolctl, not of `convback.set_num_threads`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from types import EllipsisType

import numpy as np
from numpy.lib.stride_tricks import as_strided

from convback import ConvGeometry
from convback.contract import Array, DType
from convback.geometry import Shape

CONTRACT = 1
LAYOUT = "any"
BLOCK_BYTES = 8 * 2**20
MOST_PADDED_BYTES = 2**36

# The path that einsum would find for two operands, without the search.
PAIRWISE = ["einsum_path", (0, 1)]


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    if geom is not None and (size := math.prod(padded_shape(geom)) * dtype.itemsize) > MOST_PADDED_BYTES:
        return f"its padded copy of x would take {size} bytes, more than {MOST_PADDED_BYTES}"
    return None


def info() -> dict[str, str]:
    from threadpoolctl import threadpool_info  # not before it is needed: its import sets an environment variable

    blas = [f"{lib['internal_api']} {lib['version']}" for lib in threadpool_info() if lib["user_api"] == "blas"]
    return {"NumPy": np.__version__, "BLAS": ", ".join(blas) or "unknown"}


@np.errstate(all="ignore")
def y(x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    geom = geom.as3d()
    w, out, windows = weights(w, geom), activations(out, geom), windows_of(padded(x, geom), geom)
    for rows in blocks(geom, x.itemsize):
        out[rows] = np.einsum("ngchijmkl,gfcmkl->ngfhij", windows[rows], w, optimize=PAIRWISE)


@np.errstate(all="ignore")
def dw(dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
    geom = geom.as3d()
    dy, out, windows = activations(dy, geom), weights(out, geom), windows_of(padded(x, geom), geom)
    out[...] = 0
    for rows in blocks(geom, x.itemsize):
        out += np.einsum("ngfhij,ngchijmkl->gfcmkl", dy[rows], windows[rows], optimize=PAIRWISE)


@np.errstate(all="ignore")
def dx(dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    geom = geom.as3d()
    dy, w, out = activations(dy, geom), weights(w, geom), activations(out, geom)
    padded_dx = np.zeros(padded_shape(geom), out.dtype)
    windows = windows_of(padded_dx, geom)
    for rows in blocks(geom, out.itemsize):
        gradients = np.einsum("ngfhij,gfcmkl->ngchijmkl", dy[rows], w, optimize=PAIRWISE)
        for tap in np.ndindex(geom.kernel):  # windows of one tap share no element, so += adds each
            windows[rows][(..., *tap)] += gradients[(..., *tap)]
    out[...] = padded_dx[inside(geom)]


@np.errstate(all="ignore")
def db(dy: Array, out: Array) -> None:
    # In float64: a float32 sum of ones stops growing at 2^24.
    out[...] = np.einsum("nfi->f", dy.reshape(*dy.shape[:2], -1), dtype=np.float64)


def activations(a: Array, geom: ConvGeometry) -> Array:
    """A view of x, y or a gradient of theirs as (N, G, channels, three axes)."""
    ones = (1,) * (5 - a.ndim)
    return a.reshape(geom.N, geom.groups, -1, *ones, *a.shape[2:])


def weights(w: Array, geom: ConvGeometry) -> Array:
    """A view of w or dw as (G, F', C', three axes)."""
    return w.reshape(geom.groups, -1, w.shape[1], *geom.kernel)


def padded_shape(geom: ConvGeometry) -> Shape:
    spatial = (lo + r + hi for r, (lo, hi) in zip(geom.x_spatial, geom.padding, strict=True))
    return (geom.N, geom.groups, geom.C // geom.groups, *spatial)


def inside(geom: ConvGeometry) -> tuple[EllipsisType | slice, ...]:
    """Where x lies in its padded form."""
    return ..., *(slice(lo, lo + r) for r, (lo, _) in zip(geom.x_spatial, geom.padding, strict=True))


def padded(x: Array, geom: ConvGeometry) -> Array:
    if not np.any(geom.padding):
        return activations(x, geom)
    result = np.zeros(padded_shape(geom), x.dtype)
    result[inside(geom)] = activations(x, geom)
    return result


def windows_of(a: Array, geom: ConvGeometry) -> Array:
    """A view of a padded array as (N, G, C', *positions, *taps)."""
    n, g, c, *space = a.strides
    positions = steps(space, geom.stride, geom.y_spatial)
    taps = steps(space, geom.dilation, geom.kernel)
    shape = (*a.shape[:3], *geom.y_spatial, *geom.kernel)
    return as_strided(a, shape, (n, g, c, *positions, *taps))


def steps(strides: list[int], multiples: Shape, extents: Shape) -> list[int]:
    # A step that is never taken may be of any length, even one that overflows.
    return [s * m if extent > 1 else 0 for s, m, extent in zip(strides, multiples, extents, strict=True)]


def blocks(geom: ConvGeometry, itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Slices (n, g, c, h, i) of output rows, each with windows of about `BLOCK_BYTES` or of a single row."""
    J, taps = geom.y_spatial[-1], math.prod(geom.kernel)
    rows = max(1, BLOCK_BYTES // (geom.C * J * taps * itemsize))
    N, (H, I) = geom.N, geom.y_spatial[:2]
    step_i = min(I, rows)
    step_h = min(H, max(1, rows // I))
    step_n = min(N, max(1, rows // (H * I)))
    for n, h, i in product(range(0, N, step_n), range(0, H, step_h), range(0, I, step_i)):
        yield np.s_[n : n + step_n, :, :, h : h + step_h, i : i + step_i]
