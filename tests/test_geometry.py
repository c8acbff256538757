"""ConvGeometry: its shape formulas against counting, and that equal problems are equal."""

import copy
import dataclasses
import math
import pickle
from itertools import product

import numpy as np
import pytest

from convback import ConvGeometry, ShapeError

X_SHAPES = {1: (2, 4, 7), 2: (2, 4, 7, 6), 3: (2, 4, 7, 6, 5)}
W_SHAPES = {1: (6, 2, 3), 2: (6, 2, 3, 2), 3: (6, 2, 3, 2, 1)}
ranks = pytest.mark.parametrize("rank", [1, 2, 3])


def layer(rank, **parameters):
    return ConvGeometry(X_SHAPES[rank], W_SHAPES[rank], **{"groups": 2, **parameters})


def one_axis(x, kernel, **parameters):
    """The y extent and the padding of a layer with a single spatial axis."""
    geom = ConvGeometry((1, 1, x), (1, 1, kernel), **parameters)
    return geom.y_spatial[0], geom.padding[0]


def positions_that_fit(padded, kernel, stride, dilation):
    """Count, in steps of the stride, the first taps whose last tap still lies in the padded input."""
    last_tap = (kernel - 1) * dilation
    return sum(first + last_tap < padded for first in range(0, padded, stride))


@pytest.mark.parametrize("x", range(8))
def test_the_output_has_as_many_positions_as_fit(x):
    for kernel, stride, lo, hi, dilation in product((1, 2, 3, 4), (1, 2, 3), (0, 1, 2), (0, 1, 3), (1, 2, 3)):
        parameters = {"stride": stride, "padding": ((lo, hi),), "dilation": dilation}
        if expected := positions_that_fit(lo + x + hi, kernel, stride, dilation):
            assert one_axis(x, kernel, **parameters) == (expected, (lo, hi))
        else:
            with pytest.raises(ShapeError, match=f"covers {(kernel - 1) * dilation + 1} positions.*: {lo + x + hi} ="):
                one_axis(x, kernel, **parameters)


@pytest.mark.parametrize("x", range(1, 10))
def test_same_is_the_least_padding_that_gives_x_over_stride_outputs(x):
    for kernel, stride, dilation in product((1, 2, 3, 4, 5), (1, 2, 3, 4), (1, 2, 3)):
        y, (lo, hi) = one_axis(x, kernel, padding="same", stride=stride, dilation=dilation)
        assert y == -(-x // stride) == positions_that_fit(lo + x + hi, kernel, stride, dilation)
        assert lo + hi == 0 or positions_that_fit(lo + x + hi - 1, kernel, stride, dilation) < y
        assert hi - lo in (0, 1), "the odd zero belongs to the end"
        assert one_axis(x, kernel, padding="same_lower", stride=stride, dilation=dilation) == (y, (hi, lo))


@pytest.mark.parametrize(
    ("word", "x", "kernel", "stride", "dilation", "pair"),
    [
        ("same", 5, 2, 1, 1, (0, 1)),
        ("same_lower", 5, 2, 1, 1, (1, 0)),
        ("same", 5, 4, 1, 1, (1, 2)),
        ("same", 224, 7, 2, 1, (2, 3)),
        ("same_lower", 224, 7, 2, 1, (3, 2)),
        ("same", 6, 3, 2, 1, (0, 1)),
        ("same", 6, 2, 1, 3, (1, 2)),
        ("same", 6, 1, 4, 1, (0, 0)),
        ("full", 5, 3, 2, 2, (4, 4)),
        ("full", 5, 1, 1, 9, (0, 0)),
        ("full", 0, 3, 1, 1, (2, 2)),
        ("valid", 5, 3, 2, 2, (0, 0)),
    ],
)
def test_padding_words_by_example(word, x, kernel, stride, dilation, pair):
    assert one_axis(x, kernel, padding=word, stride=stride, dilation=dilation)[1] == pair


# Each row: spellings of one problem, which differs from all other rows.
SPELLINGS = [
    [{}, {"stride": 1}, {"stride": (1, 1)}, {"padding": "valid"}, {"padding": [[0, 0], (0, 0)]}, {"dilation": [1, 1]}],
    [{"stride": 2}, {"stride": (2, 2)}, {"stride": [2, 2]}, {"stride": np.int8(2)}, {"stride": np.array([2, 2])}],
    [{"stride": (1, 2)}, {"stride": np.array([1, 2], ">i4")}],
    [{"stride": (2, 1)}, {"stride": (np.uint64(2), 1)}],
    [{"padding": 1}, {"padding": (1, 1)}, {"padding": ((1, 1), 1)}, {"padding": np.ones((2, 2), int)}],
    [{"padding": (1, 2)}, {"padding": [(1, 1), (2, 2)]}, {"padding": np.array([1, 2])}],
    [{"padding": ((1, 1), (0, 1))}, {"padding": "same"}],
    [{"padding": ((1, 1), (1, 0))}, {"padding": "same_lower"}],
    [{"padding": ((2, 2), (1, 1))}, {"padding": "full"}],
    [{"dilation": 2}, {"dilation": (2, 2)}],
]


@pytest.mark.parametrize("row", range(len(SPELLINGS)))
def test_equal_problems_are_equal_and_others_are_not(row):
    first, *others = [layer(2, **parameters) for parameters in SPELLINGS[row]]
    for other in others:
        assert other == first
        assert hash(other) == hash(first)
        assert repr(other) == repr(first)
    assert all(layer(2, **spellings[0]) != first for spellings in SPELLINGS if spellings is not SPELLINGS[row])


@pytest.mark.parametrize("make", [list, np.array, lambda shape: tuple(map(np.int16, shape))])
def test_shapes_may_be_any_sequence_of_integers(make):
    geom = ConvGeometry(make(X_SHAPES[2]), make(W_SHAPES[2]), groups=np.int64(2))
    assert geom == layer(2)
    numbers = [*geom.x_shape, *geom.w_shape, *geom.y_shape, *geom.stride, *geom.dilation, *geom.padding[0], geom.groups]
    assert {type(number) for number in numbers} == {int}


@ranks
def test_attributes(rank):
    geom = layer(rank, stride=2, padding=1, dilation=1)
    assert (geom.N, geom.C, geom.F, geom.groups, geom.rank) == (2, 4, 6, 2, rank)
    assert (geom.x_shape, geom.w_shape) == (X_SHAPES[rank], W_SHAPES[rank])
    assert (geom.x_spatial, geom.kernel) == (X_SHAPES[rank][2:], W_SHAPES[rank][2:])
    assert geom.y_shape == (2, 6, *geom.y_spatial)
    assert geom.y_spatial == (4, 4, 4)[:rank]
    assert (geom.stride, geom.dilation, geom.padding) == ((2,) * rank, (1,) * rank, ((1, 1),) * rank)
    assert geom.macs == math.prod((2, 6, *geom.y_spatial, 2, *geom.kernel))
    assert not geom.is_empty


@ranks
def test_three_axes_for_all(rank):
    parameters = {"stride": (2, 1, 3), "dilation": (1, 2, 1), "padding": ((1, 0), (0, 2), (1, 1))}
    geom = layer(rank, **{name: values[:rank] for name, values in parameters.items()})
    wide = geom.as3d()
    ones = (1,) * (3 - rank)
    assert wide.rank == 3
    assert (wide.N, wide.C, wide.F, wide.groups) == (geom.N, geom.C, geom.F, geom.groups)
    for name in ("x_spatial", "kernel", "y_spatial", "stride", "dilation"):
        assert getattr(wide, name) == ones + getattr(geom, name)
    assert wide.padding == ((0, 0),) * len(ones) + geom.padding
    assert wide.macs == geom.macs
    assert wide.as3d() == wide
    assert (wide == geom) == (rank == 3)


def test_frozen():
    geom = layer(2)
    for name in ("stride", "x_shape", "y_shape", "new"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(geom, name, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        del geom.stride


def test_arguments_are_not_kept():
    stride, shape = [1, 1], list(X_SHAPES[2])
    geom = ConvGeometry(shape, W_SHAPES[2], stride, groups=2)
    stride[0] = shape[0] = 5
    assert geom == layer(2)


def test_copies_are_equal():
    geom = layer(3, padding="same")
    for other in (copy.copy(geom), copy.deepcopy(geom), pickle.loads(pickle.dumps(geom))):
        assert other == geom
        assert other.y_shape == geom.y_shape


def test_repr_shows_the_normalised_problem():
    assert repr(ConvGeometry((1, 2, 5), (3, 2, 2), 2, "same")) == (
        "ConvGeometry(x_shape=(1, 2, 5), w_shape=(3, 2, 2), stride=(2,), padding=((0, 1),), dilation=(1,), groups=1, "
        "y_shape=(1, 3, 3))"
    )


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "groups", "y_shape"),
    [
        ((0, 4, 7), (6, 2, 3), 2, (0, 6, 7)),
        ((2, 0, 7), (6, 0, 3), 2, (2, 6, 7)),
        ((2, 4, 7), (0, 2, 3), 2, (2, 0, 7)),
        ((2, 4, 0), (6, 4, 2), 1, (2, 6, 1)),
        ((2, 4, 7, 0), (6, 4, 3, 1), 1, (2, 6, 7, 2)),
        ((0, 0, 0, 0, 0), (0, 0, 1, 2, 1), 7, (0, 0, 2, 1, 2)),
    ],
)
def test_zero_extents_are_legal_and_empty(x_shape, w_shape, groups, y_shape):
    geom = ConvGeometry(x_shape, w_shape, padding=1, groups=groups)
    assert geom.y_shape == y_shape
    assert geom.is_empty
    assert geom.as3d().is_empty
    assert geom.macs == math.prod(y_shape) * math.prod(w_shape[1:])


def test_the_largest_numbers_do_not_overflow():
    assert one_axis(5, 1, dilation=2**62 - 1, stride=2**62 - 1) == (1, (0, 0))
    assert one_axis(1, 1, stride=2**58, padding=2**58)[0] == 3
    assert ConvGeometry((1, 1, 1), (1, 1, 2), dilation=2**40, padding=((0, 2**40),)).y_spatial == (1,)
