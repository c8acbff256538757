"""The rules of a legal layer, each with a strategy that breaks it and no other one."""

import numpy as np
from hypothesis import strategies as st
from strategies import Layer, layers

from convback import DTypeError, ParameterError, ShapeError
from convback.geometry import PADDING_WORDS

NO_INTEGERS = (
    st.booleans() | st.floats() | st.none() | st.binary() | st.complex_numbers() | st.fractions()
    | st.text().filter(lambda word: word not in PADDING_WORDS) | st.builds(np.float32, st.integers(0, 9))
)  # fmt: skip


def no_integer_from(least):
    """What is no integer from here up to 2**62."""
    return st.integers(max_value=least - 1) | st.integers(min_value=2**62) | NO_INTEGERS


def replaced(values, axis, value):
    return (*values[:axis], value, *values[axis + 1 :])


# Each of these is a function of draw and a layer, or makes one, that gives arguments to take the place of right ones.


def spoilt(name, wrong):
    """A parameter or shape with something wrong in place of one of its numbers, or of all."""

    def change(draw, layer):
        values, value = getattr(layer.geom, name), draw(wrong)
        axis = draw(st.integers(-1, len(values) - 1))
        return {name: value if axis == -1 else replaced(values, axis, value)}

    return change


def miscounted(name):
    """A parameter with too few numbers, or too many."""

    def change(draw, layer):
        values = getattr(layer.geom, name)
        return {name: draw(st.sampled_from([(), values[1:], (*values, values[0])]))}

    return change


def misshapen(name):
    """An operand with another extent, perhaps one that broadcasts, or without its first axis."""

    def change(draw, layer):
        shape = layer.arrays[name].shape
        axis = draw(st.integers(0, len(shape) - 1))
        extents = {1, shape[axis] - 1, shape[axis] + 1} - {shape[axis]}
        shapes = [shape[1:], *(replaced(shape, axis, extent) for extent in sorted(extents))]
        return {name: np.resize(layer.arrays[name], draw(st.sampled_from(shapes)))}

    return change


def with_kernel(extents):
    """One extent of the kernel drawn anew; from what, depends on the padded extent of x and the dilation there."""

    def change(draw, layer):
        g = layer.geom
        axis = draw(st.integers(0, g.rank - 1))
        extent = draw(extents(g.x_spatial[axis] + sum(g.padding[axis]), g.dilation[axis]))
        return reshaped(layer, "w", replaced(g.w_shape, 2 + axis, extent))

    return change


def reshaped(layer, name, shape):
    return {name: np.resize(layer.arrays[name], shape), f"{name}_shape": shape}


def of_other_rank(draw, layer):
    name = draw(st.sampled_from("xw"))
    shape = layer.arrays[name].shape
    return reshaped(layer, name, draw(st.sampled_from([shape[:2], shape[:-1], (*shape, 1), (*shape, 1, 1, 1)])))


def with_other_channels(draw, layer):
    shape = layer.geom.w_shape
    return reshaped(layer, "w", replaced(shape, 1, shape[1] + draw(st.sampled_from([-1, 1, 2]))))


def no_divisor(draw, layer):
    C, F, shape = layer.geom.C, layer.geom.F, layer.geom.w_shape
    numbers = [n for n in range(2, C + F + 2) if C % n or F % n]
    groups = draw(st.just(numbers[0]) | st.sampled_from(numbers))
    return {"groups": groups, **reshaped(layer, "w", replaced(shape, 1, C // groups))}


def of_other_dtype(draw, layer):
    name = draw(st.sampled_from(list(layer.arrays)))
    return {name: layer.arrays[name].astype(draw(st.sampled_from([d for d in "?bHifdgFO" if d != layer.dtype.char])))}


RULES = {
    "strides are at least 1": (ParameterError, spoilt("stride", no_integer_from(1))),
    "a stride an axis": (ParameterError, miscounted("stride")),
    "dilations are at least 1": (ParameterError, spoilt("dilation", no_integer_from(1))),
    "a dilation an axis": (ParameterError, miscounted("dilation")),
    "padding is at least 0": (ParameterError, spoilt("padding", no_integer_from(0))),
    "both sides are": (ParameterError, spoilt("padding", st.tuples(st.just(0), no_integer_from(0)))),
    "padding an axis": (ParameterError, miscounted("padding")),
    "what is padded can be counted": (ShapeError, lambda draw, layer: {"padding": draw(st.integers(2**61, 2**62 - 1))}),
    "groups is at least 1": (ParameterError, lambda draw, layer: {"groups": draw(no_integer_from(1))}),
    "groups divides C and F": (ShapeError, no_divisor),
    "w has C/groups channels": (ShapeError, with_other_channels),
    "x has extents": (ShapeError, spoilt("x_shape", no_integer_from(0))),
    "w has extents": (ShapeError, spoilt("w_shape", no_integer_from(0))),
    "x and w have as many": (ShapeError, of_other_rank),
    "a kernel has taps": (ShapeError, with_kernel(lambda padded, dilation: st.just(0))),
    "it fits into x": (ShapeError, with_kernel(lambda padded, d: st.integers((padded - 1) // d + 2, padded + 9))),
    "dy is shaped as y": (ShapeError, misshapen("dy")),
    "b has a number a filter": (ShapeError, misshapen("b")),
    "there is one dtype": (DTypeError, of_other_dtype),
    "mode is one of two words": (ParameterError, lambda draw, layer: {"mode": draw(NO_INTEGERS)}),
}


@st.composite
def broken(draw, rule) -> tuple[Layer, dict]:
    """A layer, and arguments which break one rule of it."""
    layer = draw(layers(may_be_empty=False))
    return layer, RULES[rule][1](draw, layer)
