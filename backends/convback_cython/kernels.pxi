"""Every kernel, in the order of reading. Compiled once for each instruction set, by the files _kernels_*.pyx."""

from cython.parallel cimport prange, threadid

ctypedef fused real:
    float
    double

include "signals.pxi"
include "direct.pxi"
include "tiles.pxi"
include "window.pxi"
include "gather.pxi"
include "strips.pxi"
include "planes.pxi"
include "pointwise.pxi"
include "reduction.pxi"
include "winograd.pxi"
include "winograd_reduction.pxi"

cdef extern from "microkernel.h":
    int cpu_has_avx512()
    int cpu_has_avx2()

tile_rows, most_rolled = TILE_ROWS, ROLLED
vector_bytes = VECTOR_BYTES


def cpu_runs(str isa):
    """Whether this CPU has what the variant of that name is compiled for."""
    return {"avx512": cpu_has_avx512(), "avx2": cpu_has_avx2(), "base": True}[isa]
