"""What is legal works on every backend: arrays however they lie in memory, zero extents, both modes, every `need`."""

from itertools import chain, combinations
from types import SimpleNamespace

import numpy as np
import pytest
from convback_tools.conformance.layouts import LAYOUTS, READABLE, memory, unwritten, written_between
from numpy.lib.stride_tricks import as_strided
from strategies import FAR

import convback
from convback import ConvGeometry, Gradients, UnsupportedProblem

# For each rank: dtype, shapes of x and w, parameters.
LAYERS = {
    1: ("f8", (2, 4, 9), (6, 2, 3), {"stride": 2, "padding": ((1, 2),), "dilation": 2, "groups": 2}),
    2: ("f4", (2, 4, 5, 4), (4, 2, 3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}),
    3: ("f4", (2, 2, 3, 4, 3), (3, 2, 2, 1, 3), {"padding": "same"}),
}
OPERANDS = {"conv": "x w b", "dx": "dy w", "dw": "dy x", "db": "dy", "backward": "dy x w"}
MODES = ("cross-correlation", "convolution")
GRADIENTS = ("dx", "dw", "db")
NEEDS = list(chain.from_iterable(combinations(GRADIENTS, n) for n in (1, 2, 3)))


def layer_of(dtype, x_shape, w_shape, parameters):
    """Arrays of small integers, so that every sum is exact, and the parameters."""
    random = np.random.default_rng(1)
    y_shape = ConvGeometry(x_shape, w_shape, **parameters).y_shape
    shapes = {"x": x_shape, "w": w_shape, "dy": y_shape, "b": w_shape[:1]}
    arrays = {name: random.integers(-9, 10, shape).astype(dtype) for name, shape in shapes.items()}
    return SimpleNamespace(arrays=arrays, parameters=parameters, x_shape=x_shape, w_shape=w_shape)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """The layers are tiny: several threads would mostly wait for one another."""
    monkeypatch.setattr("convback.threads._chosen", 1)


@pytest.fixture
def layer(rank):
    return layer_of(*LAYERS[rank])


@pytest.fixture(params=[False, True], ids=["each alone", "fused"])
def fused(request, backend, monkeypatch):
    """Both ways of `backward`: gradient by gradient, and by a function of the backend for all."""
    module = convback.get_backend(backend)

    def backward(dy, x, w, geom, dx, dw, db):
        calls = (module.dx, dy, w, geom, dx), (module.dw, dy, x, geom, dw), (module.db, dy, db)
        for function, *arguments in calls:
            if arguments[-1] is not None:
                function(*arguments)

    if not request.param:
        monkeypatch.delattr(module, "backward", raising=False)
    elif not hasattr(module, "backward"):
        monkeypatch.setattr(module, "backward", backward, raising=False)


def run(op, layer, backend, arrays=None, **given):
    """Call a function of convback by name; skip the test where the backend does not do this."""
    arrays = {**layer.arrays, **(arrays or {})}
    shapes = {"dx": (layer.x_shape,), "dw": (layer.w_shape,)}
    parameters = {} if op == "db" else layer.parameters
    try:
        operands = (arrays[name] for name in OPERANDS[op].split())
        return getattr(convback, op)(*operands, *shapes.get(op, ()), **{**parameters, **given}, backend=backend)
    except UnsupportedProblem as reason:
        pytest.skip(str(reason))


def modes_of(op):
    """Each mode as an argument, for the functions that have it."""
    return [{}] if op == "db" else [{"mode": mode} for mode in MODES]


def assert_same(results, expected):
    """Equal to the last bit, save for the sign of zero; tuples part by part."""
    if isinstance(expected, tuple):
        for result, part in zip(results, expected, strict=True):
            assert_same(result, part)
    elif expected is None:
        assert results is None
    else:
        np.testing.assert_array_equal(results, expected, strict=results.dtype.isnative)


@pytest.mark.parametrize("layout", READABLE)
@pytest.mark.parametrize("op", OPERANDS)
@pytest.mark.parametrize("rank", [2])
def test_operands_may_lie_anyhow_and_are_not_written(backend, layer, op, layout):
    arrays = {name: READABLE[layout](array) for name, array in layer.arrays.items()}
    plain = {name: np.array(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    before = [memory(array).tobytes() for array in arrays.values()]
    for mode in modes_of(op):
        results = run(op, layer, backend, arrays, **mode)
        assert [memory(array).tobytes() for array in arrays.values()] == before
        assert_same(results, run(op, layer, backend, plain, **mode))


def assert_written(out, expected):
    """It holds what was expected, and the memory between its elements is as it was."""
    assert_same(np.asarray(out), expected)
    assert not written_between(out)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", ["conv", "dx", "dw", "db"])
@pytest.mark.parametrize("rank", [3])
def test_out_may_lie_anyhow_and_is_not_read(backend, layer, op, layout):
    for mode in modes_of(op):
        expected = run(op, layer, backend, **mode)
        out = unwritten(LAYOUTS[layout], expected)
        assert run(op, layer, backend, **mode, out=out) is out
        assert_written(out, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rank", [1])
def test_outs_of_backward_may_lie_anyhow(backend, fused, layer, layout):
    for mode in MODES:
        expected = run("backward", layer, backend, mode=mode)
        for places in (("dx",), ("dw", "db"), GRADIENTS):
            outs = {name: unwritten(LAYOUTS[layout], getattr(expected, name)) for name in places}
            results = run("backward", layer, backend, mode=mode, out=Gradients(**outs))
            assert_same(results, expected)
            for name, out in outs.items():
                assert getattr(results, name) is out
                assert_written(out, getattr(expected, name))


@pytest.mark.parametrize("need", NEEDS, ids="+".join)
@pytest.mark.parametrize("rank", [1, 2])
def test_backward_gives_what_is_needed_and_no_more(backend, fused, layer, need):
    for mode in MODES:
        alone = {name: run(name, layer, backend, **({} if name == "db" else {"mode": mode})) for name in need}
        results = run("backward", layer, backend, mode=mode, need=need)
        assert type(results) is Gradients
        assert_same(results, Gradients(**alone))


@pytest.mark.parametrize("rank", [2])
def test_need_may_be_spelled_in_several_ways(backend, layer):
    both = run("backward", layer, backend, need=("dx", "db"))
    for spelling in (["dx", "db"], {"db", "dx"}, ("db", "dx"), ("dx", "db", "dx"), iter(("dx", "db"))):
        assert_same(run("backward", layer, backend, need=spelling), both)
    assert_same(run("backward", layer, backend, need="db"), Gradients(db=both.db))


@pytest.mark.parametrize("rank", LAYERS)
def test_the_true_convolution_flips_the_kernel(backend, layer):
    def flip(w):
        return w[(..., *(slice(None, None, -1),) * (w.ndim - 2))]

    by_hand = {"w": flip(layer.arrays["w"])}
    for op in ("conv", "dx"):
        assert_same(run(op, layer, backend, mode="convolution"), run(op, layer, backend, by_hand))
    assert_same(run("dw", layer, backend, mode="convolution"), flip(run("dw", layer, backend)))


def test_the_true_convolution_is_that_of_numpy(backend):
    layer = layer_of("f8", (1, 1, 9), (1, 1, 4), {"padding": "full"})
    x, w, b = (layer.arrays[name].ravel() for name in "xwb")
    assert_same(run("conv", layer, backend, mode="convolution").ravel(), np.convolve(x, w) + b)


@pytest.mark.parametrize("rank", LAYERS)
def test_the_bias_is_added(backend, layer):
    arrays = {**layer.arrays, "b": None}
    b = layer.arrays["b"].reshape(-1, *(1,) * (layer.arrays["x"].ndim - 2))
    assert_same(run("conv", layer, backend), run("conv", layer, backend, arrays) + b)


EMPTY = {
    "N": ((0, 4, 5, 4), (6, 2, 3, 2), {"groups": 2}),
    "C": ((2, 0, 5, 4), (6, 0, 3, 2), {"groups": 2}),
    "F": ((2, 4, 5, 4), (0, 2, 3, 2), {"groups": 2}),
    "N, C and F": ((0, 0, 5), (0, 0, 3), {}),
    "height": ((2, 4, 0, 4), (6, 4, 3, 2), {"padding": 2}),
    "width": ((2, 4, 0), (6, 4, 2), {"padding": "full"}),
    "space": ((2, 4, 0, 0, 0), (6, 2, 1, 2, 1), {"padding": 1, "stride": 2, "groups": 2}),
    "all": ((0, 0, 0), (0, 0, 1), {"padding": 1}),
}


@pytest.mark.parametrize("extent", EMPTY)
@pytest.mark.parametrize("mode", MODES)
def test_an_empty_sum_is_exactly_zero(backend, extent, mode):
    layer = layer_of("f4", *EMPTY[extent])
    y, b = run("conv", layer, backend, mode=mode), layer.arrays["b"]
    assert y.shape == layer.arrays["dy"].shape
    assert_same(y, np.broadcast_to(b.reshape(-1, *(1,) * (y.ndim - 2)), y.shape))
    expected = Gradients(
        *(np.zeros(shape, "f4") for shape in (layer.x_shape, layer.w_shape)), run("db", layer, backend)
    )
    assert_same(expected.db, layer.arrays["dy"].sum(axis=(0, *range(2, y.ndim))))
    assert_same(run("dx", layer, backend, mode=mode), expected.dx)
    assert_same(run("dw", layer, backend, mode=mode), expected.dw)
    assert_same(run("backward", layer, backend, mode=mode), expected)
    outs = Gradients(*(np.full_like(array, np.nan) for array in expected))
    assert run("backward", layer, backend, mode=mode, out=outs) == outs
    assert_same(outs, expected)


def test_operands_may_be_one_array(backend):
    layer = layer_of("f4", (3, 3, 3, 3), (3, 3, 3, 3), {"padding": 1})
    one, copies = layer.arrays["x"], {name: layer.arrays["x"].copy() for name in ("x", "w", "dy")}
    for op in ("conv", "dx", "dw", "backward"):
        assert_same(run(op, layer, backend, dict.fromkeys(copies, one)), run(op, layer, backend, copies))


def test_out_may_lie_between_the_elements_of_an_operand(backend):
    layer = layer_of("f4", (2, 3, 4), (3, 3, 3), {"padding": 1})  # x, y and their gradients have one shape
    for op, name in (("conv", "x"), ("dx", "dy")):
        expected = run(op, layer, backend)
        room = np.full((2, 3, 8), np.nan, "f4")
        room[..., ::2] = layer.arrays[name]
        run(op, layer, backend, {name: room[..., ::2]}, out=room[..., 1::2])
        assert_same(room[..., 1::2].copy(), expected)
        assert_same(room[..., ::2].copy(), layer.arrays[name])


def test_axes_of_out_may_cross_where_no_two_elements_meet(backend):
    layer = layer_of("f4", (1, 2, 7), (2, 2, 3), {"stride": 2})
    out = as_strided(np.zeros(8, "f4"), (1, 2, 3), (32, 12, 8))  # elements 0 2 4 and 3 5 7
    assert_same(run("conv", layer, backend, out=out), run("conv", layer, backend))


@pytest.mark.parametrize("make", [list, np.array, lambda shape: tuple(map(np.int64, shape))])
def test_parameters_may_be_numbers_of_numpy(backend, make):
    layer = layer_of(*LAYERS[2])
    other = SimpleNamespace(**vars(layer))
    other.x_shape, other.w_shape = make(layer.x_shape), make(layer.w_shape)
    other.parameters = {
        name: make(value) if name != "groups" else np.int8(value) for name, value in layer.parameters.items()
    }
    for op in OPERANDS:
        assert_same(run(op, other, backend), run(op, layer, backend))


def test_infinities_and_overflows_do_not_warn(backend):
    layer = layer_of("f4", (1, 1, 4), (2, 1, 2), {})
    extremes = {"x": [np.inf, 1, 1, 3e38], "w": [1, 1, 0, 1], "b": [-np.inf, 3e38],
                "dy": [3e38, 3e38, np.inf, -np.inf, np.nan, 0]}  # fmt: skip
    arrays = {name: np.array(values, "f4").reshape(layer.arrays[name].shape) for name, values in extremes.items()}
    for op in OPERANDS:
        run(op, layer, backend, arrays)


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "parameters"),
    [
        ((1, 1, 2, 2), (2, 1, 2, 2), {"stride": FAR}),
        ((1, 1, 3, 3), (2, 1, 1, 1), {"dilation": FAR}),
        ((1, 2, 3, 9), (4, 2, 3, 3), {"stride": (FAR, 1)}),
        ((1, 2, 3, 9), (2, 1, 3, 3), {"stride": (FAR, 1), "groups": 2}),
    ],
)
def test_a_step_that_is_never_taken_may_have_any_length(backend, x_shape, w_shape, parameters):
    far = layer_of("f4", x_shape, w_shape, parameters)
    near = layer_of("f4", x_shape, w_shape, {"groups": parameters.get("groups", 1)})
    for op in OPERANDS:
        assert_same(run(op, far, backend), run(op, near, backend))
