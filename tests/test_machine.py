"""The limits of the machine, and how far a call is from them."""

import itertools
import types

import numpy as np
import pytest
from convback_cython import tiled
from convback_tools.benchmark import machine
from convback_tools.benchmark.machine import Machine
from convback_tools.benchmark.problem import Problem

import convback
from convback import ConvGeometry

GEOM = ConvGeometry((2, 3, 8, 9), (4, 3, 3, 3), 1, 1)
SIZES = {"x": 2 * 3 * 8 * 9, "w": 4 * 3 * 3 * 3, "dy": 2 * 4 * 8 * 9, "db": 4}
MACS = 2 * 4 * 8 * 9 * 3 * 9


@pytest.mark.parametrize(
    ("op", "flops", "moved"),
    [
        ("y", 2 * MACS, ("x", "w", "dy")),
        ("dx", 2 * MACS, ("x", "w", "dy")),
        ("db", SIZES["dy"], ("dy", "db")),
        ("backward", 4 * MACS, ("dy", "x", "w", "x", "w", "db")),
    ],
)
def test_the_limit_is_whichever_is_later(op, flops, moved, dtype):
    problem = Problem(op, GEOM, dtype)
    nbytes = dtype.itemsize * sum(SIZES[name] for name in moved)
    peak = {dtype.name: 1e9}
    assert Machine(1, peak, 1e30).limit(problem) == (pytest.approx(flops / 1e9), "FMA")
    assert Machine(1, peak, 1e3).limit(problem) == (pytest.approx(nbytes / 1e3), "memory")
    assert Machine(1, {}, 1e3).limit(problem) is None


def offer(monkeypatch, **peaks):
    """Backends with these functions are all that there are."""
    backends = {name: types.SimpleNamespace(peak=peak) for name, peak in peaks.items()}
    backends["plain"] = types.SimpleNamespace()
    monkeypatch.setattr(convback, "backends", lambda: sorted(backends))
    monkeypatch.setattr(convback, "get_backend", backends.__getitem__)
    monkeypatch.setattr(machine, "copy_bandwidth", lambda threads: 1e9 * threads)


def test_the_first_backend_that_can_measures_the_peak(monkeypatch):
    offer(monkeypatch, a=lambda dtype, threads: 10.0 * dtype.itemsize * threads, b=lambda dtype, threads: 1)
    assert machine.measured(["float32", "float64"], 2, ["plain", "b"]).fma == {"float32": 1, "float64": 1}
    assert machine.measured(["float32", "float64"], 2, ["plain"]).fma == {"float32": 80, "float64": 160}
    assert machine.measured(["float32"], 2, ["plain"]).copy == 2e9


def test_one_that_fails_to_measure_is_passed_over(monkeypatch):
    offer(monkeypatch, a=lambda dtype, threads: 1 / 0, b=lambda dtype, threads: "much", c=lambda dtype, threads: 0)
    assert machine.measured(["float32"], 1, ["missing"]).fma == {}
    offer(monkeypatch, a=lambda dtype, threads: 1 / 0, d=lambda dtype, threads: np.float64(7))
    assert machine.measured(["float32"], 1, []).fma == {"float32": 7}


def test_peaks_are_numbers_of_one_machine(backend, dtype):
    if not hasattr(convback.get_backend(backend), "peak"):
        pytest.skip("it does not measure the peak")
    assert 1e7 < convback.get_backend(backend).peak(dtype, 1) < 1e13


@pytest.mark.parametrize("threads", [1, 3])
def test_the_kernels_count_what_they_compute(monkeypatch, dtype, threads):
    sums = np.ones((threads, 2 * tiled._kernels.tile_rows * tiled._kernels.vector_bytes // dtype.itemsize), dtype)
    tiled._kernels.multiply_add(sums, 3, threads)
    assert (sums == 1.875).all()
    monkeypatch.setattr(tiled, "perf_counter", itertools.count().__next__)  # every measurement takes a second
    monkeypatch.setattr(tiled, "PEAK_FLOPS", 100 * 2 * sums.shape[1])
    assert tiled.fma_peak(dtype, threads) == 100 * 2 * sums.size


@pytest.mark.parametrize("threads", [1, 3])
def test_copies_reach_all_of_the_memory(monkeypatch, threads):
    copied = []
    monkeypatch.setattr(machine, "COPIED_BYTES", 8 * 1000)
    monkeypatch.setattr(machine.np, "copyto", lambda to, source: copied.append((to.size, source.size)))
    monkeypatch.setattr(machine, "perf_counter", itertools.count().__next__)  # every copy takes a second
    assert machine.copy_bandwidth(threads) == 2 * 8 * 1000
    assert len(copied) == threads * machine.COPIES
    assert sum(size for size, _ in copied[:threads]) == 1000
    assert all(to == source for to, source in copied)


def test_the_report_tells_the_limits(command):
    word = "g1mb1ic16ih16iw16oc16kh3kw3ph1pw1"  # six times as long in the registers as in memory, so on any machine
    line = (
        "bench",
        "-b",
        "einsum",
        "--op",
        "dx",
        "--seconds",
        "0",
        "--threads",
        "1",
        "--dtype",
        "float64",
        "--case",
        word,
    )
    result = command(*line, "--format", "json")
    assert result.code == 0, result.err
    report = result.json
    (row,), limits = report["rows"], report["machine"]
    assert limits["threads"] == 1 and set(limits["fma_gflops"]) == {"float64"}
    macs, numbers = 16 * 16 * 9 * 16 * 16, 16 * (16 * 16 + 16 * 9 + 16 * 16)
    assert row["macs"] == macs and row["limit"] == "FMA"
    least = max(2 * macs / limits["fma_gflops"]["float64"], 8 * numbers / limits["copy_gbytes"]) / 1e9
    assert row["fraction_of_peak"] == pytest.approx(least / row["seconds_min"])
    table = command(*line).out
    for told in ("of limit", f"% {row['limit']}", "limits: ", "GFLOP/s float64", "GB/s copied", "workspace"):
        assert told in table
