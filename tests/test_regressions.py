"""No backend has the bugs that other convolution libraries shipped. Each test is named after the report of one."""

import numpy as np
import pytest
from convback_tools.verification import oracle
from numpy.lib.stride_tricks import as_strided
from upstream_reports import REPORTS, Report, by_report, by_report_and_op, practical

import convback
from convback import ConvGeometry, Gradients, ParameterError, ShapeError, UnsupportedProblem

EXACT = {"float32": 2**24, "float64": 2**53}
GRADIENTS = ("dx", "dw", "db")


def ask(backend, report, op, operands, out=None):
    """Call a function of convback; skip the test where the backend does not do this."""
    given = {"backend": backend, "out": out} | ({} if op == "db" else report.layer)
    shapes = {"dx": (report.x,), "dw": (report.w,)}
    try:
        return getattr(convback, "conv" if op == "y" else op)(*operands, *shapes.get(op, ()), **given)
    except UnsupportedProblem as reason:
        pytest.skip(str(reason))


def exact(report, op, operands):
    """The answer of integer arithmetic."""
    plain = [np.array(operand, np.float64) for operand in operands]
    return oracle.gradient(op, None if op == "db" else report.geom, plain[0], plain[1] if plain[1:] else None)


def unwritten(like, dtype):
    return np.full(like.shape, np.nan, dtype)


@by_report_and_op(REPORTS)
def test_report(backend, dtype, report, op):
    """The answer of integer arithmetic, and that of the report; operands are as they were."""
    practical(backend, report.geom.macs)
    operands = report.operands(op, dtype)
    expected = exact(report, op, operands)
    assert exact(report, op, map(np.abs, operands)).max(initial=0) <= EXACT[dtype.name]
    before = [operand.tobytes() for operand in operands]
    result = ask(backend, report, op, operands, out=unwritten(expected, dtype))
    np.testing.assert_array_equal(result, expected)
    if op in report.answers:
        np.testing.assert_array_equal(result, np.broadcast_to(report.answers[op], result.shape))
    assert [operand.tobytes() for operand in operands] == before


NEEDS = [("dx",), ("dw",), ("db",), ("dx", "dw"), ("dx", "db"), ("dw", "db"), GRADIENTS]


@by_report("need", [(f"mxnet#15464-{'+'.join(need)}", need) for need in NEEDS])
def test_a_subset_of_gradients(backend, dtype, need):
    """MXNet's db was right only if dw was asked for as well."""
    report = Report("mxnet#15464", "db", (3, 4, 5, 6), (6, 2, 3, 2), {"padding": 1, "groups": 2})
    (dy, w), (_, x) = report.operands("dx", dtype), report.operands("dw", dtype)
    operands = {"dx": (dy, w), "dw": (dy, x), "db": (dy,)}
    expected = {op: exact(report, op, operands[op]) for op in need}
    outs = Gradients(**{op: unwritten(expected[op], dtype) for op in need})
    results = convback.backward(dy, x, w, **report.layer, need=need, out=outs, backend=backend)
    for op in GRADIENTS:
        np.testing.assert_array_equal(getattr(results, op), expected.get(op))


# Which numbers are spoilt: the report, op, shapes of x and w, layer, operand and place.
SPOILT = [
    ("pytorch#12484", "y", (2, 3, 8), (4, 3, 3), {}, 1, np.s_[...]),
    ("pytorch#12484-one tap", "y", (2, 3, 8), (4, 3, 3), {}, 1, np.s_[1, 2, 0]),
    ("pytorch#12484-dx", "dx", (2, 3, 8), (4, 3, 3), {"padding": 1, "stride": 2}, 1, np.s_[1, 2, 0]),
    ("pytorch#157237", "y", (16, 1, 12), (1, 1, 3), {"padding": ((2, 0),)}, 0, np.s_[3, :, -4:]),
    ("pytorch#157237-dx", "dx", (16, 1, 12), (1, 1, 3), {"padding": ((2, 0),)}, 0, np.s_[3, :, -4:]),
    ("pytorch#157237-dw", "dw", (16, 4, 12), (6, 2, 3), {"padding": ((2, 0),), "groups": 2}, 1, np.s_[3, 1, 0]),
    ("oneDNN#5717", "y", (1, 72, 3, 3), (8, 72, 1, 1), {}, 0, np.s_[0, 5, 1, 2]),
    ("oneDNN#5717-dx", "dx", (1, 8, 3, 3), (72, 8, 1, 1), {}, 0, np.s_[0, 71, 1, 2]),
    ("oneDNN#5717-dw", "dw", (1, 6, 5, 7), (8, 3, 2, 2), {"groups": 2}, 0, np.s_[0, 5, 1, 2]),
]  # fmt: skip


@by_report(("op", "x", "w", "layer", "spoilt", "place"), SPOILT)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("others", [np.zeros, None], ids=["zeros", "numbers"])
def test_non_finite_values_are_neither_lost_nor_leaked(own_backend, dtype, op, x, w, layer, spoilt, place, bad, others):
    """Exactly those sums are not finite that have the value in a term, be it times zero."""
    report = Report("", op, x, w, layer, others)
    operands = report.operands(op, dtype)
    where = [np.zeros_like(operands[0]), np.zeros_like(operands[1])]
    operands[spoilt][place], where[spoilt][place], where[1 - spoilt][...] = bad, 1, 1
    result = ask(own_backend, report, op, operands)
    np.testing.assert_array_equal(~np.isfinite(result), exact(report, op, where) > 0)


REFUSED = [
    ("CVE-2023-27579", (1, 4, 5), (4, 4, 3), {"groups": 0}, ParameterError, "groups is 0"),
    ("MIOpen#180-C", (1, 4, 5), (6, 1, 3), {"groups": 3}, ShapeError, "groups=3 does not divide C=4"),
    ("MIOpen#180-F", (1, 6, 5), (4, 2, 3), {"groups": 3}, ShapeError, "groups=3 does not divide F=4"),
    ("pytorch#73193", (1, 1, 1, 9), (1, 1, 1, 9), {"stride": (0, 0)}, ParameterError, r"stride\[0\] is 0"),
    ("pytorch#73193-dilation", (1, 1, 1, 9), (1, 1, 1, 9), {"dilation": (0, 0)}, ParameterError, r"dilation\[0\] is 0"),
    ("tensorflow#61902", (1, 1, 4, 4), (1, 1, 2, 2), {"stride": 0, "padding": "same"}, ParameterError, "stride is 0"),
    ("pytorch#85214", (3, 3, 9, 9), (3, 3, 1, 1), {"stride": 65534, "groups": 0}, ParameterError, "groups is 0"),
    ("tensorflow#33608", (1, 3, 8), (10, 3, 0), {"padding": "same"}, ShapeError, "extents must be at least 1"),
    ("NNlib.jl#69", (1, 1, 1, 1), (1, 1, 2, 2), {}, ShapeError, "the kernel covers 2 positions"),
    ("ggml#851", (224, 14, 3, 1), (14, 14, 3, 1792), {"stride": 14}, ShapeError, "the kernel covers 1792 positions"),
    ("pytorch#165976", (1, 2, 3, 3, 3), (2, 2, 1, 1, 1), {"padding": 2**55}, ShapeError, "more than can be addressed"),
]  # fmt: skip


@by_report(("x", "w", "layer", "error", "words"), REFUSED)
@pytest.mark.parametrize("op", ["y", "dx", "dw"])
def test_a_layer_that_cannot_be_is_refused(x, w, layer, error, words, op):
    """Elsewhere it divided by zero, read beyond its operands, or gave what memory held."""
    shapes = {"x": x, "w": w, "dy": (x[0], w[0], *x[2:])}
    operands = [np.zeros(shapes[name]) for name in {"y": "x w", "dx": "dy w", "dw": "dy x"}[op].split()]
    with pytest.raises(error, match=words):
        ask(None, Report("", op, x, w, layer), op, operands)
    with pytest.raises(error, match=words):
        ConvGeometry(x, w, **layer)


OVERLAPPING = [
    ("pytorch#23063", lambda dy, room: as_strided(np.zeros(1), dy.shape, (0, 0, 0)), "several elements share memory"),
    ("oneDNN#5494", lambda dy, room: dy, "shares memory with dy"),
    ("oneDNN#5494-partly", lambda dy, room: room[1:].reshape(dy.shape), "shares memory with dy"),
]  # fmt: skip


@by_report(("out_of", "words"), OVERLAPPING)
def test_an_out_that_overlaps_is_refused(backend, out_of, words):
    room = np.arange(13.0)
    dy, w = room[:-1].reshape(1, 2, 6), np.ones((2, 2, 3))
    with pytest.raises(ParameterError, match=words):
        convback.dx(dy, w, dy.shape, padding=1, out=out_of(dy, room), backend=backend)
    assert room.tolist() == list(range(13))


# Layers large enough that threads share the work.
SHARED = [
    Report("NNlib.jl#197", "dw", (10, 3, 40, 40), (1, 3, 3, 3), note="7x7"),
    Report("NNlib.jl#158", "y dx", (2, 3, 6000), (10, 3, 3), note="10 positions, 3 filters"),
    Report("oneDNN#1354", "y dx", (3, 8, 40, 40), (40, 8, 1, 1), note="1 image of 1x1, 4 channels and filters"),
    Report("oneDNN#4124", "dw", (4, 24, 60, 60), (24, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 24}, note="6x6"),
]


@by_report_and_op(SHARED)
def test_threads_and_dtypes_agree(backend, report, op, monkeypatch):
    """No thread writes where another does, and whatever instructions are chosen, integers stay exact."""
    numbers_of_threads = (1, 2, 3, 7, 16, 2, 2)
    practical(backend, report.geom.macs * len(numbers_of_threads))
    for dtype in ("float32", "float64"):
        operands = report.operands(op, dtype)
        expected = exact(report, op, operands).astype(dtype)
        for threads in numbers_of_threads:
            monkeypatch.setattr("convback.threads._chosen", threads)
            result = ask(backend, report, op, operands, out=unwritten(expected, dtype))
            np.testing.assert_array_equal(result, expected, strict=True)
