"""Ways to fill an array, and ways for it to lie in memory, as found in bug reports."""

import numpy as np
from numpy.lib.stride_tricks import as_strided

# Values: functions of a shape, as are np.ones and np.zeros.


def integers(rng):
    """Random integers, so small that sums of up to 200,000 products are exact in float32."""
    return lambda shape: rng.integers(-9, 10, shape)


def counting(shape):
    return np.arange(np.prod(shape)).reshape(shape)


def counting_from_1(shape):
    return 1 + counting(shape)


def numbers(*values):
    return lambda shape: np.array(values).reshape(shape)


def spike(index, value=1):
    """Zero but for one place, or for a slice of places."""

    def fill(shape):
        values = np.zeros(shape, int)
        values[index] = value
        return values

    return fill


# Memory: functions of an array. What lies between its elements is NaN.


def part_of(room_shape, index):
    """A layout: the part `index` of an array of the shape that `room_shape` makes of the part's shape."""

    def lay(a):
        room = np.full(room_shape(a.shape), np.nan, a.dtype)
        room[index] = a
        return room[index]

    return lay


every_second = part_of(lambda s: (*s[:2], *(2 * extent for extent in s[2:])), np.s_[:, :, ::2, ::2])
middle_of_three = part_of(lambda s: (*s[:2], 3, *s[2:]), np.s_[:, :, 1])
later_channels = part_of(lambda s: (s[0], s[1] + 3, *s[2:]), np.s_[:, 3:])


def swapped(a):
    """The first two axes lie the other way round."""
    return a.swapaxes(0, 1).copy().swapaxes(0, 1)


def channels_last(a):
    return np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1)


def backwards(a):
    return a[..., ::-1].copy()[..., ::-1]


def odd_unit_strides(a):
    """Axes of extent 1 step over a whole image."""
    step = a[0].nbytes
    return as_strided(a, a.shape, [step if n == 1 else s for n, s in zip(a.shape, a.strides, strict=True)])


def one_filter_for_all(a):
    return np.broadcast_to(a[:1], a.shape)


def one_tap_for_all(a):
    return np.broadcast_to(a[..., :1], a.shape)


def foreign_byte_order(a):
    return a.astype(a.dtype.newbyteorder())


def after_a_boundary(nbytes):
    """A layout: memory that begins that many bytes after a multiple of 64."""

    def lay(a):
        raw = np.zeros(a.nbytes + 128, np.uint8)
        start = -raw.ctypes.data % 64 + nbytes
        view = raw[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
        view[...] = a
        return view

    return lay


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a
