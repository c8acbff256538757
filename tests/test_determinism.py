"""Compiled backends give the same bits: at every call, on any number of threads, from wherever they are called.

The numbers are real, so that any other order of a sum would round otherwise somewhere.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from convback_tools.conformance.layouts import Layout

import convback
from convback import ConvGeometry

THREADS = (1, 2, 3, 7, 16)
ROUNDS, CALLS = 4, 10  # 200 in all
CALLERS = 4

# Shapes of x and w, and parameters: just enough work for threads, which cannot share it out evenly.
LAYERS = {
    "1-D, long": ((1, 1, 60013), (11, 1, 2), {"stride": 2, "padding": ((1, 0),)}),
    "1-D, grouped": ((3, 10, 207), (14, 5, 9), {"groups": 2}),
    "2-D": ((1, 5, 19, 23), (11, 5, 3, 5), {"padding": "same"}),
    "2-D, strided, dilated": ((2, 5, 29, 31), (7, 5, 3, 5), {"stride": (2, 1), "dilation": (1, 3), "padding": 3}),
    "2-D, depthwise": ((1, 13, 41, 43), (13, 1, 3, 5), {"groups": 13, "padding": (1, 2)}),
    "2-D, 3x3": ((1, 32, 13, 13), (33, 32, 3, 3), {"padding": 1}),
    "2-D, 1x1": ((1, 31, 13, 17), (47, 31, 1, 1), {}),
    "3-D": ((1, 3, 7, 11, 13), (5, 3, 3, 3, 3), {"padding": 1}),
    "3-D, all of it": ((1, 14, 7, 10, 15), (14, 7, 2, 3, 3), {"stride": (2, 1, 1), "dilation": (1, 2, 1), "groups": 2}),
}


@pytest.fixture
def compiled_backend(own_backend):
    """Each backend that tells whether it uses OpenMP: its threads are its own, and the promise is for those.

    Of the others, some have no threads, some have those of BLAS, and some choose an algorithm by the number of threads.
    """
    if "OpenMP" not in getattr(convback.get_backend(own_backend), "info", dict)():
        pytest.skip("it does not promise this")
    return own_backend


@pytest.fixture(params=LAYERS)
def bits(request, compiled_backend, dtype):
    """A function that computes y, dx, dw and db, from operands that lie elsewhere with every number, for a hash."""
    x_shape, w_shape, parameters = LAYERS[request.param]
    geom = ConvGeometry(x_shape, w_shape, **parameters)
    assert geom.macs > getattr(convback.get_backend(compiled_backend), "PARALLEL_MACS", 0)
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape, dtype) for shape in (geom.y_shape, x_shape, w_shape)]
    places = [[Layout(offset=n * dtype.itemsize)(array) for array in arrays] for n in range(4)]

    def compute(number):
        dy, x, w = places[number % len(places)]
        y = convback.conv(x, w, **parameters, backend=compiled_backend)
        gradients = convback.backward(dy, x, w, **parameters, backend=compiled_backend)
        return hash(tuple(a.tobytes() for a in (y, *gradients)))

    return compute


def test_every_call_on_any_number_of_threads_gives_the_same_bits(bits, set_threads):
    found = set()
    for threads in THREADS * ROUNDS:
        set_threads(threads)
        found |= {bits(number) for number in range(CALLS)}
    assert len(found) == 1


def test_callers_that_run_at_once_get_the_same_bits(bits, set_threads):
    """Each sets the number of threads for all of them, at any time."""

    def call(number):
        set_threads(THREADS[number % len(THREADS)])
        return bits(number)

    with ThreadPoolExecutor(CALLERS) as pool:
        assert len({*pool.map(call, range(100)), bits(0)}) == 1
