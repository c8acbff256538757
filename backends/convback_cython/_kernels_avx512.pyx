"""All kernels, compiled for AVX-512."""

include "kernels.pxi"
