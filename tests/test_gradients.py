"""Every backend computes the right gradients."""

import numpy as np
import pytest
from convback_tools.verification.tasks import Settings, examinations
from convback_tools.verification.verify import verify

import convback
from convback.contract import OPS


def assert_verified(case, backend, **given):
    """All rows passed; the test is skipped where the backend takes none."""
    settings = Settings(**given)
    rows = list(verify(examinations([case], settings), [backend], settings))
    if {row.status for row in rows} == {"unsupported"}:
        pytest.skip(rows[0].reason)
    assert rows
    for row in rows:
        assert row.status == "passed", row


def test_quick_suite(backend, case, op, dtype):
    assert_verified(case, backend, ops=(op,), dtypes=(dtype.name,))


def forward(x, w, stride, padding):
    """y[n,f,i,j] = sum over c,k,l of x[n,c,i*s+k-p,j*s+l-p] * w[f,c,k,l], for numbers of any kind."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    height, width = ((x.shape[axis] - w.shape[axis]) // stride + 1 for axis in (2, 3))
    y = np.zeros((len(x), len(w), height, width), x.dtype)
    for i, j in np.ndindex(height, width):
        window = x[:, None, :, i * stride : i * stride + w.shape[2], j * stride : j * stride + w.shape[3]]
        y[:, :, i, j] = (window * w).sum(axis=(2, 3, 4))
    return y


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 2)])
def test_finite_differences_are_exact(backend, dtype, stride, padding):
    """The layer is linear in x and in w, so a step of 1 on integers gives each derivative without any error."""
    rng = np.random.default_rng(1)
    x, w = rng.integers(-9, 10, (2, 3, 6, 5)), rng.integers(-9, 10, (4, 3, 3, 2))
    y = forward(x, w, stride, padding)
    dy = rng.integers(-9, 10, y.shape)

    def derivatives(argument, function):
        steps = np.eye(argument.size, dtype=int).reshape(-1, *argument.shape)
        return np.reshape([(dy * (function(argument + step) - y)).sum() for step in steps], argument.shape)

    dy_, x_, w_ = (a.astype(dtype) for a in (dy, x, w))
    layer = {"stride": stride, "padding": padding, "backend": backend}
    assert np.array_equal(convback.conv(x_, w_, **layer), y)
    gradients = convback.backward(dy_, x_, w_, **layer)
    assert np.array_equal(gradients.dx, derivatives(x, lambda x: forward(x, w, stride, padding)))
    assert np.array_equal(gradients.dw, derivatives(w, lambda w: forward(x, w, stride, padding)))
    assert np.array_equal(gradients.db, dy.sum(axis=(0, 2, 3)))


def test_numbers_worked_out_by_hand(backend, dtype):
    x = np.array([[[1, 2, 3, 4]]], dtype)
    w = np.array([[[10, 1]]], dtype)
    dy = np.array([[[1, 0, -1]]], dtype)
    assert convback.conv(x, w, np.array([100], dtype), backend=backend).tolist() == [[[112, 123, 134]]]
    assert convback.conv(x, w, mode="convolution", backend=backend).tolist() == [[[21, 32, 43]]]
    assert convback.dx(dy, w, x.shape, backend=backend).tolist() == [[[10, 1, -10, -1]]]
    assert convback.dw(dy, x, w.shape, backend=backend).tolist() == [[[-2, -2]]]
    assert convback.dw(dy, x, w.shape, mode="convolution", backend=backend).tolist() == [[[-2, -2]]]
    assert convback.db(dy, backend=backend).tolist() == [0]


def test_db_of_ones_does_not_saturate(backend):
    """A float32 sum of ones, one after the other, stops at 2^24."""
    count = 2**24 + 64
    dy = np.lib.stride_tricks.as_strided(np.ones(1, np.float32), (1, 2, count), (0, 0, 0))
    if getattr(convback.get_backend(backend), "PRACTICAL_MACS", dy.size) < dy.size:
        pytest.skip("sums of 2^24 numbers take this backend too long")
    assert convback.db(dy, backend=backend).tolist() == [count, count]


def test_non_finite_values_stay_where_they_belong(own_backend, dtype):
    """A NaN in one image and group makes those sums that read it non-finite, and no others."""
    backend = own_backend
    rng = np.random.default_rng(2)
    layer = {"padding": 1, "groups": 2, "backend": backend}
    dy = rng.standard_normal((3, 4, 5, 6)).astype(dtype)
    w = rng.standard_normal((4, 1, 3, 3)).astype(dtype)
    x = rng.standard_normal((3, 2, 5, 6)).astype(dtype)
    for bad in (np.nan, np.inf):
        spoilt = dy.copy()
        spoilt[1, 3, 2, 2] = bad
        dx = convback.dx(spoilt, w, x.shape, **layer)
        touched = np.zeros(x.shape, bool)
        touched[1, 1, 1:4, 1:4] = True
        assert np.array_equal(~np.isfinite(dx), touched)
        dw = convback.dw(spoilt, x, w.shape, **layer)
        assert np.array_equal(~np.isfinite(dw).all(axis=(1, 2, 3)), [False, False, False, True])
        assert np.array_equal(~np.isfinite(convback.db(spoilt, backend=backend)), [False, False, False, True])


def test_any_number_of_threads_gives_the_same(backend, case, set_threads):
    """The same integers, which are exact."""
    for threads in (1, 2, 3):
        set_threads(threads)
        for op in OPS:
            assert_verified(case, backend, ops=(op,), dtypes=("float32",), tiers=("exact",))
