"""The compiled kernels: every instruction set computes the same, scratch memory is bounded, Ctrl-C is answered."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from convback_tools import suites

import convback

tiled = pytest.importorskip("convback_cython.tiled", exc_type=ImportError)
from convback_cython import forms, pointwise  # noqa: E402

TILED = ("gemm", "grouped", "depthwise", "winograd")
ISAS = ("avx512", "avx2", "base")


def usable():
    """The instruction sets that were built and that this CPU runs, as the backend tells them."""
    told = convback.get_backend("gemm").info()["instruction set"]
    return told.partition("(of ")[2].rstrip(")").split(", ")


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_is_exact(command, isa):
    """The quick suite, in every tier, on the variant that the environment asks for."""
    if isa not in usable():
        pytest.skip("it was not built, or this CPU does not run it")
    named = [word for name in ("cython", *TILED) for word in ("-b", name)]
    result = command("verify", *named, "--format", "json", env={"CONVBACK_ISA": isa}, timeout=300)
    assert result.code == 0, result.out
    passed = {row["backend"] for row in result.json["rows"] if row["status"] == "passed"}
    assert passed == {"cython", *TILED}
    listed = command("backends", "--format", "json", env={"CONVBACK_ISA": isa}).json["rows"]
    assert all(f"instruction set {isa} " in row["details"] for row in listed if row["backend"] in passed)


def test_an_instruction_set_that_is_not_there_is_an_error(command):
    result = command("verify", "-b", "gemm", env={"CONVBACK_ISA": "mmx"})
    assert result.code == 3
    assert "CONVBACK_ISA is 'mmx'; expected one of" in result.out + result.err
    assert "base" in result.out + result.err


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 31, 33])
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5])
def test_rows_of_any_width_and_stride(backend, groups, width, stride):
    """dx has several outputs a position, of which the last one of a row may lack some."""
    rng = np.random.default_rng(0)
    w = rng.integers(-9, 10, (4, 4 // groups, 2, 1)).astype("f4")
    layer = {"stride": stride, "groups": groups}
    geom = convback.ConvGeometry((2, 4, 7, width), w.shape, **layer)
    dy = rng.integers(-9, 10, geom.y_shape).astype("f4")
    expected = convback.dx(dy, w, geom.x_shape, **layer, backend="naive")
    np.testing.assert_array_equal(convback.dx(dy, w, geom.x_shape, **layer, backend=backend), expected)


def assert_both_are_right(backend, x, w, layer):
    """y and dx of a tiled backend, in both dtypes, on small integers."""
    geom = convback.ConvGeometry(x.shape, w.shape, **layer)
    dy = np.random.default_rng(1).integers(-9, 10, geom.y_shape).astype("f8")
    for op, function, operands in (("y", convback.conv, (x, w)), ("dx", convback.dx, (dy, w, x.shape))):
        expected = function(*operands, **layer, backend="einsum")
        for dtype in ("f4", "f8"):
            a, b = (a.astype(dtype) for a in operands[:2])
            result = np.full(expected.shape, np.nan, dtype)
            backend.plan(op, geom, result.dtype)(a, b, result)
            np.testing.assert_array_equal(result, expected)


def force(monkeypatch, form):
    """One form alone, but that the rows of a strided y have gaps."""

    def forced(op, geom, *_):
        return "tiles" if form == "rows" and op == "y" and geom.stride[-1] > 1 else form

    monkeypatch.setattr(forms, "fastest", forced)


@pytest.mark.parametrize("width", [1, 2, 7, 15, 16, 17, 28, 31, 33, 40, 70])
@pytest.mark.parametrize(
    ("kernel", "dilation"),
    [
        ((3, 3), 1),
        ((2, 4), (3, 1)),
        ((9, 2), 1),
        ((13, 2), 1),
        ((2, 2, 3), (1, 2, 2)),
        ((5, 2), 1),
        ((1, 3), 2),
        ((7,), 1),
    ],
)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_depthwise_rows(monkeypatch, width, kernel, dilation, stride):
    """Vectors along rows that they do not fill, and with a stride of 2 the two phases of a row, interleaved."""
    force(monkeypatch, "rows")
    rng = np.random.default_rng(0)
    layer = {"stride": stride, "padding": 4, "dilation": dilation, "groups": 3}
    w = rng.integers(-9, 10, (3, 1, *kernel)).astype("f8")
    x = rng.integers(-9, 10, (2, 3, *(5, 8, width)[-len(kernel) :])).astype("f8")
    assert_both_are_right(tiled.Tiled(True, lambda op, geom: None), x, w, layer)


@pytest.mark.parametrize("width", [1, 17, 40])
@pytest.mark.parametrize(("channels", "filters", "groups"), [(3, 5, 1), (6, 4, 2), (4, 8, 4)])
@pytest.mark.parametrize(
    ("kernel", "dilation"),
    [((3, 3), 1), ((4, 2), (2, 1)), ((7, 3), 1), ((13, 1), 1), ((2, 5, 3), (1, 2, 1)), ((1, 3), 2), ((5,), 1)],
)
@pytest.mark.parametrize("stride", [1, 2, 5, (1, 3, 1)])
@pytest.mark.parametrize("form", ["rows", "tiles"])
def test_both_forms_of_y_and_dx(monkeypatch, form, stride, kernel, dilation, channels, filters, groups, width):
    """Vectors along the rows, and across channels or groups, whichever would be chosen; in turns of taps and tails."""
    force(monkeypatch, form)
    rng = np.random.default_rng(0)
    if isinstance(stride, tuple):  # a stride from row to row alone: y has rows without gaps
        stride = stride[-len(kernel) :]
    layer = {"stride": stride, "padding": 6, "dilation": dilation, "groups": groups}
    x = rng.integers(-9, 10, (2, channels, *(3, 9, width)[-len(kernel) :])).astype("f8")
    w = rng.integers(-9, 10, (filters, channels // groups, *kernel)).astype("f8")
    for lanes in (False, True):
        assert_both_are_right(tiled.Tiled(lanes, lambda op, geom: None), x, w, layer)


@pytest.mark.parametrize("form", ["positions", "tiles"])
@pytest.mark.parametrize(("channels", "filters", "groups"), [(1, 1, 1), (40, 29, 1), (6, 33, 3), (15, 30, 15)])
@pytest.mark.parametrize("space", [(1,), (23,), (7, 7), (4, 17), (3, 4, 70), (33, 2)])
@pytest.mark.parametrize("stride", [1, 2, 3, (2, 1, 1), (1, 1, 2)])
@pytest.mark.parametrize("threads", [1, 7])
def test_pointwise_layers(monkeypatch, form, threads, stride, space, channels, filters, groups):
    """Panels within an image and across several, in blocks; tiles of few channels; with strides, zeros between."""
    force(monkeypatch, form)
    monkeypatch.setattr(pointwise, "COPY_BYTES", 2000)
    monkeypatch.setattr(tiled, "PARALLEL_MACS", 0)
    monkeypatch.setattr(tiled, "get_num_threads", lambda: threads)
    rng = np.random.default_rng(0)
    layer = {"stride": stride[-len(space) :] if isinstance(stride, tuple) else stride, "groups": groups}
    x = rng.integers(-9, 10, (5, channels, *space)).astype("f8")
    w = rng.integers(-9, 10, (filters, channels // groups, *(1,) * len(space))).astype("f8")
    assert_both_are_right(tiled.Tiled(False, lambda op, geom: None), x, w, layer)


def test_a_pointwise_step_that_is_never_taken_may_have_any_length():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 2, 3, 40)), rng.standard_normal((3, 2, 1, 1))
    y = convback.conv(x, w, stride=(2**61, 1), backend="gemm")
    np.testing.assert_array_equal(y, convback.conv(x[:, :, :1], w, backend="gemm"))
    dx = convback.dx(y, w, x.shape, stride=(2**61, 1), backend="gemm")
    np.testing.assert_array_equal(dx[:, :, :1], convback.dx(y, w, (2, 2, 1, 40), backend="gemm"))
    assert (dx[:, :, 1:] == 0).all()


def test_a_pointwise_layer_passes_on_what_is_not_finite(monkeypatch):
    """Nothing is multiplied but terms of the sums: an infinite weight meets no zeros between results."""
    force(monkeypatch, "positions")
    w, dy = np.full((3, 4, 1, 1), np.inf, "f4"), np.ones((2, 3, 3, 3), "f4")
    geom = convback.ConvGeometry((2, 4, 5, 5), w.shape, stride=2)
    dx = np.full(geom.x_shape, np.nan, "f4")
    tiled.Tiled(False, lambda op, geom: None).plan("dx", geom, dx.dtype)(dy, w, dx)
    assert (dx[..., ::2, ::2] == np.inf).all()
    assert (dx[..., 1::2, :] == 0).all()
    assert (dx[..., 1::2] == 0).all()


def test_a_row_of_padding_is_left_out():
    """Half of a tall kernel reads padding; these products are not made, and what rows cost is reckoned without them."""
    inside = convback.ConvGeometry((1, 1, 62, 8), (1, 1, 31, 1))
    outside = convback.ConvGeometry((1, 1, 32, 8), (1, 1, 31, 1), padding=((15, 15), (0, 0)))
    assert forms.part_inside("y", inside, -2) == 1
    met = sum(32 - abs(15 - tap) for tap in range(31))
    assert forms.part_inside("y", outside, -2) == forms.part_inside("dx", outside, -2) == met / (32 * 31)
    assert forms.part_inside("dx", inside, -2) == 32 / 62


@pytest.mark.parametrize(("backend", "groups"), [("gemm", 1), ("gemm", 2), ("grouped", 2), ("depthwise", 4)])
@pytest.mark.parametrize("taps", [64, 65, 256, 257])
def test_filters_of_many_taps(backend, groups, taps):
    rng = np.random.default_rng(0)
    w = rng.integers(-9, 10, (8, 4 // groups, taps)).astype("f4")
    x = rng.integers(-9, 10, (2, 4, 300)).astype("f4")
    dy = rng.integers(-9, 10, (2, 8, 309 - taps)).astype("f4")
    for function, operands in ((convback.conv, (x, w)), (convback.dx, (dy, w, x.shape))):
        found, expected = (function(*operands, padding=4, groups=groups, backend=b) for b in (backend, "einsum"))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("backend", "groups"), [("gemm", 1), ("grouped", 2), ("depthwise", 4)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_seen_wherever_it_is(backend, groups, value):
    """It would meet the zeros of the padding, and reach more results than have it as a term."""
    rng = np.random.default_rng(0)
    dy = rng.integers(-9, 10, (1, 8, 5, 6)).astype("f4")
    layer = {"padding": 1, "groups": groups}
    for place in range(8 * 4 // groups * 9):
        w = rng.integers(1, 10, (8, 4 // groups, 3, 3)).astype("f4")
        w.flat[place] = value
        found, expected = (convback.dx(dy, w, (1, 4, 5, 6), **layer, backend=b) for b in (backend, "cython"))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("backend", TILED)
@pytest.mark.parametrize("op", ["y", "dx", "dw"])
def test_scratch_memory_is_bounded_and_does_not_grow_with_the_batch(backend, op, dtype):
    """At most 64 MiB on every layer; once a block is full of images, more of them take no more."""
    tiled = convback.get_backend(backend)
    for case in suites.suite("layers"):
        if tiled.supports(op, case.geom, dtype):
            continue
        sizes = []
        for factor in (1, 2**16, 2**17):
            geom = case.geom
            x_shape = (geom.N * factor, *geom.x_shape[1:])
            larger = convback.ConvGeometry(x_shape, geom.w_shape, geom.stride, geom.padding, geom.dilation, geom.groups)
            passes, _ = tiled.prepared(op, larger, dtype.itemsize)
            sizes.append(max(a_pass.scratch_bytes(2) for a_pass in passes))
        assert max(sizes) <= 64 * 2**20, case.name
        assert sizes[1] == sizes[2], case.name


def test_a_layer_beyond_the_workspace_is_refused_in_words(python):
    """A window of 2^31 positions cannot be copied, whatever is asked for."""
    code = """
import convback, numpy as np
geom = convback.ConvGeometry((1, 1, 2**31), (1, 1, 2), dilation=2**31 - 1)
print(convback.get_backend("gemm").supports("y", geom, np.dtype("f4")))
"""
    result = python(code)
    assert "of the workspace are for them; raise CONVBACK_WORKSPACE" in result.out, result.err


def test_a_small_workspace_is_kept(python):
    """Blocks and panels become smaller; the result stays."""
    code = """
import convback, numpy as np
from convback import workspace
rng = np.random.default_rng(0)
x, w = rng.integers(-9, 9, (2, 64, 40, 40)).astype("f4"), rng.integers(-9, 9, (96, 64, 3, 3)).astype("f4")
dy = rng.integers(-9, 9, (2, 96, 40, 40)).astype("f4")
layer = {"padding": 1}
for op, operands in {"dx": (dy, w, x.shape), "dw": (dy, x, w.shape)}.items():
    function = getattr(convback, op)
    same = np.array_equal(function(*operands, **layer, backend="gemm"), function(*operands, **layer, backend="einsum"))
    print(same, workspace.high_water() <= workspace.limit() == 2**20)
"""
    result = python(code, env={"CONVBACK_WORKSPACE": str(2**20)})
    assert result.out == "True True\nTrue True\n", result.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
@pytest.mark.parametrize("op", ["dx", "dw"])
@pytest.mark.parametrize(("backend", "tap"), [("gemm", 5), ("cython", 5), ("winograd", 3)])
def test_ctrl_c_ends_a_long_call(op, backend, tap):
    """A call that takes many seconds ends soon after SIGINT, by KeyboardInterrupt."""
    code = f"""
import convback, numpy as np
x, w = np.zeros((64, 128, 128, 128), "f4"), np.zeros((256, 128, {tap}, {tap}), "f4")
dy = np.zeros((64, 256, 128, 128), "f4")
operands = {{"dx": (dy, w, x.shape), "dw": (dy, x, w.shape)}}["{op}"]
print("begun", flush=True)
convback.{op}(*operands, padding={tap // 2}, backend="{backend}")
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in error
    assert time.monotonic() - sent < 5  # of a call of a minute, on a machine that does other things as well
