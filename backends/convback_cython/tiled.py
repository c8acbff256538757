"""The backends over register tiles: `gemm`, `grouped` and `depthwise`.

A tile is a block of sums held in vector registers (microkernel_body.h). What lies along the vectors tells the backends
apart. In `gemm` it is the channels of a result, as in a product of matrices one of which, the windows of the input, is
never stored: implicit GEMM. In `grouped` and `depthwise` it is the groups, a vector of which is computed at once.

`gather.py` plans y and dx, and `reduction.py` dw. `planes.py` plans y and dx with vectors along the rows, where
`forms.py` says that this is faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from convback import ConvGeometry, get_num_threads, workspace
from convback.contract import Array, DType, Run
from convback_cython import direct, forms, gather, isa, planes, pointwise, reduction
from convback_cython import winograd as transforms
from convback_cython import winograd_gauge as gauge
from convback_cython.planning import PARALLEL_MACS, TooLarge

# Of a thread in one measurement of the peak: some milliseconds, so that starting and awaiting threads hardly counts.
PEAK_FLOPS = 500_000_000

_kernels = isa.kernels()

Pass: TypeAlias = (
    gather.Pass | planes.Planes | pointwise.Pointwise | reduction.Reduction | transforms.Tiles | transforms.Products
)
KERNELS: dict[type, Any] = {
    gather.Pass: _kernels.Gather,
    planes.Planes: _kernels.Planes,
    pointwise.Pointwise: _kernels.Pointwise,
    reduction.Reduction: _kernels.Reduction,
    transforms.Tiles: _kernels.Winograd,
    transforms.Products: _kernels.WinogradReduction,
}


class Tiled:
    """One of the backends; its methods are the contract's."""

    CONTRACT = 1

    def __init__(self, lanes: bool, refuse: Callable[[str, ConvGeometry], str | None]) -> None:
        self.lanes = lanes
        self.refuse = refuse
        self.prepared = lru_cache(512)(self._prepared)

    def supports(self, op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
        if geom is None or geom.is_empty:
            return None
        reason = self.refuse(op, geom)
        if reason is None:
            try:
                self.prepared(op, geom, dtype.itemsize)
            except TooLarge as error:
                return str(error)
        return reason

    def info(self) -> dict[str, str]:
        return isa.info()

    def peak(self, dtype: DType, threads: int) -> float:
        return fma_peak(dtype, threads)

    def _prepared(self, op: str, geom: ConvGeometry, itemsize: int) -> tuple[list[Pass], bool]:
        """The passes of a gradient, and whether some of the result is zero that none of them writes."""
        vector = (itemsize, _kernels.vector_bytes)
        if op == "dw":
            return [reduction.reduction(geom, *vector, _kernels.tile_rows, self.lanes)], False
        passes: list[gather.Pass | planes.Planes | pointwise.Pointwise] = []
        match forms.fastest(op, geom, *vector, _kernels.most_rolled, self.lanes):
            case "rows":
                passes += planes.passes(op, geom, *vector, _kernels.most_rolled)
            case "positions":
                passes.append(pointwise.product(op, geom, *vector))
            case "tiles":
                passes += gather.passes(op, geom, *vector, self.lanes)
        outputs = math.prod(geom.y_shape if op == "y" else geom.x_shape)
        return [*passes], sum(a_pass.outputs for a_pass in passes) < outputs

    def plan(self, op: str, geom: ConvGeometry, dtype: DType) -> Run:
        passes, zero = self.prepared(op, geom, dtype.itemsize)
        steps = [KERNELS[type(a_pass)](a_pass) for a_pass in passes]
        parallel = geom.macs >= PARALLEL_MACS
        most = min(map(fitting_threads, passes), default=1)
        nbytes = cache(lambda threads: max((a_pass.scratch_bytes(threads) for a_pass in passes), default=0))

        def run(a: Array, b: Array, out: Array) -> None:
            threads = min(get_num_threads(), most) if parallel else 1
            scratch = workspace.take(nbytes(threads))
            if zero:
                out.fill(0)
            for step in steps:
                if not step.run(a, b, out, scratch, threads):
                    # An infinity or NaN met a zero that is no term of the sum. The direct kernels have no such zeros.
                    direct.plan(op, geom, dtype)(a, b, out)
                    return

        return run

    def y(self, x: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
        self.plan("y", geom, out.dtype)(x, w, out)

    def dx(self, dy: Array, w: Array, geom: ConvGeometry, out: Array) -> None:
        self.plan("dx", geom, out.dtype)(dy, w, out)

    def dw(self, dy: Array, x: Array, geom: ConvGeometry, out: Array) -> None:
        self.plan("dw", geom, out.dtype)(dy, x, out)

    def db(self, dy: Array, out: Array) -> None:
        direct.db(dy, out)


class Transformed(Tiled):
    """`winograd`: dense 3x3 layers with fewer multiplications."""

    def error_bound(self, op: str, geom: ConvGeometry | None, a: Array, b: Array | None) -> Array:
        return gauge.error_bound(op, geom, a, b)

    def _prepared(self, op: str, geom: ConvGeometry, itemsize: int) -> tuple[list[Pass], bool]:
        if op == "dw":
            return [transforms.products(geom, itemsize, _kernels.vector_bytes)], False
        return [transforms.tiles(op, geom, itemsize, _kernels.vector_bytes)], False


def fitting_threads(a_pass: Pass) -> int:
    """How many threads find room in the workspace for copies of their own: at least one."""
    shared = a_pass.scratch_bytes(0)
    return max(1, (workspace.limit() - shared) // max(1, a_pass.scratch_bytes(1) - shared))


def fma_peak(dtype: DType, threads: int) -> float:
    """Multiplications and additions a second in registers: the best of 20 measurements."""
    sums = np.ones((threads, 2 * _kernels.tile_rows * _kernels.vector_bytes // dtype.itemsize), dtype)
    steps = PEAK_FLOPS // (2 * sums.shape[1])
    seconds: list[float] = []
    for _ in range(20):
        started = perf_counter()
        _kernels.multiply_add(sums, steps, threads)
        seconds.append(perf_counter() - started)
    return float(2 * sums.size * steps / min(seconds))


def _any_layer(op: str, geom: ConvGeometry) -> str | None:
    return None


def _several_groups(op: str, geom: ConvGeometry) -> str | None:
    if geom.groups == 1:
        return "it computes several groups at once, and there is one; use gemm"
    if geom.groups == geom.C:
        return "each group has one channel; use depthwise"
    return None


def _one_channel_each(op: str, geom: ConvGeometry) -> str | None:
    if geom.groups != geom.C:
        return f"it needs groups of one channel, and {geom.groups} groups share {geom.C} channels"
    return None


gemm = Tiled(lanes=False, refuse=_any_layer)
grouped = Tiled(lanes=True, refuse=_several_groups)
depthwise = Tiled(lanes=True, refuse=_one_channel_each)
winograd = Transformed(lanes=False, refuse=transforms.refusal)
