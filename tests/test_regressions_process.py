"""No backend has the bugs of other libraries that show in a process, its memory or at its limits.

Each test is named after the report of one. Some run in a process of their own, which a bug would end.
"""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from upstream_reports import by_report, practical

import convback

# What the processes share: small integers, and all results of a layer.
PRELUDE = """
import os, signal, warnings
import numpy as np, convback

def operands_of(x, w, dtype, **layer):
    rng = np.random.default_rng(1)
    shapes = {"x": x, "w": w, "dy": convback.ConvGeometry(x, w, **layer).y_shape}
    return {name: rng.integers(-9, 10, shape).astype(dtype) for name, shape in shapes.items()}

def results(dy, x, w, backend, outs=(None,) * 4, **layer):
    layer["backend"] = backend
    return (
        convback.conv(x, w, **layer, out=outs[0]), convback.dx(dy, w, x.shape, **layer, out=outs[1]),
        convback.dw(dy, x, w.shape, **layer, out=outs[2]), convback.db(dy, backend=backend, out=outs[3]),
    )

def equal(these, those):
    return all(map(np.array_equal, these, those))

"""


def output(result):
    """What the process printed; the test is skipped if the backend refuses the layer."""
    if result.code and (refusal := re.search("UnsupportedProblem: (.*)", result.err)):
        pytest.skip(refusal[1])
    assert result.code == 0, result.err
    return result.out


FENCES = """
import ctypes, mmap

protect = ctypes.CDLL(None).mprotect
protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int

def fenced(a, at_end):
    "A copy at the end, or the start, of memory between two pages that nobody may touch."
    page, room = mmap.PAGESIZE, -(-a.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, room + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert protect(start, page, 0) == protect(start + page + room, page, 0) == 0
    copy = np.frombuffer(memory, a.dtype, a.size, page + (room - a.nbytes if at_end else 0)).reshape(a.shape)
    copy[...] = a
    return copy

for width in range(1, 21):
    for dtype in ("f4", "f8"):
        plain = operands_of((*x, width), w, dtype, **layer)
        expected = results(**plain, backend=backend, **layer)
        for at_end in (False, True):
            near = {name: fenced(a, at_end) for name, a in plain.items()}
            outs = [fenced(np.full_like(a, np.nan), at_end) for a in expected]
            assert equal(results(**near, backend=backend, outs=outs, **layer), expected), (width, dtype, at_end)
print("inside")
"""

# The report, all extents of x but the last, w, layer.
FENCED = [
    ("oneDNN#6035", (3, 4, 7), (5, 4, 1, 1), {"stride": 2}),
    ("oneDNN#5942", (2, 3, 1), (2, 3, 9, 1), {"stride": 2, "padding": (4, 3)}),
    ("opencv#23151", (2, 5, 6), (5, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 5}),
    ("ncnn#6766", (2, 3, 4), (6, 3, 3, 2), {"padding": (0, 1)}),
    ("openxla/xla#48713", (2, 4, 5), (6, 2, 1, 1), {"padding": ((0, 0), (5, 1)), "groups": 2}),
]


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected in the way of Linux")
@by_report(("x", "w", "layer"), FENCED)
def test_nothing_beside_an_array_is_touched(own_backend, python, x, w, layer):
    result = python(PRELUDE + f"backend, x, w, layer = {own_backend, x, w, layer}\n" + FENCES)
    assert output(result) == "inside\n"


SUBNORMAL = """
def alive():
    return bool({expression} != 0)

seen = [alive()]
convback.get_backend({backend!r})
seen.append(alive())
for dtype in "f4", "f8":
    tiny = np.finfo(dtype).smallest_subnormal
    plain = operands_of((2, 3, 8, 9), (4, 3, 3, 2), dtype)
    y = results(**plain | {{"x": plain["x"] * tiny}}, backend={backend!r})[:1]
    gradients = results(**plain | {{"dy": plain["dy"] * tiny}}, backend={backend!r})[1:]
    seen.append(equal(y + gradients, [a * tiny for a in results(**plain, backend={backend!r})]))
seen.append(alive())
print(seen)
"""


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("np.float32('1e-40') * np.float32(1)", id="gevent#1864"),
        pytest.param("float('1e-323') / 2", id="symengine#1453"),
    ],
)
def test_subnormal_numbers_survive_and_are_exact(own_backend, python, expression):
    """A library that sets flush-to-zero when it is loaded sets it for the whole process."""
    result = python(PRELUDE + SUBNORMAL.format(expression=expression, backend=own_backend))
    assert output(result) == "[True, True, True, True, True]\n"


FORK = """
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: that is the point
operands = operands_of((4, 3, 128, 128), (2, 3, 3, 3), "f4", padding=1)
convback.set_num_threads(2)
expected = results(**operands, backend=backend, padding=1)
child = os.fork()
if child == 0:
    signal.alarm(30)  # ends a child that hangs
    os._exit(0 if equal(results(**operands, backend=backend, padding=1), expected) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("report", ["pytorch#91547"])
def test_a_forked_child_does_not_wait_for_threads_of_its_parent(own_backend, python, report):
    practical(own_backend, convback.ConvGeometry((4, 3, 128, 128), (2, 3, 3, 3), padding=1).macs)
    result = python(PRELUDE + f"backend = {own_backend!r}\n" + FORK)
    assert output(result) == "0\n"


# The report, shapes of x and w, layer, and what follows: shape of y, and products.
LARGE = [
    ("pytorch#43476", (1, 32, 512, 512, 256), (1, 32, 1, 1, 1), {}, (1, 1, 512, 512, 256), 2**31),
    ("pytorch#44109", (1, 128, 4096, 4096), (3, 128, 1, 1), {}, (1, 3, 4096, 4096), 3 * 2**31),
    ("pytorch#113833", (100, 50, 512, 512), (200, 50, 1, 1), {}, (100, 200, 512, 512), 10**6 * 2**18),
    ("pyinn#14", (1, 1, 2**33 + 3), (1, 1, 3), {"stride": 2, "dilation": 2**31}, (1, 1, 2**31 + 2), 3 * (2**31 + 2)),
]


@by_report(("x", "w", "layer", "y", "macs"), LARGE)
def test_sizes_beyond_2_to_the_31_do_not_wrap(x, w, layer, y, macs):
    geom = convback.ConvGeometry(x, w, **layer)
    assert (geom.y_shape, geom.macs) == (y, macs)


FAR = 2**31 + 16

# The same without what lies between is the layer of x (..., 2) without stride and dilation.
SPARSE = [
    ("pytorch#43476", (1, 1, FAR + 1), (1, 1, 1), {"stride": FAR}),
    ("pytorch#87354", (1, 1, FAR + 1), (1, 1, 2), {"dilation": FAR}),
    ("pytorch#84488", (1, 9, 2**28), (2, 9, 1), {"stride": 2**28 - 1}),
    ("pytorch#56922", (9, 1, 2**28), (1, 1, 1), {"stride": 2**28 - 1}),
]

ENDS = """
near = operands_of((*x[:2], 2), w, "f4")
far = np.zeros(x, "f4")  # only the ends of its rows are ever touched, so it takes a few pages of memory
far[..., 0], far[..., -1] = near["x"][..., 0], near["x"][..., 1]

def y_and_dw(x, **layer):
    y = convback.conv(x, near["w"], **layer, backend=backend)
    return y, convback.dw(near["dy"], x, near["w"].shape, **layer, backend=backend)

print(equal(y_and_dw(far, **layer), y_and_dw(near["x"])))
"""


@by_report(("x", "w", "layer"), SPARSE)
def test_positions_beyond_2_to_the_31(own_backend, python, x, w, layer):
    result = python(PRELUDE + f"backend, x, w, layer = {own_backend, x, w, layer}\n" + ENDS)
    if "MemoryError" in result.err:
        pytest.skip(f"an array of shape {x} is too large here")
    assert output(result) == "True\n"


def need_memory(nbytes):
    """Skip the test unless that much is free; where nobody can tell, 1 GiB is taken to be."""
    told = Path("/proc/meminfo")
    free = 1024 * int(re.search(r"MemAvailable: +(\d+)", told.read_text())[1]) if told.exists() else 2**30
    if free < nbytes:
        pytest.skip(f"it takes {nbytes} bytes of memory and {free} are free")


@pytest.mark.slow
@pytest.mark.parametrize("report", ["mlx#3248"])
def test_results_beyond_2_to_the_31_are_written(own_backend, report):
    need_memory(20 * 2**30)
    out = np.full((1, 1, FAR + 1), np.nan, np.float32)
    dy, w = np.array([[[3, 5]]], np.float32), np.array([[[7]]], np.float32)
    convback.dx(dy, w, out.shape, stride=FAR, backend=own_backend, out=out)
    assert (out[0, 0, 0], out[0, 0, FAR], np.count_nonzero(out)) == (21, 35, 2)


# A float32 sum of ones, one after the other, stops at 2^24; these counts are float32 numbers.
COUNTS = [
    pytest.param(2**24 + 64, id="pytorch#68048"),
    pytest.param(2**30 + 128, id="pytorch#113833", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("count", COUNTS)
def test_db_of_ones_does_not_stop_growing(own_backend, count):
    """Over two images, so that the sum goes on from one to the next."""
    need_memory(20 * count)
    practical(own_backend, 2 * count)
    dy = np.broadcast_to(np.ones(1, np.float32), (2, 1, count))
    assert convback.db(dy, backend=own_backend).tolist() == [2 * count]


@pytest.mark.parametrize("report", ["pytorch#68048"])
def test_db_is_summed_in_float64(own_backend, report):
    """Of integers up to 2^23 a float32 sum loses the last bits, in whatever order it takes them."""
    practical(own_backend, 2**21)
    dy = np.random.default_rng(1).integers(-(2**23), 2**23, (2, 3, 2**19)).astype(np.float32)
    expected = dy.astype(np.int64).sum(axis=(0, 2))
    assert np.array_equal(convback.db(dy, backend=own_backend), expected.astype(np.float32))
