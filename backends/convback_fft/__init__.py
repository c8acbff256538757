"""Large kernels by discrete Fourier transforms: their cost does not depend on the kernel.

With F the transform of M numbers along each spatial axis, and * the product at each frequency, conjugated where said::

    y    F^-1[ sum over c    F(x) * conj F(w) ]     from 0 on
    dx   F^-1[ sum over f    F(dy) * F(w)     ]     from the padding on
    dw   F^-1[ sum over n    F(x) * conj F(dy) ]    at the taps

where x is preceded by its padding, and w has zeros between its taps if it is dilated. M is at least x with the longer
of its two paddings, y, and the kernel: what a transform wraps around then meets zeros, or is not read.

The transforms are SciPy's, which are pocketfft. `backward` transforms dy, x and w once for both gradients.

An infinity or NaN would reach every result of its plane. Where a transform gives any, the direct kernels compute the
gradient again, so that it appears exactly where it is a term.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import EllipsisType
from typing import TypeAlias

import numpy as np
from convback_cython import direct

from convback import ConvGeometry, error_bounds, get_num_threads, workspace
from convback.contract import Array, DType
from convback.geometry import Shape, effective_kernel
from convback_fft import gauge

try:
    import scipy
    from scipy import fft
except ImportError as error:
    raise ImportError('SciPy is not installed; pip install "convback[fft]"') from error

CONTRACT = 1
Place: TypeAlias = tuple[EllipsisType | slice, ...]  # along the spatial axes of a transform

BLOCK_BYTES = 2**22  # of the spectra that exist at once, or those of one image and one group


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    if geom is None or geom.is_empty:
        return None
    if any(stride > 1 and extent > 1 for stride, extent in zip(geom.stride, geom.y_spatial, strict=True)):
        return "it is for a stride of 1; gemm and depthwise take any"
    size, most = _plane_bytes(geom) * (_planes(geom) + _filters(geom)), workspace.limit()
    if size > most:
        return (
            f"the spectra of one image and one group would take {size} bytes, more than the {most} of a workspace; "
            "raise CONVBACK_WORKSPACE"
        )
    return None


def info() -> dict[str, str]:
    return {"SciPy": str(scipy.__version__), "threads": str(get_num_threads())}


def y(x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    finite = True
    with np.errstate(all="ignore"):
        for groups, blocks in _blocks(geom):
            W = _spectrum(_by_group(w, geom)[groups], geom, _of_w(geom)).conj()
            for images in blocks:
                X = _spectrum(_grouped(x, geom)[images, groups], geom, _of_x(geom))
                part = _inverse(np.einsum("ngc...,gfc...->ngf...", X, W), geom, _of_y(geom))
                finite &= _is_finite(part)
                _grouped(out, geom)[images, groups] = part
    if not finite:
        direct.y(x, w, geom, out)


def dx(dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    _gradients(dy, None, w, geom, out, None)


def dw(dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
    _gradients(dy, x, None, geom, None, out)


def db(dy: Array, out: Array) -> None:
    direct.db(dy, out)


def backward(
    dy: Array, x: Array, w: Array, geom: ConvGeometry, dx: Array | None, dw: Array | None, db: Array | None
) -> None:
    _gradients(dy, None if dw is None else x, None if dx is None else w, geom, dx, dw)
    if db is not None:
        direct.db(dy, db)


def error_bound(op: str, geom: ConvGeometry | None, a: Array, b: Array | None) -> Array:
    return error_bounds.from_gauge(op, geom, a, b, _gauge)


def sizes(geom: ConvGeometry) -> Shape:
    """M of each axis: the next number from the least on that has no other factors than 2, 3 and 5."""
    least = (
        max(x + max(pair), y, effective_kernel(kernel, dilation))
        for x, pair, y, kernel, dilation in zip(
            geom.x_spatial, geom.padding, geom.y_spatial, geom.kernel, geom.dilation, strict=True
        )
    )
    return tuple(fft.next_fast_len(n, real=True) for n in least)


def _gradients(
    dy: Array, x: Array | None, w: Array | None, geom: ConvGeometry, dx: Array | None, dw: Array | None
) -> None:
    """dx, which takes w, and dw, which takes x."""
    finite_dx = finite_dw = True
    with np.errstate(all="ignore"):
        for groups, blocks in _blocks(geom):
            W = None if w is None else _spectrum(_by_group(w, geom)[groups], geom, _of_w(geom))
            for images in blocks:
                D = _spectrum(_grouped(dy, geom)[images, groups], geom, _of_y(geom))
                if dx is not None and W is not None:
                    part = _inverse(np.einsum("ngf...,gfc...->ngc...", D, W), geom, _of_x(geom))
                    finite_dx &= _is_finite(part)
                    _grouped(dx, geom)[images, groups] = part
                if dw is not None and x is not None:
                    X = _spectrum(_grouped(x, geom)[images, groups], geom, _of_x(geom))
                    part = _inverse(np.einsum("ngc...,ngf...->gfc...", X, D.conj()), geom, _of_w(geom))
                    finite_dw &= _is_finite(part)
                    weights = _by_group(dw, geom)
                    weights[groups] = part if images.start == 0 else weights[groups] + part
    if dx is not None and w is not None and not finite_dx:
        direct.dx(dy, w, geom, dx)
    if dw is not None and x is not None and not finite_dw:
        direct.dw(dy, x, geom, dw)


def _gauge(op: str, geom: ConvGeometry, a: Array, b: Array) -> tuple[int, Array]:
    return gauge.of_transforms(op, geom, math.prod(sizes(geom)), a, b)


def _blocks(geom: ConvGeometry) -> Iterator[tuple[slice, list[slice]]]:
    """Some groups, and for these all images in blocks, so that the spectra take about `BLOCK_BYTES`."""
    plane, planes, filters = _plane_bytes(geom), _planes(geom), _filters(geom)
    some = min(geom.groups, max(1, BLOCK_BYTES // (plane * (planes + filters))))
    many = min(geom.N, max(1, (BLOCK_BYTES // plane - some * filters) // (some * planes)))
    for g in range(0, geom.groups, some):
        yield slice(g, g + some), [slice(n, n + many) for n in range(0, geom.N, many)]


def _plane_bytes(geom: ConvGeometry) -> int:
    """Of a spectrum, at most: half as many complex numbers, and some of the middle."""
    return 8 * (math.prod(sizes(geom)) + 2 * math.prod(sizes(geom)[:-1]))


def _planes(geom: ConvGeometry) -> int:
    """Of one image and one group, of x and y."""
    return (geom.C + geom.F) // geom.groups


def _filters(geom: ConvGeometry) -> int:
    """Planes of weights of one group."""
    return geom.F // geom.groups * (geom.C // geom.groups)


def _spectrum(a: Array, geom: ConvGeometry, at: Place) -> Array:
    """Of an array that is put there, among zeros."""
    padded = np.zeros((*a.shape[:3], *sizes(geom)), a.dtype)
    padded[at] = a
    spectrum: Array = fft.rfftn(padded, axes=_axes(geom), workers=get_num_threads())
    return spectrum


def _inverse(spectrum: Array, geom: ConvGeometry, at: Place) -> Array:
    whole: Array = fft.irfftn(spectrum, sizes(geom), _axes(geom), workers=get_num_threads(), overwrite_x=True)
    return whole[at]


def _axes(geom: ConvGeometry) -> tuple[int, ...]:
    return tuple(range(-geom.rank, 0))


def _of_y(geom: ConvGeometry) -> Place:
    return ..., *(slice(n) for n in geom.y_spatial)


def _of_x(geom: ConvGeometry) -> Place:
    return ..., *(slice(lo, lo + n) for n, (lo, _) in zip(geom.x_spatial, geom.padding, strict=True))


def _of_w(geom: ConvGeometry) -> Place:
    return ..., *(slice(0, effective_kernel(k, d), d) for k, d in zip(geom.kernel, geom.dilation, strict=True))


def _grouped(a: Array, geom: ConvGeometry) -> Array:
    """x, y or a gradient of theirs as [n, g, channel, ...]."""
    return a.reshape(geom.N, geom.groups, -1, *a.shape[2:])


def _by_group(w: Array, geom: ConvGeometry) -> Array:
    """w or dw as [g, f, c, ...]."""
    return w.reshape(geom.groups, -1, *w.shape[1:])


def _is_finite(part: Array) -> bool:
    return bool(np.isfinite(part).all())
