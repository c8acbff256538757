"""The limits of the machine: how fast it multiplies and adds, and how fast it moves memory. Measured, not looked up."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

import numpy as np

import convback
from convback_tools.benchmark.problem import Problem

# Beyond what caches hold.
COPIED_BYTES = 2**28
COPIES = 7


@dataclass(frozen=True)
class Machine:
    """What so many threads can do at most.

    Attributes
    ----------
    fma : dict of str to float
        Multiplications and additions a second, for each dtype; empty where no backend measures it.
    copy : float
        Bytes a second, those read and those written.
    """

    threads: int
    fma: dict[str, float]
    copy: float

    def limit(self, problem: Problem) -> tuple[float, str] | None:
        """The seconds that a problem takes at least, and what sets the limit: "FMA" or "memory".

        All operands are read once and all results written once, while all products are made. Operands that are still in
        a cache arrive sooner.
        """
        peak = self.fma.get(problem.dtype.name)
        return max((problem.flops / peak, "FMA"), (problem.bytes / self.copy, "memory")) if peak else None

    def document(self) -> dict[str, object]:
        """For the report in JSON."""
        return {
            "threads": self.threads,
            "fma_gflops": {dtype: flops / 1e9 for dtype, flops in self.fma.items()},
            "copy_gbytes": self.copy / 1e9,
        }

    def __str__(self) -> str:
        peaks = [f"{flops / 1e9:.3g} GFLOP/s {dtype}" for dtype, flops in self.fma.items()]
        return "limits: " + ", ".join([*peaks, f"{self.copy / 1e9:.3g} GB/s copied"])


def measured(dtypes: Sequence[str], threads: int, backends: Sequence[str]) -> Machine:
    """The machine as it is now. The first backend that can measures the peak, those given before others."""
    peaks = (_peaks(name, dtypes, threads) for name in dict.fromkeys((*backends, *convback.backends())))
    return Machine(threads, next(filter(None, peaks), {}), copy_bandwidth(threads))


def _peaks(backend: str, dtypes: Sequence[str], threads: int) -> dict[str, float]:
    """Of each dtype; empty where the backend cannot say."""
    with suppress(Exception):  # that of a stranger may raise anything, and the next one is as good
        peak = getattr(convback.get_backend(backend), "peak", None)
        found = {dtype: float(peak(np.dtype(dtype), threads)) for dtype in dtypes} if peak else {}
        return found if all(flops > 0 for flops in found.values()) else {}
    return {}


def copy_bandwidth(threads: int) -> float:
    """Bytes a second that threads read and write when each copies its part of a large array: the best of some."""
    source = np.ones(COPIED_BYTES // 8)
    target = np.empty_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(COPIES):
            started = perf_counter()
            list(pool.map(np.copyto, *zip(*parts, strict=True)))
            seconds.append(perf_counter() - started)
    return 2 * source.nbytes / min(seconds)
