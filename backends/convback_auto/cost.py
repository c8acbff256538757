"""Which of convback's own backends should be fastest: a first, simple model.

`einsum` runs as products of matrices on BLAS, of F' x (C' taps) for each group. It beats direct loops where these
matrices are wide enough for BLAS and the problem is large enough to pay for copying the windows.
"""

from __future__ import annotations

import math

from convback import ConvGeometry

# Where the two backends were as fast as each other on the layers that `convback bench --suite layers` times.
LEAST_MACS = 500_000
LEAST_FILTERS = 16
LEAST_TERMS = 16


def by_cost(op: str, geom: ConvGeometry | None) -> tuple[str, ...]:
    """Candidates, the cheapest first; `naive` is what remains where nothing else can be loaded."""
    if geom is not None and suits_blas(geom):
        return "einsum", "cython", "naive"
    return "cython", "einsum", "naive"


def suits_blas(geom: ConvGeometry) -> bool:
    filters = geom.F // geom.groups
    terms = geom.C // geom.groups * math.prod(geom.kernel)
    return geom.macs >= LEAST_MACS and filters >= LEAST_FILTERS and terms >= LEAST_TERMS
