"""`winograd`: within its bound on layers of every kind that it takes, exact where float64 allows it, and refusals."""

import numpy as np
import pytest
from convback_cython import winograd as planner
from convback_cython.tiled import winograd
from convback_tools import suites
from single_gradients import exact, operands, result

import convback
from convback import ConvGeometry

LAYERS = {
    "inputs first": ((2, 40, 9, 10), (48, 40, 3, 3), 1),
    "weights first": ((2, 33, 21, 18), (37, 33, 3, 3), 1),
    "images in a block": ((7, 32, 8, 8), (34, 32, 3, 3), 1),
    "parts of a row": ((1, 32, 5, 420), (32, 32, 3, 3), (0, 1)),
    "one position": ((16, 32, 3, 3), (32, 32, 3, 3), 0),
    "padding beyond the kernel": ((4, 32, 6, 5), (32, 32, 3, 3), ((3, 0), (1, 4))),
    "a column of padding alone": ((8, 32, 9, 1), (35, 32, 3, 3), ((0, 1), (1, 1))),
    "depth": ((2, 32, 4, 7, 10), (33, 32, 2, 3, 3), ((2, 0), (1, 0), (0, 1))),
    "dilated depth": ((1, 32, 6, 9, 6), (32, 32, 3, 3, 3), 1, (2, 1, 1)),
    "few in the other direction": ((2, 3, 18, 14), (33, 3, 3, 3), 1),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("op", ["y", "dx", "dw"])
def test_every_kind_of_layer(layer, op, dtype, set_threads):
    """A product that is missing, or in the wrong place, is some 10^10 bounds off in float64."""
    x_shape, w_shape, padding, *dilation = LAYERS[layer]
    geom = ConvGeometry(x_shape, w_shape, 1, padding, *dilation)
    if reason := winograd.supports(op, geom, dtype):
        assert layer == "few in the other direction" and op == "y", reason
        return
    given = operands(op, geom, dtype)
    right = exact(op, geom, given)
    bound = winograd.error_bound(op, geom, *given) + 1e-14 * np.abs(right).max()
    found = []
    for threads in (1, 3):
        set_threads(threads)
        found.append(result(op, geom, dtype, "winograd", given))
    assert (np.abs(found[0] - right) <= bound).all()
    assert found[0].tobytes() == found[1].tobytes()


def test_both_orders_of_work_are_tested(dtype):
    plans = [winograd.prepared("dx", ConvGeometry(*LAYERS[f"{name} first"][:2], 1, 1), dtype.itemsize)
             for name in ("inputs", "weights")]  # fmt: skip
    assert [passes[0].inputs_first for passes, _ in plans] == [True, False]


def test_one_number_and_one_weight_are_exact_in_float64():
    """All 324 pairs of one input of a tile and one tap: the transforms are dyadic, and are undone by one division."""
    x, w = np.zeros((36, 32, 6, 6)), np.zeros((9, 32, 3, 3))
    x[np.arange(36), 5, np.arange(36) // 6, np.arange(36) % 6] = 7
    w[np.arange(9), 5, np.arange(9) // 3, np.arange(9) % 3] = 3
    y = convback.conv(x, w, backend="winograd")
    np.testing.assert_array_equal(y, convback.conv(x, w, backend="einsum"))
    assert np.count_nonzero(y) == 9 * 16


@pytest.mark.parametrize("op", ["y", "dx", "dw"])
@pytest.mark.parametrize("layer", ["inputs first", "weights first", "depth"])
def test_a_small_workspace_is_kept_to_or_refused(op, layer, python):
    """Its blocks become smaller; below what one of them takes it says so."""
    x_shape, w_shape, padding = LAYERS[layer]
    code = f"""
import convback, numpy as np
from convback import ConvGeometry, workspace
geom, f4 = ConvGeometry({x_shape}, {w_shape}, 1, {padding}), np.dtype("f4")
winograd = convback.get_backend("winograd")
reason = winograd.supports({op!r}, geom, f4)
if reason is None:
    shapes = dict(y=(geom.x_shape, geom.w_shape, geom.y_shape), dx=(geom.y_shape, geom.w_shape, geom.x_shape),
                  dw=(geom.y_shape, geom.x_shape, geom.w_shape))[{op!r}]
    rng = np.random.default_rng(0)
    a, b, out = (rng.standard_normal(shape).astype("f4") for shape in shapes)
    expected = np.empty_like(out)
    getattr(convback.get_backend("einsum"), {op!r})(a, b, geom, expected)
    getattr(winograd, {op!r})(a, b, geom, out)
    print("right", np.abs(out - expected).max() < 1e-3, workspace.high_water() <= workspace.limit())
else:
    print("refused", "raise CONVBACK_WORKSPACE" in reason)
"""
    said = {python(code, env={"CONVBACK_WORKSPACE": str(size)}).out for size in (2**13, 2**21)}
    assert said == {"right True True\n", "refused True\n"}


@pytest.mark.parametrize("layer", ["inputs first", "weights first", "depth"])
@pytest.mark.parametrize("op", ["y", "dx", "dw"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_what_is_not_finite_is_where_it_is_a_term(op, layer, value):
    """A transform spreads it, and what overflows at the points, to whole tiles: then the direct kernels compute."""
    x_shape, w_shape, padding = LAYERS[layer]
    geom = ConvGeometry(x_shape, w_shape, 1, padding)
    for spoilt in range(2):
        given = operands(op, geom, np.dtype("f4"))
        given[spoilt][(0, 1, *(extent // 2 for extent in given[spoilt].shape[2:]))] = value
        found, expected = (result(op, geom, np.dtype("f4"), backend, given) for backend in ("winograd", "cython"))
        np.testing.assert_array_equal(found, expected)
        if not np.isfinite(value):
            assert 0 < np.count_nonzero(~np.isfinite(found)) < found.size


@pytest.mark.parametrize(
    ("op", "geom", "said"),
    [
        ("dx", ConvGeometry((1, 32, 9), (32, 32, 3)), "kernels of 3x3"),
        ("dx", ConvGeometry((1, 32, 9, 9), (32, 32, 3, 5)), "this one is 3x5"),
        ("dx", ConvGeometry((1, 32, 9, 9), (32, 32, 3, 3), (1, 2)), "stride and dilation of 1"),
        ("dw", ConvGeometry((1, 32, 9, 9), (32, 32, 3, 3), 1, 0, 2), "stride and dilation of 1"),
        ("dx", ConvGeometry((1, 32, 9, 9, 9), (32, 32, 3, 3, 3), (2, 1, 1)), "stride and dilation of 1"),
        ("dx", ConvGeometry((1, 64, 9, 9), (64, 32, 3, 3), groups=2), "there are 2"),
        ("dx", ConvGeometry((1, 64, 9, 9), (31, 64, 3, 3)), "fewer than 32 filters, and there are 31"),
        ("y", ConvGeometry((1, 31, 9, 9), (64, 31, 3, 3)), "fewer than 32 channels, and there are 31"),
        ("dw", ConvGeometry((5, 64, 5, 8), (64, 64, 3, 3)), "fewer than 16 tiles of 4x4, and there are 10"),
        ("y", ConvGeometry((1, 64, 20, 5, 5), (64, 64, 17, 3, 3)), "at most 16 taps along the depth"),
    ],
)
def test_what_it_does_not_take_it_refuses_in_words(op, geom, said):
    assert said in winograd.supports(op, geom, np.dtype("f4"))


def test_only_fast_accuracy_lets_auto_choose_it(set_threads):
    set_threads(1)
    auto = convback.get_backend("auto")
    geom = ConvGeometry((8, 64, 56, 56), (64, 64, 3, 3), 1, 1)
    for op in ("y", "dx", "dw"):
        with convback.use_accuracy("strict"):
            assert auto.chosen(op, geom, np.dtype("f4")) != "winograd"
            reasons = {candidate.backend: candidate.refusal for candidate in auto.candidates(op, geom, np.dtype("f4"))}
            assert 'accuracy="strict"' in reasons["winograd"]
        with convback.use_accuracy("fast"):
            assert auto.chosen(op, geom, np.dtype("f4")) == "winograd"


def test_points_lie_apart_in_memory():
    """Steps from point to point are an odd number of lines, so that no two points compete for a place in the cache."""
    for numbers in (1, 16, 4096, 5000):
        lines = planner.apart(numbers, 4) * 4 / 64
        assert lines % 2 == 1 and lines * 16 >= numbers


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in suites.suite("layers") if not planner.refusal("dx", case.geom)])
@pytest.mark.parametrize("op", ["dx", "dw"])
def test_the_error_is_about_twice_that_of_a_sequential_sum_at_most(name, op):
    """Root mean squares, against float64, of what float32 loses: here, and where products are added one by one."""
    geom, f4 = suites.case(name).geom, np.dtype("f4")
    given = operands(op, geom, f4)
    right = exact(op, geom, given)
    sequential = np.zeros(right.shape, f4)
    if op == "dx":  # the rows of `cython` are added one after the other
        convback.get_backend("cython").dx(*given, geom, sequential)
    else:
        dy, x = given
        padded = np.pad(x, ((0, 0), (0, 0), *geom.padding))
        for n, *at in np.ndindex(geom.N, *geom.y_spatial):
            window = padded[(n, slice(None), *(slice(i, i + k) for i, k in zip(at, geom.kernel, strict=True)))]
            sequential += np.multiply.outer(dy[(n, slice(None), *at)], window)
    found = result(op, geom, f4, "winograd", given)
    ratio = np.sqrt(np.mean((found - right) ** 2) / np.mean((sequential - right) ** 2))
    print(f"{name} {op}: {ratio:.2f}")
    assert ratio < 2.05
