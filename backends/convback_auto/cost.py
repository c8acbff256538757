"""Which of convback's own backends should be fastest: a first, simple model of two costs.

`cython` adds one row to another for each tap, filter and channel: a fixed cost a row and one an element. `einsum`
copies the windows of x and multiplies matrices by BLAS, after a fixed cost a call. The constants fit what
`convback bench` measured on two cores of an AMD Zen 3, to within a factor of two; the costs mostly differ by more.
"""

from __future__ import annotations

import math

from convback import ConvGeometry, get_num_threads

# Seconds on one thread.
DIRECT_ROW = 7e-9
DIRECT_PRODUCT = 2e-10
EINSUM_CALL = 1.5e-4
EINSUM_WINDOW_ELEMENT = 2.5e-9  # its copy runs on one thread
EINSUM_PRODUCT = 8e-11


def by_cost(geom: ConvGeometry | None) -> tuple[str, ...]:
    """Candidates, the cheapest first; `naive` is what remains where nothing else can be loaded."""
    if geom is not None and einsum_seconds(geom) < direct_seconds(geom):
        return "einsum", "cython", "naive"
    return "cython", "einsum", "naive"


def direct_seconds(geom: ConvGeometry) -> float:
    row = max(1, geom.y_spatial[-1])
    return geom.macs / row * (DIRECT_ROW + row * DIRECT_PRODUCT) / get_num_threads()


def einsum_seconds(geom: ConvGeometry) -> float:
    elements = geom.N * geom.C * math.prod(geom.y_spatial) * math.prod(geom.kernel)
    return EINSUM_CALL + elements * EINSUM_WINDOW_ELEMENT + geom.macs * EINSUM_PRODUCT / get_num_threads()
