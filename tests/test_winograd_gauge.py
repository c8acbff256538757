"""The matrices of `winograd` are right, and its error bound holds of the plain algorithm that is written here."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from convback_cython import winograd_gauge
from convback_cython.winograd_gauge import A_T, B_T, SCALE, G, error_bound, roundings
from convback_tools.verification import oracle
from convback_tools.verification.challenges import UNIT_ROUNDOFF, Rounding, gamma
from convback_tools.verification.question import Question

from convback import ConvGeometry

# Written out; the module makes them of the points. Of G the fourth column is that of F(3, 4) alone.
WRITTEN_A_T = """
    1 1       1        1    1     0
    0 5/8     -5/8     3/2  -3/2  0
    0 25/64   25/64    9/4  9/4   0
    0 125/512 -125/512 27/8 -27/8 1"""
WRITTEN_G = """
    256/225    0        0       0
    -2048/2975 -256/595 -32/119 -20/119
    -2048/2975 256/595  -32/119 20/119
    128/1071   64/357   32/119  48/119
    128/1071   -64/357  32/119  -48/119
    0          0        0       1"""
WRITTEN_B_T = """
    225/256 0       -169/64 0       1 0
    0       -45/32  -9/4    5/8     1 0
    0       45/32   -9/4    -5/8    1 0
    0       -75/128 -25/64  3/2     1 0
    0       75/128  -25/64  -3/2    1 0
    0       225/256 0       -169/64 0 1"""

LAYERS = {
    "one channel": ConvGeometry((2, 1, 5, 7), (3, 1, 3, 3), 1, ((0, 2), (3, 1))),
    "40 channels": ConvGeometry((1, 40, 6, 9), (5, 40, 3, 3), 1, 1),
    "40 filters": ConvGeometry((3, 2, 9, 4), (40, 2, 3, 3), 1, (0, 2)),
    "one output": ConvGeometry((2, 3, 3, 3), (4, 3, 3, 3)),
    "padding beyond the kernel": ConvGeometry((1, 2, 1, 2), (3, 2, 3, 3), 1, ((3, 7), (4, 3))),
    "depth": ConvGeometry((1, 5, 4, 5, 8), (2, 5, 3, 3, 3), 1, 1),
    "dilated steps along the depth": ConvGeometry(
        (2, 3, 5, 6, 4), (4, 3, 2, 3, 3), (2, 1, 1), ((1, 2), (0, 1), (2, 0)), (3, 1, 1)
    ),
    "steps over some of the depth": ConvGeometry((1, 2, 7, 5, 6), (3, 2, 1, 3, 3), (3, 1, 1), 0),
}


class Rounded:
    """A number of which all that counts is how often one of its terms has been rounded."""

    def __init__(self, times=0):
        self.times = times

    def __add__(self, other):
        return Rounded(max(self.times, other.times) + 1) if isinstance(other, Rounded) else self  # and zero

    def __mul__(self, other):
        if isinstance(other, Rounded):
            return Rounded(self.times + other.times + 1)
        return Rounded(self.times + 1) if other else 0

    def __rtruediv__(self, one):
        return Rounded(self.times + 1)

    __radd__, __rmul__ = __add__, __mul__


def written(text):
    return np.array([[*map(Fraction, line.split())] for line in text.strip().splitlines()], object)


def matrices(op):
    return tuple(matrix.copy() for matrix in ((A_T(3), B_T(), G(4)) if op == "dw" else (A_T(4), B_T(), G(3))))


def square(planes, r, s, extent):
    """planes[..., r : r + extent, s : s + extent], where what lies outside is zero."""
    found = np.zeros((*planes.shape[:-2], extent, extent), planes.dtype)
    for i, j in np.ndindex(extent, extent):
        if 0 <= r + i < planes.shape[-2] and 0 <= s + j < planes.shape[-1]:
            found[..., i, j] = planes[..., r + i, s + j]
    return found


def plain(op, geom, a, b, of=None, apart=False):
    """Winograd's algorithm, tile by tile, at the precision of the operands; `apart`: dw of each tile by itself."""
    shape = {"y": geom.y_shape, "dx": geom.x_shape, "dw": geom.w_shape}[op]
    geom = geom.as3d()
    a, b = (v.reshape(*v.shape[:2], *(1,) * (5 - v.ndim), *v.shape[2:]) for v in (a, b))
    a_t, b_t, g = ((m * s).astype(a.dtype) for m, s in zip(of or matrices(op), (1, 1, SCALE), strict=True))
    scale = Rounded() if a.dtype == object else a.dtype.type(SCALE)
    (_, (i_lo, _), (j_lo, _)), meetings = geom.padding, []
    for h, m in np.ndindex(geom.y_shape[2], geom.kernel[0]):
        q = h * geom.stride[0] + m * geom.dilation[0] - geom.padding[0][0]
        if 0 <= q < geom.x_shape[2]:
            meetings.append((h, m, q))

    def put(out, sums):
        tile = a_t @ sums @ a_t.T
        tile = tile / (scale * scale) if a.dtype == np.float64 else tile * (1 / (scale * scale))
        out += tile[..., : out.shape[-2], : out.shape[-1]]

    if op == "dw":
        out, sums = np.zeros(geom.w_shape, a.dtype), np.zeros((*geom.w_shape[:3], 6, 6), a.dtype)
        for h, m, q in meetings:
            for n, r, s in np.ndindex(geom.N, *(-(-extent // 4) for extent in geom.y_shape[3:])):
                gradients = g @ square(a[n, :, h], 4 * r, 4 * s, 4) @ g.T
                products = gradients[:, np.newaxis] * (b_t @ square(b[n, :, q], 4 * r - i_lo, 4 * s - j_lo, 6) @ b_t.T)
                if apart:
                    put(out[:, :, m], products)
                else:
                    sums[:, :, m] += products
        if not apart:
            put(out, sums)
        return out.reshape(shape)

    if op == "dx":
        b, i_lo, j_lo = b.swapaxes(0, 1)[..., ::-1, ::-1], 2 - i_lo, 2 - j_lo
        meetings = [(q, m, h) for h, m, q in meetings]
    out = np.zeros(geom.y_shape if op == "y" else geom.x_shape, a.dtype)
    for to, r, s in np.ndindex(out.shape[2], *(-(-extent // 4) for extent in out.shape[3:])):
        sums = np.zeros((*out.shape[:2], 6, 6), a.dtype)
        for h, m, q in meetings:
            if h == to:
                inputs = b_t @ square(a[:, :, q], 4 * r - i_lo, 4 * s - j_lo, 6) @ b_t.T
                sums += np.einsum("ncij,fcij->nfij", inputs, g @ b[:, :, m] @ g.T)
        put(out[:, :, to, 4 * r : 4 * r + 4, 4 * s : 4 * s + 4], sums)
    return out.reshape(shape)


def verdict(op, geom, dtype, **how):
    """What `convback verify` finds of the plain algorithm."""
    challenge = Rounding(Question(op, geom, dtype))
    model = SimpleNamespace(error_bound=lambda question, operands: error_bound(op, geom, *operands))
    return challenge.judge(plain(op, geom, *challenge.operands, **how), model)


def test_the_matrices_are_those_written():
    four = written(WRITTEN_G)
    three = four[:, :3].copy()
    three[5] = 0, 0, 1
    results = written(WRITTEN_A_T)[:3].copy()
    results[2, 5] = 1
    for found, expected in (
        (A_T(4), written(WRITTEN_A_T)), (A_T(3), results), (B_T(), written(WRITTEN_B_T)), (G(4), four), (G(3), three),
    ):  # fmt: skip
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("results", "weights"), [(4, 3), (3, 4)])
def test_the_transforms_correlate_exactly(results, weights):
    rng = np.random.default_rng(0)
    for _ in range(20):
        d, g = (np.array([*map(Fraction, rng.integers(-99, 99, size).tolist())]) for size in (6, weights))
        y = A_T(results) @ ((G(weights) @ g) * (B_T() @ d))
        assert y.tolist() == [sum(g * d[i : i + weights]) for i in range(results)]


def test_all_constants_of_the_kernels_are_exact():
    scaled = (A_T(4), A_T(3), B_T(), G(3) * SCALE, G(4) * SCALE)
    for value in (SCALE, SCALE**2 * 2**30, *(value for matrix in scaled for value in matrix.flat)):
        assert value == Fraction(float(value))
        assert value == SCALE**2 * 2**30 or value == Fraction(float(np.float32(float(value))))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("op", ["y", "dx", "dw"])
def test_a_right_answer_is_within_the_bound(op, layer, dtype):
    for apart in (False, True)[: 1 + (op == "dw")]:
        finding = verdict(op, LAYERS[layer], dtype, apart=apart)
        assert not finding.fault and not finding.undecided, finding


@pytest.mark.parametrize("op", ["y", "dx", "dw"])
def test_no_product_is_rounded_more_often_than_is_counted(op):
    """And hardly less often: the longest rows of A, B and G need not meet in one product."""
    for geom in (ConvGeometry((2, 3, 10, 6), (4, 3, 3, 3)), ConvGeometry((1, 2, 4, 8, 5), (3, 2, 2, 3, 3), 1, 1)):
        a, b = (np.full(shape, Rounded(), object) for shape in Question(op, geom, np.dtype("f4")).operand_shapes)
        for apart in (False, True)[: 1 + (op == "dw")]:
            most = max(result.times for result in plain(op, geom, a, b, apart=apart).flat)
            assert (apart or roundings(op, geom) - 6 < most) and most <= roundings(op, geom)


@pytest.mark.parametrize("op", ["y", "dx", "dw"])
def test_it_is_no_place_to_hide(op, dtype):
    """Of layers with few terms some elements are so small, by chance, that the ratio says nothing."""
    assert 1 < verdict(op, ConvGeometry((2, 33, 10, 13), (34, 33, 3, 3), 1, 1), dtype).bound_over_gamma < 1000


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("op", ["y", "dx", "dw"])
def test_the_gauge_is_the_algorithm_on_absolute_values(op, layer, dtype, monkeypatch):
    geom = LAYERS[layer]
    a, b = Rounding(Question(op, geom, dtype)).operands
    gauge = plain(op, geom, *(np.abs(v, dtype="f8") for v in (a, b)), of=[abs(matrix) for matrix in matrices(op)])
    factor = gamma(roundings(op, geom), UNIT_ROUNDOFF[dtype.name])
    for block in (1, winograd_gauge.BLOCK):
        monkeypatch.setattr(winograd_gauge, "BLOCK", block)
        np.testing.assert_allclose(error_bound(op, geom, a, b), factor * gauge, rtol=1e-12, atol=1e-40)


@pytest.mark.parametrize("which", range(3), ids=["A", "B", "G"])
@pytest.mark.parametrize("op", ["y", "dx", "dw"])
def test_one_per_cent_in_an_entry_is_beyond_it(op, which, dtype):
    geom = ConvGeometry((2, 7, 6, 9), (6, 7, 3, 3), 1, 1)
    for entry in np.argwhere(matrices(op)[which]):
        wrong = matrices(op)
        wrong[which][tuple(entry)] *= Fraction(101, 100)
        assert verdict(op, geom, dtype, of=wrong).fault, entry


@pytest.mark.parametrize("op", ["y", "dx", "dw"])
def test_underflow_is_within_it(op, dtype):
    geom, power = ConvGeometry((2, 7, 6, 9), (6, 7, 3, 3), 1, 1), {"float32": 70, "float64": 530}[dtype.name]
    a, b = Rounding(Question(op, geom, dtype)).operands
    small = [np.ldexp(v, -power) for v in (a, b)]
    got, bound = (np.ldexp(v.astype("f8"), 2 * power) for v in (plain(op, geom, *small), error_bound(op, geom, *small)))
    error = np.abs(got - oracle.gradient(op, geom, a, b))
    assert (error <= bound).all()
    assert (error > error_bound(op, geom, a, b)).any()


def test_one_number_and_one_weight_are_exact_in_float64():
    """All pairs: integers stay integers while what the gauge has of them does."""
    inputs, squares, weights = (np.eye(size).reshape(size, 1, *shape) for size, shape in (
        (36, (6, 6)), (16, (4, 4)), (9, (3, 3)),
    ))  # fmt: skip
    for op, geom, a, b in (
        ("y", ConvGeometry((36, 1, 6, 6), (9, 1, 3, 3)), inputs, weights),
        ("dx", ConvGeometry((36, 9, 4, 4), (1, 9, 3, 3), 1, 2), inputs, weights.swapaxes(0, 1)),
        ("dw", ConvGeometry((1, 36, 6, 6), (16, 36, 3, 3)), squares.swapaxes(0, 1), inputs.swapaxes(0, 1)),
    ):
        expected = oracle.gradient(op, geom, 7 * a, 3 * b)
        np.testing.assert_array_equal(plain(op, geom, 7 * a, 3 * b), expected)
        assert np.count_nonzero(expected) == 9 * 16


def test_sums_without_products_and_those_of_db_have_bounds(dtype):
    empty = ConvGeometry((0, 2, 11, 7), (3, 2, 3, 3), (2, 1))
    bound = error_bound("dw", empty, np.zeros(empty.y_shape, dtype), np.zeros(empty.x_shape, dtype))
    assert bound.shape == (3, 2, 3, 3) and not bound.any()
    dy = np.full((2, 3, 4, 5), -2, dtype)
    np.testing.assert_allclose(error_bound("db", None, dy, None), [80 * gamma(40, UNIT_ROUNDOFF[dtype.name])] * 3)


def test_it_needs_nothing_that_is_compiled(python):
    code = "import sys, convback_cython.winograd_gauge; print([name for name in sys.modules if '_kernels' in name])"
    assert python(code).out == "[]\n"
