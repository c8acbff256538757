"""What the error bounds of methods that do not sum products have in common: a gauge, and how often it is rounded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from convback.contract import Array
from convback.geometry import ConvGeometry

Gauge: TypeAlias = Callable[[str, ConvGeometry, Array, Array], tuple[int, Array]]


def from_gauge(op: str, geom: ConvGeometry | None, a: Array, b: Array | None, gauge: Gauge) -> Array:
    """The largest error of each element: gamma_n * gauge.

    gamma_n = n u / (1 - n u), with the unit roundoff u of the operands (Higham, "Accuracy and Stability of Numerical
    Algorithms", 2nd ed., 2002, section 3.1). db is a plain sum, whose gauge is that of |dy|; an empty problem has
    zeros.

    Parameters
    ----------
    op : {"y", "dx", "dw", "db"}
    geom : ConvGeometry or None
        None for db.
    a, b : ndarray
        x and w for y, dy and w for dx, dy and x for dw, dy and None for db.
    gauge : callable
        gauge(op, geom, a, b) for "y", "dx" and "dw" that are not empty: n, and the gauge in float64, of the shape of
        the result. It may be too small by its own rounding errors, if these are less than 4 n ulp.

    Returns
    -------
    ndarray of float64
        Of the shape of the result.
    """
    if geom is None or b is None:
        n, of_all = a.size // max(1, a.shape[1]), np.abs(a, dtype=np.float64).sum(axis=(0, *range(2, a.ndim)))
    elif geom.is_empty:
        n, of_all = 0, np.zeros({"y": geom.y_shape, "dx": geom.x_shape, "dw": geom.w_shape}[op])
    else:
        n, of_all = gauge(op, geom, a, b)
    reach = n * float(np.finfo(a.dtype).eps) / 2
    bound: Array = (reach / (1 - reach) if reach < 1 else math.inf) * (1 + 4 * n * 2.0**-53) * of_all
    return bound
