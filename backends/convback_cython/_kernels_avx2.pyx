"""All kernels, compiled for AVX2 and FMA."""

include "kernels.pxi"
