"""How far `fft` can be off.

A transform of M numbers is a product of stages. A stage of radix r takes r numbers to r others by a matrix that is
sqrt(r) times a unitary one, and multiplies them by twiddle factors. Each number it makes is a sum of at most 2 r real
products, each rounded at most r + 6 times (r additions, two multiplications with one more addition, and constants that
are rounded themselves), and the sum of their magnitudes is that of a matrix whose norm is at most 2 r. So a stage adds
at most 2 sqrt(r) gamma_(r+6) to the relative error in the Euclidean norm: 27 u for each doubling of the numbers, at
most, for the radices 2, 3, 4, 5 and 8 that pocketfft has for such M. A transform of real numbers holds one of each two
conjugate numbers, which changes a norm by sqrt(2) at most, there and back. `A_DOUBLING` is above twice the 27.

With that, e = `A_DOUBLING` log2 M roundings for each transform, the sum over T terms of products of spectra, and the
scale, an element of the result is off by at most

    gamma_m * sum over T terms of  min(|a|_1 |b|_2, |a|_2 |b|_1)           m = 3 e + T + 10

where a and b are the planes of a term, since |F a|_2 = sqrt(M) |a|_2 and no number of F a exceeds |a|_1. It is the same
for all elements of a plane: an element may be off by so much however small its own terms are.

References
----------
N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 2002, section 24.1.
C. Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1992, sections 1.4 and 2.1.
"""

from __future__ import annotations

import math

import numpy as np

from convback import ConvGeometry
from convback.contract import Array

A_DOUBLING = 64
SUMS = {"y": "ngc,gfc->ngf", "dx": "ngf,gfc->ngc", "dw": "ngf,ngc->gfc"}


def roundings(op: str, geom: ConvGeometry, M: int) -> int:
    """m: of three transforms, the sum over the terms, their product and the scale."""
    terms = {"y": geom.C // geom.groups, "dx": geom.F // geom.groups, "dw": geom.N}[op]
    return 3 * math.ceil(A_DOUBLING * math.log2(M)) + terms + 10


def of_transforms(op: str, geom: ConvGeometry, M: int, a: Array, b: Array) -> tuple[int, Array]:
    """m, and the sum over all terms that it multiplies, for transforms of M numbers over all axes."""
    # A number that underflows is off by u * tiny besides; so are at most `A_DOUBLING` log2 M numbers of each of M, and
    # what they are multiplied by is at most M in the norms below. M^2 tiny more in each norm covers them.
    floor = M**2 * float(np.finfo(a.dtype).tiny)
    norms = [[norm + floor for norm in _norms(v, geom, of_w)] for v, of_w in ((a, False), (b, op != "dw"))]
    sums = (np.einsum(SUMS[op], one, two) for one, two in ((norms[0][0], norms[1][1]), (norms[0][1], norms[1][0])))
    # In float64, of positive numbers; no sum has as many as 2^30 terms.
    planes = (np.minimum(*sums) + floor) * (1 + 2.0**-20)
    shape = {"y": geom.y_shape, "dx": geom.x_shape, "dw": geom.w_shape}[op]
    return roundings(op, geom, M), np.broadcast_to(planes.reshape(*shape[:2], *(1,) * geom.rank), shape)


def _norms(v: Array, geom: ConvGeometry, of_w: bool) -> tuple[Array, Array]:
    """Sum of magnitudes, and Euclidean norm, of each plane: [n, g, channel], or [g, f, c] of w."""
    leading = (geom.groups, -1, v.shape[1]) if of_w else (geom.N, geom.groups, -1)
    planes = v.reshape(*leading, v[0, 0].size)
    magnitudes = np.abs(planes, dtype=np.float64)
    largest = magnitudes.max(axis=-1, keepdims=True)  # divided by, so that squares neither underflow nor overflow
    scaled = magnitudes / np.where(largest > 0, largest, 1)
    return magnitudes.sum(axis=-1), largest[..., 0] * np.sqrt((scaled**2).sum(axis=-1))
