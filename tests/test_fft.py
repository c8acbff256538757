"""`fft`: within its bound on layers of every kind that it takes, and refusals."""

import math

import numpy as np
import pytest
from single_gradients import SHAPES, arrays, exact, operands, result

import convback
from convback import ConvGeometry

fft = pytest.importorskip("convback_fft", reason='it needs SciPy, pip install "convback[fft]"', exc_type=ImportError)

LAYERS = {
    "a row": ConvGeometry((3, 2, 50), (3, 2, 9), 1, ((4, 2),)),
    "a plane": ConvGeometry((2, 3, 11, 14), (4, 3, 5, 3), 1, ((1, 0), (2, 3))),
    "a volume": ConvGeometry((2, 2, 5, 6, 7), (3, 2, 2, 3, 4), 1, ((1, 0), (0, 2), (3, 1))),
    "dilated": ConvGeometry((2, 2, 17, 20), (2, 2, 3, 4), 1, 3, (4, 3)),
    "groups": ConvGeometry((2, 6, 9, 8), (4, 3, 3, 3), 1, 1, 1, 2),
    "depthwise": ConvGeometry((3, 5, 20, 20), (5, 1, 9, 9), 1, 4, 1, 5),
    "a multiplier": ConvGeometry((2, 3, 12, 13), (9, 1, 5, 7), 1, "same", 1, 3),
    "padding beyond the kernel": ConvGeometry((1, 2, 4, 5), (3, 2, 2, 3), 1, ((5, 0), (1, 7))),
    "all of the input": ConvGeometry((2, 3, 6, 7), (4, 3, 6, 7)),
    "one number": ConvGeometry((1, 1, 1), (1, 1, 1)),
    "a stride that is never taken": ConvGeometry((2, 2, 4, 5), (3, 2, 4, 2), (7, 1)),
}


@pytest.fixture(params=[2**21, 1], ids=["one block", "many blocks"])
def blocks(request, monkeypatch):
    monkeypatch.setattr(fft.spectra, "BLOCK_BYTES", request.param)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("op", SHAPES)
def test_every_kind_of_layer(layer, op, dtype, blocks, set_threads):
    geom = LAYERS[layer]
    assert fft.supports(op, geom, dtype) is None
    given = operands(op, geom, dtype)
    right = exact(op, geom, given)
    bound = fft.error_bound(op, geom, *given)
    found = []
    for threads in (1, 3):
        set_threads(threads)
        found.append(result(op, geom, dtype, "fft", given))
    assert bound.shape == right.shape and (np.abs(found[0] - right) <= bound).all()
    assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("op", SHAPES)
def test_a_single_product_more_is_beyond_the_bound_in_float64(layer, op):
    geom, f8 = LAYERS[layer], np.dtype("f8")
    a, b = operands(op, geom, f8)
    other = b.copy()
    middle = tuple(extent // 2 for extent in b.shape)  # which is a term of something, in all these layers
    other[middle] += 1
    difference = np.abs(exact(op, geom, (a, other)) - result(op, geom, f8, "fft", (a, b)))
    assert (difference > 1000 * fft.error_bound(op, geom, a, b)).any()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("wanted", [("dx", "dw", "db"), ("dx", "db"), ("dw", "db"), ("dx", "dw")])
def test_backward_gives_the_bits_of_single_gradients(layer, wanted, dtype, blocks):
    geom = LAYERS[layer]
    dy, x, w = arrays(geom, dtype)
    shapes = {"dx": geom.x_shape, "dw": geom.w_shape, "db": geom.w_shape[:1]}
    outs = {name: np.full(shape, np.nan, dtype) if name in wanted else None for name, shape in shapes.items()}
    fft.backward(dy, x, w, geom, **outs)
    for name in wanted:
        if name == "db":
            fft.db(dy, expected := np.empty(geom.F, dtype))
        else:
            expected = result(name, geom, dtype, "fft", operands(name, geom, dtype))
        assert outs[name].tobytes() == expected.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("op", SHAPES)
def test_what_is_not_finite_is_where_it_is_a_term(op, value):
    """A transform spreads it, and what overflows in it, to the whole plane: then the direct kernels compute."""
    geom = LAYERS["depthwise"]
    for spoilt in range(2):
        given = list(operands(op, geom, np.dtype("f4")))
        given[spoilt][(0, 0, *(extent // 2 for extent in given[spoilt].shape[2:]))] = value
        found, expected = (result(op, geom, np.dtype("f4"), backend, given) for backend in ("fft", "cython"))
        np.testing.assert_array_equal(found, expected)
        if not np.isfinite(value):
            assert 0 < np.count_nonzero(~np.isfinite(found)) < found.size


@pytest.mark.parametrize(
    ("dtype", "scales"),
    [("f4", (1e-40, 1)), ("f4", (1e-25, 1e-15)), ("f4", (1e-20, 1e-22)), ("f4", (1e15, 1)), ("f8", (1e200, 1e-200))],
)
@pytest.mark.parametrize("op", SHAPES)
def test_the_bound_holds_for_numbers_of_any_size(op, dtype, scales):
    """Those that underflow, in the operands or in the products, and those whose squares are too large."""
    geom, dtype = LAYERS["depthwise"], np.dtype(dtype)
    given = [a * dtype.type(scale) for a, scale in zip(operands(op, geom, dtype), scales, strict=True)]
    bound = fft.error_bound(op, geom, *given)
    assert np.isfinite(bound).all()
    assert (np.abs(result(op, geom, dtype, "fft", given) - exact(op, geom, given)) <= bound).all()


def test_the_roundings_of_a_doubling_cover_each_radix():
    """Twice 2 sqrt(r) (r + 6) for a stage of radix r, which is log2 r doublings: the derivation in gauge.py."""
    assert max(4 * math.sqrt(r) * (r + 6) / math.log2(r) for r in (2, 3, 4, 5, 8)) <= fft.gauge.A_DOUBLING


def test_sizes_have_small_factors():
    for n in range(1, 400):
        (M,) = fft.Spectra(ConvGeometry((1, 1, n), (1, 1, 1))).sizes
        while any(M % r == 0 for r in (2, 3, 5)):
            M //= next(r for r in (2, 3, 5) if M % r == 0)
        assert M == 1


@pytest.mark.parametrize(
    ("geom", "said"),
    [
        (ConvGeometry((1, 1, 9), (1, 1, 3), 2), "stride of 1"),
        (ConvGeometry((1, 1, 9, 9), (1, 1, 3, 3), (1, 2)), "stride of 1"),
        (ConvGeometry((1, 1, 2**28), (1, 1, 3)), "spectra of one image and one group would take"),
    ],
)
def test_what_it_does_not_take_it_refuses_in_words(geom, said):
    for op in SHAPES:
        assert said in fft.supports(op, geom, np.dtype("f4"))


@pytest.mark.parametrize("op", ["y", "dx"])
def test_only_fast_accuracy_lets_auto_choose_it(op, set_threads):
    """Where the kernel is large, and its products are many more than the transforms."""
    set_threads(1)
    auto = convback.get_backend("auto")
    for kernel, best in ((31, "fft"), (5, "depthwise")):
        geom = ConvGeometry((4, 128, 56, 56), (128, 1, kernel, kernel), 1, kernel // 2, 1, 128)
        with convback.use_accuracy("fast"):
            assert auto.chosen(op, geom, np.dtype("f4")) == best
        with convback.use_accuracy("strict"):
            assert auto.chosen(op, geom, np.dtype("f4")) == "depthwise"


@pytest.mark.parametrize("dx_by", ["fft", "depthwise"])
def test_auto_asks_the_backend_that_computes_both_for_both_at_once(monkeypatch, dx_by):
    layer = {"padding": 4, "groups": 5}
    dy, x, w = arrays(LAYERS["depthwise"], np.dtype("f4"))
    alone, calls = convback.backward(dy, x, w, **layer, backend="fft"), []
    auto, backward = convback.get_backend("auto"), fft.backward

    def counted(*operands, **outs):
        calls.append(outs)
        backward(*operands, **outs)

    monkeypatch.setattr(auto, "chosen", lambda op, geom, dtype: dx_by if op == "dx" else "fft" if geom else "cython")
    monkeypatch.setattr(fft, "backward", counted)
    monkeypatch.setattr(convback.plans, "_plans", {})
    together = convback.backward(dy, x, w, **layer, backend="auto")
    assert len(calls) == (dx_by == "fft")
    for got, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    assert together.dw.tobytes() == alone.dw.tobytes()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("most", [1, 20_000, 2**21])
def test_blocks_meet_every_image_and_group_once_in_little_memory(monkeypatch, layer, most):
    monkeypatch.setattr(fft.spectra, "BLOCK_BYTES", most)
    geom, spectra = LAYERS[layer], fft.Spectra(LAYERS[layer])
    _, x, w = arrays(geom, np.dtype("f8"))
    y = np.empty(geom.y_shape)
    met = np.zeros((geom.N, geom.groups), int)
    for groups, blocks in spectra.blocks():
        W = spectra.forward(fft.by_group(w, geom)[groups], spectra.at_w).nbytes
        for images in blocks:
            met[images, groups] += 1
            X = spectra.forward(fft.grouped(x, geom)[images, groups], spectra.at_x).nbytes
            Y = spectra.forward(fft.grouped(y, geom)[images, groups], spectra.at_y).nbytes
            taken = X + Y + W
            if met[images, groups].size > 1:
                assert taken <= most
            else:
                assert taken <= spectra.least_bytes < 1.6 * taken
    assert (met == 1).all()
    fewest = -(-geom.N * geom.groups * spectra.least_bytes // most)
    assert sum(len(blocks) for _, blocks in spectra.blocks()) <= max(1, 4 * fewest)


@pytest.mark.parametrize("spoilt", range(3))
def test_backward_gives_what_is_not_finite_as_the_direct_kernels_do(spoilt):
    operands = arrays(LAYERS["depthwise"], np.dtype("f4"))
    operands[spoilt][(0, 0, *(extent // 2 for extent in operands[spoilt].shape[2:]))] = np.inf
    fft_gives, expected = (convback.backward(*operands, padding=4, groups=5, backend=b) for b in ("fft", "cython"))
    for op in ("dx", "dw"):
        found, right = getattr(fft_gives, op), getattr(expected, op)
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(right))
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)
