"""Direct convolution in Cython: the plain form, to be read first.

This file plans and `_direct.pyx` computes. The formulas stand there.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from convback import ConvGeometry, get_num_threads
from convback.contract import Array, DType, Run


@cache
def _build_report() -> dict[str, Any]:
    report = files(__name__) / "build_report.json"
    if not report.is_file():
        return {"error": "this copy was never built", "openmp": False, "debug": False}
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return content


try:
    from convback_cython import _direct
except ImportError as error:
    raise ImportError(
        f"its extension is missing. When convback was installed: {_build_report()['error'] or 'it was built'}. "
        f"Install a C compiler, then install convback again. ({error})"
    ) from error

CONTRACT = 1
CTYPES = {"float32": "float", "float64": "double"}

# About 50 microseconds of work: below it, starting and awaiting threads costs what they save.
PARALLEL_MACS = 300_000


def supports(op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    return None


def info() -> dict[str, str]:
    report = _build_report()
    openmp, checks = ("on" if report[key] else "off" for key in ("openmp", "debug"))
    return {"compiled for": report["isa"], "OpenMP": openmp, "checks": checks}


def plan(op: str, geom: ConvGeometry, dtype: DType) -> Run:
    kernel = {"y": _direct.y, "dx": _direct.dx, "dw": _direct.dw}[op][CTYPES[dtype.name]]
    layer = _direct.Layer(geom.as3d())
    parallel = geom.macs >= PARALLEL_MACS

    def run(a: Array, b: Array, out: Array) -> None:
        threads = get_num_threads() if parallel else 1
        kernel(three_axes(a), three_axes(b), layer, three_axes(out), threads)

    return run


def y(x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    plan("y", geom, out.dtype)(x, w, out)


def dx(dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
    plan("dx", geom, out.dtype)(dy, w, out)


def dw(dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
    plan("dw", geom, out.dtype)(dy, x, out)


def db(dy: Array, out: Array) -> None:
    threads = get_num_threads() if dy.size >= PARALLEL_MACS else 1
    _direct.db[CTYPES[dy.dtype.name]](dy.reshape(*dy.shape[:2], -1), out, threads)


def three_axes(a: Array) -> Array:
    return a.reshape(*a.shape[:2], *(1,) * (5 - a.ndim), *a.shape[2:])
