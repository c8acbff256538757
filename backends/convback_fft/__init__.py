"""Large kernels by discrete Fourier transforms: their cost does not depend on the kernel.

With F the transform of M numbers along each spatial axis, and * the product at each frequency, conjugated where said::

    y    F^-1[ sum over c    F(x) * conj F(w) ]     from 0 on
    dx   F^-1[ sum over f    F(dy) * F(w)     ]     from the padding on
    dw   F^-1[ sum over n    F(x) * conj F(dy) ]    at the taps

where x is preceded by its padding, and w has zeros between its taps if it is dilated. M is at least x with the longer
of its two paddings, y, and the kernel: what a transform wraps around then meets zeros, or is not read.

The transforms are SciPy's, which are pocketfft. `backward` transforms dy, x and w once for both gradients.

An infinity or NaN would reach every result of its plane. Where a result is not finite, the direct kernels compute all
again, so that it appears exactly where it is a term.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import EllipsisType

import numpy as np
from convback_cython import direct

from convback import ConvGeometry, get_num_threads, workspace
from convback.contract import Array, DType
from convback.geometry import Shape, effective_kernel
from convback_fft import gauge

try:
    import scipy
    from scipy import fft
except ImportError as error:
    raise ImportError('SciPy is not installed; pip install "convback[fft]"') from error

CONTRACT = 1
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
    with np.errstate(all="ignore"):
        for images, groups, W in _blocks(geom, w):
            spectrum = np.einsum("ngc...,gfc...->ngf...", _of_x(x, geom, images, groups), W.conj())
            _grouped(out, geom)[images, groups] = _inverse(spectrum, geom, [slice(n) for n in geom.y_spatial])
    _again_unless_finite("y", x, w, geom, out)


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
    return gauge.error_bound(op, geom, 1 if geom is None or geom.is_empty else math.prod(sizes(geom)), a, b)


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
    with np.errstate(all="ignore"):
        for images, groups, W in _blocks(geom, w):
            D = _spectrum(_grouped(dy, geom)[images, groups], geom)
            if dx is not None:
                spectrum = np.einsum("ngf...,gfc...->ngc...", D, W)
                _grouped(dx, geom)[images, groups] = _inverse(spectrum, geom, _inside(geom))
            if dw is not None and x is not None:
                X = _of_x(x, geom, images, groups)
                part = _inverse(np.einsum("ngc...,ngf...->gfc...", X, D.conj()), geom, _taps(geom))
                weights = _by_group(dw, geom)
                weights[groups] = part if images.start == 0 else weights[groups] + part
    if dx is not None and w is not None:
        _again_unless_finite("dx", dy, w, geom, dx)
    if dw is not None and x is not None:
        _again_unless_finite("dw", dy, x, geom, dw)


def _blocks(geom: ConvGeometry, w: Array | None) -> Iterator[tuple[slice, slice, Array]]:
    """Images and groups whose spectra take about `BLOCK_BYTES`, and the spectrum of the weights of the groups."""
    plane, planes, filters = _plane_bytes(geom), _planes(geom), _filters(geom)
    some = min(geom.groups, max(1, BLOCK_BYTES // (plane * (planes + filters))))
    many = min(geom.N, max(1, (BLOCK_BYTES // plane - some * filters) // (some * planes)))
    for g in range(0, geom.groups, some):
        groups = slice(g, g + some)
        W = np.empty(0) if w is None else _of_w(w, geom, groups)
        for n in range(0, geom.N, many):
            yield slice(n, n + many), groups, W


def _plane_bytes(geom: ConvGeometry) -> int:
    """Of a spectrum, at most: half as many complex numbers, and some of the middle."""
    return 8 * (math.prod(sizes(geom)) + 2 * math.prod(sizes(geom)[:-1]))


def _planes(geom: ConvGeometry) -> int:
    """Of one image and one group, of x and y."""
    return (geom.C + geom.F) // geom.groups


def _filters(geom: ConvGeometry) -> int:
    """Planes of weights of one group."""
    return geom.F // geom.groups * (geom.C // geom.groups)


def _of_x(x: Array, geom: ConvGeometry, images: slice, groups: slice) -> Array:
    source = _grouped(x, geom)[images, groups]
    padded = np.zeros((*source.shape[:3], *sizes(geom)), x.dtype)
    padded[_at(_inside(geom))] = source
    return _spectrum(padded, geom)


def _of_w(w: Array, geom: ConvGeometry, groups: slice) -> Array:
    source = _by_group(w, geom)[groups]
    reach = [effective_kernel(k, d) for k, d in zip(geom.kernel, geom.dilation, strict=True)]
    spread = np.zeros((*source.shape[:3], *reach), w.dtype)
    spread[_at(_taps(geom))] = source
    return _spectrum(spread, geom)


def _spectrum(a: Array, geom: ConvGeometry) -> Array:
    axes = tuple(range(-geom.rank, 0))
    spectrum: Array = fft.rfftn(a, sizes(geom), axes, workers=get_num_threads())
    return spectrum


def _inverse(spectrum: Array, geom: ConvGeometry, at: list[slice]) -> Array:
    axes = tuple(range(-geom.rank, 0))
    whole: Array = fft.irfftn(spectrum, sizes(geom), axes, workers=get_num_threads(), overwrite_x=True)
    return whole[_at(at)]


def _inside(geom: ConvGeometry) -> list[slice]:
    """Where x lies after its padding."""
    return [slice(lo, lo + n) for n, (lo, _) in zip(geom.x_spatial, geom.padding, strict=True)]


def _taps(geom: ConvGeometry) -> list[slice]:
    """Where they lie."""
    return [slice(0, effective_kernel(k, d), d) for k, d in zip(geom.kernel, geom.dilation, strict=True)]


def _at(spatial: list[slice]) -> tuple[EllipsisType | slice, ...]:
    return ..., *spatial


def _grouped(a: Array, geom: ConvGeometry) -> Array:
    """x, y or a gradient of theirs as [n, g, channel, ...]."""
    return a.reshape(geom.N, geom.groups, -1, *a.shape[2:])


def _by_group(w: Array, geom: ConvGeometry) -> Array:
    """w or dw as [g, f, c, ...]."""
    return w.reshape(geom.groups, -1, *w.shape[1:])


def _again_unless_finite(op: str, a: Array, b: Array, geom: ConvGeometry, out: Array) -> None:
    if not np.isfinite(out).all():
        direct.plan(op, geom, out.dtype)(a, b, out)
