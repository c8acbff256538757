"""Large kernels by discrete Fourier transforms: their cost does not depend on the kernel.

With F the transform of M numbers along each spatial axis, and * the product at each frequency, conjugated where said::

    y    F^-1[ sum over c    F(x) * conj F(w) ]     from 0 on
    dx   F^-1[ sum over f    F(dy) * F(w)     ]     from the padding on
    dw   F^-1[ sum over n    F(x) * conj F(dy) ]    at the taps

where x is preceded by its padding, and w has zeros between its taps if it is dilated. M is at least x with the longer
of its two paddings, y, and the kernel: what a transform wraps around then meets zeros, or is not read. `backward`
transforms dy once for both gradients.

An infinity or NaN would reach every result of its plane. Where a transform gives any, the direct kernels compute the
gradient again, so that it appears exactly where it is a term.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from convback_cython import direct

from convback import ConvGeometry, error_bounds, get_num_threads, workspace
from convback.contract import Array, DType

try:
    import scipy
except ImportError as error:
    raise ImportError('SciPy is not installed; pip install "convback[fft]"') from error

from convback_fft import gauge
from convback_fft.spectra import Spectra, by_group, grouped

CONTRACT = 1


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    if geom is None or geom.is_empty:
        return None
    if any(stride > 1 and extent > 1 for stride, extent in zip(geom.stride, geom.y_spatial, strict=True)):
        return "it is for a stride of 1; gemm and depthwise take any"
    size, most = Spectra(geom).least_bytes, workspace.limit()
    if size > most:
        return (
            f"the spectra of one image and one group would take {size} bytes, more than the {most} of a workspace; "
            "raise CONVBACK_WORKSPACE"
        )
    return None


def info() -> dict[str, str]:
    return {"SciPy": str(scipy.__version__), "threads": str(get_num_threads())}


def y(x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    spectra, images_of = Spectra(geom), grouped(x, geom)
    result = _Result(grouped(out, geom), partial(direct.y, x, w, geom, out))

    def work(groups: slice, blocks: list[slice]) -> None:
        W = spectra.forward(by_group(w, geom)[groups], spectra.at_w).conj()
        for images in blocks:
            X = spectra.forward(images_of[images, groups], spectra.at_x)
            result.put((images, groups), spectra.inverse(np.einsum("ngc...,gfc...->ngf...", X, W), spectra.at_y))

    spectra.each(work)
    result.finish()


def dx(dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    _gradients(dy, geom, [_OfInput(dy, w, geom, out)])


def dw(dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
    _gradients(dy, geom, [_OfWeights(dy, x, geom, out)])


def db(dy: Array, out: Array) -> None:
    direct.db(dy, out)


def backward(
    dy: Array, x: Array, w: Array, geom: ConvGeometry, dx: Array | None, dw: Array | None, db: Array | None
) -> None:
    of_input = [] if dx is None else [_OfInput(dy, w, geom, dx)]
    of_weights = [] if dw is None else [_OfWeights(dy, x, geom, dw)]
    _gradients(dy, geom, [*of_input, *of_weights])
    if db is not None:
        direct.db(dy, db)


def error_bound(op: str, geom: ConvGeometry | None, a: Array, b: Array | None) -> Array:
    return error_bounds.from_gauge(op, geom, a, b, _gauge)


class _Result:
    """A result that is written in blocks; the direct kernel computes it again if any number is not finite."""

    def __init__(self, out: Array, again: Callable[[], object]) -> None:
        self.out, self.again, self.finite = out, again, True

    def put(self, at: Any, part: Array) -> None:
        if not np.isfinite(part).all():
            self.finite = False
        self.out[at] = part

    def finish(self) -> None:
        if not self.finite:
            self.again()


class _OfInput(_Result):
    """dx, which takes w. Of a block of groups it holds the spectra of w."""

    def __init__(self, dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
        super().__init__(grouped(out, geom), partial(direct.dx, dy, w, geom, out))
        self.w = by_group(w, geom)

    def begin(self, spectra: Spectra, groups: slice) -> Array:
        return spectra.forward(self.w[groups], spectra.at_w)

    def take(self, spectra: Spectra, W: Array, images: slice, groups: slice, D: Array) -> Array:
        product = np.einsum("ngf...,gfc...->ngc...", D, W)
        self.put((images, groups), spectra.inverse(product, spectra.at_x))
        return W

    def end(self, spectra: Spectra, W: Array, groups: slice) -> None:
        """Nothing is left to do."""


class _OfWeights(_Result):
    """dw, which takes x. Of a block of groups it holds the sum over all images, which is transformed back once."""

    def __init__(self, dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
        super().__init__(by_group(out, geom), partial(direct.dw, dy, x, geom, out))
        self.x = grouped(x, geom)

    def begin(self, spectra: Spectra, groups: slice) -> Array:
        return np.zeros(())

    def take(self, spectra: Spectra, total: Array, images: slice, groups: slice, D: Array) -> Array:
        X = spectra.forward(self.x[images, groups], spectra.at_x)
        summed: Array = total.astype(D.dtype, copy=False) + np.einsum("ngc...,ngf...->gfc...", X, D.conj())
        return summed

    def end(self, spectra: Spectra, total: Array, groups: slice) -> None:
        self.put(groups, spectra.inverse(total, spectra.at_w))


def _gradients(dy: Array, geom: ConvGeometry, results: Sequence[_OfInput | _OfWeights]) -> None:
    spectra, images_of = Spectra(geom), grouped(dy, geom)

    def work(groups: slice, blocks: list[slice]) -> None:
        held = [result.begin(spectra, groups) for result in results]
        for images in blocks:
            D = spectra.forward(images_of[images, groups], spectra.at_y)
            held = [result.take(spectra, h, images, groups, D) for result, h in zip(results, held, strict=True)]
        for result, h in zip(results, held, strict=True):
            result.end(spectra, h, groups)

    spectra.each(work)
    for result in results:
        result.finish()


def _gauge(op: str, geom: ConvGeometry, a: Array, b: Array) -> tuple[int, Array]:
    return gauge.of_transforms(op, geom, math.prod(Spectra(geom).sizes), a, b)
