"""Direct convolution in Cython: the plain form, to be read first.

This file plans and `direct.pxi` computes. The formulas stand there.
"""

from __future__ import annotations

from convback import ConvGeometry, get_num_threads
from convback.contract import Array, DType, Run
from convback_cython.isa import info as info
from convback_cython.isa import kernels
from convback_cython.planning import flattened

CONTRACT = 1
CTYPES = {"float32": "float", "float64": "double"}

# About 50 microseconds of work: below it, starting and awaiting threads costs what they save.
PARALLEL_MACS = 300_000

_kernels = kernels()
_db = {8: _kernels.db["double"], 4: _kernels.db["float"]}  # looked up once: small calls take microseconds


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    return None


def plan(op: str, geom: ConvGeometry, dtype: DType) -> Run:
    kernel = {"y": _kernels.y, "dx": _kernels.dx, "dw": _kernels.dw}[op][CTYPES[dtype.name]]
    flat = flattened(geom)
    layer = _kernels.Layer(flat)
    x, w, y = flat.x_shape, flat.w_shape, flat.y_shape
    shapes = {"y": (x, w, y), "dx": (y, w, x), "dw": (y, x, w)}[op]
    parallel = geom.macs >= PARALLEL_MACS

    def run(a: Array, b: Array, out: Array) -> None:
        threads = get_num_threads() if parallel else 1
        kernel(a.reshape(shapes[0]), b.reshape(shapes[1]), layer, out.reshape(shapes[2]), threads)

    return run


def y(x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    plan("y", geom, out.dtype)(x, w, out)


def dx(dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    plan("dx", geom, out.dtype)(dy, w, out)


def dw(dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
    plan("dw", geom, out.dtype)(dy, x, out)


def db(dy: Array, out: Array) -> None:
    threads = get_num_threads() if dy.size >= PARALLEL_MACS else 1
    _db[dy.itemsize](dy.reshape(*dy.shape[:2], -1), out, threads)
