"""Backends in Cython: Python that plans, over Cython that computes.

`direct` is the plain form, to be read first. `tiled` has three backends over register tiles: `gemm`, `grouped` and
`depthwise`. All kernels are compiled for several instruction sets; `isa` chooses among them.
"""
