"""All kernels, compiled for what every machine of its architecture has."""

include "kernels.pxi"
